//! The port to the message log, and its DynamoDB adapter.
//!
//! The log is the truth: what it accepted is durable and ordered, what it does not hold did not happen. The contract
//! below is also a suite of tests, `contract.rs`, which every adapter passes.

mod dynamodb;
mod fault;
mod item;
mod metered;
mod silence;
mod timeouts;

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod dynamodb_tests;
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod scripted_server;

use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

pub use dynamodb::DynamoLog;
pub(crate) use fault::describe;
pub(crate) use metered::{LogStats, MeteredLog};
pub use timeouts::LogTimeouts;

/// Why the log did not answer a read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log is out of capacity: ask again later.
    #[error("the message log is throttling")]
    Throttled,
    /// The log could not be reached or failed, or holds something at this place that is not readable at all. A write
    /// (of a header) that ends like this may have happened.
    #[error("the message log is unavailable: {0}")]
    Unavailable(String),
}

/// A room's log. Reads are strongly consistent unless said otherwise and return what is stored, expired items included.
///
/// Rooms of the service's own hold no messages: whatever method names a segment of such a room, its content is
/// [`protocol::Content::Unreadable`], which keeps the numbers.
///
/// No method retries by itself: the callers decide when to ask again. Each call is bounded by a timeout of its own.
pub trait MessageLog: Send + Sync + 'static {
    /// Writes a segment at (room, seq) if nothing is there. Conflicts are told from faults exactly: only
    /// [`AppendOutcome::Unknown`] leaves open whether this call wrote, and then the same segment under the same nonce
    /// may be appended again. An unreadable or empty segment is [`AppendOutcome::Refused`].
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome>;

    /// Segments in ascending order from the one that holds `from`, or, when none does, from the first after it: at most
    /// `limit` of them, and no more than one page of the log (1 MB). An empty answer means that there are none; a short
    /// one does not mean that there are no more. What follows `from` without a gap in numbers is whole; where numbers
    /// are missing between two segments the log has lost or expired them.
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

    /// Writes the room's header if it is still of `expected`'s epoch (`None`: if there is none). A header that is
    /// already the one to be written counts as written: epochs are random, so an earlier attempt had succeeded. After
    /// an error the outcome is unknown; ask again with the same header.
    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>>;

    /// Whether there are items at these keys: eventually consistent, one answer per key in the same order; keys may
    /// repeat. At most 100 keys, more take a call for each hundred. Costs half a read unit for each key without an
    /// item, and half a unit for each 4 KiB of an item that is there.
    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>>;
}
