use std::time::{Duration, Instant};

/// The first pause; it doubles.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Leaves a node alone for a while that does not answer.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
    /// The newest failure or answer.
    news: Option<Instant>,
}

impl Backoff {
    /// Whether the node is to be left alone now.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// How long that will last.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Whether the node has not answered since it last failed to.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.failures > 0
    }

    /// A request that began at `began` was not answered. `random`: from 0 to 1.
    ///
    /// Requests that were under way together fail together, and count once; and who has answered since is there.
    pub(crate) fn handle_failure(&mut self, now: Instant, began: Instant, random: f64) {
        if self.news.is_some_and(|news| news > began) {
            return;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause.mul_f64(0.5 + random / 2.0));
        self.news = Some(now);
    }

    /// The node answered.
    pub(crate) fn handle_answer(&mut self, now: Instant) {
        *self = Self { news: Some(now), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_end_with_an_answer() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert!(!backoff.is_on(now));
        for pause in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            backoff.handle_failure(now, now, 1.0);
            assert!(backoff.is_on(now + ms(pause - 1)), "{pause}");
            assert_eq!(backoff.remaining(now), ms(pause));
            now += ms(pause);
            assert!(!backoff.is_on(now), "{pause}");
        }
        backoff.handle_failure(now, now, 1.0);
        assert!(backoff.is_doubtful());
        backoff.handle_answer(now);
        assert!(!backoff.is_on(now) && !backoff.is_doubtful());
        assert_eq!(backoff.remaining(now), Duration::ZERO);
        backoff.handle_failure(now + ms(1), now + ms(1), 1.0);
        assert!(!backoff.is_on(now + ms(101)), "the next pause is a short one again");
    }

    #[test]
    fn jitter_shortens_a_pause_by_half_at_most() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.handle_failure(now, now, 0.0);
        assert!(backoff.is_on(now + ms(49)) && !backoff.is_on(now + ms(50)));
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let (mut backoff, began) = (Backoff::default(), Instant::now());
        for after in 1..=64 {
            backoff.handle_failure(began + ms(after), began, 1.0);
        }
        assert!(backoff.is_on(began + ms(100)) && !backoff.is_on(began + ms(101)));
    }

    #[test]
    fn a_request_from_before_the_last_answer_proves_nothing() {
        let (mut backoff, began) = (Backoff::default(), Instant::now());
        backoff.handle_answer(began + ms(10));
        backoff.handle_failure(began + ms(20), began, 1.0);
        assert!(!backoff.is_on(began + ms(20)));
    }
}
