use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lets one warning through per interval, so that a flood of bad input does not become a flood of log lines.
pub(crate) struct WarnGate {
    every: Duration,
    state: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    opened: Option<Instant>,
    held_back: u64,
}

impl WarnGate {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// `Some(number of warnings held back since the last one)` when it is time for a warning.
    pub(crate) fn open(&self, now: Instant) -> Option<u64> {
        let mut gate = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if gate.opened.is_some_and(|opened| now.saturating_duration_since(opened) < self.every) {
            gate.held_back += 1;
            return None;
        }
        gate.opened = Some(now);
        Some(std::mem::take(&mut gate.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_an_interval_and_it_tells_of_the_others() {
        let gate = WarnGate::new(Duration::from_secs(10));
        let start = Instant::now();
        assert_eq!(gate.open(start), Some(0));
        assert_eq!(gate.open(start + Duration::from_secs(9)), None);
        assert_eq!(gate.open(start + Duration::from_secs(9)), None);
        assert_eq!(gate.open(start + Duration::from_secs(10)), Some(2));
    }
}
