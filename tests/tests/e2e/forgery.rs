use serde_json::{Value, json};
use tests::crowd::{room, text_body};
use tests::sns::{self, Listener};
use tests::{Crowd, Node, PATIENCE, Stack, StackOptions, eventually, http};

use crate::bystanders::Bystanders;

/// SNS says `text/plain`, whatever it posts.
async fn post(url: &str, body: &[u8]) -> u16 {
    let headers = [("content-type", "text/plain; charset=UTF-8")];
    http::post(url, &headers, body).await.expect("the node answers").status
}

fn with(genuine: &Value, field: &str, value: impl Into<Value>) -> Vec<u8> {
    let mut forged = genuine.clone();
    forged[field] = value.into();
    forged.to_string().into_bytes()
}

/// A genuine envelope, made to say that somebody said something else in a message that is still to come.
fn envelope_from_the_future(genuine: &Value) -> String {
    let mut envelope: Value = serde_json::from_str(genuine["Message"].as_str().unwrap()).unwrap();
    let segment = &mut envelope["segments"][0];
    let seq = segment["seq"].as_u64().unwrap() + segment["count"].as_u64().unwrap();
    segment["seq"] = seq.into();
    segment["messages"][0]["body"] = json!("forged");
    envelope.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_sns_did_not_sign_for_this_topic_are_refused_and_deliver_nothing() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let node = Node::start(&stack, &[]).await;
    let lobby = room("lobby");
    let endpoint = sns::endpoint_of(&stack, &node.url()).await;
    let mut listener = Listener::subscribe(&stack, stack.announced("topic_arn")).await;
    let mut bystanders = Bystanders::meet([&stack.ws(0), &node.ws()], &lobby).await;
    bystanders.chat().await;
    let genuine = listener.next("Notification").await;
    let forged_text = envelope_from_the_future(&genuine);

    assert_eq!(post(&endpoint, genuine.to_string().as_bytes()).await, 200, "SNS repeats itself: taken and dropped");
    for (body, why) in [
        (b"".to_vec(), "nothing"),
        (b"{".to_vec(), "no JSON"),
        (b"\xff\xfe".to_vec(), "no text"),
        (b"[]".to_vec(), "no object"),
        (b"{}".to_vec(), "no fields"),
        (with(&genuine, "Type", "Surprise"), "an unknown type"),
        (with(&genuine, "Message", 7), "a message that is no text"),
        (with(&genuine, "SignatureVersion", "3"), "an unknown signature"),
        (with(&genuine, "Timestamp", "yesterday"), "no time"),
        (with(&genuine, "Type", "SubscriptionConfirmation"), "a confirmation without a token"),
    ] {
        assert_eq!(post(&endpoint, &body).await, 400, "{why}");
    }
    for (body, why) in [
        (with(&genuine, "Message", forged_text.as_str()), "another message under a genuine signature"),
        (with(&genuine, "MessageId", "00000000-0000-4000-8000-000000000000"), "another id"),
        (with(&genuine, "Signature", "AAAA"), "another signature"),
        (with(&genuine, "Timestamp", "2020-01-01T00:00:00.000Z"), "an old one"),
        (with(&genuine, "SigningCertURL", "https://127.0.0.1:9/SimpleNotificationService-0.pem"), "another host"),
        (with(&genuine, "SigningCertURL", "http://sns.us-east-1.amazonaws.com/a.pem"), "not https"),
        (with(&genuine, "SigningCertURL", "https://sns.us-east-1.amazonaws.com.evil.test/a.pem"), "almost the host"),
        (with(&genuine, "TopicArn", "arn:aws:sns:us-east-1:000000000000:other"), "another topic"),
    ] {
        assert_eq!(post(&endpoint, &body).await, 403, "{why}");
    }
    assert_eq!(post(&endpoint, &vec![b'x'; 10 << 20]).await, 413, "ten megabytes");
    let wrong_secret = format!("{}/sns/{:032x}", node.url(), fastrand::u128(..));
    assert_eq!(post(&wrong_secret, genuine.to_string().as_bytes()).await, 404);
    assert_eq!(post(&format!("{}/sns/", node.url()), b"{}").await, 404);
    assert_eq!(http::get(&endpoint).await.unwrap().status, 405);

    bystanders.undisturbed().await;
    node.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_topic_of_the_same_sns_is_neither_confirmed_nor_heard() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let lobby = room("lobby");
    let crowd = Crowd::new();
    let ada = crowd.member(&stack.ws(0), &lobby).await;
    let endpoint = sns::endpoint_of(&stack, &stack.nodes()[0]).await;
    let mut ours = Listener::subscribe(&stack, stack.announced("topic_arn")).await;
    ada.publish(&lobby, tests::crowd::fresh_id(), text_body("the first one")).await;
    let forged_text = envelope_from_the_future(&ours.next("Notification").await);

    let other = sns::create_topic(&stack, "other").await;
    let mut theirs = Listener::subscribe(&stack, &other).await;
    // SNS itself asks the node: genuine in all but the topic.
    sns::subscribe(&stack, &other, &endpoint).await;
    sns::publish(&stack, &other, &forged_text).await;
    let notification = theirs.next("Notification").await;
    assert_eq!(post(&endpoint, notification.to_string().as_bytes()).await, 403, "genuine, of another topic");
    let mut question = notification;
    question["Type"] = "SubscriptionConfirmation".into();
    question["Token"] = "token".into();
    question["SubscribeURL"] = "http://127.0.0.1:9/".into();
    assert_eq!(post(&endpoint, question.to_string().as_bytes()).await, 403, "a confirmation of another topic");

    eventually("the node has been asked and has not confirmed", || async {
        let subscriptions = sns::subscriptions_of(&stack, &other).await;
        subscriptions.iter().any(|one| one.endpoint == endpoint && one.arn == "PendingConfirmation")
    })
    .await;
    let ben = crowd.member(&stack.ws(0), &lobby).await;
    assert_eq!(ada.say(&lobby, "the second one").await.get(), 2, "the forged one took no number");
    tokio::time::timeout(PATIENCE, ben.has_seen(&lobby, 1)).await.unwrap();
    let subscriptions = sns::subscriptions_of(&stack, &other).await;
    assert!(subscriptions.iter().any(|one| one.endpoint == endpoint && one.arn == "PendingConfirmation"));
    let report = crowd.verified().await;
    assert_eq!(report.messages, 2, "{report}");
    stack.stop().await;
}
