//! Faults that can be changed while they strike.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The faults of one part as they are now. Clones show the same.
#[derive(Debug, Clone)]
pub struct Current<T>(Arc<Mutex<(T, Instant)>>);

impl<T> From<T> for Current<T> {
    fn from(faults: T) -> Self {
        Self(Arc::new(Mutex::new((faults, Instant::now()))))
    }
}

impl<T: Clone> Current<T> {
    /// What is to be broken.
    #[must_use]
    pub fn faults(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What is to be broken, and whether this moment lies in the range of time that it names. Ranges count from the last
    /// change.
    pub fn faults_and_outage(&self, range: impl Fn(&T) -> Option<(Duration, Duration)>) -> (T, bool) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, since) = (state.0.clone(), state.1.elapsed());
        let out = range(&faults).is_some_and(|(from, to)| (from..to).contains(&since));
        (faults, out)
    }

    /// From now on these and no others.
    pub fn change(&self, faults: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (faults, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_time_counts_from_the_last_change() {
        let seconds = |from, to| Some((Duration::from_secs(from), Duration::from_secs(to)));
        let faults = Current::from(seconds(60, 70));
        let shown = faults.clone();
        let is_out = || shown.faults_and_outage(|range| *range).1;
        assert!(!is_out());
        faults.change(seconds(0, 60));
        assert!(is_out());
        assert_eq!(shown.faults(), seconds(0, 60));
        faults.change(None);
        assert!(!is_out());
    }
}
