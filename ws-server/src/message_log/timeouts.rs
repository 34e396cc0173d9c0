//! Clients whose calls end in time and are made once.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;

/// How long a call may take, from the request for credentials to the last byte of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTimeouts {
    /// Until a connection is open. Shorter than the others, so that its failure is known to be one.
    pub connect: Duration,
    /// An append, or the writing of a header.
    pub append: Duration,
    /// Anything else.
    pub read: Duration,
}

impl Default for LogTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), append: Duration::from_secs(2), read: Duration::from_secs(3) }
    }
}

impl LogTimeouts {
    /// A client like `client`, but without retries, whose calls take `whole` at most.
    pub(super) fn bounded(self, client: &Client, whole: Duration) -> Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_timeout(whole)
            .operation_attempt_timeout(whole)
            .build();
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // The time-outs above bound a stalled answer already.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Client::from_conf(config)
    }
}
