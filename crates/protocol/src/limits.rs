//! Numbers that both ends, or two parts of the system, must agree on. Relations between them are checked when compiled.

/// Longest room name, in characters (all of them ASCII, so bytes too).
pub const MAX_ROOM_NAME: usize = 128;
/// Longest message id, in characters.
pub const MAX_MESSAGE_ID: usize = 64;
/// Longest user id, in bytes.
pub const MAX_USER_ID: usize = 128;
/// Longest display name, in characters.
pub const MAX_DISPLAY_NAME: usize = 64;
/// Longest key of a signal, in characters.
pub const MAX_SIGNAL_KEY: usize = 64;
/// Longest `ref` that is echoed, in bytes of JSON text.
pub const MAX_REF: usize = 128;
/// Most messages that one `history` frame or one join may ask for.
pub const MAX_HISTORY: u32 = 1_000;
/// Messages a `history` request gets when it names no `limit`.
pub const DEFAULT_HISTORY: u32 = 100;
/// Longest body unless configured otherwise, in bytes of JSON text.
pub const DEFAULT_MAX_BODY: usize = 16 * 1024;
/// What a frame may be longer than its body, in bytes: type, room, id, field names.
pub const FRAME_OVERHEAD: usize = 4 * 1024;
/// Most messages in one segment.
pub const MAX_SEGMENT_MESSAGES: usize = 256;
/// Longest segment, in bytes of envelope JSON.
pub const MAX_SEGMENT_BYTES: usize = 128 * 1024;
/// Messages back from a room's head within which a publish is idempotent.
pub const ID_WINDOW: usize = 1_000;
/// Longest SNS message, in bytes: topics that allow more exclude HTTP subscriptions
/// (<https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html>).
pub const MAX_SNS_MESSAGE: usize = 256 * 1024;
/// Shortest retention of messages, in seconds.
pub const MIN_RETENTION_SECS: u64 = 24 * 3600;

const ENVELOPE_FRAME: usize = 64;
const _: () = assert!(MAX_SEGMENT_BYTES + ENVELOPE_FRAME <= MAX_SNS_MESSAGE, "a segment fits one SNS message");
const _: () = assert!(MAX_SEGMENT_BYTES * 2 <= 400 * 1024, "a segment fits one DynamoDB item with attribute names");
const _: () =
    assert!(DEFAULT_MAX_BODY * 2 <= MAX_SEGMENT_BYTES, "a segment holds several messages of the largest size");
const _: () = assert!(MAX_SEGMENT_MESSAGES <= ID_WINDOW, "one segment never outruns the id window");
