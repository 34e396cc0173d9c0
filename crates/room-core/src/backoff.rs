use crate::turn::Turn;

/// Full-jitter backoff: a wait evenly distributed between 0 and a limit that doubles with every failure
/// (<https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    base_ms: u64,
    cap_ms: u64,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(base_ms: u64, cap_ms: u64) -> Self {
        Self { base_ms, cap_ms, failures: 0 }
    }

    /// Counts a failure and gives the wait after it, in milliseconds.
    pub(crate) fn fail(&mut self, turn: &mut Turn<'_>) -> u64 {
        let limit = self.base_ms.saturating_mul(1 << self.failures.min(20)).min(self.cap_ms);
        self.failures += 1;
        turn.up_to(limit)
    }

    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::WallSecs;
    use crate::turn::Time;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::new(10, 50);
        for limit in [10, 20, 40, 50, 50] {
            let mut random = move || limit;
            let mut turn = Turn { now: Time(0), wall: WallSecs(0), random: &mut random };
            assert_eq!(backoff.fail(&mut turn), limit, "the greatest wait is the limit");
        }
        assert_eq!(backoff.failures, 5);
        backoff.succeed();
        assert_eq!(backoff.failures, 0);
    }
}
