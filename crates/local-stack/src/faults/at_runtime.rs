//! `POST /_local/faults`: other faults while the stack runs. The body is what `--fault` takes; an empty one mends all.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use super::{Current, DynamoDbFaults, Faults, LambdaFaults, LinkFaults, SnsFaults};

/// The faults of every part that can be changed.
#[derive(Clone)]
pub struct CurrentFaults {
    /// Those of SNS.
    pub sns: Current<SnsFaults>,
    /// Those of the Lambda function.
    pub lambda: Current<LambdaFaults>,
    /// Those of DynamoDB.
    pub dynamodb: Current<DynamoDbFaults>,
    /// Whether calls of DynamoDB pass where they can be broken.
    pub dynamodb_can_fail: bool,
}

impl CurrentFaults {
    /// The route that changes them.
    pub fn routes(self) -> Router {
        Router::new().route("/_local/faults", post(change)).with_state(Arc::new(self))
    }

    fn change(&self, text: &str) -> Result<(), String> {
        let assignments: &[&str] = if text.is_empty() { &[] } else { &[text] };
        let faults = Faults::parse(assignments).map_err(|error| error.to_string())?;
        if faults.link != LinkFaults::default() {
            return Err("faults of the link cannot be changed here; see /_local/link".to_owned());
        }
        if faults.dynamodb != DynamoDbFaults::default() && !self.dynamodb_can_fail {
            return Err("DynamoDB fails only in a stack that was started with --count-commits".to_owned());
        }
        self.sns.change(faults.sns);
        self.lambda.change(faults.lambda);
        self.dynamodb.change(faults.dynamodb);
        Ok(())
    }
}

async fn change(State(current): State<Arc<CurrentFaults>>, text: String) -> Result<StatusCode, (StatusCode, String)> {
    let changed = current.change(text.trim());
    changed.map(|()| StatusCode::NO_CONTENT).map_err(|reason| (StatusCode::BAD_REQUEST, reason + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(dynamodb_can_fail: bool) -> CurrentFaults {
        let Faults { sns, lambda, dynamodb, .. } = Faults::default();
        CurrentFaults { sns: sns.into(), lambda: lambda.into(), dynamodb: dynamodb.into(), dynamodb_can_fail }
    }

    #[test]
    fn what_is_asked_for_last_is_all_that_is_broken() {
        let current = current(true);
        current.change("sns.drop=0.5,dynamodb.throttle=0.3").unwrap();
        current.change("lambda.fail=1").unwrap();
        let Faults { sns, dynamodb, .. } = Faults::default();
        assert_eq!((current.sns.faults(), current.dynamodb.faults()), (sns, dynamodb));
        assert_eq!(current.lambda.faults().fail, 1.0);
        current.change("").unwrap();
        assert_eq!(current.lambda.faults(), LambdaFaults::default());
    }

    #[test]
    fn what_cannot_be_changed_is_refused_and_changes_nothing() {
        let current = current(false);
        current.change("sns.drop=1").unwrap();
        for (text, part) in [
            ("sns.dorp=1", "unknown fault"),
            ("link.drop=1", "see /_local/link"),
            ("dynamodb.fail=1", "--count-commits"),
        ] {
            let reason = current.change(text).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(current.sns.faults().drop, 1.0);
    }
}
