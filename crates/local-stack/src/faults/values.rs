//! The values of `--fault KEY=VALUE`.

use std::time::Duration;

/// All faults that there are.
const KEYS: &str = "sns.drop, sns.repeat, sns.delay_ms, sns.fail, lambda.fail, lambda.fail_after, \
                    lambda.down, dynamodb.throttle, dynamodb.fail, dynamodb.refuse, dynamodb.down, link.drop, \
                    link.delay_ms, link.cut, link.down, link.proxy";

/// Why a `--fault` was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not of the form `KEY=VALUE`.
    #[error("fault `{0}` is not of the form KEY=VALUE")]
    NotAnAssignment(String),
    /// No such fault.
    #[error("unknown fault `{0}`; there are {keys}", keys = KEYS)]
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
    /// A pair is `A-B`, two different nodes.
    #[error("fault {key}: `{value}` is not a pair A-B of two nodes, numbered from 1")]
    NotAPair {
        /// The fault.
        key: String,
        /// What was given.
        value: String,
    },
    /// A switch is 0 or 1.
    #[error("fault {key}: `{value}` is neither 0 nor 1")]
    NotASwitch {
        /// The fault.
        key: String,
        /// What was given.
        value: String,
    },
    /// A word stands in JSON as it is.
    #[error("fault {key}: `{value}` is not a word of letters and digits")]
    NotAWord {
        /// The fault.
        key: String,
        /// What was given.
        value: String,
    },
    /// A pair names a node that the stack does not start.
    #[error("fault link.cut: there is no node {node} among {nodes}")]
    NoSuchNode {
        /// The node, numbered from 1.
        node: u16,
        /// How many nodes there are.
        nodes: u16,
    },
}

pub(super) fn probability(key: &str, value: &str) -> Result<f64, FaultError> {
    match value.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(FaultError::NotAProbability { key: key.to_owned(), value: value.to_owned() }),
    }
}

pub(super) fn delay(key: &str, value: &str) -> Result<(Duration, Duration), FaultError> {
    match value.parse() {
        Ok(single) => Ok((Duration::from_millis(single), Duration::from_millis(single))),
        Err(_) => range(key, value, "milliseconds", Duration::from_millis),
    }
}

pub(super) fn seconds(key: &str, value: &str) -> Result<(Duration, Duration), FaultError> {
    range(key, value, "seconds", Duration::from_secs)
}

/// The smaller number first.
pub(super) fn pair(key: &str, value: &str) -> Result<(u16, u16), FaultError> {
    let nodes = value.split_once('-').and_then(|(a, b)| Some((a.parse::<u16>().ok()?, b.parse::<u16>().ok()?)));
    match nodes {
        Some((a, b)) if a != b && a.min(b) > 0 => Ok((a.min(b), a.max(b))),
        _ => Err(FaultError::NotAPair { key: key.to_owned(), value: value.to_owned() }),
    }
}

pub(super) fn switch(key: &str, value: &str) -> Result<bool, FaultError> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(FaultError::NotASwitch { key: key.to_owned(), value: value.to_owned() }),
    }
}

pub(super) fn word(key: &str, value: &str) -> Result<String, FaultError> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(value.to_owned());
    }
    Err(FaultError::NotAWord { key: key.to_owned(), value: value.to_owned() })
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
