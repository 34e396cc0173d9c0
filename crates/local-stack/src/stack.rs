//! All parts together: started in order, stopped in the opposite one.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;

use crate::dynamodb::{DynamoDb, DynamoDbError, DynamoDbOptions};
use crate::faults::{Current, CurrentFaults, DynamoDbFaults, Faults};
use crate::link::LinkProxies;
use crate::ports::{self, PortError};
use crate::sdk_config::{REGION, local_sdk_config};
use crate::servers::{
    MESSAGES_TABLE, NODES_TABLE, NodeControl, NodeFailure, NodeLauncher, NodeSettings, Nodes, random_cluster_key,
};
use crate::sns::{SignatureVersion, Sns, SnsError, SnsOptions};
use crate::stack_folder::{Announcement, FolderError, StackFolder};
use crate::stream_pump::{CheckpointFile, FaultyHandler, PumpOptions, StreamHandler, StreamPump};

const TOPIC: &str = "roomcast";

/// What a stack is to be.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Server nodes; 0 starts the AWS parts only.
    pub nodes: u16,
    /// The address that nodes listen at.
    pub host: IpAddr,
    /// The first node's port.
    pub port: u16,
    /// The first node's port for operations; none: the nodes' own ports serve them.
    pub ops_port: Option<u16>,
    /// Further flags for every node, none of which the stack sets itself.
    pub node_flags: Vec<String>,
    /// The data folder.
    pub data: PathBuf,
    /// Keep the log in a folder that vanishes.
    pub memory: bool,
    /// DynamoDB's port, 0 for a free one.
    pub dynamodb_port: u16,
    /// SNS's port, 0 for a free one.
    pub sns_port: u16,
    /// How the topic signs.
    pub signature_version: SignatureVersion,
    /// Time between polls of the stream.
    pub stream_poll: Duration,
    /// How long a write of DynamoDB takes; zero: as long as it does.
    pub commit_delay: Duration,
    /// Count what becomes of commits, whatever the commit delay is.
    pub count_commits: bool,
    /// What to break.
    pub faults: Faults,
    /// Decides when faults strike.
    pub seed: u64,
}

