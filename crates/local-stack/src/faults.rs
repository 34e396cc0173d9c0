//! Faults on request: what to break, how often, and the dice that decide it.
//!
//! Every purpose has its own stream of random numbers, derived from one seed, so that switching one fault on does not
//! change when another one strikes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The faults asked for; the default breaks nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// What SNS does to notifications. Confirmations are left alone.
    pub sns: SnsFaults,
    /// What happens to invocations of the publisher.
    pub lambda: LambdaFaults,
}

/// Faults of SNS, per notification and subscription.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SnsFaults {
    /// Probability that a notification is never sent.
    pub drop: f64,
    /// Probability that it is sent once more than needed.
    pub repeat: f64,
    /// Held back for a random time in this range; a wide range reorders.
    pub delay: Option<(Duration, Duration)>,
}

/// Faults of the Lambda function, per invocation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LambdaFaults {
    /// Probability that it fails before it publishes anything.
    pub fail: f64,
    /// Probability that it publishes and then fails, so that everything is published again.
    pub fail_after: f64,
    /// Fails every invocation in this range of time since the stack's start.
    pub down: Option<(Duration, Duration)>,
}

/// Why a `--fault` was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not of the form `KEY=VALUE`.
    #[error("fault `{0}` is not of the form KEY=VALUE")]
    NotAnAssignment(String),
    /// No such fault.
    #[error(
        "unknown fault `{0}`; there are sns.drop, sns.repeat, sns.delay_ms, lambda.fail, lambda.fail_after, lambda.down"
    )]
    UnknownKey(String),
    /// A probability is a number from 0 to 1.
    #[error("fault {key}: `{value}` is not a probability from 0 to 1")]
    NotAProbability {
        /// The fault.
        key: String,
        /// What was given.
        value: String,
    },
    /// A range is `A..B` with A <= B; for a delay a single number will do.
    #[error("fault {key}: `{value}` is not a range A..B of {unit} with A at most B")]
    NotARange {
        /// The fault.
        key: String,
        /// What was given.
        value: String,
        /// The range's unit.
        unit: &'static str,
    },
}

impl Faults {
    /// Reads the values of all `--fault` options, each `KEY=VALUE[,KEY=VALUE...]`; a later one wins.
    ///
    /// # Errors
    /// The first assignment that is not understood.
    pub fn parse<S: AsRef<str>>(options: &[S]) -> Result<Self, FaultError> {
        let mut faults = Self::default();
        for assignment in options.iter().flat_map(|option| option.as_ref().split(',')) {
            faults.assign(assignment.trim())?;
        }
        Ok(faults)
    }

    fn assign(&mut self, assignment: &str) -> Result<(), FaultError> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| FaultError::NotAnAssignment(assignment.to_owned()))?;
        match key {
            "sns.drop" => self.sns.drop = probability(key, value)?,
            "sns.repeat" => self.sns.repeat = probability(key, value)?,
            "sns.delay_ms" => self.sns.delay = Some(delay(key, value)?),
            "lambda.fail" => self.lambda.fail = probability(key, value)?,
            "lambda.fail_after" => self.lambda.fail_after = probability(key, value)?,
            "lambda.down" => self.lambda.down = Some(range(key, value, "seconds", Duration::from_secs)?),
            _ => return Err(FaultError::UnknownKey(key.to_owned())),
        }
        Ok(())
    }
}

fn probability(key: &str, value: &str) -> Result<f64, FaultError> {
    match value.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(FaultError::NotAProbability { key: key.to_owned(), value: value.to_owned() }),
    }
}

fn delay(key: &str, value: &str) -> Result<(Duration, Duration), FaultError> {
    match value.parse() {
        Ok(single) => Ok((Duration::from_millis(single), Duration::from_millis(single))),
        Err(_) => range(key, value, "milliseconds", Duration::from_millis),
    }
}

fn range(
    key: &str,
    value: &str,
    unit: &'static str,
    to_duration: fn(u64) -> Duration,
) -> Result<(Duration, Duration), FaultError> {
    let bounds = value.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match bounds {
        Some((from, to)) if from <= to => Ok((to_duration(from), to_duration(to))),
        _ => Err(FaultError::NotARange { key: key.to_owned(), value: value.to_owned(), unit }),
    }
}

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
    fn several_options_and_commas_add_up() {
        let faults =
            Faults::parse(&["sns.drop=0.1,sns.delay_ms=50..400", "lambda.fail_after=1", "lambda.down=5..20"]).unwrap();
        assert_eq!(faults.sns.drop, 0.1);
        assert_eq!(faults.sns.delay, Some((Duration::from_millis(50), Duration::from_millis(400))));
        assert_eq!(faults.lambda.fail_after, 1.0);
        assert_eq!(faults.lambda.down, Some((Duration::from_secs(5), Duration::from_secs(20))));
        assert_eq!(faults.sns.repeat, 0.0);
    }

    #[test]
    fn a_single_delay_is_a_range_of_one() {
        let faults = Faults::parse(&["sns.delay_ms=30"]).unwrap();
        assert_eq!(faults.sns.delay, Some((Duration::from_millis(30), Duration::from_millis(30))));
    }

    #[test]
    fn what_is_not_understood_is_named_on_one_line() {
        for (option, part) in [
            ("sns.drop", "`sns.drop` is not of the form"),
            ("sns.dorp=1", "unknown fault `sns.dorp`"),
            ("sns.drop=2", "`2` is not a probability"),
            ("sns.repeat=NaN", "`NaN` is not a probability"),
            ("sns.delay_ms=9..3", "`9..3` is not a range"),
            ("lambda.down=7", "`7` is not a range"),
            ("", "`` is not of the form"),
        ] {
            let text = Faults::parse(&[option]).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

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
