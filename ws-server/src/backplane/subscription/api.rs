use aws_sdk_sns::Client;
use aws_sdk_sns::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::get_subscription_attributes::GetSubscriptionAttributesError;
use futures_util::future::BoxFuture;

use crate::backplane::TopicArn;

/// The calls to SNS that a subscription's life needs. Each is bounded by the caller. The node's role must allow
/// `sns:Subscribe`, `ConfirmSubscription`, `GetSubscriptionAttributes` and `Unsubscribe`; without the third one a lost
/// subscription is noticed only when SNS says so.
pub trait SubscriptionApi: Send + Sync + 'static {
    /// Subscribes an endpoint (`http://` or `https://`) with our delivery policy. Subscribing the same one again is
    /// harmless: an unconfirmed one gets a new token, a confirmed one only has its ARN returned. `None`: SNS did not
    /// tell the ARN.
    fn subscribe<'a>(
        &'a self,
        topic: &'a TopicArn,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, CallError>>;

    /// Confirms with a token, so that only the topic's owner can unsubscribe; returns the subscription's ARN.
    fn confirm<'a>(&'a self, topic: &'a TopicArn, token: &'a str) -> BoxFuture<'a, Result<String, CallError>>;

    /// Where the subscription stands.
    fn status<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<SubscriptionStatus, CallError>>;

    /// Removes the subscription.
    fn unsubscribe<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>>;
}

/// What SNS says of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// Delivers.
    Confirmed,
    /// Waits for its token.
    Pending,
    /// Not there.
    Gone,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// SNS refused these arguments: the same call will not succeed.
    #[error("refused: {0}")]
    Refused(String),
    /// The node's role does not allow it.
    #[error("not allowed: {0}")]
    Denied(String),
    /// What the call is about is not there.
    #[error("not there: {0}")]
    Missing(String),
    /// Anything else: may pass.
    #[error("failed: {0}")]
    Failed(String),
}

/// What SNS does when a post fails: three times at once, five times after a second each, then ten growing to five
/// seconds, two at the end: within about a minute. `numRetries` is the total of all phases
/// (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>: 0 to 100, all within an hour). More
/// is not needed, the audit finds what is lost; the default, 3 retries 20 s apart, would make every hiccup its work.
pub(super) const DELIVERY_POLICY: &str = concat!(
    r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":5,"numRetries":20,"numNoDelayRetries":3,"#,
    r#""numMinDelayRetries":5,"numMaxDelayRetries":2,"backoffFunction":"exponential"}}"#
);

/// The calls through the AWS SDK.
#[derive(Debug, Clone)]
pub struct SnsApi {
    client: Client,
}

impl SnsApi {
    /// The calls through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

impl SubscriptionApi for SnsApi {
    fn subscribe<'a>(
        &'a self,
        topic: &'a TopicArn,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, CallError>> {
        Box::pin(async move {
            let protocol = if endpoint.starts_with("https://") { "https" } else { "http" };
            let call = self.client.subscribe().topic_arn(topic.as_str()).protocol(protocol).endpoint(endpoint);
            let call = call.return_subscription_arn(true).attributes("DeliveryPolicy", DELIVERY_POLICY);
            let answer = call.send().await.map_err(|error| call_error(&error))?;
            Ok(answer.subscription_arn.filter(|arn| arn.starts_with("arn:")))
        })
    }

    fn confirm<'a>(&'a self, topic: &'a TopicArn, token: &'a str) -> BoxFuture<'a, Result<String, CallError>> {
        Box::pin(async move {
            let call = self.client.confirm_subscription().topic_arn(topic.as_str()).token(token);
            let answer = call.authenticate_on_unsubscribe("true").send().await.map_err(|error| call_error(&error))?;
            answer.subscription_arn.ok_or_else(|| CallError::Failed("SNS returned no subscription ARN".to_owned()))
        })
    }

    fn status<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<SubscriptionStatus, CallError>> {
        Box::pin(async move {
            match self.client.get_subscription_attributes().subscription_arn(arn).send().await {
                Ok(answer) => {
                    let pending = answer.attributes().and_then(|all| all.get("PendingConfirmation"));
                    let pending = pending.is_some_and(|value| value == "true");
                    Ok(if pending { SubscriptionStatus::Pending } else { SubscriptionStatus::Confirmed })
                }
                Err(error)
                    if error.as_service_error().is_some_and(GetSubscriptionAttributesError::is_not_found_exception) =>
                {
                    Ok(SubscriptionStatus::Gone)
                }
                Err(error) => Err(call_error(&error)),
            }
        })
    }

    fn unsubscribe<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.client.unsubscribe().subscription_arn(arn).send().await.map_err(|error| call_error(&error))?;
            Ok(())
        })
    }
}

/// Codes as SNS writes them on the wire, without the SDK's `Exception`.
pub(crate) fn call_error<E, R>(error: &SdkError<E, R>) -> CallError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let text = match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(code) => {
            let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or("no message");
            format!("{code}: {message}")
        }
        None => DisplayErrorContext(error).to_string(),
    };
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("InvalidParameter" | "FilterPolicyLimitExceeded" | "SubscriptionLimitExceeded") => {
            CallError::Refused(text)
        }
        Some("NotFound") => CallError::Missing(text),
        Some("AuthorizationError" | "AccessDenied" | "AccessDeniedException") => CallError::Denied(text),
        _ => CallError::Failed(text),
    }
}

#[cfg(test)]
mod tests;
