//! Nodes among themselves: hand-off of batches, hints to each other or through Redis, the relay of SNS posts.
//!
//! Everything here is a hint or a short cut. Whatever the link loses, delays or repeats costs latency; the log decides.
//!
//! Nodes find each other in the nodes' table ([`directory`]). A request goes over plain HTTP/1.1 to a port that only nodes
//! need to reach; it is signed with a key that all nodes share, as is its answer, and counts once.

pub mod accelerator;
mod backoff;
mod client;
pub mod directory;
mod gate;
mod keys;
mod linked;
mod listener;
pub mod only_one;
mod peer;
mod queue;
mod replay;
mod routes;
pub mod signature;
mod sns_signals;
mod stats;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::{HandOff, HandOffAnswer, NodeId, Segment, Signal};

pub(crate) use accelerator::{Accelerator, AcceleratorSettings};
pub(crate) use client::{LinkClient, Question};
pub(crate) use gate::Gate;
pub use keys::{ClusterKeys, ClusterKeysError};
pub(crate) use keys::{from_hex, hex};
pub use linked::{Link, StandAlone};
pub(crate) use listener::{LinkBounds, reachable_address, serve};
pub(crate) use routes::{LinkDuties, SNS_PATH, routes};
pub(crate) use sns_signals::{SnsSignals, SnsTopics};
pub use stats::{LinkCounts, LinkStats};

/// What became of a request to take a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOverOutcome {
    /// The other node's word.
    Answered(HandOffAnswer),
    /// The batch did not leave this node: the other one is not known, or was found unreachable just before.
    NotSent,
    /// The batch may have been taken, or may yet arrive.
    Unknown,
}

/// The other nodes, as the rooms see them. Nothing here blocks.
pub trait Peers: Send + Sync + 'static {
    /// Tells all others of a segment that this node has committed.
    fn push_segment(&self, segment: &Arc<Segment>);

    /// Tells all others of a signal that this node has taken in.
    fn push_signal(&self, signal: Signal);

    /// Whether there is a way to other nodes by which batches can be handed over.
    fn are_there(&self) -> bool {
        true
    }

    /// Gives a batch to another node; bounded in time.
    fn hand_over(&self, to: NodeId, hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome>;
}

/// Takes the batches that other nodes hand over. Implemented by the rooms.
pub trait HandOffSink: Send + Sync + 'static {
    /// Takes a batch, and answers when every publish of it has its outcome.
    fn take_hand_off(&self, hand_off: HandOff) -> BoxFuture<'static, HandOffAnswer>;
}

/// A node that stands alone: whatever it says, nobody hears it.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn push_segment(&self, _segment: &Arc<Segment>) {}

    fn push_signal(&self, _signal: Signal) {}

    fn are_there(&self) -> bool {
        false
    }

    fn hand_over(&self, _to: NodeId, _hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        Box::pin(std::future::ready(HandOverOutcome::NotSent))
    }
}