/// The stack could not be started. Every message fits on one line.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// DynamoDB.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// SNS.
    #[error(transparent)]
    Sns(#[from] SnsError),
    /// The link between the nodes, or its proxies.
    #[error("the link between the nodes did not start: {0}")]
    Link(#[from] std::io::Error),
    /// The function that the stream is mapped to.
    #[error("the publisher did not start: {0}")]
    Publisher(String),
    /// A node.
    #[error("node {node} did not start: {reason}")]
    Node {
        /// Counted from 1.
        node: u16,
        /// What it said.
        reason: String,
    },
}

/// A running stack.
pub struct Stack {
    announcement: Announcement,
    folder: StackFolder,
    dynamodb: DynamoDb,
    sns: Sns,
    pump: StreamPump,
    link: Option<LinkProxies>,
    settings: NodeSettings,
    nodes: Nodes,
}

impl From<NodeFailure> for StackError {
    fn from(NodeFailure { node, reason }: NodeFailure) -> Self {
        Self::Node { node, reason }
    }
}

impl Stack {
    /// Starts everything; returns when all nodes are ready. `publisher` makes the function that the stream is mapped
    /// to, from the configuration of its AWS clients and its topics.
    ///
    /// # Errors
    /// A part could not be started; those that were are stopped again.
    pub async fn start(
        options: StackOptions,
        publisher: impl FnOnce(&SdkConfig, Vec<String>) -> Result<Arc<dyn StreamHandler>, String>,
        launcher: Arc<dyn NodeLauncher>,
    ) -> Result<Self, StackError> {
        let folder = StackFolder::take(&options.data, options.memory)?;
        // Those that were asked for come first: the others are chosen around them.
        let dynamodb_port = ports::take(options.dynamodb_port, "DynamoDB", "--dynamodb-port")?;
        let sns_port = ports::take(options.sns_port, "SNS", "--sns-port")?;
        let certificate_port = ports::take(0, "SNS certificate", "--sns-port")?;
        let node_ports = NodePorts::take(&options)?;

        let Faults { sns: sns_faults, lambda: lambda_faults, dynamodb: dynamodb_faults, .. } = options.faults.clone();
        let dynamodb_options = dynamodb_options(&options, dynamodb_port, dynamodb_faults.into());
        let current = CurrentFaults {
            sns: sns_faults.into(),
            lambda: lambda_faults.into(),
            dynamodb: dynamodb_options.faults.clone(),
            dynamodb_can_fail: dynamodb_options.needs_front(),
        };
        let dynamodb = DynamoDb::start(&folder.database_file(), dynamodb_options).await?;
        let link = link_proxies(&options)?;
        let link_routes = link.as_ref().map(LinkProxies::routes).unwrap_or_default();
        let control = NodeControl::default();
        let sns = Sns::start(SnsOptions {
            listener: sns_port,
            certificate_listener: certificate_port,
            faults: current.sns.clone(),
            seed: options.seed,
            local_routes: link_routes.merge(current.clone().routes()).merge(control.routes()),
        })
        .await?;
        let trust_root = folder.write_trust_root(&sns.authority().root_pem())?;
        let topic_arn = sns.create_topic(TOPIC, options.signature_version)?;

        let aws = local_sdk_config(&dynamodb.url(), &sns.url());
        let handler = publisher(&aws, vec![topic_arn.clone()]).map_err(StackError::Publisher)?;
        let pump = StreamPump::start(
            Arc::new(dynamodb.database().clone()),
            PumpOptions { poll: options.stream_poll, ..PumpOptions::new(MESSAGES_TABLE) },
            Arc::new(FaultyHandler::new(handler, current.lambda, options.seed)),
            CheckpointFile::in_folder(folder.database_folder()),
            dynamodb.consumed(),
        );

        show_counts(&sns, &dynamodb, &pump, link.as_ref());

        let settings = NodeSettings {
            host: options.host,
            first_port: options.port,
            ops_port: options.ops_port,
            links: node_ports.links.clone(),
            link_addresses: link.as_ref().map(LinkProxies::addresses).unwrap_or_default().to_vec(),
            dynamodb: dynamodb.url(),
            sns: sns.url(),
            topic_arn,
            cert_origin: sns.certificate_origin(),
            trust_root,
            cluster_key: random_cluster_key(),
            flags: options.node_flags,
        };
        let nodes = Nodes::new(launcher, settings.orders(), link.as_ref().map(LinkProxies::introductions));
        let announcement = announcement(&settings);
        drop(node_ports);
        let stack = Self { announcement, folder, dynamodb, sns, pump, link, settings, nodes };
        if let Err(error) = stack.start_nodes(&control).await {
            stack.stop().await;
            return Err(error);
        }
        Ok(stack)
    }

    /// Where everything is.
    #[must_use]
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// What the nodes are told.
    #[must_use]
    pub fn node_settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// SNS, for its counts.
    #[must_use]
    pub fn sns(&self) -> &Sns {
        &self.sns
    }

    /// The event source mapping, for its counts.
    #[must_use]
    pub fn pump(&self) -> &StreamPump {
        &self.pump
    }

    /// Stops the nodes, then the parts of AWS.
    pub async fn stop(self) {
        self.folder.withdraw();
        self.nodes.stop_all().await;
        if let Some(link) = self.link {
            link.stop().await;
        }
        self.pump.stop().await;
        self.sns.stop().await;
        self.dynamodb.stop().await;
    }

    async fn start_nodes(&self, control: &NodeControl) -> Result<(), StackError> {
        self.nodes.start_all().await?;
        control.leads_to(self.nodes.clone());
        Ok(self.folder.announce(&self.announcement)?)
    }
}

/// The nodes' ports, kept for them until they start.
struct NodePorts {
    _taken: Vec<TcpListener>,
    /// Where they listen for each other.
    links: Vec<SocketAddr>,
}

impl NodePorts {
    fn take(options: &StackOptions) -> Result<Self, StackError> {
        let mut taken = ports::take_in_a_row(options.host, options.port, options.nodes, "node ", "--port")?;
        if let Some(first) = options.ops_port {
            let here = IpAddr::from([127, 0, 0, 1]);
            taken.extend(ports::take_in_a_row(here, first, options.nodes, "operations of node ", "--ops-port")?);
        }
        let mut links = Vec::new();
        for node in 1..=options.nodes {
            let link = ports::take_lasting(&format!("link of node {node}"))?;
            links.push(link.local_addr()?);
            taken.push(link);
        }
        Ok(Self { _taken: taken, links })
    }
}

fn announcement(settings: &NodeSettings) -> Announcement {
    Announcement {
        dynamodb: settings.dynamodb.clone(),
        sns: settings.sns.clone(),
        region: REGION.to_owned(),
        topic_arn: settings.topic_arn.clone(),
        trust_root: settings.trust_root.clone(),
        cert_origin: settings.cert_origin.clone(),
        messages_table: MESSAGES_TABLE.to_owned(),
        nodes_table: NODES_TABLE.to_owned(),
        cluster_key: settings.cluster_key.clone(),
        nodes: settings.announced(),
        pid: std::process::id(),
    }
}

/// One for each node, if any link is to misbehave.
fn link_proxies(options: &StackOptions) -> Result<Option<LinkProxies>, StackError> {
    if !options.faults.link.need_proxies() {
        return Ok(None);
    }
    let listener = |node| ports::take(0, &format!("link of node {node}"), "--port");
    let listeners = (1..=options.nodes).map(listener).collect::<Result<_, _>>()?;
    Ok(Some(LinkProxies::start(listeners, options.faults.link.clone(), options.seed)?))
}

fn dynamodb_options(options: &StackOptions, listener: TcpListener, faults: Current<DynamoDbFaults>) -> DynamoDbOptions {
    DynamoDbOptions {
        commit_delay: options.commit_delay,
        count_commits: options.count_commits,
        faults,
        seed: options.seed,
        ..DynamoDbOptions::new(listener, MESSAGES_TABLE)
    }
}

/// Lets SNS tell what the other parts count too.
fn show_counts(sns: &Sns, dynamodb: &DynamoDb, pump: &StreamPump, link: Option<&LinkProxies>) {
    let mapping = pump.shared_counts();
    sns.show_counts("mapping", move || mapping.to_json());
    if let Some(log) = dynamodb.log_counts() {
        sns.show_counts("log", move || log.to_json());
    }
    if let Some(link) = link {
        sns.show_counts("link", link.counts());
    }
}
