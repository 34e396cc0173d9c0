use std::time::{Duration, Instant};

/// When to try again: a bounded number of attempts with exponential backoff and full jitter
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Attempts in all, the first included.
    pub(crate) attempts: u32,
    /// Longest wait before the second attempt; doubles with every further one.
    pub(crate) base: Duration,
    /// Longest wait before any attempt.
    pub(crate) cap: Duration,
    /// Longest time to wait for one answer.
    pub(crate) attempt_timeout: Duration,
}

impl RetryPolicy {
    /// Up to five attempts within about two seconds of waiting: longer trouble is left to the event source mapping,
    /// while nodes find the segments by their audit.
    pub(crate) const DEFAULT: Self = Self {
        attempts: 5,
        base: Duration::from_millis(100),
        cap: Duration::from_secs(1),
        attempt_timeout: Duration::from_secs(3),
    };

    /// How long to wait after `failed` failed attempts; `None` to give up. `random` is uniform in `0.0..1.0`.
    ///
    /// A wait that would outlast `deadline` is not begun: the rest of the budget could not be used.
    pub(crate) fn wait(&self, failed: u32, now: Instant, deadline: Instant, random: f64) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doublings = failed.saturating_sub(1).min(16);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        let wait = ceiling.mul_f64(random);
        (wait < deadline.saturating_duration_since(now)).then_some(wait)
    }

    /// When to stop waiting for the answer to an attempt begun now; `None` when there is no time for one.
    pub(crate) fn attempt_end(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        (now < deadline).then(|| deadline.min(now + self.attempt_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        base: Duration::from_millis(100),
        cap: Duration::from_millis(250),
        attempt_timeout: Duration::from_secs(3),
    };
    const ALMOST_ONE: f64 = 0.999_999;

    #[test]
    fn waits_double_up_to_the_cap_and_end_with_the_attempts() {
        let now = Instant::now();
        let far = now + Duration::from_secs(60);
        let longest: Vec<_> =
            (1..=4).map(|failed| POLICY.wait(failed, now, far, ALMOST_ONE).map(|w| w.as_millis())).collect();
        assert_eq!(longest, [Some(99), Some(199), Some(249), None]);
        assert_eq!(POLICY.wait(1, now, far, 0.0), Some(Duration::ZERO), "full jitter starts at zero");
    }

    #[test]
    fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
        let now = Instant::now();
        assert_eq!(POLICY.wait(1, now, now + Duration::from_millis(50), ALMOST_ONE), None);
        assert!(POLICY.wait(1, now, now + Duration::from_millis(50), 0.1).is_some());
        assert_eq!(POLICY.wait(1, now, now, 0.0), None);
    }

    #[test]
    fn an_attempt_ends_with_its_own_time_or_the_deadline() {
        let now = Instant::now();
        assert_eq!(POLICY.attempt_end(now, now + Duration::from_secs(60)), Some(now + Duration::from_secs(3)));
        let soon = now + Duration::from_millis(10);
        assert_eq!(POLICY.attempt_end(now, soon), Some(soon));
        assert_eq!(POLICY.attempt_end(now, now), None);
        assert_eq!(POLICY.attempt_end(soon, now), None);
    }
}
