//! What SNS knows, asked as its users ask it.

use crate::{Stack, http};

/// One subscription of the stack's topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its ARN; `PendingConfirmation` while it is not confirmed.
    pub arn: String,
    /// Where it delivers to, secret path included.
    pub endpoint: String,
}

/// The subscriptions of the stack's topic.
///
/// # Panics
/// When SNS does not list them.
pub async fn subscriptions(stack: &Stack) -> Vec<Subscription> {
    let topic = stack.announced("topic_arn");
    let form = format!("Action=ListSubscriptionsByTopic&Version=2010-03-31&TopicArn={topic}");
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sns/aws4_request"),
    ];
    let response = http::post(stack.announced("sns"), &headers, form.as_bytes()).await.expect("SNS answers");
    assert_eq!(response.status, 200, "{}", response.text());
    let text = response.text();
    assert!(!text.contains("<NextToken>"), "more subscriptions than a test has");
    let members = text.split("<member>").skip(1);
    members
        .map(|member| Subscription {
            arn: element(member, "SubscriptionArn").to_owned(),
            endpoint: element(member, "Endpoint").to_owned(),
        })
        .collect()
}

/// The endpoint under which SNS delivers to the node at that URL, secret path included.
///
/// # Panics
/// When there is none.
pub async fn endpoint_of(stack: &Stack, node: &str) -> String {
    let all = subscriptions(stack).await;
    let found = all.iter().find(|subscription| subscription.endpoint.starts_with(&format!("{node}/")));
    found.unwrap_or_else(|| panic!("{node} is not among {all:?}")).endpoint.clone()
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = xml.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    inside.unwrap_or_else(|| panic!("no {name} in {xml}")).0
}
