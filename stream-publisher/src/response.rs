use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};

/// The answer to the event source mapping: everything succeeded, or everything before the record of this sequence
/// number did.
///
/// Lambda resumes a stream at the lowest number named and repeats all that follows
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>), so naming one is enough. A
/// record without a number (`Some(None)`) leaves the name empty, which makes Lambda repeat the whole batch.
pub(crate) fn respond(first_failed: Option<Option<String>>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = first_failed.into_iter().map(item_failure).collect();
    response
}

fn item_failure(sequence_number: Option<String>) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = sequence_number;
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(first_failed: Option<Option<&str>>) -> String {
        serde_json::to_string(&respond(first_failed.map(|number| number.map(str::to_owned)))).unwrap()
    }

    #[test]
    fn the_answer_has_the_form_that_lambda_reads() {
        assert_eq!(json(None), r#"{"batchItemFailures":[]}"#);
        assert_eq!(json(Some(Some("700000000"))), r#"{"batchItemFailures":[{"itemIdentifier":"700000000"}]}"#);
        assert_eq!(json(Some(None)), r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#);
    }
}
