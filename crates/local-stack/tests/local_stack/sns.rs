//! SNS through the SDK on one side and an HTTP endpoint on the other.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_sns::Client;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use local_stack::faults::{Faults, SnsFaults};
use local_stack::ports;
use local_stack::sdk_config::local_sdk_config;
use local_stack::sns::{SignatureVersion, Sns, SnsOptions};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::endpoint::{Endpoint, Post};

struct World {
    sns: Sns,
    client: Client,
    topic: String,
}

async fn world(version: SignatureVersion, faults: SnsFaults) -> World {
    let port = || ports::take(0, "test", "none").unwrap();
    let options = SnsOptions {
        listener: port(),
        certificate_listener: port(),
        faults: faults.into(),
        seed: 1,
        local_routes: axum::Router::new(),
    };
    let sns = Sns::start(options).await.unwrap();
    let topic = sns.create_topic("roomcast", version).unwrap();
    let client = Client::new(&local_sdk_config("http://127.0.0.1:9", &sns.url()));
    World { sns, client, topic }
}

async fn healthy() -> World {
    world(SignatureVersion::V2, SnsFaults::default()).await
}

fn faults(text: &str) -> SnsFaults {
    Faults::parse(&[text]).unwrap().sns
}

impl World {
    /// Subscribes the endpoint with this policy and confirms as a node does; the subscription's ARN.
    async fn subscribe(&self, endpoint: &mut Endpoint, policy: &str) -> String {
        let answer = self
            .client
            .subscribe()
            .topic_arn(&self.topic)
            .protocol("http")
            .endpoint(&endpoint.url)
            .attributes("DeliveryPolicy", policy)
            .return_subscription_arn(true)
            .send()
            .await
            .unwrap();
        let arn = answer.subscription_arn.unwrap();
        let confirmation = endpoint.next().await;
        assert_eq!(confirmation.field("Type"), "SubscriptionConfirmation");
        let confirmed = self
            .client
            .confirm_subscription()
            .topic_arn(&self.topic)
            .token(confirmation.field("Token"))
            .authenticate_on_unsubscribe("true")
            .send()
            .await
            .unwrap();
        assert_eq!(confirmed.subscription_arn.as_deref(), Some(arn.as_str()));
        arn
    }

    async fn publish(&self, message: &str) -> String {
        let published = self.client.publish().topic_arn(&self.topic).message(message).send().await.unwrap();
        published.message_id.unwrap()
    }

    /// Checks the signature the way a receiver has to: certificate by HTTPS, its chain and name, the signed text.
    async fn verify(&self, post: &Post) {
        let url = post.field("SigningCertURL");
        assert!(url.starts_with(&self.sns.certificate_origin()), "{url}");
        let tls = self.sns.authority().client_config().unwrap();
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        let http = HttpClient::builder(TokioExecutor::new()).build::<_, Empty<bytes::Bytes>>(connector.build());
        let pem = http.get(url.parse().unwrap()).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let der = CertificateDer::from_pem_slice(&pem).unwrap();

        let root = CertificateDer::from_pem_slice(self.sns.authority().root_pem().as_bytes()).unwrap();
        let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
        let certificate = webpki::EndEntityCert::try_from(&der).unwrap();
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[anchor],
                &[],
                UnixTime::since_unix_epoch(SystemTime::UNIX_EPOCH.elapsed().unwrap()),
                webpki::KeyUsage::server_auth(),
                None,
                None,
            )
            .unwrap();
        certificate.verify_is_valid_for_subject_name(&ServerName::try_from("sns.amazonaws.com").unwrap()).unwrap();

        let algorithm: &dyn ring::signature::VerificationAlgorithm = match post.field("SignatureVersion") {
            "1" => &ring::signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            _ => &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        };
        let names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
        let text = names
            .iter()
            .filter_map(|name| Some(format!("{name}\n{}\n", post.body[name].as_str()?)))
            .collect::<String>();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let key = parsed.public_key().subject_public_key.data.as_ref();
        let signature = STANDARD.decode(post.field("Signature")).unwrap();
        let key = ring::signature::UnparsedPublicKey::new(algorithm, key);
        key.verify(text.as_bytes(), &signature).expect("the signature is good");
        key.verify(b"something else", &signature).expect_err("for this text only");
    }
}

const FAST: &str = r#"{"healthyRetryPolicy":{"numRetries":4,"numNoDelayRetries":3,"minDelayTarget":1,
    "maxDelayTarget":1,"numMaxDelayRetries":1}}"#;

