use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What came through SNS and what became of it. Shared by the endpoint, the metrics and the health check.
#[derive(Debug, Default)]
pub struct BackplaneStats {
    pub(crate) accepted: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) confirmations: AtomicU64,
    pub(crate) forged: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) no_certificate: AtomicU64,
    pub(crate) unreadable_envelopes: AtomicU64,
    pub(crate) unreadable_segments: AtomicU64,
    newest: Mutex<Option<Delivery>>,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    at: Instant,
    age: Duration,
}

/// The counters at one moment; all count from the node's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackplaneCounts {
    /// Notifications delivered to the rooms.
    pub accepted: u64,
    /// Messages accepted before: SNS's own retries.
    pub repeated: u64,
    /// Genuine confirmations of a subscription or its end.
    pub confirmations: u64,
    /// Refused for certificate or signature.
    pub forged: u64,
    /// Refused for a timestamp more than 15 minutes from this node's clock.
    pub stale: u64,
    /// Refused for another topic.
    pub foreign: u64,
    /// Refused for a form that is not that of an SNS message, or too large.
    pub malformed: u64,
    /// Put off because the rooms' queues were full.
    pub overloaded: u64,
    /// Put off because the certificate could not be fetched.
    pub no_certificate: u64,
    /// Genuine notifications that hold no envelope of a known version.
    pub unreadable_envelopes: u64,
    /// Entries of otherwise good envelopes that have no known form.
    pub unreadable_segments: u64,
}

impl BackplaneStats {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> BackplaneCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BackplaneCounts {
            accepted: read(&self.accepted),
            repeated: read(&self.repeated),
            confirmations: read(&self.confirmations),
            forged: read(&self.forged),
            stale: read(&self.stale),
            foreign: read(&self.foreign),
            malformed: read(&self.malformed),
            overloaded: read(&self.overloaded),
            no_certificate: read(&self.no_certificate),
            unreadable_envelopes: read(&self.unreadable_envelopes),
            unreadable_segments: read(&self.unreadable_segments),
        }
    }

    /// How long the newest delivery had been under way, by SNS's timestamp and this node's clock; `None` before the
    /// first.
    #[must_use]
    pub fn newest_delivery_age(&self) -> Option<Duration> {
        self.newest().map(|delivery| delivery.age)
    }

    /// How long ago the newest delivery arrived; `None` before the first.
    #[must_use]
    pub fn since_newest_delivery(&self, now: Instant) -> Option<Duration> {
        self.newest().map(|delivery| now.saturating_duration_since(delivery.at))
    }

    pub(crate) fn note_delivery(&self, at: Instant, age: Duration) {
        *self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Delivery { at, age });
    }

    fn newest(&self) -> Option<Delivery> {
        *self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
