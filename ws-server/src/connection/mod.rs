//! One WebSocket: the handshake, the loop that reads and writes it, the queue of what is to be written.

#[cfg(test)]
mod autobahn_tests;
mod client_address;
mod conflation;
#[cfg(test)]
mod crowding_tests;
#[cfg(test)]
mod ending_tests;
mod entrance;
#[cfg(test)]
mod entrance_tests;
mod event_loop;
#[cfg(test)]
mod files_tests;
mod frame;
mod handshake;
#[cfg(test)]
mod judgement_tests;
mod mailbox;
mod outbox;
#[cfg(test)]
mod outbox_tests;
mod places;
mod rate;
mod requests;
#[cfg(test)]
mod requests_tests;
mod upgrade;
mod visit;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{CloseCode, NodeId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backplane::count;
use crate::config::Limits;
use crate::rooms::Rooms;
use client_address::counted_as;
pub(crate) use conflation::{EncodedSignal, Slot};
pub(crate) use entrance::{Caller, WEBSOCKETS};
pub(crate) use event_loop::{Listeners, Step};
use event_loop::{LoopSettings, Loops};
pub(crate) use frame::FRAME_BYTES;
pub use frame::Frame;
pub(crate) use handshake::is_host;
pub use mailbox::Mailboxes;
pub(crate) use mailbox::{Address, Mail, Mailbox, Post, RoomKey};
#[cfg(test)]
pub(crate) use outbox::Outbound;
pub use outbox::Outbox;
pub(crate) use places::{Place, PlaceStats, Places, Pool, PoolSizes, STUCK_AFTER};
pub(crate) use rate::{Act, Allowance, Limiter};
pub(crate) use upgrade::upgrade;
use visit::{Opening, Refusal, Visit};

/// What all connections of a node share.
#[derive(Debug)]
pub struct Connections {
    pub(crate) node: NodeId,
    pub(crate) rooms: Rooms,
    pub(crate) limits: Limits,
    /// What sessions may do how often.
    pub(crate) limiter: Arc<Limiter>,
    /// Cancelled when the node drains; [`Connections::drain`] begins it.
    pub(crate) draining: CancellationToken,
    /// The sessions: each has a token.
    pub(crate) sessions: TaskTracker,
    pub(crate) stats: ConnectionStats,
    /// How the loops are reached.
    pub(crate) mailboxes: Mailboxes,
    loops: Loops<Opening>,
    open: AtomicUsize,
    /// Sessions of each address, if that is limited.
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// What was refused to connections; all count from the node's start.
#[derive(Debug, Default)]
pub(crate) struct ConnectionStats {
    /// Connections of the public port that are no sessions.
    pub(crate) places: Arc<PlaceStats>,
    /// Posts of SNS that found no memory in time.
    pub(crate) bodies_refused: AtomicU64,
    /// Handshakes refused because a page of another origin asked.
    pub(crate) origins_refused: AtomicU64,
    /// Handshakes refused for any other reason.
    pub(crate) handshakes_refused: AtomicU64,
    /// Sessions refused because the node had as many as it takes.
    pub(crate) sessions_refused: AtomicU64,
    /// Sessions refused because their address had as many as one may have.
    pub(crate) sessions_refused_address: AtomicU64,
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
            control_frames: limits.control_frames_per_second,
            outbox_total: limits.outbox_total_bytes,
        };
        Ok(Arc::new(Self {
            node,
            rooms,
            limiter: Limiter::new(&limits.rates),
            limits,
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            stats: ConnectionStats::default(),
            mailboxes: mailboxes.clone(),
            loops: Loops::start::<Visit>(mailboxes, settings)?,
            open: AtomicUsize::new(0),
            addresses: Mutex::default(),
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

    /// Counts a session in, unless there are as many as the node takes, or as one address may have.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Refusal> {
        let most = self.limits.connections;
        let admitted =
            self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        if admitted.is_err() {
            count(&self.stats.sessions_refused);
            return Err(Refusal::new(CloseCode::TryLater, "the node has as many sessions as it takes"));
        }
        let mut admission = Admission { connections: Arc::clone(self), address: None };
        let per_address = self.limits.http.sessions_per_address;
        if per_address > 0 {
            let address = counted_as(address);
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let sessions = addresses.entry(address).or_default();
            if *sessions >= per_address {
                count(&self.stats.sessions_refused_address);
                let reason = format!("this address has {per_address} sessions, as many as one may have");
                // The guard takes the same lock when it is dropped.
                drop(addresses);
                return Err(Refusal::new(CloseCode::TryLater, &reason));
            }
            *sessions += 1;
            admission.address = Some(address);
        }
        Ok(admission)
    }
}

/// A session's place among those that the node takes; given back when dropped.
#[derive(Debug)]
struct Admission {
    connections: Arc<Connections>,
    /// The address that it counts for, if that is limited.
    address: Option<IpAddr>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.connections.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sessions) = addresses.get_mut(&address) {
            *sessions -= 1;
            if *sessions == 0 {
                addresses.remove(&address);
            }
        }
    }
}
