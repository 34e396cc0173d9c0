//! What the pump invokes, and the wrapper that makes it fail on request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;

use crate::faults::{Current, Dice, LambdaFaults};

/// An invocation under way.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<DynamoDbEventResponse, String>> + Send + 'a>>;

/// A Lambda function that a stream is mapped to.
pub trait StreamHandler: Send + Sync + 'static {
    /// Handles one batch. An error is what an exception is to Lambda: the whole batch failed.
    fn invoke(&self, event: Event) -> HandlerFuture<'_>;
}

/// Fails as often as asked, before or after its handler did the work.
pub struct FaultyHandler {
    inner: Arc<dyn StreamHandler>,
    faults: Current<LambdaFaults>,
    fail: Dice,
    fail_after: Dice,
}

impl FaultyHandler {
    /// Breaks what it is asked to at each moment.
    #[must_use]
    pub fn new(inner: Arc<dyn StreamHandler>, faults: Current<LambdaFaults>, seed: u64) -> Self {
        let (fail, fail_after) = (Dice::new(seed, "lambda.fail"), Dice::new(seed, "lambda.fail_after"));
        Self { inner, faults, fail, fail_after }
    }
}

impl StreamHandler for FaultyHandler {
    fn invoke(&self, event: Event) -> HandlerFuture<'_> {
        let (faults, is_down) = self.faults.faults_and_outage(|faults| faults.down);
        let (fails, fails_after) = (self.fail.happens(faults.fail), self.fail_after.happens(faults.fail_after));
        Box::pin(async move {
            if is_down {
                return Err("fault lambda.down".to_owned());
            }
            if fails {
                return Err("fault lambda.fail".to_owned());
            }
            let response = self.inner.invoke(event).await;
            if fails_after { Err("fault lambda.fail_after".to_owned()) } else { response }
        })
    }
}