#[tokio::test]
async fn what_was_counted_can_be_asked_for() {
    let world = healthy().await;
    let mut endpoint = Endpoint::answering(&[]).await;
    world.subscribe(&mut endpoint, FAST).await;
    for text in ["one", "é"] {
        world.publish(text).await;
        endpoint.next().await;
    }
    world.sns.show_counts("other", || serde_json::json!({ "seven": 7 }));
    let http = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let url: hyper::Uri = format!("{}/_local/stats", world.sns.url()).parse().unwrap();
    let stats = loop {
        let answer = http.get(url.clone()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        let stats: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        // A delivery is counted just after its endpoint has it: the confirmation and two notifications.
        if stats["sns"]["delivered"] == 3 {
            break stats;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let sns = serde_json::json!({"messages": 2, "message_bytes": 5, "delivered": 3, "attempts": 3, "failed": 0,
        "dropped": 0, "repeated": 0, "refused": 0});
    assert_eq!(stats, serde_json::json!({ "sns": sns, "other": { "seven": 7 } }));
}

#[tokio::test]
async fn a_confirmed_endpoint_gets_signed_notifications_in_the_form_of_aws() {
    for version in [SignatureVersion::V1, SignatureVersion::V2] {
        let world = world(version, SnsFaults::default()).await;
        let mut endpoint = Endpoint::answering(&[]).await;
        let subscribe = world.client.subscribe().topic_arn(&world.topic).protocol("http").endpoint(&endpoint.url);
        let answer = subscribe.send().await.unwrap();
        assert_eq!(answer.subscription_arn.as_deref(), Some("pending confirmation"));
        let confirmation = endpoint.next().await;
        assert_eq!(confirmation.header("x-amz-sns-message-type"), Some("SubscriptionConfirmation"));
        assert_eq!(confirmation.header("x-amz-sns-subscription-arn"), None);
        assert_eq!(confirmation.field("SignatureVersion"), version.as_str());
        world.verify(&confirmation).await;

        let arn = world.subscribe(&mut endpoint, "{}").await;
        let text = "{\"v\":1,\"text\":\"<&> \u{1f980} \\\"quoted\\\"\"}";
        let id = world.publish(text).await;
        let post = endpoint.next().await;
        for (header, value) in [
            ("content-type", "text/plain; charset=UTF-8"),
            ("user-agent", "Amazon Simple Notification Service Agent"),
            ("x-amz-sns-message-type", "Notification"),
            ("x-amz-sns-message-id", &id),
            ("x-amz-sns-topic-arn", &world.topic),
            ("x-amz-sns-subscription-arn", &arn),
        ] {
            assert_eq!(post.header(header), Some(value), "{header}");
        }
        assert_eq!((post.field("Message"), post.field("MessageId")), (text, id.as_str()));
        assert!(post.field("UnsubscribeURL").contains("Action=Unsubscribe"));
        assert!(post.body.get("Subject").is_none() && post.body.get("Token").is_none());
        world.verify(&post).await;
        world.sns.stop().await;
    }
}

#[tokio::test]
async fn every_entry_of_a_batch_is_delivered_to_every_endpoint_and_bad_ones_fail_alone() {
    let world = healthy().await;
    let (mut one, mut two) = (Endpoint::answering(&[]).await, Endpoint::answering(&[]).await);
    world.subscribe(&mut one, "{}").await;
    world.subscribe(&mut two, "{}").await;
    let entry = |id: &str, message: &str| PublishBatchRequestEntry::builder().id(id).message(message).build().unwrap();
    let batch = world
        .client
        .publish_batch()
        .topic_arn(&world.topic)
        .publish_batch_request_entries(entry("a", "first"))
        .publish_batch_request_entries(entry("bad", ""))
        .publish_batch_request_entries(entry("c", "third"))
        .send()
        .await
        .unwrap();
    let ids = batch.successful().iter().map(|s| (s.id().unwrap(), s.message_id().unwrap())).collect::<Vec<_>>();
    assert_eq!(ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!((batch.failed()[0].id(), batch.failed()[0].sender_fault()), ("bad", true));
    for endpoint in [&mut one, &mut two] {
        let posts = [endpoint.next().await, endpoint.next().await];
        let texts = posts.iter().map(|post| post.field("Message")).collect::<BTreeSet<_>>();
        assert_eq!(texts, BTreeSet::from(["first", "third"]));
        let delivered = posts.iter().map(|post| post.field("MessageId")).collect::<BTreeSet<_>>();
        assert_eq!(delivered, ids.iter().map(|(_, id)| *id).collect());
    }
}

#[tokio::test]
async fn server_errors_and_429_are_tried_again_with_the_same_message_id_as_the_policy_says() {
    let world = healthy().await;
    let mut endpoint = Endpoint::answering(&[503, 429, 500, 503]).await;
    world.subscribe(&mut endpoint, FAST).await;
    let id = world.publish("again").await;
    let mut posts = Vec::new();
    for _ in 0..5 {
        posts.push(endpoint.next().await);
    }
    assert!(posts.iter().all(|post| post.field("MessageId") == id));
    assert!(posts[3].at - posts[0].at < Duration::from_millis(700), "three retries without delay");
    assert!(posts[4].at - posts[3].at >= Duration::from_secs(1), "then one after a second");
    assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none(), "accepted means done");
    assert_eq!((world.sns.deliveries().attempts(), world.sns.deliveries().failed()), (6, 0));
}

#[tokio::test]
async fn every_other_answer_is_final_and_the_subscription_stays() {
    let world = healthy().await;
    for status in [404, 400, 302] {
        let mut endpoint = Endpoint::answering(&[status]).await;
        let arn = world.subscribe(&mut endpoint, FAST).await;
        world.publish("lost").await;
        assert_eq!(endpoint.next().await.field("Message"), "lost");
        assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none(), "{status} is not tried again");
        world.publish("next").await;
        assert_eq!(endpoint.next().await.field("Message"), "next");
        world.client.unsubscribe().subscription_arn(arn).send().await.unwrap();
    }
    assert_eq!(world.sns.deliveries().failed(), 3);
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_is_given_up_after_its_retries() {
    let world = healthy().await;
    let mut endpoint = Endpoint::answering(&[]).await;
    let arn = world.subscribe(&mut endpoint, "{}").await;
    let gone = Endpoint::answering(&[]).await.url.replace("/secret", "/gone");
    assert_ne!(gone, endpoint.url);
    let policy = r#"{"healthyRetryPolicy":{"numRetries":2,"numNoDelayRetries":2}}"#;
    let set = world.client.set_subscription_attributes().subscription_arn(&arn);
    set.attribute_name("DeliveryPolicy").attribute_value(policy).send().await.unwrap();
    let shown = world.client.get_subscription_attributes().subscription_arn(&arn).send().await.unwrap();
    let shown = shown.attributes.unwrap();
    assert_eq!(shown["DeliveryPolicy"], policy);
    assert_eq!(
        (shown["PendingConfirmation"].as_str(), shown["ConfirmationWasAuthenticated"].as_str()),
        ("false", "true")
    );
    let before = world.sns.deliveries().attempts();

    // A port that was free a moment ago: the connection is refused.
    let free = ports::take(0, "test", "none").unwrap().local_addr().unwrap();
    let subscribe = world.client.subscribe().topic_arn(&world.topic).protocol("http");
    let subscribe = subscribe.endpoint(format!("http://{free}/")).attributes("DeliveryPolicy", policy);
    subscribe.send().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while world.sns.deliveries().failed() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the confirmation is given up");
    assert_eq!(world.sns.deliveries().attempts() - before, 3, "confirmations are retried as well");
}

#[tokio::test]
async fn errors_reach_the_sdk_with_their_types() {
    let World { client, topic, sns } = healthy().await;
    let no_topic = topic.replace("roomcast", "nowhere");
    let error = client.publish().topic_arn(&no_topic).message("m").send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error:?}");
    let error = client.get_topic_attributes().topic_arn(&no_topic).send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error:?}");
    let long = "x".repeat(256 * 1024 + 1);
    let error = client.publish().topic_arn(&topic).message(&long).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    let error = client.confirm_subscription().topic_arn(&topic).token("no").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());
    let subscribe = client.subscribe().topic_arn(&topic).protocol("http").endpoint("http://127.0.0.1:9/");
    let error = subscribe.clone().attributes("DeliveryPolicy", "{\"x\":1}").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());
    let error = subscribe.attributes("FilterPolicy", "{}").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());

    let batch = |messages: &[(&str, &str)]| {
        let entries = messages
            .iter()
            .map(|(id, text)| PublishBatchRequestEntry::builder().id(*id).message(*text).build().unwrap())
            .collect();
        client.publish_batch().topic_arn(&topic).set_publish_batch_request_entries(Some(entries)).send()
    };
    let half = "x".repeat(128 * 1024 + 1);
    assert!(
        batch(&[("a", "1"), ("a", "2")])
            .await
            .unwrap_err()
            .into_service_error()
            .is_batch_entry_ids_not_distinct_exception()
    );
    assert!(
        batch(&[("a", &half), ("b", &half)])
            .await
            .unwrap_err()
            .into_service_error()
            .is_batch_request_too_long_exception()
    );
    assert!(batch(&[("a b", "1")]).await.unwrap_err().into_service_error().is_invalid_batch_entry_id_exception());
    assert!(batch(&[]).await.unwrap_err().into_service_error().is_empty_batch_request_exception());
    let ids = (0..11).map(|n| n.to_string()).collect::<Vec<_>>();
    let eleven = ids.iter().map(|id| (id.as_str(), "m")).collect::<Vec<_>>();
    assert!(batch(&eleven).await.unwrap_err().into_service_error().is_too_many_entries_in_batch_request_exception());
    let full = "x".repeat(256 * 1024);
    assert_eq!(batch(&[("a", &full)]).await.unwrap().successful().len(), 1, "256 KiB just fit");
    sns.stop().await;
}

