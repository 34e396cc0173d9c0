//! A fault that lasts for a while.

use std::time::Duration;

use tokio::time::Instant;

/// A range of time in which something is down.
#[derive(Debug)]
pub struct Outage {
    range: Option<(Duration, Duration)>,
    started: Instant,
}

impl Outage {
    /// The time that the range refers to begins now. Without a range it never happens.
    #[must_use]
    pub fn from_now(range: Option<(Duration, Duration)>) -> Self {
        Self { range, started: Instant::now() }
    }

    /// Whether it is on at this moment.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.range.is_some_and(|(from, to)| (from..to).contains(&self.started.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_from_its_first_moment_to_before_its_last() {
        let seconds = |from, to| Outage::from_now(Some((Duration::from_secs(from), Duration::from_secs(to))));
        assert!(seconds(0, 60).is_on());
        assert!(!seconds(60, 70).is_on());
        assert!(!seconds(0, 0).is_on());
        assert!(!Outage::from_now(None).is_on());
    }
}
