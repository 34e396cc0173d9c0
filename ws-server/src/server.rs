//! Puts a node together: the only place where adapters are chosen.

mod drain;
mod others;
mod ports;
mod preflight;
mod start_error;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::future::select_all;
use protocol::NodeId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backplane::certificate::{CertificatePolicy, CertificateStore, HttpsFetcher, StoreLimits, TrustRoots};
use crate::backplane::chain::{Chain, ChainSettings};
use crate::backplane::subscription::{self, SnsApi, SubscriptionTask, SubscriptionTaskSettings, SubscriptionTimes};
use crate::backplane::{Endpoint, EndpointSecret, EndpointSettings, SubscriptionInbox, WallClock};
use crate::config::{AwsConfig, Config};
use crate::connection::{Connections, Mailboxes};
use crate::health::Readiness;
use crate::lease::LeaseKeeper;
use crate::message_log::{DynamoLog, MessageLog, MeteredLog};
use crate::open_files;
use crate::page::PageInfo;
use crate::rooms::Rooms;
use crate::router::Routed;
use crate::tables::{TableNames, ensure_tables};
use crate::telemetry::report;
use others::{OthersSettings, ServedLink, Standing};
use ports::{Ports, Serving};
pub use start_error::StartError;

/// A running node.
pub struct Server {
    node: NodeId,
    address: SocketAddr,
    connections: Arc<Connections>,
    readiness: Arc<Readiness>,
    rooms: Rooms,
    subscriptions: Vec<SubscriptionTask>,
    unsubscribe: CancellationToken,
    lease: LeaseKeeper,
    link: Option<ServedLink>,
    serving: Serving,
}

/// Starts a node. It listens when this returns; [`Server::ready`] tells when SNS delivers to it.
///
/// # Errors
/// `StartError`, one line that says what to mend.
pub async fn start(config: Config, aws: SdkConfig) -> Result<Server, StartError> {
    let limits = config.limits.limits()?;
    let certificates = certificates(&config.aws)?;
    // Boxed, as what is needed once: the state of each would be part of everything that starts a node.
    Box::pin(preflight::check_account(&aws, &config.aws.topic_arn)).await?;
    let ports = Ports::bind(&config.network)?;
    let address = ports.address();
    let standing = Standing::of(&config.link).await?;
    let account = Box::pin(Account::open(&aws, &config.aws)).await?;
    let node = NodeId::from_random(fastrand::u64(..));
    let secret = EndpointSecret::random();
    let relay_path = standing.relay_path(&node).filter(|_| config.link.sns_relay);
    let endpoint_url = config.network.sns_endpoint.clone() + &relay_path.unwrap_or_else(|| secret.path());
    let settings = account.others_settings(&config, &node, &endpoint_url);
    let (lease, others) = Box::pin(others::join(standing, settings)).await?;

    let metered = MeteredLog::of_dynamodb(DynamoLog::new(&account.dynamodb, account.tables.messages));
    let log_stats = metered.stats();
    let log: Arc<dyn MessageLog> = Arc::new(metered);
    let chain = Chain::new(node.clone(), config.aws.topic_arn.len());
    let mailboxes = Mailboxes::for_cores();
    let rooms = Rooms::start(&node, &log, chain.watch_commits(Arc::clone(&others.peers)), &limits, &mailboxes);
    let (endpoint, inboxes) = Endpoint::new(EndpointSettings {
        topics: config.aws.topic_arn,
        secret,
        certificates,
        sink: chain.watch_deliveries(Arc::new(rooms.clone())),
        clock: wall_clock(),
    });
    let endpoint = Arc::new(endpoint);

    let limits = open_files::fit(limits, mailboxes.iter().count());
    let connections = Connections::new(node.clone(), rooms.clone(), limits, &mailboxes).map_err(StartError::Loops)?;
    let readiness = Readiness::new(Arc::clone(&chain), Arc::clone(&log_stats), connections.draining.clone());
    let readiness = Arc::new(readiness.with_accelerator(others.accelerator.clone()));
    let info = Arc::new(PageInfo { node: node.to_string(), links: config.network.page_link });
    let instruments = Arc::new(others.instruments(&connections, &endpoint, &chain, log_stats));
    let (relay, link) = others.serve(&rooms, &endpoint, &connections.draining);
    let routed = Routed {
        connections: Arc::clone(&connections),
        endpoint,
        relay,
        readiness: Arc::clone(&readiness),
        instruments: Arc::clone(&instruments),
        info,
    };
    let serving = ports.serve(routed, &connections)?;

    let unsubscribe = CancellationToken::new();
    tokio::spawn(report(instruments, Arc::clone(&readiness), unsubscribe.clone()));
    watch_chain(chain, log, &rooms, &unsubscribe);
    let (doubts, doubted) = watch::channel(0);
    let subscriptions = subscribe(inboxes, &endpoint_url, account.sns, &doubted, &unsubscribe);
    readiness.started(subscriptions.iter().map(|task| (task.topic.to_string(), task.state.clone())).collect());
    let lease = lease.keep(subscriptions.iter().map(|task| task.state.clone()).collect(), doubts);
    tracing::info!(%node, %address, link = link.as_ref().map(|link| &*link.address), "serving");
    Ok(Server { node, address, connections, readiness, rooms, subscriptions, unsubscribe, lease, link, serving })
}

