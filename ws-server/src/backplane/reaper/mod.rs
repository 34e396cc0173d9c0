//! Removes what dead nodes leave behind: their subscriptions, which SNS would keep and post to for ever, and their rows.
//!
//! One node does it, the one with the lowest id of those that live. That is a hint: two of them do no harm, and when none
//! does, some attempts of SNS go nowhere. A node that was taken for dead and is not comes back with its next beat, finds
//! its subscription gone and subscribes again; what it missed it reads from the log.
//!
//! Only subscriptions of nodes of this deployment are removed: the row of the node names it (by its ARN, or by the
//! fingerprint of its URL, which is there before the node subscribes), or its URL bears our MAC. Pending ones cannot be
//! removed; SNS drops them after three days.

mod api;
mod judge;
mod stats;
mod task;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

use crate::link::hex;
pub use stats::{ReaperCounts, ReaperStats};
pub(crate) use task::{Reaper, ReaperTimes};

/// What a node's row says of the URL that it subscribes: enough to know the URL by, and nothing to call it with.
#[must_use]
pub fn endpoint_fingerprint(url: &str) -> String {
    hex(&Sha256::digest(url))
}
