//! The port to the message log, and its DynamoDB adapter.
//!
//! The log is the truth: what it accepted is durable and ordered, what it does not hold did not happen.

use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

/// Why the log did not answer a read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log is out of capacity: ask again later.
    #[error("the message log is throttling")]
    Throttled,
    /// The log could not be reached, or failed.
    #[error("the message log is unavailable: {0}")]
    Unavailable(String),
}

/// A room's log. Reads are strongly consistent unless said otherwise and return what is stored, expired items included.
///
/// No method retries by itself: the callers decide when to ask again. Each call is bounded by a timeout of its own.
pub trait MessageLog: Send + Sync + 'static {
    /// Writes a segment at (room, seq) if nothing is there. `ids` are taken from the segment's messages.
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome>;

    /// Segments in ascending order from the one that holds `from`, or, when none does, from the first after it: at most
    /// `limit` of them, and no more than one page of the log (1 MB). An empty answer means that there are none; a short
    /// one does not mean that there are no more.
    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>>;

    /// Segments in descending order whose keys are below `before` (`None`: from the newest): at most `limit` of them,
    /// and no more than one page. The header is no segment.
    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>>;

    /// The room's header.
    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>>;

    /// Writes the room's header if it is still `expected` (`None`: if there is none).
    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>>;

    /// Whether there are items at these keys: eventually consistent, at most 100 keys, one answer per key in the same
    /// order. Half a read unit a key.
    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>>;
}
