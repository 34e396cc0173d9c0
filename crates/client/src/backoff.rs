use std::time::Duration;

use protocol::CloseCode;

/// How long to wait before trying again: full jitter, that is uniform between nothing and a ceiling that doubles with
/// every attempt (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first ceiling.
    pub base: Duration,
    /// The last ceiling.
    pub cap: Duration,
}

/// An attempt whose ceiling is the cap of every backoff.
const LAST_ATTEMPT: u32 = u32::MAX;

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(15) }
    }
}

impl Backoff {
    /// The wait before attempt number `attempt` (from 0). `random` is uniform over all of `u64`.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.base.as_nanos().saturating_mul(1 << attempt.min(32));
        let ceiling = u64::try_from(doubled.min(self.cap.as_nanos())).unwrap_or(u64::MAX);
        // The high half of the product is `random` scaled to 0..ceiling, with no bias worth a loop.
        let scaled = (u128::from(ceiling) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).expect("below the ceiling, which is a u64"))
    }
}

/// Whether a connection that the client did not close is worth another. `None` is a connection that ended without a close
/// frame.
///
/// Codes that the catalogue does not have (1001 or 1011 of a proxy, say) count as abnormal closures, and so does 1000:
/// reconnect.
#[must_use]
pub fn close_asks_to_reconnect(close: Option<u16>) -> bool {
    close.and_then(CloseCode::from_code).is_none_or(CloseCode::reconnect)
}

/// When to reconnect: counts the attempts since the service last worked.
#[derive(Debug, Clone, Default)]
pub struct Reconnect {
    backoff: Backoff,
    attempts: u32,
}

impl Reconnect {
    /// Starts with no failed attempt.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, attempts: 0 }
    }

    /// The service answered a request. A greeting alone does not count: an overloaded node greets, then closes.
    pub fn handle_service(&mut self) {
        self.attempts = 0;
    }

    /// A connection ended, or none came about (`close` is `None` then). Returns how long to wait before the next;
    /// `None` means not to try again. `random` is uniform over all of `u64`.
    pub fn handle_lost(&mut self, close: Option<u16>, random: u64) -> Option<Duration> {
        if !close_asks_to_reconnect(close) {
            return None;
        }
        let code = close.and_then(CloseCode::from_code);
        let least = code.map_or(0, CloseCode::reconnect_after_secs);
        let slowly = code.is_some_and(CloseCode::reconnect_slowly);
        let delay = self.backoff.delay(if slowly { LAST_ATTEMPT } else { self.attempts }, random);
        self.attempts = self.attempts.saturating_add(1);
        Some(Duration::from_secs(least) + delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        for (attempt, ceiling_ms) in [(0, 250), (1, 500), (2, 1_000), (5, 8_000), (6, 15_000), (40, 15_000)] {
            let longest = backoff.delay(attempt, u64::MAX);
            let ceiling = Duration::from_millis(ceiling_ms);
            assert!(longest < ceiling && longest + Duration::from_micros(1) > ceiling, "{attempt}: {longest:?}");
            assert_eq!(backoff.delay(attempt, 0), Duration::ZERO, "full jitter begins at nothing");
        }
    }

    #[test]
    fn delays_spread_evenly() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut below, total) = (0, 10_000);
        for _ in 0..total {
            below += u32::from(Backoff::default().delay(3, rng.u64(..)) < Duration::from_secs(1));
        }
        assert!((4_700..5_300).contains(&below), "{below} of {total} in the lower half");
    }

    #[test]
    fn only_closes_that_ask_for_it_lead_to_another_attempt() {
        for code in [1000, 1002, 1003, 1007, 1009, 1012, 1013, 4008, 4009, 4029, 1001, 1006, 1011] {
            assert!(close_asks_to_reconnect(Some(code)), "{code}");
        }
        for code in [4001, 4003] {
            assert!(!close_asks_to_reconnect(Some(code)), "{code}");
        }
        assert!(close_asks_to_reconnect(None), "no close frame is an abnormal closure");
    }

    #[test]
    fn a_client_whose_frames_a_proxy_may_have_broken_comes_back_within_15_seconds_at_a_random_time() {
        for code in [1002, 1003, 1007, 1009] {
            for attempts_before in [0, 3] {
                let mut reconnect = Reconnect { attempts: attempts_before, ..Reconnect::default() };
                let half = reconnect.handle_lost(Some(code), u64::MAX / 2).unwrap();
                let whole = Reconnect::default().handle_lost(Some(code), u64::MAX).unwrap();
                assert!((half.as_secs_f64() - 7.5).abs() < 0.001, "{code}: {half:?}");
                assert!((whole.as_secs_f64() - 15.0).abs() < 0.001, "{code}: {whole:?}");
                assert_eq!(reconnect.attempts, attempts_before + 1, "{code} counts as an attempt");
            }
        }
    }

    #[test]
    fn a_client_that_sent_too_much_waits_before_it_comes_back() {
        let mut reconnect = Reconnect::default();
        for (attempt, random, at_least_ms) in [(0, 0, 15_000), (1, u64::MAX, 15_499), (2, 0, 15_000)] {
            let delay = reconnect.handle_lost(Some(4029), random).unwrap();
            assert!(delay >= Duration::from_millis(at_least_ms), "{attempt}: {delay:?}");
            assert!(delay < Duration::from_secs(17), "{attempt}: {delay:?}");
        }
        assert_eq!(reconnect.handle_lost(Some(1000), 0), Some(Duration::ZERO));
    }

    #[test]
    fn attempts_count_until_the_service_works() {
        let mut reconnect = Reconnect::default();
        let ceiling = |delay: Option<Duration>| delay.unwrap().as_nanos().div_ceil(1_000_000);
        assert_eq!(ceiling(reconnect.handle_lost(None, u64::MAX)), 250);
        assert_eq!(ceiling(reconnect.handle_lost(Some(1013), u64::MAX)), 500);
        assert_eq!(reconnect.handle_lost(Some(4003), u64::MAX), None);
        reconnect.handle_service();
        assert_eq!(ceiling(reconnect.handle_lost(None, u64::MAX)), 250);
    }
}
