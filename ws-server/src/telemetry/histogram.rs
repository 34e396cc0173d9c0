use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in milliseconds, each about one and a half times the one before; above the last is one more.
pub(crate) const BOUNDS_MS: [u64; 21] =
    [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 2_000, 5_000, 10_000];

/// How long something took, counted in buckets: no lock, a few words whatever the rate.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let ms = took.as_secs_f64() * 1_000.0;
        let bucket = BOUNDS_MS.partition_point(|bound| (*bound as f64) < ms);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

/// What a histogram held at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The last one is what was above all bounds.
    pub(crate) buckets: [u64; BOUNDS_MS.len() + 1],
    pub(crate) sum_us: u64,
}

impl Reading {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].saturating_sub(earlier.buckets[bucket])),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }

    /// The bound, in milliseconds, that so many of a hundred do not exceed; twice the last bound for what is above it.
    /// `None` when there is nothing.
    pub(crate) fn percentile_ms(&self, percent: u64) -> Option<u64> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted && wanted > 0
        })?;
        Some(BOUNDS_MS.get(place).copied().unwrap_or(2 * BOUNDS_MS[BOUNDS_MS.len() - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().percentile_ms(99), None, "of nothing");
        (0..98).for_each(|_| histogram.observe(ms(4)));
        histogram.observe(ms(100));
        histogram.observe(ms(60_000));
        let reading = histogram.read();
        assert_eq!((reading.count(), reading.sum_us), (100, (98 * 4 + 100 + 60_000) * 1_000));
        assert_eq!([50, 98, 99, 100].map(|percent| reading.percentile_ms(percent)), [5, 5, 100, 20_000].map(Some));
    }

    #[test]
    fn a_reading_since_another_holds_what_came_between() {
        let histogram = Histogram::default();
        histogram.observe(ms(5_000));
        let before = histogram.read();
        histogram.observe(Duration::from_micros(900));
        let between = histogram.read().since(&before);
        assert_eq!((between.count(), between.sum_us, between.percentile_ms(99)), (1, 900, Some(1)));
    }
}
