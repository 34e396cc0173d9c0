//! How the node gets on with the other nodes: by the link, through SNS and the log alone, or because there are none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::NodeId;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{StartError, trust_roots, wall_clock};
use crate::backplane::certificate::TrustRoots;
use crate::backplane::chain::Chain;
use crate::backplane::reaper::{Reaper, ReaperTimes, endpoint_fingerprint};
use crate::backplane::subscription::SnsApi;
use crate::backplane::{AbsentNodes, Endpoint, Relay, TopicArn, WarnGate, relay_path};
use crate::config::{LinkConfig, LinkConfigError, LinkMode, PeerHints, RedisConfig};
use crate::connection::Connections;
use crate::lease::{LeaseSettings, NodeLease};
use crate::link::accelerator::{Target, channel_of};
use crate::link::directory::{Directory, NodesTable};
use crate::link::only_one::another_lives;
use crate::link::{
    Accelerator, AcceleratorSettings, ClusterKeys, Gate, Link, LinkBounds, LinkClient, LinkDuties, LinkStats, NoPeers,
    Peers, SnsSignals, SnsTopics, StandAlone, reachable_address, routes, serve,
};
use crate::message_log::LogStats;
use crate::rooms::Rooms;
use crate::telemetry::Instruments;

/// What was decided before the node tells anybody that it lives.
pub(super) enum Standing {
    Linked(LinkPort),
    StandAlone,
    Only,
}

/// The port for other nodes, bound and not yet served.
pub(super) struct LinkPort {
    listener: TcpListener,
    listens: SocketAddr,
    keys: ClusterKeys,
    /// What other nodes are told.
    address: Arc<str>,
    redis: Option<Box<Target>>,
}

impl Standing {
    /// Binds the link's port if there is a link.
    pub(super) async fn of(config: &LinkConfig) -> Result<Self, StartError> {
        match config.mode()? {
            LinkMode::Linked(keys) => Ok(Self::Linked(LinkPort::bind(config, keys).await?)),
            LinkMode::StandAlone => Ok(Self::StandAlone),
            LinkMode::Only => Ok(Self::Only),
        }
    }

    fn keys(&self) -> Option<&ClusterKeys> {
        match self {
            Self::Linked(port) => Some(&port.keys),
            Self::StandAlone | Self::Only => None,
        }
    }

    /// Host and port for the node's row.
    fn address(&self) -> Option<String> {
        match self {
            Self::Linked(port) => Some(port.address.to_string()),
            Self::StandAlone | Self::Only => None,
        }
    }

    /// The path at which any node takes SNS's posts for this one.
    pub(super) fn relay_path(&self, node: &NodeId) -> Option<String> {
        match self {
            Self::Linked(port) => Some(relay_path(&port.keys, node, &port.address)),
            Self::StandAlone | Self::Only => None,
        }
    }
}

