//! Latencies as people read them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest that is told apart, in microseconds; what takes longer counts as this.
const LONGEST: u64 = 600_000_000;

/// Measured times, to three digits.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order"))
    }
}

impl Latencies {
    /// Takes one more.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST).max(1));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What this share of them, 0 to 1, did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return f.write_str("none");
        }
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| ms(self.quantile(share)));
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms ({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_measured() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.to_string(), "none");
        (1..=100).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 102);
        let near = |share, ms: f64| (latencies.quantile(share).as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.002;
        assert!(near(0.5, 50.0) && near(1.0, 600_000.0), "{latencies}");
    }
}
