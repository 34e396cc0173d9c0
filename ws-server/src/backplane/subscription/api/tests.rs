//! The calls as they leave: the AWS SDK talks to a server that answers as SNS does (query protocol, XML).

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_sdk_sns::config::{BehaviorVersion, Region, retry::RetryConfig};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde_json::Value;

use super::*;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:rooms";
const ARN: &str = "arn:aws:sns:us-east-1:123456789012:rooms:1";

type Form = Vec<(String, String)>;

struct Sns {
    api: SnsApi,
    forms: Arc<Mutex<Vec<Form>>>,
}

impl Sns {
    /// Answers every call with this status and body.
    async fn answering(status: u16, body: String) -> Self {
        let forms: Arc<Mutex<Vec<Form>>> = Arc::default();
        let seen = Arc::clone(&forms);
        let answer = move |State(forms): State<Arc<Mutex<Vec<Form>>>>, text: String| async move {
            let uri = format!("http://sns/?{text}").parse().unwrap();
            let Query(form) = Query::<Form>::try_from_uri(&uri).unwrap();
            forms.lock().unwrap().push(form);
            (StatusCode::from_u16(status).unwrap(), body)
        };
        let router = Router::new().fallback(answer).with_state(seen);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "s", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://{address}"))
            .build();
        Self { api: SnsApi::new(Client::from_conf(config)), forms }
    }

    fn field(&self, name: &str) -> Option<String> {
        let forms = self.forms.lock().unwrap();
        forms[0].iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    }
}

fn result(action: &str, content: &str) -> String {
    format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>")
}

fn error(code: &str) -> String {
    format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>")
}

fn topic() -> TopicArn {
    TOPIC.parse().unwrap()
}

#[tokio::test]
async fn subscribe_asks_for_the_arn_and_brings_the_delivery_policy() {
    for (endpoint, protocol) in [("http://h/sns/x", "http"), ("https://h/sns/x", "https")] {
        let arn = format!("<SubscriptionArn>{ARN}</SubscriptionArn>");
        let sns = Sns::answering(200, result("Subscribe", &arn)).await;
        assert_eq!(sns.api.subscribe(&topic(), endpoint).await, Ok(Some(ARN.to_owned())));
        for (name, value) in [
            ("Action", "Subscribe"),
            ("TopicArn", TOPIC),
            ("Protocol", protocol),
            ("Endpoint", endpoint),
            ("ReturnSubscriptionArn", "true"),
            ("Attributes.entry.1.key", "DeliveryPolicy"),
            ("Attributes.entry.1.value", DELIVERY_POLICY),
        ] {
            assert_eq!(sns.field(name).as_deref(), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn an_arn_that_is_none_is_not_taken_for_one() {
    let pending = "<SubscriptionArn>pending confirmation</SubscriptionArn>";
    let sns = Sns::answering(200, result("Subscribe", pending)).await;
    assert_eq!(sns.api.subscribe(&topic(), "http://h/sns/x").await, Ok(None));
}

#[tokio::test]
async fn confirm_lets_nobody_but_the_owner_unsubscribe() {
    let arn = format!("<SubscriptionArn>{ARN}</SubscriptionArn>");
    let sns = Sns::answering(200, result("ConfirmSubscription", &arn)).await;
    assert_eq!(sns.api.confirm(&topic(), "token").await, Ok(ARN.to_owned()));
    for (name, value) in [("Action", "ConfirmSubscription"), ("Token", "token"), ("AuthenticateOnUnsubscribe", "true")]
    {
        assert_eq!(sns.field(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn the_status_is_read_from_the_attributes() {
    for (pending, status) in [("false", SubscriptionStatus::Confirmed), ("true", SubscriptionStatus::Pending)] {
        let attributes =
            format!("<Attributes><entry><key>PendingConfirmation</key><value>{pending}</value></entry></Attributes>");
        let sns = Sns::answering(200, result("GetSubscriptionAttributes", &attributes)).await;
        assert_eq!(sns.api.status(ARN).await, Ok(status));
        assert_eq!(sns.field("SubscriptionArn").as_deref(), Some(ARN));
    }
    let sns = Sns::answering(404, error("NotFound")).await;
    assert_eq!(sns.api.status(ARN).await, Ok(SubscriptionStatus::Gone));
}

#[tokio::test]
async fn unsubscribe_names_the_subscription() {
    let sns = Sns::answering(200, "<UnsubscribeResponse/>".to_owned()).await;
    assert_eq!(sns.api.unsubscribe(ARN).await, Ok(()));
    assert_eq!(sns.field("SubscriptionArn").as_deref(), Some(ARN));
}

#[tokio::test]
async fn a_refusal_is_told_from_a_failure() {
    let sns = Sns::answering(400, error("InvalidParameter")).await;
    assert!(matches!(sns.api.confirm(&topic(), "old").await, Err(CallError::Refused(_))));
    let sns = Sns::answering(403, error("AuthorizationError")).await;
    assert_eq!(sns.api.confirm(&topic(), "t").await, Err(CallError::Denied("AuthorizationError: m".to_owned())));
    let sns = Sns::answering(404, error("NotFound")).await;
    assert_eq!(sns.api.subscribe(&topic(), "http://h/").await, Err(CallError::Missing("NotFound: m".to_owned())));
    for (status, code) in [(500, "InternalError"), (400, "Throttling")] {
        let sns = Sns::answering(status, error(code)).await;
        assert!(matches!(sns.api.confirm(&topic(), "t").await, Err(CallError::Failed(_))), "{code}");
        assert!(matches!(sns.api.status(ARN).await, Err(CallError::Failed(_))), "{code}");
    }
}

#[test]
fn the_delivery_policy_keeps_to_the_rules_of_sns() {
    let policy: Value = serde_json::from_str(DELIVERY_POLICY).unwrap();
    let healthy = &policy["healthyRetryPolicy"];
    let number = |name: &str| healthy[name].as_u64().unwrap();
    let phases = number("numNoDelayRetries") + number("numMinDelayRetries") + number("numMaxDelayRetries");
    assert!(phases <= number("numRetries") && number("numRetries") <= 100);
    assert!(1 <= number("minDelayTarget") && number("minDelayTarget") <= number("maxDelayTarget"));
    assert!(number("numRetries") * number("maxDelayTarget") <= 3600);
}
