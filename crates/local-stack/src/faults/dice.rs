//! The dice that decide when a fault strikes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One purpose's stream of random numbers. The same seed and purpose give the same stream.
#[derive(Debug)]
pub struct Dice(Mutex<fastrand::Rng>);

impl Dice {
    /// The stream for `purpose`; FNV-1a keeps the purposes apart.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let hash = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(Mutex::new(fastrand::Rng::with_seed(seed ^ hash)))
    }

    /// True with probability `p`. Draws once, whatever `p` is.
    pub fn happens(&self, p: f64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64() < p
    }

    /// A time from `from` to `to`, both included, in whole milliseconds.
    pub fn between(&self, (from, to): (Duration, Duration)) -> Duration {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(millis(from)..=millis(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_for_each_purpose() {
        let roll = |seed, purpose| {
            let dice = Dice::new(seed, purpose);
            (0..64).map(|_| dice.happens(0.5)).collect::<Vec<_>>()
        };
        assert_eq!(roll(7, "sns.drop"), roll(7, "sns.drop"));
        assert_ne!(roll(7, "sns.drop"), roll(7, "sns.repeat"));
        assert_ne!(roll(7, "sns.drop"), roll(8, "sns.drop"));
    }

    #[test]
    fn certain_and_impossible_faults_are_just_that() {
        let dice = Dice::new(1, "x");
        assert!((0..100).all(|_| dice.happens(1.0)));
        assert!((0..100).all(|_| !dice.happens(0.0)));
    }
}
