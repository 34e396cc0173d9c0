//! The Lambda on the stream of the `messages` table: it packs the segments that nodes committed into as few SNS
//! messages as fit, and publishes them.
//!
//! This crate refuses to decide anything about order or delivery. The log is the truth and what leaves here is a hint:
//! it may be repeated, and whatever never leaves is found by every node's audit of the log. So a record that nobody can
//! read is passed over, and only what another attempt can mend is handed back to the event source mapping.

mod pack;
mod publisher;
mod record;
mod response;
mod retry;
mod sns;
mod summary;
#[cfg(test)]
mod testing;
mod topics;

pub use publisher::{DEFAULT_BUDGET, Publisher};
pub use sns::{FailureKind, PublishFailure, SnsPort};
pub use topics::{TopicArn, Topics, TopicsError};
