//! Nodes among themselves: hand-off of batches, peer hints, the relay of SNS posts.
//!
//! Everything here is a hint or a short cut. Whatever the link loses, delays or repeats costs latency; the log decides.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::{HandOff, HandOffAnswer, NodeId, Segment, Signal};

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

    /// Whether there is a way to other nodes at all.
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
