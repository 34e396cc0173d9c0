//! Times as people read them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

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

    /// Takes all of the other's.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
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

    /// The same in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.quantile(share).as_secs_f64() * 1e3
    }

    /// Count, and milliseconds at the usual shares; `null` when there are none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.count() == 0 {
            return Value::Null;
        }
        let ms = |share| (self.quantile_ms(share) * 1e3).round() / 1e3;
        json!({ "count": self.count(), "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "max_ms": ms(1.0) })
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return f.write_str("none");
        }
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| self.quantile_ms(share));
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms ({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_measured_wherever_it_was() {
        let (mut here, mut there) = (Latencies::default(), Latencies::default());
        assert_eq!((here.to_string().as_str(), here.json()), ("none", Value::Null));
        (1..=50).for_each(|ms| here.record(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| there.record(Duration::from_millis(ms)));
        here.add(&there);
        here.record(Duration::ZERO);
        here.record(Duration::from_secs(100_000));
        assert_eq!(here.count(), 102);
        let near = |share, ms: f64| (here.quantile_ms(share) / ms - 1.0).abs() < 0.002;
        assert!(near(0.5, 50.0) && near(1.0, 600_000.0), "{here}");
    }
}
