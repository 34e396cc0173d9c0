//! The attributes of an item in the `messages` table. Nodes write them, the stream publisher reads them.
//!
//! An item with `seq` 0 is a room's header: [`EPOCH`], [`FIRST`], [`SINCE`]. Every other item is a segment.

/// Partition key (S): the room.
pub const ROOM: &str = "room";
/// Sort key (N): the number of the segment's first message; 0 is the room's header.
pub const SEQ: &str = "seq";
/// (N) How many numbers the segment takes.
pub const COUNT: &str = "count";
/// (L of M) The messages, each with [`ID`], [`FROM`], [`NAME`], [`AT`], [`BODY`].
pub const MESSAGES: &str = "messages";
/// (B) Per message, 16 bytes of [`crate::MessageKey`] and 8 bytes of [`crate::BodyHash`].
pub const IDS: &str = "ids";
/// (S) The node that wrote the segment.
pub const NODE: &str = "node";
/// (S) Marks the write, so that its writer recognises it.
pub const NONCE: &str = "nonce";
/// (S) The epoch that the writer knew; of a header: the room's epoch.
pub const EPOCH: &str = "epoch";
/// (N) Time to live, in seconds since 1970. Headers have none.
pub const EXPIRES: &str = "expires";
/// (N) The version of the item's form: [`ITEM_VERSION`].
pub const VERSION: &str = "v";
/// (N, headers only) The number of the epoch's first message.
pub const FIRST: &str = "first";
/// (N, headers only) When the epoch began, in seconds since 1970.
pub const SINCE: &str = "since";

/// (S, in a message) The publisher's id.
pub const ID: &str = "id";
/// (S, in a message) The publisher.
pub const FROM: &str = "from";
/// (S, in a message) What the publisher was called.
pub const NAME: &str = "name";
/// (N, in a message) Milliseconds since 1970.
pub const AT: &str = "at";
/// (S, in a message) The body as its JSON text.
pub const BODY: &str = "body";

/// The form that this code writes and reads.
pub const ITEM_VERSION: u64 = 1;
