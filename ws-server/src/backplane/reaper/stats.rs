use std::sync::atomic::{AtomicU64, Ordering};

/// What the reaper did.
#[derive(Debug, Default)]
pub struct ReaperStats {
    pub(crate) subscriptions: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// The counters at one moment; all count from the node's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaperCounts {
    /// Subscriptions of dead nodes that were removed.
    pub subscriptions: u64,
    /// Rows of dead nodes that were removed.
    pub rows: u64,
    /// Looks that did not come to their end: SNS or the nodes' table refused or did not answer.
    pub failures: u64,
}

impl ReaperStats {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> ReaperCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReaperCounts {
            subscriptions: read(&self.subscriptions),
            rows: read(&self.rows),
            failures: read(&self.failures),
        }
    }
}
