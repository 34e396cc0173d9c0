//! Faults on request: what to break, how often, and the dice that decide it.
//!
//! Every purpose has its own stream of random numbers, derived from one seed, so that switching one fault on does not
//! change when another one strikes.

mod at_runtime;
mod current;
mod dice;
mod outage;
mod values;

use std::time::Duration;

pub use at_runtime::CurrentFaults;
pub use current::Current;
pub use dice::Dice;
pub use outage::Outage;
pub use values::FaultError;

use values::{delay, pair, probability, seconds, switch, word};

/// The faults asked for; the default breaks nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// What SNS does to notifications. Confirmations are left alone.
    pub sns: SnsFaults,
    /// What happens to invocations of the publisher.
    pub lambda: LambdaFaults,
    /// What happens to calls of DynamoDB.
    pub dynamodb: DynamoDbFaults,
    /// What happens to requests from node to node.
    pub link: LinkFaults,
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
    /// Probability that a Publish is refused with an internal error, and nothing is sent.
    pub fail: f64,
}

/// Faults of the Lambda function, per invocation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LambdaFaults {
    /// Probability that it fails before it publishes anything.
    pub fail: f64,
    /// Probability that it publishes and then fails, so that everything is published again.
    pub fail_after: f64,
    /// Fails every invocation in this range of time since the stack's start, or since it was asked for.
    pub down: Option<(Duration, Duration)>,
}

/// Faults of DynamoDB. The probabilities are per call that reads or writes items of the messages table: a node that
/// cannot even write its lease does not start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DynamoDbFaults {
    /// Probability that a call is throttled.
    pub throttle: f64,
    /// Probability that a call fails with an internal error; every other time it has done its work before.
    pub fail: f64,
    /// Items of the messages table that contain this word are refused as invalid.
    pub refuse: Option<String>,
    /// No call of any table is answered in this range of time since the stack's start, or since it was asked for.
    pub down: Option<(Duration, Duration)>,
}

/// Faults of the link between nodes, per request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkFaults {
    /// Probability that a request is lost, or else its answer, which is as likely: the connection ends.
    pub drop: f64,
    /// Every request is late by a random time in this range.
    pub delay: Option<(Duration, Duration)>,
    /// Pairs of nodes, numbered from 1, smaller first, between which nothing gets through in either direction: requests
    /// are never answered.
    pub cut: Vec<(u16, u16)>,
    /// No request is answered in this range of time since the stack's start.
    pub down: Option<(Duration, Duration)>,
    /// Breaks nothing, but lets links be cut while the stack runs.
    pub proxy: bool,
}

impl LinkFaults {
    /// Something has to stand between the nodes.
    #[must_use]
    pub fn need_proxies(&self) -> bool {
        *self != Self::default()
    }
}

impl Faults {
    /// Reads the values of all `--fault` options, each `KEY=VALUE[,KEY=VALUE...]`; a later one wins, but for
    /// `link.cut`, of which there may be many.
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

    /// Checks that every node that is named is one of so many.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self, nodes: u16) -> Result<(), FaultError> {
        match self.link.cut.iter().map(|&(_, greater)| greater).find(|&node| node > nodes) {
            Some(node) => Err(FaultError::NoSuchNode { node, nodes }),
            None => Ok(()),
        }
    }

    fn assign(&mut self, assignment: &str) -> Result<(), FaultError> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| FaultError::NotAnAssignment(assignment.to_owned()))?;
        match key {
            "sns.drop" => self.sns.drop = probability(key, value)?,
            "sns.repeat" => self.sns.repeat = probability(key, value)?,
            "sns.delay_ms" => self.sns.delay = Some(delay(key, value)?),
            "sns.fail" => self.sns.fail = probability(key, value)?,
            "lambda.fail" => self.lambda.fail = probability(key, value)?,
            "lambda.fail_after" => self.lambda.fail_after = probability(key, value)?,
            "lambda.down" => self.lambda.down = Some(seconds(key, value)?),
            "dynamodb.throttle" => self.dynamodb.throttle = probability(key, value)?,
            "dynamodb.fail" => self.dynamodb.fail = probability(key, value)?,
            "dynamodb.refuse" => self.dynamodb.refuse = Some(word(key, value)?),
            "dynamodb.down" => self.dynamodb.down = Some(seconds(key, value)?),
            "link.drop" => self.link.drop = probability(key, value)?,
            "link.delay_ms" => self.link.delay = Some(delay(key, value)?),
            "link.cut" => self.link.cut.push(pair(key, value)?),
            "link.down" => self.link.down = Some(seconds(key, value)?),
            "link.proxy" => self.link.proxy = switch(key, value)?,
            _ => return Err(FaultError::UnknownKey(key.to_owned())),
        }
        Ok(())
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
        assert_eq!((faults.dynamodb, faults.link), Default::default());
    }

    #[test]
    fn dynamodb_throttles_fails_and_stands_still() {
        let text = "dynamodb.throttle=0.2,dynamodb.fail=0.1,dynamodb.refuse=poison,dynamodb.down=2..4";
        let faults = Faults::parse(&[text]).unwrap().dynamodb;
        let down = Some((Duration::from_secs(2), Duration::from_secs(4)));
        assert_eq!(faults, DynamoDbFaults { throttle: 0.2, fail: 0.1, refuse: Some("poison".into()), down });
    }

    #[test]
    fn links_are_cut_as_often_as_asked_between_nodes_that_there_are() {
        let faults =
            Faults::parse(&["link.drop=0.5,link.cut=1-2", "link.cut=3-1,link.delay_ms=5,link.proxy=1"]).unwrap();
        assert_eq!((faults.link.drop, faults.link.proxy), (0.5, true));
        assert_eq!(faults.link.cut, [(1, 2), (1, 3)]);
        faults.check(3).unwrap();
        let text = faults.check(2).unwrap_err().to_string();
        assert_eq!(text, "fault link.cut: there is no node 3 among 2");
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
            ("sns.dorp=1", "unknown fault `sns.dorp`; there are sns.drop, sns.repeat,"),
            ("sns.drop=2", "`2` is not a probability"),
            ("sns.repeat=NaN", "`NaN` is not a probability"),
            ("sns.delay_ms=9..3", "`9..3` is not a range"),
            ("lambda.down=7", "`7` is not a range"),
            ("dynamodb.refuse=a b", "`a b` is not a word"),
            ("link.cut=1", "`1` is not a pair A-B"),
            ("link.cut=2-2", "`2-2` is not a pair A-B"),
            ("link.cut=0-1", "`0-1` is not a pair A-B"),
            ("link.proxy=yes", "`yes` is neither 0 nor 1"),
            ("", "`` is not of the form"),
        ] {
            let text = Faults::parse(&[option]).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