#[tokio::test]
async fn topics_and_subscriptions_are_listed_as_they_are() {
    let world = healthy().await;
    let mut endpoint = Endpoint::answering(&[]).await;
    let arn = world.subscribe(&mut endpoint, "{}").await;
    let mut pending = Endpoint::answering(&[]).await;
    let subscribe = world.client.subscribe().topic_arn(&world.topic).protocol("http").endpoint(&pending.url);
    let first = subscribe.clone().return_subscription_arn(true).send().await.unwrap().subscription_arn;
    let again = subscribe.return_subscription_arn(true).send().await.unwrap().subscription_arn;
    assert_eq!(first, again);
    let tokens = [pending.next().await, pending.next().await];
    assert_eq!(tokens[0].field("Token"), tokens[1].field("Token"));

    let listed = world.client.list_subscriptions_by_topic().topic_arn(&world.topic).send().await.unwrap();
    let listed = listed.subscriptions().iter().map(|s| (s.endpoint().unwrap(), s.subscription_arn().unwrap()));
    let expected = [(endpoint.url.as_str(), arn.as_str()), (pending.url.as_str(), "PendingConfirmation")];
    assert_eq!(listed.collect::<BTreeSet<_>>(), BTreeSet::from(expected));

    let create = world.client.create_topic().name("other").attributes("SignatureVersion", "2");
    let other = create.send().await.unwrap().topic_arn.unwrap();
    let shown = world.client.get_topic_attributes().topic_arn(&other).send().await.unwrap().attributes.unwrap();
    assert_eq!(shown["SignatureVersion"], "2");
    let shown = world.client.get_topic_attributes().topic_arn(&world.topic).send().await.unwrap().attributes.unwrap();
    assert_eq!((shown["SubscriptionsConfirmed"].as_str(), shown["SubscriptionsPending"].as_str()), ("1", "1"));
}

