//! One WebSocket: the handshake, the loop that reads and writes it, the queue of what is to be written.

#[cfg(test)]
mod autobahn_tests;
mod conflation;
#[cfg(test)]
mod ending_tests;
mod entrance;
#[cfg(test)]
mod entrance_tests;
mod event_loop;
mod frame;
mod handshake;
mod mailbox;
mod outbox;
#[cfg(test)]
mod outbox_tests;
mod rate;
mod requests;
#[cfg(test)]
mod requests_tests;
mod upgrade;
mod visit;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use protocol::NodeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::rooms::Rooms;
pub(crate) use conflation::{EncodedSignal, Slot};
pub(crate) use entrance::{Caller, WEBSOCKETS};
pub(crate) use event_loop::{Listeners, Step};
use event_loop::{LoopSettings, Loops};
pub(crate) use frame::FRAME_BYTES;
pub use frame::Frame;
pub use mailbox::Mailboxes;
pub(crate) use mailbox::{Address, Mail, Mailbox, Post, RoomKey};
#[cfg(test)]
pub(crate) use outbox::Outbound;
pub use outbox::Outbox;
pub(crate) use upgrade::upgrade;
use visit::{Opening, Visit};

/// What all connections of a node share.
#[derive(Debug)]
pub struct Connections {
    pub(crate) node: NodeId,
    pub(crate) rooms: Rooms,
    pub(crate) limits: Limits,
    /// Cancelled when the node drains; [`Connections::drain`] begins it.
    pub(crate) draining: CancellationToken,
    /// The sessions: each has a token.
    pub(crate) sessions: TaskTracker,
    pub(crate) stats: ConnectionStats,
    /// How the loops are reached.
    pub(crate) mailboxes: Mailboxes,
    loops: Loops<Opening>,
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
    /// Sessions that were closed because their clients read too slowly.
    pub(crate) slow: AtomicU64,
    /// Sessions that were closed because of frames without text.
    pub(crate) floods: AtomicU64,
}

impl Connections {
    /// No connections yet, and a loop for each mailbox.
    ///
    /// # Errors
    /// The system gives no more threads or files.
    pub fn new(node: NodeId, rooms: Rooms, limits: Limits, mailboxes: &Mailboxes) -> io::Result<Arc<Self>> {
        let settings = LoopSettings {
            heartbeat: Duration::from_millis(limits.heartbeat_ms),
            drain: Duration::from_millis(limits.drain_ms),
            max_message: limits.max_frame,
            deflate_above: limits.deflate_above,
            io_uring: limits.io_uring,
            control_frames: limits.control_frames_per_second,
            outbox_total: limits.outbox_total_bytes,
        };
        Ok(Arc::new(Self {
            node,
            rooms,
            limits,
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            stats: ConnectionStats::default(),
            mailboxes: mailboxes.clone(),
            loops: Loops::start::<Visit>(mailboxes, settings)?,
            open: AtomicUsize::new(0),
        }))
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes no more sessions, tells those that there are, and closes each within `limits.drain_ms`.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
        self.sessions.close();
        self.loops.drain();
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
#[derive(Debug)]
struct Admission(Arc<Connections>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
