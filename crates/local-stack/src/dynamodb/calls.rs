//! DynamoDB's operations on the database in this process, without a server: JSON in, status and JSON out.

use dynoxide::Database;
use dynoxide::errors::DynoxideError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an operation does to items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it is about tables and streams.
    Administers,
    /// It only looks at them.
    Reads,
    /// It changes them.
    Writes,
}

/// One of DynamoDB's operations.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    run: fn(&Database, &[u8]) -> Answer,
}

/// What the service answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) json: String,
    pub(super) outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was asked for was done.
    Done,
    /// A write's condition was not met.
    ConditionFailed,
    /// It failed otherwise.
    Failed,
}

/// The operation of that name, if it is known here: all that a client of tables and items needs.
pub(super) fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

impl Operation {
    /// Carries it out, on this thread.
    pub(super) fn run(&self, database: &Database, body: &[u8]) -> Answer {
        (self.run)(database, body)
    }
}

impl Answer {
    /// The answer to what went wrong.
    pub(super) fn error(error: &DynoxideError) -> Self {
        let outcome = match error {
            DynoxideError::ConditionalCheckFailedException(..) => Outcome::ConditionFailed,
            _ => Outcome::Failed,
        };
        Self { status: error.status_code(), json: error.to_json(), outcome }
    }

    /// The words of the real one.
    pub(super) fn throttled() -> Self {
        let message = "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                       your provisioning level with the UpdateTable API.";
        Self::error(&DynoxideError::ProvisionedThroughputExceededException(message.to_owned()))
    }

    /// What was asked for can never be done.
    pub(super) fn invalid(reason: &str) -> Self {
        Self::error(&DynoxideError::ValidationException(reason.to_owned()))
    }

    /// Something is wrong with DynamoDB itself.
    pub(super) fn internal_error(reason: &str) -> Self {
        Self::error(&DynoxideError::InternalServerError(reason.to_owned()))
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(body: &[u8], call: impl FnOnce(Q) -> Result<A, DynoxideError>) -> Answer {
    let request = serde_json::from_slice(body).map_err(|error| refused(&error));
    match request.and_then(call).map(|response| serde_json::to_string(&response)) {
        Ok(Ok(json)) => Answer { status: 200, json, outcome: Outcome::Done },
        Ok(Err(error)) => Answer::internal_error(&error.to_string()),
        Err(error) => Answer::error(&error),
    }
}

/// dynoxide marks what its own readers refuse, and its own server takes the mark off.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    match text.strip_prefix("VALIDATION:").or_else(|| text.strip_prefix("VALIDATION_REQUEST:")) {
        Some(reason) => DynoxideError::ValidationException(reason.to_owned()),
        None => DynoxideError::SerializationException(text),
    }
}

macro_rules! operations {
    ($($kind:ident: $($name:literal $method:ident),+;)+) => {
        &[$($(Operation {
            name: $name,
            kind: Kind::$kind,
            run: |database, body| run(body, |request| database.$method(request)),
        }),+),+]
    };
}

static OPERATIONS: &[Operation] = operations! {
    Administers: "CreateTable" create_table, "DescribeTable" describe_table, "DeleteTable" delete_table,
        "ListTables" list_tables, "UpdateTable" update_table, "UpdateTimeToLive" update_time_to_live,
        "DescribeTimeToLive" describe_time_to_live, "ListStreams" list_streams, "DescribeStream" describe_stream,
        "GetShardIterator" get_shard_iterator, "GetRecords" get_records;
    Reads: "GetItem" get_item, "BatchGetItem" batch_get_item, "Query" query, "Scan" scan,
        "TransactGetItems" transact_get_items;
    Writes: "PutItem" put_item, "UpdateItem" update_item, "DeleteItem" delete_item,
        "BatchWriteItem" batch_write_item, "TransactWriteItems" transact_write_items;
};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(database: &Database, name: &str, request: &Value) -> (u16, Value, Outcome) {
        let answer = operation(name).unwrap().run(database, request.to_string().as_bytes());
        (answer.status, serde_json::from_str(&answer.json).unwrap(), answer.outcome)
    }

    fn table(database: &Database) {
        let request = json!({"TableName": "msgs", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}]});
        assert_eq!(call(database, "CreateTable", &request).0, 200);
    }

    #[test]
    fn a_write_whose_condition_fails_answers_with_what_is_there() {
        let database = Database::memory().unwrap();
        table(&database);
        let put = json!({"TableName": "msgs", "Item": {"k": {"S": "1"}}, "ConditionExpression": "attribute_not_exists(k)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"});
        assert_eq!(call(&database, "PutItem", &put), (200, json!({}), Outcome::Done));
        let (status, answer, outcome) = call(&database, "PutItem", &put);
        assert_eq!((status, outcome), (400, Outcome::ConditionFailed));
        assert_eq!(answer["Item"], json!({"k": {"S": "1"}}));
        assert!(answer["__type"].as_str().unwrap().ends_with("#ConditionalCheckFailedException"), "{answer}");
    }

    #[test]
    fn what_cannot_be_read_and_what_is_not_there_are_errors_of_the_caller() {
        let database = Database::memory().unwrap();
        let (status, answer, outcome) =
            call(&database, "GetItem", &json!({"TableName": "msgs", "Key": {"k": {"S": "1"}}}));
        assert_eq!((status, outcome), (400, Outcome::Failed));
        assert!(answer["__type"].as_str().unwrap().ends_with("#ResourceNotFoundException"), "{answer}");
        let (status, answer, _) = call(&database, "PutItem", &json!({"TableName": "msgs"}));
        assert_eq!(status, 400);
        assert!(answer["__type"].as_str().unwrap().ends_with("#ValidationException"), "{answer}");
        assert!(!answer["message"].as_str().unwrap().contains("VALIDATION:"), "{answer}");
        assert!(operation("Dance").is_none());
    }

    #[test]
    fn throttling_is_worded_as_clients_expect_it() {
        let answer = Answer::throttled();
        assert_eq!(answer.status, 400);
        assert!(answer.json.contains("#ProvisionedThroughputExceededException"), "{}", answer.json);
        assert_eq!(Answer::internal_error("x").status, 500);
    }
}
