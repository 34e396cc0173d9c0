//! What an AWS call that failed says about the write it carried.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use room_core::log::AppendOutcome;

use super::LogError;
use super::item::Item;

/// Why a call failed, as far as it tells whether anything was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was written, and the same request may succeed later.
    Throttled,
    /// Nothing was written, and this content never will be.
    Refused(String),
    /// Nothing was written, for a reason that has nothing to do with the content.
    Failed(String),
    /// Written or not.
    Unknown(String),
}

/// Codes for want of capacity. The last two say that another write holds the item at this moment (transactions, global
/// tables); this service uses neither, and the advice is the same.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const THROTTLED: &[&str] = &[
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
];
/// Codes that blame the content.
const REFUSED: &[&str] = &["ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException"];
/// Codes that leave the outcome open even with a 4xx status.
const OPEN: &[&str] =
    &["InternalServerError", "InternalFailure", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException"];

impl Fault {
    /// Reads a failed call. `sent` says whether the request was handed to the connection at all.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, sent: bool) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let text = describe(error);
        if let SdkError::ServiceError(context) = error {
            return Self::of_answer(context.raw().status().as_u16(), context.err().code(), text);
        }
        // What was not handed over, or found no connection to go out on, never reached DynamoDB. Of everything else
        // (time-outs, resets, answers cut short) one cannot know.
        if sent && !is_connect(error) { Self::Unknown(text) } else { Self::Failed(text) }
    }

    /// Only a 4xx answer with a code is certainly DynamoDB's own refusal: a 4xx without one may come from anything in
    /// between, and a success that cannot be read is a success as well as not.
    fn of_answer(status: u16, code: Option<&str>, text: String) -> Self {
        match (status, code) {
            (400..=499, Some(code)) if THROTTLED.contains(&code) => Self::Throttled,
            (400..=499, Some(code)) if REFUSED.contains(&code) => Self::Refused(text),
            (400..=499, Some(code)) if OPEN.contains(&code) => Self::Unknown(text),
            (429, _) => Self::Throttled,
            (413, _) => Self::Refused(text),
            (400..=499, Some(_)) => Self::Failed(text),
            _ => Self::Unknown(text),
        }
    }
}

impl From<Fault> for AppendOutcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Refused(text) => Self::Refused(text),
            Fault::Failed(text) => Self::Failed(text),
            Fault::Unknown(text) => Self::Unknown(text),
        }
    }
}

impl From<Fault> for LogError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Refused(text) | Fault::Failed(text) | Fault::Unknown(text) => Self::Unavailable(text),
        }
    }
}

/// How a conditional put ended.
pub(super) enum Put {
    /// The item is there now.
    Written,
    /// The condition failed on this item, or on one that the answer does not show.
    Taken(Option<Item>),
    /// Anything else.
    Fault(Fault),
}

impl Put {
    /// Reads the answer to a conditional put; `sent` as in [`Fault::of`].
    pub(super) fn of(result: Result<PutItemOutput, SdkError<PutItemError, HttpResponse>>, sent: bool) -> Self {
        let error = match result {
            Ok(_) => return Self::Written,
            Err(error) => error,
        };
        if !error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) {
            return Self::Fault(Fault::of(&error, sent));
        }
        match error.into_service_error() {
            PutItemError::ConditionalCheckFailedException(failed) => Self::Taken(failed.item),
            _ => Self::Taken(None),
        }
    }
}

/// One line: DynamoDB's code and message, or what stood in the way of an answer, outermost first.
pub(crate) fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(context) = error
        && let Some(code) = context.err().code()
    {
        let message = context.err().message().unwrap_or("no message");
        return format!("{code}: {message} (HTTP {})", context.raw().status().as_u16());
    }
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    if let Some(response) = error.raw_response() {
        text.push_str(&format!(" (HTTP {})", response.status().as_u16()));
    }
    text
}

/// Whether no connection came about. The SDK itself does not tell: it files these under time-outs and I/O.
fn is_connect<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    causes(error).any(|cause| {
        cause
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}

/// Notes that a request is about to be handed to the connection: credentials and signing, which can fail and time out
/// like anything else, are done.
#[derive(Debug, Clone, Default)]
pub(super) struct Departure(Arc<AtomicBool>);

impl Departure {
    /// Whether it came to that.
    pub(super) fn happened(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Intercept for Departure {
    fn name(&self) -> &'static str {
        "Departure"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}