#[tokio::test]
async fn the_unsubscribe_link_of_a_notification_is_no_way_round_a_signed_request() {
    let world = healthy().await;
    let mut endpoint = Endpoint::answering(&[]).await;
    let arn = world.subscribe(&mut endpoint, "{}").await;
    world.publish("one").await;
    let link = endpoint.next().await.field("UnsubscribeURL").to_owned();
    let http = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    assert_eq!(http.get(link.parse().unwrap()).await.unwrap().status(), 403);
    world.publish("two").await;
    assert_eq!(endpoint.next().await.field("Message"), "two");
    world.client.unsubscribe().subscription_arn(&arn).send().await.unwrap();
    world.publish("three").await;
    assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none());
}

#[tokio::test]
async fn a_publish_that_fails_on_request_sends_nothing() {
    let failing = world(SignatureVersion::V2, faults("sns.fail=1")).await;
    let mut endpoint = Endpoint::answering(&[]).await;
    failing.subscribe(&mut endpoint, "{}").await;
    let publish = failing.client.publish().topic_arn(&failing.topic).message("unsent").send().await;
    assert!(format!("{:?}", publish.unwrap_err()).contains("fault sns.fail"));
    assert!(failing.sns.deliveries().refused() > 0, "the client tried more than once, perhaps");
    assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none());
}

#[tokio::test]
async fn faults_drop_repeat_and_reorder_notifications_but_not_confirmations() {
    let dropping = world(SignatureVersion::V2, faults("sns.drop=1")).await;
    let mut endpoint = Endpoint::answering(&[]).await;
    dropping.subscribe(&mut endpoint, "{}").await;
    dropping.publish("gone").await;
    assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none());
    assert_eq!(dropping.sns.deliveries().dropped(), 1);

    let repeating = world(SignatureVersion::V2, faults("sns.repeat=1")).await;
    let mut endpoint = Endpoint::answering(&[]).await;
    repeating.subscribe(&mut endpoint, "{}").await;
    let id = repeating.publish("twice").await;
    assert_eq!([endpoint.next().await.field("MessageId"), endpoint.next().await.field("MessageId")], [&id, &id]);
    assert!(endpoint.next_within(Duration::from_millis(200)).await.is_none());

    let delaying = world(SignatureVersion::V2, faults("sns.delay_ms=0..300")).await;
    let mut endpoint = Endpoint::answering(&[]).await;
    delaying.subscribe(&mut endpoint, "{}").await;
    for n in 0..20 {
        delaying.publish(&n.to_string()).await;
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        order.push(endpoint.next().await.field("Message").parse::<u32>().unwrap());
    }
    assert!(!order.is_sorted(), "20 delays between 0 and 300 ms reorder: {order:?}");
    order.sort_unstable();
    assert_eq!(order, (0..20).collect::<Vec<_>>(), "and lose nothing");
}
