//! Delivery-verified health: whether what is committed reaches this node through stream, publisher and SNS.
//!
//! A segment that arrives through SNS proves the whole chain to this node. Where nothing arrives for a while the node
//! writes a pulse into a room of the service's own; every node gets it. When pulses do not come the node says so and
//! lets audits carry everything; it stays in service.

mod own_segments;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use protocol::{
    Body, Content, DisplayName, Envelope, Epoch, HandOff, MIN_RETENTION_SECS, Message, MessageId, NodeId, Nonce,
    RoomName, Segment, Seq, Signal, UserId, topic_shard,
};
use room_core::log::{AppendOutcome, StoredSegment, WallSecs};
use tokio_util::sync::CancellationToken;

use super::{EnvelopeSink, Overloaded, WallClock};
use crate::link::{HandOverOutcome, Peers};
use crate::message_log::MessageLog;
use own_segments::OwnSegments;
use watch::{Finding, Watch};

/// Takes note when the chain breaks and heals. Implemented by the rooms.
pub trait ChainListener: Send + Sync + 'static {
    /// Whether segments reach this node by audits alone.
    fn chain_broken(&self, broken: bool) -> BoxFuture<'_, ()>;
}

/// What the chain's task needs.
pub struct ChainSettings {
    /// Where pulses are written.
    pub log: Arc<dyn MessageLog>,
    /// Who is told of breaks.
    pub listener: Arc<dyn ChainListener>,
    /// This node's clock.
    pub clock: WallClock,
    /// How often the watches are looked at.
    pub look: Duration,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// The chain of each topic, as this node sees it.
pub struct Chain {
    node: NodeId,
    /// The service's own room of each topic.
    pulse_rooms: Vec<RoomName>,
    watches: Mutex<Vec<Watch>>,
    own: Mutex<OwnSegments>,
    stats: ChainStats,
}

/// What the chain did, counted from the node's start.
#[derive(Debug, Default)]
pub(crate) struct ChainStats {
    pub(crate) pulses: AtomicU64,
    pub(crate) pulses_failed: AtomicU64,
    pub(crate) late_own_segments: AtomicU64,
    pub(crate) own_segments: AtomicU64,
    /// From commit to arrival of own segments, in microseconds, added up.
    pub(crate) own_segments_us: AtomicU64,
}

impl Chain {
    /// The chain of so many topics.
    ///
    /// # Panics
    /// Never: there is a room for every topic among a few thousand names.
    #[must_use]
    pub fn new(node: NodeId, topics: usize) -> Arc<Self> {
        let now = Instant::now();
        let pulse_rooms = (0..topics).map(|topic| pulse_room(topic, topics)).collect();
        let watches = (0..topics).map(|_| Watch::new(now, fastrand::f64())).collect();
        Arc::new(Self {
            node,
            pulse_rooms,
            watches: Mutex::new(watches),
            own: Mutex::default(),
            stats: ChainStats::default(),
        })
    }

    /// The counters.
    pub(crate) fn stats(&self) -> &ChainStats {
        &self.stats
    }

    /// For each topic whose chain is broken: its place among the topics, and for how long nothing has come.
    #[must_use]
    pub fn broken(&self) -> Vec<(usize, Duration)> {
        let watches = self.watches();
        let broken = watches.iter().enumerate().filter_map(|(topic, watch)| Some((topic, watch.broken_since()?)));
        broken.map(|(topic, since)| (topic, since.elapsed())).collect()
    }

    /// Where SNS's envelopes go: noted here, then handed on.
    pub fn watch_deliveries(self: &Arc<Self>, sink: Arc<dyn EnvelopeSink>) -> Arc<dyn EnvelopeSink> {
        Arc::new(WatchedSink { chain: Arc::clone(self), sink })
    }

    /// Where own commits go: noted here, then handed on.
    pub fn watch_commits(self: &Arc<Self>, peers: Arc<dyn Peers>) -> Arc<dyn Peers> {
        Arc::new(WatchedPeers { chain: Arc::clone(self), peers })
    }

    /// Writes pulses where they are needed and tells of breaks, until it is stopped.
    pub async fn run(self: Arc<Self>, settings: ChainSettings) {
        let ChainSettings { log, listener, clock, look, stop } = settings;
        let mut broken = false;
        while stop.run_until_cancelled(tokio::time::sleep(look)).await.is_some() {
            let now = Instant::now();
            let late = self.own().take_late(now);
            if late > 0 {
                self.stats.late_own_segments.fetch_add(late, Ordering::Relaxed);
            }
            for topic in 0..self.pulse_rooms.len() {
                let finding = self.watches()[topic].poll(now, fastrand::f64());
                self.act_on(topic, finding, log.as_ref(), &clock).await;
            }
            let now_broken = !self.broken().is_empty();
            if now_broken != broken {
                broken = now_broken;
                listener.chain_broken(broken).await;
            }
        }
    }

