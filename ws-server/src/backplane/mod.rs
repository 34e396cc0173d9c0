//! How segments reach every node: the SNS endpoint, its signatures, this node's subscription.

use protocol::Envelope;

/// The rooms' queues are full: SNS must deliver again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is overloaded")]
pub struct Overloaded;

/// Where verified envelopes go. Implemented by the rooms; never blocks.
pub trait EnvelopeSink: Send + Sync + 'static {
    /// Hands every segment to its room, if that room is open here.
    ///
    /// # Errors
    /// `Overloaded` when a queue is full; delivering the whole envelope again is harmless.
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded>;
}
