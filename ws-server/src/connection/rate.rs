use std::time::Instant;

/// Lets so many through a second, and twice as many at once after a pause.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

/// Seconds whose share may come at once.
const BURST_SECONDS: f64 = 2.0;

impl Rate {
    /// A full bucket. 0: no limit.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second * BURST_SECONDS, at: now }
    }

    /// Whether one more may pass now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self.per_second == 0.0 {
            return true;
        }
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.per_second * BURST_SECONDS);
        self.at = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of so many pass at this moment.
    fn admitted(rate: &mut Rate, now: Instant, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(rate.admits(now))).sum()
    }

    #[test]
    fn two_seconds_worth_may_come_at_once_and_then_a_steady_stream() {
        let start = Instant::now();
        let mut rate = Rate::new(50, start);
        assert_eq!(admitted(&mut rate, start, 1_000), 100);
        assert_eq!(admitted(&mut rate, start + Duration::from_secs(1), 1_000), 50);
        let steady = (0..200).map(|n| admitted(&mut rate, start + Duration::from_millis(1_000 + 20 * (n + 1)), 2));
        assert_eq!(steady.sum::<u32>(), 200, "one every 20 ms");
    }

    #[test]
    fn a_long_pause_is_worth_no_more() {
        let start = Instant::now();
        let mut rate = Rate::new(5, start);
        assert_eq!(admitted(&mut rate, start + Duration::from_secs(3_600), 100), 10);
    }

    #[test]
    fn nothing_is_no_limit() {
        let start = Instant::now();
        assert_eq!(admitted(&mut Rate::new(0, start), start, 10_000), 10_000);
    }
}