impl Server {
    /// This node's id.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port at which other nodes are told to reach it; `None` without a cluster key.
    #[must_use]
    pub fn link_address(&self) -> Option<&str> {
        self.link.as_ref().map(|link| &*link.address)
    }

    /// Where it listens for other nodes; `None` without a cluster key.
    #[must_use]
    pub fn link_listens(&self) -> Option<SocketAddr> {
        self.link.as_ref().map(|link| link.listens)
    }

    /// Waits until SNS says that this node may not subscribe, or that there is no such topic, and has never been subscribed:
    /// one line that says what to mend. Never ends otherwise.
    pub async fn refused(&self) -> String {
        let refusals = self.subscriptions.iter().map(|task| Box::pin(task.refused()));
        match self.subscriptions.is_empty() {
            true => std::future::pending().await,
            false => select_all(refusals).await.0,
        }
    }

    /// Waits until SNS delivers to this node.
    pub async fn ready(&self) {
        self.readiness.confirmed().await;
    }
}

/// What a node has of the AWS account.
struct Account {
    dynamodb: aws_sdk_dynamodb::Client,
    sns: aws_sdk_sns::Client,
    tables: TableNames,
}

impl Account {
    /// Opened only if the tables are there and everything that the node will call is permitted.
    async fn open(aws: &SdkConfig, config: &AwsConfig) -> Result<Self, StartError> {
        let (dynamodb, sns) = (aws_sdk_dynamodb::Client::new(aws), aws_sdk_sns::Client::new(aws));
        let tables = TableNames { messages: config.messages_table.clone(), nodes: config.nodes_table.clone() };
        ensure_tables(&dynamodb, &tables, config.create_tables).await?;
        preflight::check_permissions(&dynamodb, &tables, &sns, &config.topic_arn).await?;
        Ok(Self { dynamodb, sns, tables })
    }

    fn others_settings(&self, config: &Config, node: &NodeId, endpoint_url: &str) -> OthersSettings {
        OthersSettings {
            node: node.clone(),
            dynamodb: self.dynamodb.clone(),
            table: self.tables.nodes.clone(),
            hints: config.link.peer_hints,
            topics: config.aws.topic_arn.clone(),
            sns: self.sns.clone(),
            endpoint_url: endpoint_url.to_owned(),
            beat_every: Duration::from_millis(config.link.beat_ms),
        }
    }
}

fn certificates(config: &AwsConfig) -> Result<CertificateStore, StartError> {
    let mut policy = CertificatePolicy::for_topics(&config.topic_arn);
    if let Some(origin) = &config.sns_cert_origin {
        policy = policy.with_origin(origin.clone());
    }
    if let Some(path) = &config.sns_trust_root {
        policy = policy.with_roots(trust_roots("--sns-trust-root", path)?);
    }
    let fetcher = HttpsFetcher::new(policy.roots())?;
    Ok(CertificateStore::new(policy, Arc::new(fetcher), wall_clock(), StoreLimits::default()))
}

/// The certificates of a file that a flag names.
fn trust_roots(flag: &'static str, path: &Path) -> Result<TrustRoots, StartError> {
    let pem = std::fs::read(path).map_err(|error| StartError::TrustRootFile(flag, path.to_owned(), error))?;
    TrustRoots::from_pem(&pem).map_err(|error| StartError::TrustRoot(flag, path.to_owned(), error))
}

fn watch_chain(chain: Arc<Chain>, log: Arc<dyn MessageLog>, rooms: &Rooms, stop: &CancellationToken) {
    tokio::spawn(chain.run(ChainSettings {
        log,
        listener: Arc::new(rooms.clone()),
        clock: wall_clock(),
        look: Duration::from_secs(1),
        stop: stop.clone(),
    }));
}

fn subscribe(
    inboxes: Vec<SubscriptionInbox>,
    endpoint: &str,
    sns: aws_sdk_sns::Client,
    doubts: &watch::Receiver<u64>,
    stop: &CancellationToken,
) -> Vec<SubscriptionTask> {
    let api = Arc::new(SnsApi::new(sns));
    let settings = |inbox| SubscriptionTaskSettings {
        inbox,
        endpoint: endpoint.to_owned(),
        api: api.clone(),
        times: SubscriptionTimes::default(),
        doubts: doubts.clone(),
        stop: stop.clone(),
    };
    inboxes.into_iter().map(|inbox| subscription::start(settings(inbox))).collect()
}

fn wall_clock() -> WallClock {
    Arc::new(SystemTime::now)
}
