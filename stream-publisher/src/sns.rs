use std::future::Future;

use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;

use crate::topics::TopicArn;

/// Where packed messages go.
pub trait SnsPort: Send + Sync {
    /// Makes one attempt to publish a message, without retries: the caller owns the time budget. Cancelling it leaves
    /// the outcome unknown, as a lost answer does; a repeat is harmless.
    ///
    /// # Errors
    /// `PublishFailure` says whether another attempt, or other content, can mend it.
    fn publish(&self, topic: &TopicArn, message: &str) -> impl Future<Output = Result<(), PublishFailure>> + Send;
}

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Throttled, unavailable, cut off or of unknown outcome: the same may succeed in a moment.
    Transient,
    /// SNS calls the request invalid. Other content may pass.
    Invalid,
    /// Not allowed, no such topic, a key out of reach: a person has to mend it.
    Denied,
}

/// A failed attempt to publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct PublishFailure {
    /// What it means for the next attempt.
    pub kind: FailureKind,
    /// SNS's error code, or a word for what happened before SNS could answer.
    pub code: String,
    /// What SNS or the client says about it.
    pub detail: String,
}

impl SnsPort for aws_sdk_sns::Client {
    async fn publish(&self, topic: &TopicArn, message: &str) -> Result<(), PublishFailure> {
        let request = self.publish().topic_arn(topic.as_str()).message(message);
        // The client may come with retries of its own, which would multiply with the caller's.
        let once = aws_sdk_sns::Config::builder().retry_config(RetryConfig::disabled());
        // Boxed: the SDK's future is kilobytes long.
        Box::pin(request.customize().config_override(once).send()).await.map(|_| ()).map_err(|error| failure(&error))
    }
}

fn failure(error: &SdkError<PublishError>) -> PublishFailure {
    let (kind, code) = match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("Unknown");
            (classify(code, answer.raw().status().as_u16()), code)
        }
        SdkError::TimeoutError(_) => (FailureKind::Transient, "Timeout"),
        // Credentials that do not load and connections that fail look the same here; both may pass.
        SdkError::DispatchFailure(_) => (FailureKind::Transient, "Dispatch"),
        SdkError::ResponseError(_) => (FailureKind::Transient, "UnreadableAnswer"),
        // Never left this process: no region, no endpoint.
        _ => (FailureKind::Denied, "Construction"),
    };
    let detail = match error {
        SdkError::ServiceError(answer) => answer.err().message().unwrap_or_default().to_owned(),
        _ => DisplayErrorContext(error).to_string(),
    };
    PublishFailure { kind, code: code.to_owned(), detail }
}

/// Sorts SNS's error codes (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>,
/// <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>). What is not known and not the server's fault counts
/// as denied: it is reported, never passed over.
fn classify(code: &str, status: u16) -> FailureKind {
    const BUSY: u16 = 429;
    const TOO_LARGE: u16 = 413;
    match code {
        "InvalidParameter"
        | "InvalidParameterValue"
        | "ParameterValueInvalid"
        | "ValidationException"
        | "ValidationError" => FailureKind::Invalid,
        "RequestTimeout" | "RequestTimeoutException" | "RequestLimitExceeded" | "SlowDown" => FailureKind::Transient,
        code if code.contains("Throttl") => FailureKind::Transient,
        _ if status >= 500 || status == BUSY => FailureKind::Transient,
        _ if status == TOO_LARGE => FailureKind::Invalid,
        _ => FailureKind::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_error_code_has_its_place() {
        for code in ["InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError"] {
            assert_eq!(classify(code, 400), FailureKind::Invalid, "{code}");
        }
        for code in ["Throttling", "ThrottlingException", "Throttled", "KMSThrottling", "RequestLimitExceeded"] {
            assert_eq!(classify(code, 400), FailureKind::Transient, "{code}");
        }
        for (code, status) in [("InternalError", 500), ("ServiceUnavailable", 503), ("Odd", 502), ("Odd", 429)] {
            assert_eq!(classify(code, status), FailureKind::Transient, "{code}");
        }
        for code in [
            "AuthorizationError",
            "NotFound",
            "EndpointDisabled",
            "InvalidSecurity",
            "KMSAccessDenied",
            "KMSDisabled",
            "KMSInvalidState",
            "KMSNotFound",
            "KMSOptInRequired",
            "PlatformApplicationDisabled",
            "ExpiredToken",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "Odd",
        ] {
            assert_eq!(classify(code, 403), FailureKind::Denied, "{code}");
        }
    }
}
