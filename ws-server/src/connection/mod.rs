//! One WebSocket: the upgrade, the task that reads and writes it, the queue of what is to be written.

mod conflation;
#[cfg(test)]
mod ending_tests;
mod outbox;
#[cfg(test)]
mod outbox_tests;
mod rate;
mod requests;
#[cfg(test)]
mod requests_tests;
mod task;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use protocol::NodeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::rooms::Rooms;
pub(crate) use conflation::{EncodedSignal, Slot};
pub(crate) use outbox::Outbound;
pub use outbox::{Frame, Outbox};
pub(crate) use upgrade::upgrade;

/// What all connections of a node share.
#[derive(Debug)]
pub struct Connections {
    pub(crate) node: NodeId,
    pub(crate) rooms: Rooms,
    pub(crate) limits: Limits,
    /// Cancelled when the node drains: every session then closes within `limits.drain_ms`.
    pub(crate) draining: CancellationToken,
    /// The connections' tasks.
    pub(crate) tasks: TaskTracker,
    pub(crate) stats: ConnectionStats,
    open: AtomicUsize,
}

/// What was refused to connections; all count from the node's start.
#[derive(Debug, Default)]
pub(crate) struct ConnectionStats {
    /// TCP connections beyond the public port's limit.
    pub(crate) refused: AtomicU64,
    /// Publishes beyond a session's rate.
    pub(crate) publishes_limited: AtomicU64,
    /// Signals beyond a session's rate.
    pub(crate) signals_limited: AtomicU64,
}

impl Connections {
    /// No connections yet.
    #[must_use]
    pub fn new(node: NodeId, rooms: Rooms, limits: Limits) -> Arc<Self> {
        let (draining, tasks) = (CancellationToken::new(), TaskTracker::new());
        Arc::new(Self {
            node,
            rooms,
            limits,
            draining,
            tasks,
            stats: ConnectionStats::default(),
            open: AtomicUsize::new(0),
        })
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a connection in, unless there are as many as the node takes.
    fn admit(self: &Arc<Self>) -> Option<Admission> {
        let most = self.limits.sessions;
        let admitted =
            self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        admitted.ok().map(|_| Admission(Arc::clone(self)))
    }
}

/// A connection's place among those that the node takes; given back when dropped.
struct Admission(Arc<Connections>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
