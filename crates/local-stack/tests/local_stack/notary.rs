//! `POST /_local/notarize`: posts for those who play SNS themselves, judged by what judges posts in a node.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use local_stack::faults::SnsFaults;
use local_stack::ports;
use local_stack::sns::{SignatureVersion, Sns, SnsOptions};
use protocol::Envelope;
use serde_json::Value;
use ws_server::backplane::certificate::{CertificatePolicy, CertificateStore, HttpsFetcher, StoreLimits, TrustRoots};
use ws_server::backplane::{Endpoint, EndpointSecret, EndpointSettings, EnvelopeSink, Overloaded, WallClock};

const ENVELOPE: &str = include_str!("../../../protocol/fixtures/envelope.json");

async fn sns() -> (Sns, String) {
    let port = || ports::take(0, "test", "none").unwrap();
    let options = SnsOptions {
        listener: port(),
        certificate_listener: port(),
        faults: SnsFaults::default().into(),
        seed: 1,
        local_routes: axum::Router::new(),
    };
    let sns = Sns::start(options).await.unwrap();
    let topic = sns.create_topic("roomcast", SignatureVersion::V1).unwrap();
    (sns, topic)
}

/// The status and the body of the answer.
async fn notarize(sns: &Sns, query: &str, text: impl Into<Bytes>) -> (u16, Bytes) {
    let http = HttpClient::builder(TokioExecutor::new()).build_http();
    let url = format!("{}/_local/notarize{query}", sns.url());
    let answer = http.request(Request::post(url).body(Full::new(text.into())).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
}

#[derive(Default)]
struct Delivered(Mutex<Vec<Envelope>>);

impl EnvelopeSink for Delivered {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        self.0.lock().unwrap().push(envelope);
        Ok(())
    }
}

/// A node's endpoint, told of this SNS as a node is: `--sns-cert-origin` and `--sns-trust-root`.
fn endpoint(sns: &Sns, topic: &str) -> (Endpoint, Arc<Delivered>) {
    let topics = vec![topic.parse().unwrap()];
    let clock: WallClock = Arc::new(SystemTime::now);
    let policy = CertificatePolicy::for_topics(&topics)
        .with_origin(sns.certificate_origin().parse().unwrap())
        .with_roots(TrustRoots::from_pem(sns.authority().root_pem().as_bytes()).unwrap());
    let fetcher = Arc::new(HttpsFetcher::new(policy.roots()).unwrap());
    let certificates = CertificateStore::new(policy, fetcher, Arc::clone(&clock), StoreLimits::default());
    let sink = Arc::new(Delivered::default());
    let settings = EndpointSettings {
        topics,
        secret: EndpointSecret::random(),
        certificates,
        sink: Arc::clone(&sink) as Arc<dyn EnvelopeSink>,
        clock,
    };
    (Endpoint::new(settings).0, sink)
}

#[tokio::test]
async fn what_it_signs_is_believed_by_a_node_as_it_is_and_in_no_other_form() {
    let (sns, topic) = sns().await;
    let (endpoint, delivered) = endpoint(&sns, &topic);
    let (status, post) = notarize(&sns, &format!("?TopicArn={topic}"), ENVELOPE).await;
    assert_eq!(status, 200);
    assert_eq!(endpoint.receive(&post).await, 200);
    assert_eq!(*delivered.0.lock().unwrap(), [Envelope::parse(ENVELOPE).unwrap()]);

    let fields: Value = serde_json::from_slice(&post).unwrap();
    assert_eq!((&fields["Type"], &fields["SignatureVersion"]), (&"Notification".into(), &"2".into()));
    let (_, other) = notarize(&sns, &format!("?TopicArn={topic}"), ENVELOPE).await;
    let other: Value = serde_json::from_slice(&other).unwrap();
    for name in ["MessageId", "Signature"] {
        assert_ne!(fields[name], other[name], "each text is a message of its own");
        let mut forged = fields.clone();
        forged[name] = other[name].clone();
        assert_eq!(endpoint.receive(forged.to_string().as_bytes()).await, 403, "{name}");
    }
    let counts = endpoint.stats().counts();
    assert_eq!((counts.accepted, counts.forged, delivered.0.lock().unwrap().len()), (1, 2, 1));
    sns.stop().await;
}

#[tokio::test]
async fn what_sns_would_not_publish_is_not_signed_and_the_answer_says_why_in_a_line() {
    let (sns, topic) = sns().await;
    let ours = format!("?TopicArn={topic}");
    let elsewhere = ours.replace("roomcast", "nowhere");
    let largest = 256 * 1024;
    for (query, text, status, why) in [
        ("", "text".into(), 400, "TopicArn"),
        ("?TopicArn=rooms", "text".into(), 400, "not the ARN of a topic"),
        (&elsewhere, "text".into(), 404, "Topic does not exist"),
        (&ours, String::new(), 400, "Empty message"),
        (&ours, "x".repeat(largest + 1), 400, "Message too long"),
    ] {
        let (answered, said) = notarize(&sns, query, text).await;
        let said = str::from_utf8(&said).unwrap();
        assert!(answered == status && said.contains(why) && said.lines().count() == 1, "{query}: {answered} {said}");
    }
    let (answered, said) = notarize(&sns, &ours, &b"\xff"[..]).await;
    assert!(answered == 400 && said.windows(5).any(|five| five == b"UTF-8"), "{answered} {said:?}");
    assert_eq!(notarize(&sns, &ours, "x".repeat(largest)).await.0, 200, "256 KiB just fit");
    assert_eq!(sns.deliveries().attempts(), 0, "nothing of it was published");
    sns.stop().await;
}
