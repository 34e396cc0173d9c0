//! What a node can know before it serves: that it has a region and credentials, and may do what it will have to do.
//!
//! A permission that is missing would otherwise show only when the call is made for the first time, perhaps days later. So
//! each call is made once in a form that changes nothing. What fails for another reason is not judged here.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodb::config::ProvideCredentials;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_sns::Client as Sns;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;

use super::StartError;
use crate::backplane::TopicArn;
use crate::backplane::subscription::{CallError, call_error};
use crate::lease::attribute::NODE;
use crate::tables::TableNames;
use protocol::log_item::{ROOM, SEQ};

/// For one thing that is asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A room and a node that nobody can have: nothing is ever written under it.
const NOBODY: &str = "$preflight";
/// A condition that nothing meets.
const NEVER: &str = "attribute_exists(#key) AND attribute_not_exists(#key)";

/// Checks that there are a region, the one of the topics, and credentials.
///
/// # Errors
/// `StartError::Region`, `TopicRegion` or `Credentials`.
pub(super) async fn check_account(aws: &SdkConfig, topics: &[TopicArn]) -> Result<(), StartError> {
    let region = aws.region().ok_or(StartError::Region)?.to_string();
    if let Some(topic) = topics.iter().find(|topic| topic.region() != region) {
        return Err(StartError::TopicRegion { topic: topic.clone(), region });
    }
    let provider =
        aws.credentials_provider().ok_or_else(|| StartError::Credentials("none are configured".to_owned()))?;
    match timeout(PATIENCE, provider.provide_credentials()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(StartError::Credentials(causes(&error))),
        Err(_) => Err(StartError::Credentials("nobody provides them in time".to_owned())),
    }
}

/// Checks that the tables' and topics' calls are allowed, and that the topics exist.
///
/// # Errors
/// `StartError::NotAllowed` names every call that is not; `StartError::NoTopic`.
pub(super) async fn check_permissions(
    dynamodb: &DynamoDb,
    names: &TableNames,
    sns: &Sns,
    topics: &[TopicArn],
) -> Result<(), StartError> {
    let calls = table_calls(dynamodb, names).into_iter().chain(topics.iter().map(|topic| list_call(sns, topic)));
    let mut denied: Vec<Denied> = Vec::new();
    for outcome in join_all(calls).await {
        match outcome {
            Outcome::Fine => {}
            Outcome::Denied(call) => denied.push(call),
            Outcome::NoTopic(topic) => return Err(StartError::NoTopic(topic)),
        }
    }
    let Some(first) = denied.first() else { return Ok(()) };
    let reason = first.reason.clone();
    let calls = denied.iter().map(|call| format!("{} on {}", call.action, call.resource)).collect::<Vec<_>>();
    Err(StartError::NotAllowed { calls: calls.join(", "), reason })
}

struct Denied {
    action: &'static str,
    resource: String,
    reason: String,
}

enum Outcome {
    Fine,
    Denied(Denied),
    NoTopic(TopicArn),
}

/// Every call that a node makes of its tables, but those that it makes at its start anyway.
fn table_calls<'a>(client: &'a DynamoDb, names: &'a TableNames) -> Vec<BoxFuture<'a, Outcome>> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let key = HashMap::from([(ROOM.to_owned(), text(NOBODY)), (SEQ.to_owned(), AttributeValue::N("0".to_owned()))]);
    let (messages, nodes) = (&names.messages, &names.nodes);
    let keys = KeysAndAttributes::builder().keys(key.clone()).build().expect("there is a key");
    let put = client.put_item().table_name(messages).set_item(Some(key.clone()));
    let put = put.condition_expression(NEVER).expression_attribute_names("#key", ROOM).send();
    let get = client.get_item().table_name(messages).set_key(Some(key)).send();
    let query = client.query().table_name(messages).key_condition_expression("#key = :nobody").limit(1);
    let query = query.expression_attribute_names("#key", ROOM).expression_attribute_values(":nobody", text(NOBODY));
    let batch = client.batch_get_item().request_items(messages, keys).send();
    let scan = client.scan().table_name(nodes).limit(1).send();
    let find = client.get_item().table_name(nodes).key(NODE, text(NOBODY)).send();
    let delete = client.delete_item().table_name(nodes).key(NODE, text(NOBODY)).condition_expression(NEVER);
    let delete = delete.expression_attribute_names("#key", NODE).send();
    vec![
        Box::pin(of_table("dynamodb:PutItem", messages, put)),
        Box::pin(of_table("dynamodb:GetItem", messages, get)),
        Box::pin(of_table("dynamodb:Query", messages, query.send())),
        Box::pin(of_table("dynamodb:BatchGetItem", messages, batch)),
        Box::pin(of_table("dynamodb:Scan", nodes, scan)),
        Box::pin(of_table("dynamodb:GetItem", nodes, find)),
        Box::pin(of_table("dynamodb:DeleteItem", nodes, delete)),
    ]
}

async fn of_table<T, E, R>(
    action: &'static str,
    table: &str,
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> Outcome
where
    E: ProvideErrorMetadata,
{
    let Ok(Err(error)) = timeout(PATIENCE, call).await else { return Outcome::Fine };
    let refusal = error.as_service_error().filter(|refusal| refusal.code() == Some("AccessDeniedException"));
    refusal.map_or(Outcome::Fine, |refusal| {
        let reason = refusal.message().unwrap_or("AccessDeniedException").to_owned();
        Outcome::Denied(Denied { action, resource: format!("table {table}"), reason })
    })
}

/// What removes dead nodes' subscriptions needs this; and it tells whether the topic is there.
fn list_call<'a>(client: &'a Sns, topic: &'a TopicArn) -> BoxFuture<'a, Outcome> {
    Box::pin(async move {
        let call = client.list_subscriptions_by_topic().topic_arn(topic.as_str()).send();
        let Ok(Err(error)) = timeout(PATIENCE, call).await else { return Outcome::Fine };
        match call_error(&error) {
            CallError::Missing(_) => Outcome::NoTopic(topic.clone()),
            CallError::Denied(reason) => {
                let action = "sns:ListSubscriptionsByTopic";
                Outcome::Denied(Denied { action, resource: topic.to_string(), reason })
            }
            // The service works without SNS, and begins without it.
            CallError::Refused(_) | CallError::Failed(_) => Outcome::Fine,
        }
    })
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
