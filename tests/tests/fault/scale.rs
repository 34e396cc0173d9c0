//! How long and how much: the only place that says so.

use std::time::Duration;

/// The sizes of one form of the tests.
pub(crate) struct Scale {
    /// Load without a fault, to compare with.
    pub(crate) calm: Duration,
    /// Load with a fault, unless the fault has a time of its own.
    pub(crate) fault: Duration,
    /// For how long the Lambda function is down.
    pub(crate) lambda_down: Duration,
    /// For how long DynamoDB does not answer.
    pub(crate) dynamodb_down: Duration,
    /// How many nodes are killed.
    pub(crate) kills: usize,
    /// Messages that a session has missed when it comes back after long.
    pub(crate) missed: usize,
    /// Messages, of 15 KB each, that slow consumers do not read.
    pub(crate) unread: usize,
    /// Messages that the log refuses while a room goes on.
    pub(crate) refused: usize,
}

/// What `make test` runs.
const SHORT: Scale = Scale {
    calm: Duration::from_secs(2),
    fault: Duration::from_secs(4),
    lambda_down: Duration::from_secs(6),
    dynamodb_down: Duration::from_secs(4),
    kills: 4,
    missed: 4_000,
    unread: 1_600,
    refused: 10,
};

/// What `make soak` runs.
const LONG: Scale = Scale {
    calm: Duration::from_secs(15),
    fault: Duration::from_secs(60),
    lambda_down: Duration::from_secs(30),
    dynamodb_down: Duration::from_secs(20),
    kills: 20,
    missed: 10_000,
    unread: 4_000,
    refused: 100,
};

/// The form that was asked for: the long one with `ROOMCAST_SOAK=1`.
pub(crate) fn scale() -> &'static Scale {
    if std::env::var_os("ROOMCAST_SOAK").is_some_and(|value| value == "1") { &LONG } else { &SHORT }
}
