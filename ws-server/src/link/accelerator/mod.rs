//! The accelerator: segments and signals told to all other nodes at once, through Redis or Valkey pub/sub.
//!
//! One more hint, which may be gone at any time, at the start too. Nothing waits for it: what is pushed lies in a bounded
//! queue, and what finds no place is dropped. While it is away hints go the ways that they go without it. Whoever can write
//! to Redis could have anything delivered as a message, so every payload is signed with the cluster's key, bears its sender's
//! time and a number, and counts once.

mod address;
mod connection;
mod hearing;
mod payload;
mod speaking;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::NodeId;

use super::directory::Directory;
use super::keys::ClusterKeys;
use super::queue::{Hint, HintQueue};
use super::stats::LinkStats;
use crate::backplane::{TopicArn, WallClock, WarnGate, count};
pub use address::{RedisAddress, RedisAddressError};
pub(crate) use connection::Target;

/// What an accelerator needs.
pub(crate) struct AcceleratorSettings {
    pub(crate) node: NodeId,
    pub(crate) target: Target,
    pub(crate) channel: String,
    pub(crate) keys: ClusterKeys,
    pub(crate) clock: WallClock,
    pub(crate) directory: Arc<Directory>,
    pub(crate) stats: Arc<LinkStats>,
}

/// This node's end of the channel that all nodes of the deployment share.
pub(crate) struct Accelerator {
    settings: AcceleratorSettings,
    queue: HintQueue,
    state: Mutex<State>,
    /// Counts what this node has said.
    number: AtomicU64,
    warnings: WarnGate,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Connected,
    AwaySince(Instant),
}

/// The channel of a deployment: two that share a Redis do not hear each other.
pub(crate) fn channel_of(topics: &[TopicArn]) -> String {
    let first = topics.first().map(ToString::to_string).unwrap_or_default();
    format!("roomcast:{first}")
}

impl Accelerator {
    /// Nothing is connected until [`Accelerator::run`] is awaited.
    pub(crate) fn new(settings: AcceleratorSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            queue: HintQueue::default(),
            state: Mutex::new(State::AwaySince(Instant::now())),
            number: AtomicU64::new(0),
            warnings: WarnGate::new(Duration::from_secs(30)),
        })
    }

    /// Whether Redis takes what is pushed, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(*self.state(), State::Connected)
    }

    /// For how long Redis has been away; `None`: it is there.
    pub(crate) fn away_for(&self) -> Option<Duration> {
        match *self.state() {
            State::Connected => None,
            State::AwaySince(since) => Some(since.elapsed()),
        }
    }

    /// Queues a hint, or drops it.
    pub(crate) fn push(&self, hint: Hint) {
        if !self.queue.push(hint) {
            count(&self.settings.stats.redis_dropped);
        }
    }

    /// What was left from before is too old to be told.
    fn note_connected(&self) {
        self.forget_queue();
        *self.state() = State::Connected;
    }

    fn note_away(&self) {
        let mut state = self.state();
        if matches!(*state, State::Connected) {
            *state = State::AwaySince(Instant::now());
        }
        drop(state);
        self.forget_queue();
    }

    fn forget_queue(&self) {
        self.settings.stats.redis_dropped.fetch_add(self.queue.clear() as u64, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
