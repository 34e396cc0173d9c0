//! What the message log holds, as the decisions see it.

use std::sync::Arc;

pub use protocol::WallSecs;
use protocol::{Epoch, Nonce, Segment, Seq};

/// A segment as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    /// What was committed.
    pub segment: Arc<Segment>,
    /// Marks the write that committed it.
    pub nonce: Nonce,
}

/// A room's header: which epoch it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomHeader {
    /// The epoch.
    pub epoch: Epoch,
    /// The number of the epoch's first message.
    pub first: Seq,
    /// When the epoch began.
    pub since: WallSecs,
}

/// How a conditional write of a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The segment is durable at its key.
    Committed,
    /// The key is taken by this segment (perhaps an earlier attempt of the same write: compare nonces).
    Conflict(StoredSegment),
    /// The log refused for want of capacity; nothing was written.
    Throttled,
    /// The log refuses this content for good; nothing was written.
    Refused(String),
    /// The log refused for another reason (no permission, no table); nothing was written.
    Failed(String),
    /// No answer, or one that does not say: written or not.
    Unknown(String),
}

/// How a conditional write of a header ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderOutcome {
    /// The header is ours.
    Written,
    /// Another node was first: this is the header now.
    Taken(RoomHeader),
}

/// What a point look-up at a room's next key found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// There is an item.
    Present,
    /// There is none (as far as an eventually consistent read tells).
    Absent,
    /// The log did not say.
    Unknown,
}
