//! Puts a node together: the only place where adapters are chosen.

mod others;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use axum::serve::ListenerExt;
use protocol::NodeId;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backplane::certificate::{
    CertificatePolicy, CertificateStore, HttpsFetcher, HttpsFetcherError, StoreLimits, TrustRoots, TrustRootsError,
};
use crate::backplane::chain::{Chain, ChainSettings};
use crate::backplane::subscription::{self, SnsApi, SubscriptionTask, SubscriptionTaskSettings, SubscriptionTimes};
use crate::backplane::{Endpoint, EndpointSecret, EndpointSettings, SubscriptionInbox, WallClock};
use crate::config::{AwsConfig, Config, LimitsError, LinkConfigError};
use crate::connection::Connections;
use crate::health::Readiness;
use crate::lease::{LeaseError, LeaseKeeper};
use crate::link::directory::DirectoryError;
use crate::message_log::{DynamoLog, MessageLog};
use crate::open_files;
use crate::page::PageInfo;
use crate::rooms::Rooms;
use crate::router::{Routed, router};
use crate::tables::{TableError, TableNames, ensure_tables};
use others::{OthersSettings, ServedLink, Standing};

/// How long a stopping node waits for commits that are under way.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits for the last connections after their time to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Why a node did not start. Each is one line for whoever starts it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Flags that contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// Flags about other nodes that contradict each other.
    #[error(transparent)]
    Link(#[from] LinkConfigError),
    /// No address is known under which other nodes reach this one.
    #[error("no address for other nodes is known, give one with --link-address: {0}")]
    LinkAddress(#[source] io::Error),
    /// Nodes that should have a key have none.
    #[error(
        "another node lives in the table of nodes: give all nodes the same --cluster-key, or all of them --stand-alone"
    )]
    NotTheOnlyNode,
    /// The nodes' table cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A table is missing or wrong.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// The nodes' table does not take this node.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The file of root certificates cannot be read.
    #[error("cannot read --sns-trust-root {0}: {1}")]
    TrustRootFile(PathBuf, #[source] io::Error),
    /// The file of root certificates holds none.
    #[error("--sns-trust-root {0}: {1}")]
    TrustRoot(PathBuf, #[source] TrustRootsError),
    /// The root certificates cannot be used.
    #[error("the trust roots cannot be used: {0}")]
    Tls(#[from] HttpsFetcherError),
}

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
    stop_serving: CancellationToken,
    serving: JoinHandle<()>,
}

/// Starts a node. It listens when this returns; [`Server::ready`] tells when SNS delivers to it.
///
/// # Errors
/// `StartError`, one line that says what to mend.
pub async fn start(config: Config, aws: SdkConfig) -> Result<Server, StartError> {
    let limits = config.limits.limits()?;
    let certificates = certificates(&config.aws)?;
    let listen = config.network.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;

    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let names = TableNames { messages: config.aws.messages_table.clone(), nodes: config.aws.nodes_table.clone() };
    let standing = Standing::of(&config.link).await?;
    ensure_tables(&dynamodb, &names, config.aws.create_tables).await?;
    let node = NodeId::from_random(fastrand::u64(..));
    let relay_path = standing.relay_path(&node).filter(|_| config.link.sns_relay);
    let settings = OthersSettings {
        node: node.clone(),
        dynamodb: dynamodb.clone(),
        table: names.nodes,
        hints: config.link.peer_hints,
        topics: config.aws.topic_arn.clone(),
        sns: aws_sdk_sns::Client::new(&aws),
    };
    let (lease, others) = others::join(standing, settings).await?;

    let log: Arc<dyn MessageLog> = Arc::new(DynamoLog::new(&dynamodb, names.messages));
    let chain = Chain::new(node.clone(), config.aws.topic_arn.len());
    let rooms = Rooms::start(&node, &log, chain.watch_commits(Arc::clone(&others.peers)), &limits);
    let (endpoint, inboxes) = Endpoint::new(EndpointSettings {
        topics: config.aws.topic_arn,
        secret: EndpointSecret::random(),
        certificates,
        sink: chain.watch_deliveries(Arc::new(rooms.clone())),
        clock: wall_clock(),
    });
    let endpoint = Arc::new(endpoint);
    let endpoint_url = format!("{}{}", config.network.sns_endpoint, relay_path.unwrap_or_else(|| endpoint.path()));

    let connections = Connections::new(node.clone(), rooms.clone(), limits);
    let readiness = Arc::new(Readiness::new(Arc::clone(&chain), connections.draining.clone()));
    let info = Arc::new(PageInfo { node: node.to_string(), links: config.network.page_link });
    let instruments = others.instruments(&connections, &endpoint, &chain);
    let (relay, link) = others.serve(&rooms, &endpoint, &connections.draining);
    let routes = router(Routed {
        connections: Arc::clone(&connections),
        endpoint,
        relay,
        readiness: Arc::clone(&readiness),
        instruments: Arc::new(instruments),
        info,
    });
    let stop_serving = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, routes, stop_serving.clone()));

    let unsubscribe = CancellationToken::new();
    tokio::spawn(chain.run(ChainSettings {
        log,
        listener: Arc::new(rooms.clone()),
        clock: wall_clock(),
        look: Duration::from_secs(1),
        stop: unsubscribe.clone(),
    }));
    let subscriptions = subscribe(inboxes, &endpoint_url, &aws, &unsubscribe);
    readiness.started(subscriptions.iter().map(|task| (task.topic.to_string(), task.state.clone())).collect());
    let lease = lease.keep(subscriptions.iter().map(|task| task.state.clone()).collect());
    open_files::raise_limit(connections.limits.sessions);
    tracing::info!(%node, %address, link = link.as_ref().map(|link| &*link.address), "serving");
    Ok(Server {
        node,
        address,
        connections,
        readiness,
        rooms,
        subscriptions,
        unsubscribe,
        lease,
        link,
        stop_serving,
        serving,
    })
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

    /// Waits until SNS delivers to this node.
    pub async fn ready(&self) {
        self.readiness.confirmed().await;
    }

    /// Stops the node: it is no longer ready, asks its sessions to go elsewhere over the drain time, brings commits to
    /// an end, unsubscribes, and gives up its lease. Everything is bounded in time.
    pub async fn stop(self) {
        let open = self.connections.open();
        tracing::info!(node = %self.node, sessions = open, "draining");
        self.connections.draining.cancel();
        self.connections.tasks.close();
        let drain = Duration::from_millis(self.connections.limits.drain_ms) + LEAVE_WITHIN;
        if timeout(drain, self.connections.tasks.wait()).await.is_err() {
            tracing::warn!(sessions = self.connections.open(), "sessions were cut off");
        }
        if timeout(FLUSH_WITHIN, self.rooms.flush()).await.is_err() {
            tracing::warn!("commits were cut off: their publishers will send again");
        }
        self.unsubscribe.cancel();
        for task in self.subscriptions {
            task.stopped().await;
        }
        self.lease.release().await;
        if let Some(link) = self.link {
            link.stop().await;
        }
        self.stop_serving.cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "serving ended badly");
        }
        tracing::info!(node = %self.node, "stopped");
    }
}

