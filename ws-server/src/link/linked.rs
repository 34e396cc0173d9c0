//! The asking end of the link: what a node tells the others, and hands over.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use protocol::{HandOff, NodeId, Segment, Signal};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::accelerator::Accelerator;
use super::client::LinkClient;
use super::directory::{Directory, View};
use super::peer::{Asking, KeptPeer};
use super::queue::Hint;
use super::sns_signals::SnsSignals;
use super::stats::LinkStats;
use super::{HandOverOutcome, Peers};
use crate::backplane::{WarnGate, count};
use crate::config::PeerHints;

/// Live nodes, this one included, up to which every node pushes to every other one.
pub(super) const HINTED_NODES: usize = 32;

/// The other nodes, by the link.
pub struct Link {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    accelerator: Option<Arc<Accelerator>>,
    signals: SnsSignals,
    stats: Arc<LinkStats>,
    _stop: DropGuard,
}

struct Shared {
    asking: Asking,
    hints: PeerHints,
    neighbours: RwLock<Arc<Neighbours>>,
}

/// The peers of one view.
#[derive(Default)]
struct Neighbours {
    peers: HashMap<NodeId, Arc<KeptPeer>>,
    /// Whether they are few enough to be pushed to, or are to be in any case.
    hinted: bool,
    /// Nodes that live, those that take no requests included.
    others: usize,
}

/// The ways that a hint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ways {
    redis: bool,
    peers: bool,
}

impl Ways {
    fn are_there(self) -> bool {
        self.redis || self.peers
    }
}

impl Link {
    pub(crate) fn start(
        client: Arc<LinkClient>,
        directory: Arc<Directory>,
        hints: PeerHints,
        accelerator: Option<Arc<Accelerator>>,
        signals: SnsSignals,
        stats: Arc<LinkStats>,
    ) -> Self {
        let warnings = Arc::new(WarnGate::new(Duration::from_secs(10)));
        let asking = Asking { client, stats: Arc::clone(&stats), warnings };
        let shared = Arc::new(Shared { asking, hints, neighbours: RwLock::default() });
        shared.follow(&directory.view());
        let stop = CancellationToken::new();
        let (following, mut changes, stopped) = (Arc::clone(&shared), directory.changes(), stop.clone());
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while changes.changed().await.is_ok() {
                let view = Arc::clone(&changes.borrow_and_update());
                following.follow(&view);
            }
        }));
        Self { shared, directory, accelerator, signals, stats, _stop: stop.drop_guard() }
    }

    /// Redis tells all at once: while it does, nobody is told twice unless that is asked for.
    fn ways(&self, neighbours: &Neighbours) -> Ways {
        let connected = self.accelerator.as_ref().is_some_and(|accelerator| accelerator.is_connected());
        let hinted = neighbours.hinted && (!connected || self.shared.hints == PeerHints::On);
        Ways { redis: connected && neighbours.others > 0, peers: hinted && !neighbours.peers.is_empty() }
    }

    fn push(&self, neighbours: &Neighbours, ways: Ways, hint: &Hint) {
        let now = Instant::now();
        if ways.peers {
            neighbours.peers.values().for_each(|kept| kept.peer.push(now, hint.clone()));
        }
        if let Some(accelerator) = self.accelerator.as_ref().filter(|_| ways.redis) {
            accelerator.push(hint.clone());
        }
    }
}

impl Shared {
    fn neighbours(&self) -> Arc<Neighbours> {
        Arc::clone(&self.neighbours.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps those that are still there with what waits for them; the others' tasks end.
    fn follow(&self, view: &View) {
        let before = self.neighbours();
        let peer = |node: &NodeId, address: &Arc<str>| match before.peers.get(node) {
            Some(kept) if kept.peer.address() == address => Arc::clone(kept),
            _ => Arc::new(KeptPeer::start(node.clone(), Arc::clone(address), self.asking.clone())),
        };
        let peers = view.peers().map(|(node, address)| (node.clone(), peer(node, address))).collect();
        let hinted = match self.hints {
            PeerHints::Auto => view.others() < HINTED_NODES,
            PeerHints::On => true,
            PeerHints::Off => false,
        };
        let now = Arc::new(Neighbours { peers, hinted, others: view.others() });
        *self.neighbours.write().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Peers for Link {
    fn push_segment(&self, segment: &Arc<Segment>) {
        let neighbours = self.shared.neighbours();
        let ways = self.ways(&neighbours);
        if !ways.are_there() {
            return;
        }
        // What cannot be written was never committed here.
        let Ok(text) = serde_json::to_string(&**segment) else { return };
        self.push(&neighbours, ways, &Hint::Segment(text.into()));
    }

    fn push_signal(&self, signal: Signal) {
        let neighbours = self.shared.neighbours();
        let ways = self.ways(&neighbours);
        if ways.are_there() {
            let Ok(text) = serde_json::to_string(&signal) else { return };
            self.push(&neighbours, ways, &Hint::Signal(text.into()));
        } else if neighbours.others > 0 {
            self.signals.push(signal);
        }
    }

    fn hand_over(&self, to: NodeId, hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        let neighbours = self.shared.neighbours();
        let hinted = self.ways(&neighbours).peers;
        let peer = neighbours.peers.get(&to).map(|kept| Arc::clone(&kept.peer));
        if peer.is_none() {
            self.directory.look_soon();
        }
        let stats = Arc::clone(&self.stats);
        Box::pin(async move {
            let outcome = match peer {
                Some(peer) => peer.hand_over(hand_off, hinted).await,
                None => HandOverOutcome::NotSent,
            };
            count(match &outcome {
                HandOverOutcome::Answered(_) => &stats.hand_offs_answered,
                HandOverOutcome::NotSent => &stats.hand_offs_not_sent,
                HandOverOutcome::Unknown => &stats.hand_offs_unknown,
            });
            outcome
        })
    }
}

/// A node without a link among others without one: the log and SNS carry everything.
pub struct StandAlone {
    directory: Arc<Directory>,
    signals: SnsSignals,
}

impl StandAlone {
    pub(crate) fn new(directory: Arc<Directory>, signals: SnsSignals) -> Self {
        Self { directory, signals }
    }
}

impl Peers for StandAlone {
    fn are_there(&self) -> bool {
        false
    }

    fn push_segment(&self, _segment: &Arc<Segment>) {}

    fn push_signal(&self, signal: Signal) {
        if self.directory.view().others() > 0 {
            self.signals.push(signal);
        }
    }

    fn hand_over(&self, _to: NodeId, _hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        Box::pin(std::future::ready(HandOverOutcome::NotSent))
    }
}