    async fn act_on(&self, topic: usize, finding: Option<Finding>, log: &dyn MessageLog, clock: &WallClock) {
        match finding {
            None => {}
            Some(Finding::Pulse) => {
                self.stats.pulses.fetch_add(1, Ordering::Relaxed);
                let outcome = log.append(&self.pulse(topic, clock())).await;
                if !matches!(outcome, AppendOutcome::Committed | AppendOutcome::Conflict(_)) {
                    self.stats.pulses_failed.fetch_add(1, Ordering::Relaxed);
                    self.watches()[topic].handle_unwritten();
                    tracing::debug!(topic, ?outcome, "a pulse was not written");
                }
            }
            Some(Finding::Broken) => {
                tracing::warn!(topic, "nothing comes through stream, publisher and SNS: audits carry everything");
            }
            Some(Finding::Healed(after)) => {
                tracing::info!(topic, after_s = after.as_secs(), "segments come through SNS again");
            }
        }
    }

    /// A segment that belongs to no order: its number is the time, so that nobody has to be asked for one.
    fn pulse(&self, topic: usize, now: SystemTime) -> StoredSegment {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let message = Message {
            id: MessageId::new("pulse").expect("a short word"),
            from: UserId::new(self.node.as_str()).expect("a node's id is visible ASCII"),
            name: DisplayName::new("pulse").expect("a short word"),
            at,
            body: Body::parse("null").expect("JSON"),
        };
        let segment = Segment {
            room: self.pulse_rooms[topic].clone(),
            seq: Seq::FIRST.plus(at),
            epoch: Epoch::none(),
            node: self.node.clone(),
            expires: WallSecs(since.as_secs() + MIN_RETENTION_SECS),
            content: Content::Messages(vec![message]),
        };
        let nonce = Nonce::from_random(fastrand::u128(..));
        StoredSegment { segment: Arc::new(segment), nonce }
    }

    fn handle_envelope(&self, envelope: &Envelope) {
        let now = Instant::now();
        let topics = self.pulse_rooms.len();
        let mut watches = self.watches();
        for segment in &envelope.segments {
            watches[topic_shard(&segment.room, topics)].handle_delivery(now, fastrand::f64());
            if segment.node == self.node
                && let Some(took) = self.own().handle_arrived(&segment.room, segment.seq, now)
            {
                self.stats.own_segments.fetch_add(1, Ordering::Relaxed);
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.stats.own_segments_us.fetch_add(us, Ordering::Relaxed);
            }
        }
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> MutexGuard<'_, OwnSegments> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of the rooms `$pulse`, `$pulse-1`, … that belongs to a topic.
fn pulse_room(topic: usize, topics: usize) -> RoomName {
    let name = |number: u32| if number == 0 { "pulse".to_owned() } else { format!("pulse-{number}") };
    let mut rooms = (0..).filter_map(|number| RoomName::of_service(&name(number)).ok());
    rooms.find(|room| topic_shard(room, topics) == topic).expect("names without end reach every topic")
}

struct WatchedSink {
    chain: Arc<Chain>,
    sink: Arc<dyn EnvelopeSink>,
}

impl EnvelopeSink for WatchedSink {
    fn deliver(&self, mut envelope: Envelope) -> Result<(), Overloaded> {
        self.chain.handle_envelope(&envelope);
        // What the service says to itself is nobody else's.
        envelope.segments.retain(|segment| !segment.room.is_of_service());
        self.sink.deliver(envelope)
    }
}

struct WatchedPeers {
    chain: Arc<Chain>,
    peers: Arc<dyn Peers>,
}

impl Peers for WatchedPeers {
    fn push_segment(&self, segment: &Arc<Segment>) {
        self.chain.own().handle_committed(&segment.room, segment.seq, Instant::now());
        self.peers.push_segment(segment);
    }

    fn push_signal(&self, signal: Signal) {
        self.peers.push_signal(signal);
    }

    fn are_there(&self) -> bool {
        self.peers.are_there()
    }

    fn hand_over(&self, to: NodeId, hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        self.peers.hand_over(to, hand_off)
    }
}

#[cfg(test)]
mod tests;
