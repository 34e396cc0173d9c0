//! What a node is told that may not do something, by an AWS that denies what a test says.

use aws_config::Region;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::*;
use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
use crate::tables::ensure_tables;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:rooms";

fn topics() -> Vec<TopicArn> {
    vec![TOPIC.parse().unwrap()]
}

fn names() -> TableNames {
    TableNames { messages: "messages".to_owned(), nodes: "nodes".to_owned() }
}

fn configured(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("a", "s", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build()
}

/// Answers DynamoDB's and SNS's calls: those that are denied as AWS does, SNS's others with `sns`, all else with nothing.
async fn aws(denied: &'static [&'static str], sns: (u16, &'static str)) -> SdkConfig {
    let answer = move |headers: HeaderMap, body: String| async move {
        let target = headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
        let action = target.as_deref().and_then(|target| target.split('.').nth(1));
        let Some(action) = action else {
            if denied.iter().any(|denied| body.contains(&format!("Action={denied}&"))) {
                let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code>\
                             <Message>User u is not authorized</Message></Error></ErrorResponse>";
                return (StatusCode::FORBIDDEN, error.to_owned()).into_response();
            }
            return (StatusCode::from_u16(sns.0).unwrap(), sns.1.to_owned()).into_response();
        };
        let table = serde_json::from_str::<serde_json::Value>(&body).unwrap()["TableName"].as_str().map(str::to_owned);
        let named = format!("{action} {}", table.unwrap_or_default());
        if denied.contains(&action) || denied.contains(&&*named) {
            let message = format!("User u is not authorized to perform: dynamodb:{action}");
            let error = serde_json::json!({
                "__type": "com.amazon.coral.service#AccessDeniedException",
                "Message": message,
            });
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        "{}".into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    configured(&format!("http://{address}"))
}

const LISTED: (u16, &str) = (
    200,
    "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions/>\
     </ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>",
);

async fn outcome(aws: &SdkConfig) -> Result<(), String> {
    let (dynamodb, sns) = (DynamoDb::new(aws), Sns::new(aws));
    check_permissions(&dynamodb, &names(), &sns, &topics()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_node_that_may_do_everything_starts() {
    assert_eq!(outcome(&aws(&[], LISTED).await).await, Ok(()));
}

#[tokio::test]
async fn each_call_that_is_not_allowed_is_named_with_what_it_is_on() {
    for (denied, shown) in [
        (&["PutItem"][..], "dynamodb:PutItem on table messages"),
        (&["GetItem messages"], "dynamodb:GetItem on table messages"),
        (&["Query"], "dynamodb:Query on table messages"),
        (&["BatchGetItem"], "dynamodb:BatchGetItem on table messages"),
        (&["Scan"], "dynamodb:Scan on table nodes"),
        (&["GetItem nodes"], "dynamodb:GetItem on table nodes"),
        (&["DeleteItem"], "dynamodb:DeleteItem on table nodes"),
    ] {
        let action = shown.split(' ').next().unwrap();
        let reason = format!("User u is not authorized to perform: {action}");
        let expected = format!("this node's role does not allow {shown}: {reason}");
        assert_eq!(outcome(&aws(denied, LISTED).await).await, Err(expected));
    }
    let error = outcome(&aws(&["ListSubscriptionsByTopic"], LISTED).await).await.unwrap_err();
    let expected = format!(
        "this node's role does not allow sns:ListSubscriptionsByTopic on {TOPIC}: \
         AuthorizationError: User u is not authorized"
    );
    assert_eq!(error, expected);
}

#[tokio::test]
async fn all_that_is_missing_is_told_at_once_in_one_line() {
    let error = outcome(&aws(&["Scan", "Query", "ListSubscriptionsByTopic"], LISTED).await).await.unwrap_err();
    let calls = format!(
        "dynamodb:Query on table messages, dynamodb:Scan on table nodes, sns:ListSubscriptionsByTopic on {TOPIC}: "
    );
    assert!(error.contains(&calls) && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named() {
    let missing = "<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code>\
                   <Message>Topic does not exist</Message></Error></ErrorResponse>";
    let error = outcome(&aws(&[], (404, missing)).await).await.unwrap_err();
    assert_eq!(error, format!("topic {TOPIC} does not exist: deploy it, or correct --topic-arn"));
}

#[tokio::test]
async fn a_service_that_is_out_of_order_is_no_missing_permission() {
    assert_eq!(outcome(&aws(&[], (500, "")).await).await, Ok(()));
    assert_eq!(outcome(&configured("http://127.0.0.1:1")).await, Ok(()));
}

#[tokio::test]
async fn asking_changes_nothing() {
    let dynamo = EmbeddedDynamo::start().await;
    let names = fresh_names();
    ensure_tables(&dynamo.client, &names, true).await.unwrap();
    for outcome in join_all(table_calls(&dynamo.client, &names)).await {
        assert!(matches!(outcome, Outcome::Fine));
    }
    for table in [&names.messages, &names.nodes] {
        assert_eq!(dynamo.client.scan().table_name(table).send().await.unwrap().count(), 0);
    }
}

#[tokio::test]
async fn region_and_credentials_are_asked_for_first() {
    let told = async |aws: &SdkConfig| check_account(aws, &topics()).await.map_err(|error| error.to_string());
    let whole = configured("http://127.0.0.1:1");
    assert_eq!(told(&whole).await, Ok(()));
    let bare = SdkConfig::builder().build();
    assert_eq!(told(&bare).await.unwrap_err(), "no AWS region is configured: set AWS_REGION");
    let elsewhere = whole.to_builder().region(Region::from_static("eu-west-1")).build();
    let shown = format!("topic {TOPIC} is not in the region eu-west-1 that this node is configured for (AWS_REGION)");
    assert_eq!(told(&elsewhere).await.unwrap_err(), shown);
    let anonymous = SdkConfig::builder().region(Region::from_static("us-east-1")).build();
    assert_eq!(told(&anonymous).await.unwrap_err(), "no AWS credentials: none are configured");
}