impl LinkPort {
    async fn bind(config: &LinkConfig, keys: ClusterKeys) -> Result<Self, StartError> {
        let listen = config.link_listen;
        let refused = |source| StartError::Listen { flag: "--link-listen", address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let address = match &config.link_address {
            Some(address) => address.clone(),
            None => reachable_address(bound).await.map_err(StartError::LinkAddress)?.to_string(),
        };
        Ok(Self { listener, listens: bound, keys, address: address.into(), redis: redis_target(&config.redis)? })
    }
}

/// Where Redis is, if there is to be one. Nobody asks whether it is there: it may come and go.
fn redis_target(config: &RedisConfig) -> Result<Option<Box<Target>>, StartError> {
    let Some(address) = config.address().map_err(LinkConfigError::from)? else { return Ok(None) };
    let roots = match &config.redis_trust_root {
        Some(path) => trust_roots("--redis-trust-root", path)?,
        None => TrustRoots::mozilla(),
    };
    Ok(Some(Box::new(Target::new(address, &roots)?)))
}

/// What a node needs to be one among others.
pub(super) struct OthersSettings {
    pub(super) node: NodeId,
    pub(super) dynamodb: aws_sdk_dynamodb::Client,
    /// The table of nodes.
    pub(super) table: String,
    pub(super) hints: PeerHints,
    pub(super) topics: Vec<TopicArn>,
    pub(super) sns: aws_sdk_sns::Client,
    /// The URL that the node subscribes.
    pub(super) endpoint_url: String,
    /// Between beats.
    pub(super) beat_every: Duration,
}

/// Writes the node's lease and begins to look for the others. A node that must be the only one gives its lease up and
/// does not start when another lives.
pub(super) async fn join(standing: Standing, settings: OthersSettings) -> Result<(NodeLease, Others), StartError> {
    let (node, dynamodb) = (settings.node.clone(), settings.dynamodb.clone());
    let table = NodesTable::new(dynamodb.clone(), settings.table.clone());
    let beat_every = settings.beat_every;
    let fingerprint = endpoint_fingerprint(&settings.endpoint_url);
    let row = LeaseSettings::new(settings.table.clone(), node.clone(), standing.address(), fingerprint);
    let row = LeaseSettings { beat_every, ..row };
    let mut lease = NodeLease::acquire(dynamodb, row, wall_clock()).await?;
    if matches!(standing, Standing::Only) {
        let refusal = match another_lives(&table, &node, &mut lease, beat_every).await {
            Ok(false) => None,
            Ok(true) => Some(StartError::NotTheOnlyNode),
            Err(error) => Some(error.into()),
        };
        if let Some(refusal) = refusal {
            lease.release().await;
            return Err(refusal);
        }
    }
    Ok((lease, Others::new(standing, table, settings)))
}

/// The other nodes, as this one asks and tells them things.
pub(super) struct Others {
    pub(super) peers: Arc<dyn Peers>,
    directory: Option<Arc<Directory>>,
    stats: Arc<LinkStats>,
    reaper: Reaper,
    node: NodeId,
    link: Option<(LinkPort, Arc<LinkClient>, Arc<Directory>)>,
    pub(super) accelerator: Option<Arc<Accelerator>>,
}

impl Others {
    fn new(standing: Standing, table: NodesTable, settings: OthersSettings) -> Self {
        let OthersSettings { node, hints, topics, sns, beat_every, .. } = settings;
        let stats = Arc::<LinkStats>::default();
        let reaper = Reaper {
            node: node.clone(),
            api: Arc::new(SnsApi::new(sns.clone())),
            table: table.clone(),
            directory: None,
            keys: standing.keys().cloned(),
            topics: topics.clone(),
            times: ReaperTimes::of_beat(beat_every),
            stats: Arc::default(),
        };
        if matches!(standing, Standing::Only) {
            return Self {
                peers: Arc::new(NoPeers),
                directory: None,
                stats,
                reaper,
                node,
                link: None,
                accelerator: None,
            };
        }
        let directory = Arc::new(Directory::start(table, node.clone(), beat_every, Arc::clone(&stats)));
        let channel = channel_of(&topics);
        let topics = Arc::new(SnsTopics { client: sns, topics });
        let signals = SnsSignals::start(topics, Arc::clone(&directory), Arc::clone(&stats));
        let mut accelerator = None;
        let (peers, link): (Arc<dyn Peers>, _) = match standing {
            Standing::Linked(mut port) => {
                accelerator = port.redis.take().map(|target| {
                    Accelerator::new(AcceleratorSettings {
                        node: node.clone(),
                        target: *target,
                        channel,
                        keys: port.keys.clone(),
                        clock: wall_clock(),
                        directory: Arc::clone(&directory),
                        stats: Arc::clone(&stats),
                    })
                });
                let client = Arc::new(LinkClient::new(node.clone(), port.keys.clone(), wall_clock()));
                let known = Arc::clone(&directory);
                let link =
                    Link::start(Arc::clone(&client), known, hints, accelerator.clone(), signals, Arc::clone(&stats));
                (Arc::new(link), Some((port, client, Arc::clone(&directory))))
            }
            Standing::StandAlone | Standing::Only => (Arc::new(StandAlone::new(Arc::clone(&directory), signals)), None),
        };
        let reaper = Reaper { directory: Some(Arc::clone(&directory)), ..reaper };
        Self { peers, directory: Some(directory), stats, reaper, node, link, accelerator }
    }

    /// What the metrics read.
    pub(super) fn instruments(
        &self,
        connections: &Arc<Connections>,
        endpoint: &Endpoint,
        chain: &Arc<Chain>,
        log: Arc<LogStats>,
    ) -> Instruments {
        Instruments {
            connections: Arc::clone(connections),
            backplane: endpoint.stats(),
            chain: Arc::clone(chain),
            link: Arc::clone(&self.stats),
            log,
            reaper: Arc::clone(&self.reaper.stats),
            directory: self.directory.clone(),
            accelerator: self.accelerator.clone(),
        }
    }

    /// Begins to do for others what they ask, and what passes SNS's posts on, both only with a link; and to remove what dead
    /// nodes left behind.
    pub(super) fn serve(
        self,
        rooms: &Rooms,
        endpoint: &Arc<Endpoint>,
        draining: &CancellationToken,
    ) -> (Option<Arc<Relay>>, Option<ServedLink>) {
        tokio::spawn(self.reaper.run(draining.clone()));
        let Some((port, client, directory)) = self.link else { return (None, None) };
        let relay = Relay {
            node: self.node.clone(),
            address: Arc::clone(&port.address),
            keys: port.keys.clone(),
            own: Arc::clone(endpoint) as _,
            directory: Arc::clone(&directory),
            client,
            stats: Arc::clone(&self.stats),
            absent: AbsentNodes::default(),
            silent: AbsentNodes::default(),
            warnings: WarnGate::new(Duration::from_secs(10)),
        };
        let duties = LinkDuties {
            gate: Gate::new(self.node, port.keys, wall_clock(), Arc::clone(&self.stats)),
            directory,
            hints: Arc::new(rooms.clone()),
            hand_offs: Arc::new(rooms.clone()),
            posts: Arc::clone(endpoint) as _,
            draining: draining.clone(),
            stats: Arc::clone(&self.stats),
        };
        let stop = CancellationToken::new();
        if let Some(accelerator) = self.accelerator {
            tokio::spawn(stop.clone().run_until_cancelled_owned(accelerator.run(Arc::new(rooms.clone()))));
        }
        let serving = serve(port.listener, routes(duties), LinkBounds::default(), self.stats, stop.clone());
        let served = ServedLink { address: port.address, listens: port.listens, stop, serving: tokio::spawn(serving) };
        (Some(Arc::new(relay)), Some(served))
    }
}

/// The link's port while it is served.
pub(super) struct ServedLink {
    pub(super) address: Arc<str>,
    pub(super) listens: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl ServedLink {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "serving other nodes ended badly");
        }
    }
}