fn certificates(config: &AwsConfig) -> Result<CertificateStore, StartError> {
    let mut policy = CertificatePolicy::for_topics(&config.topic_arn);
    if let Some(origin) = &config.sns_cert_origin {
        policy = policy.with_origin(origin.clone());
    }
    if let Some(path) = &config.sns_trust_root {
        let pem = std::fs::read(path).map_err(|error| StartError::TrustRootFile(path.clone(), error))?;
        let roots = TrustRoots::from_pem(&pem).map_err(|error| StartError::TrustRoot(path.clone(), error))?;
        policy = policy.with_roots(roots);
    }
    let fetcher = HttpsFetcher::new(policy.roots())?;
    Ok(CertificateStore::new(policy, Arc::new(fetcher), wall_clock(), StoreLimits::default()))
}

fn subscribe(
    inboxes: Vec<SubscriptionInbox>,
    endpoint: &str,
    aws: &SdkConfig,
    stop: &CancellationToken,
) -> Vec<SubscriptionTask> {
    let api = Arc::new(SnsApi::new(aws_sdk_sns::Client::new(aws)));
    let settings = |inbox| SubscriptionTaskSettings {
        inbox,
        endpoint: endpoint.to_owned(),
        api: api.clone(),
        times: SubscriptionTimes::default(),
        stop: stop.clone(),
    };
    inboxes.into_iter().map(|inbox| subscription::start(settings(inbox))).collect()
}

async fn serve(listener: TcpListener, routes: axum::Router, stop: CancellationToken) {
    // Small frames leave at once: coalescing is done by the connections themselves.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    tokio::select! {
        served = axum::serve(listener, routes) => {
            if let Err(error) = served {
                tracing::error!(%error, "serving ended");
            }
        }
        () = stop.cancelled() => {}
    }
}

fn wall_clock() -> WallClock {
    Arc::new(SystemTime::now)
}
