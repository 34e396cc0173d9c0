//! All parts together: started in order, stopped in the opposite one.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use futures_util::future::join_all;

use crate::dynamodb::{DynamoDb, DynamoDbError, DynamoDbOptions};
use crate::faults::{Current, CurrentFaults, DynamoDbFaults, Faults};
use crate::link::LinkProxies;
use crate::ports::{self, PortError};
use crate::sdk_config::{REGION, local_sdk_config};
use crate::servers::{MESSAGES_TABLE, NODES_TABLE, NodeLauncher, NodeSettings, RunningNode, random_cluster_key};
use crate::sns::{SignatureVersion, Sns, SnsError, SnsOptions};
use crate::stack_folder::{Announcement, FolderError, StackFolder};
use crate::stream_pump::{CheckpointFile, FaultyHandler, PumpOptions, StreamHandler, StreamPump};

const TOPIC: &str = "roomcast";
/// A node has made its tables and is subscribed long before.
const NODES_READY_WITHIN: Duration = Duration::from_secs(60);

/// What a stack is to be.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Server nodes; 0 starts the AWS parts only.
    pub nodes: u16,
    /// The first node's port.
    pub port: u16,
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
    /// The proxies between the nodes.
    #[error("the link's proxies did not start: {0}")]
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
    nodes: Vec<Box<dyn RunningNode>>,
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
        launcher: &dyn NodeLauncher,
    ) -> Result<Self, StackError> {
        let folder = StackFolder::take(&options.data, options.memory)?;
        let node_ports = ports::take_for_nodes(options.port, options.nodes)?;
        let dynamodb_port = ports::take(options.dynamodb_port, "DynamoDB", "--dynamodb-port")?;
        let sns_port = ports::take(options.sns_port, "SNS", "--sns-port")?;
        let certificate_port = ports::take(0, "SNS certificate", "--sns-port")?;

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
        let sns = Sns::start(SnsOptions {
            listener: sns_port,
            certificate_listener: certificate_port,
            faults: current.sns.clone(),
            seed: options.seed,
            local_routes: link_routes.merge(current.clone().routes()),
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
            first_port: options.port,
            nodes: options.nodes,
            topic_arn: topic_arn.clone(),
            cert_origin: sns.certificate_origin(),
            trust_root: trust_root.clone(),
            cluster_key: random_cluster_key(),
            link_addresses: link.as_ref().map(LinkProxies::addresses).unwrap_or_default().to_vec(),
        };
        let announcement = Announcement {
            dynamodb: dynamodb.url(),
            sns: sns.url(),
            region: REGION.to_owned(),
            topic_arn,
            trust_root,
            cert_origin: sns.certificate_origin(),
            messages_table: MESSAGES_TABLE.to_owned(),
            nodes_table: NODES_TABLE.to_owned(),
            cluster_key: settings.cluster_key.clone(),
            nodes: settings.urls(),
            pid: std::process::id(),
        };
        drop(node_ports);
        let mut stack = Self { announcement, folder, dynamodb, sns, pump, link, nodes: Vec::new() };
        if let Err(error) = stack.start_nodes(&settings, &aws, launcher).await {
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
        join_all(self.nodes.into_iter().map(<dyn RunningNode>::stop)).await;
        if let Some(link) = self.link {
            link.stop().await;
        }
        self.pump.stop().await;
        self.sns.stop().await;
        self.dynamodb.stop().await;
    }

    async fn start_nodes(
        &mut self,
        settings: &NodeSettings,
        aws: &SdkConfig,
        launcher: &dyn NodeLauncher,
    ) -> Result<(), StackError> {
        let failed = |index: u16, reason: String| StackError::Node { node: index + 1, reason };
        for index in 0..settings.nodes {
            let launched = launcher.launch(settings.arguments(index), aws.clone()).await;
            let node = launched.map_err(|reason| failed(index, reason))?;
            if let Some(link) = &self.link {
                link.introduce(index + 1, &node.id(), node.link_address());
            }
            self.nodes.push(node);
        }
        for (index, node) in (0..).zip(&self.nodes) {
            let ready = tokio::time::timeout(NODES_READY_WITHIN, node.ready()).await;
            ready.map_err(|_| failed(index, format!("not ready within {} s", NODES_READY_WITHIN.as_secs())))?;
        }
        Ok(self.folder.announce(&self.announcement)?)
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
