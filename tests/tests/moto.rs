//! Posts that another implementation of SNS has signed: moto, whose server really signs (version 2).
//!
//! Everything between a post's bytes and the rooms is the server's own: URL, certificate, signature, topic, time. Only
//! the fetch is not TLS, because moto serves the certificate over plain HTTP, whatever the URL says. The certificate is
//! signed by its own key under the name of Amazon's intermediate: a leaf on its own, as AWS serves it.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use protocol::Envelope;
use serde_json::Value;
use tests::aws_query::{authorization, element, query};
use tests::sns::Listener;
use tests::{Process, eventually, http, parts, ports};
use ws_server::backplane::certificate::{
    CertificatePolicy, CertificateStore, CertificateUrl, FetchCertificate, FetchError, StoreLimits,
};
use ws_server::backplane::{Endpoint, EndpointSecret, EndpointSettings, EnvelopeSink, Overloaded};

/// The message that is published: an envelope as the publisher writes it.
const ENVELOPE: &str = include_str!("../../crates/protocol/fixtures/envelope.json");

/// A running moto.
struct Moto {
    url: String,
    _process: Process,
}

impl Moto {
    async fn start() -> Self {
        let port = ports::free(1);
        let arguments = ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
        let process = Process::start_at(&parts::part("python/bin/moto_server", "test-sns-moto"), &arguments, &[]);
        let url = format!("http://127.0.0.1:{port}");
        let health = format!("{url}/moto-api/data.json");
        eventually("moto answers", || async { http::get(&health).await.is_ok_and(|answer| answer.status == 200) })
            .await;
        Self { url, _process: process }
    }

    async fn sns(&self, action: &str, fields: &[(&str, &str)]) -> String {
        query(&self.url, "sns", "2010-03-31", action, fields).await
    }

    /// A new topic.
    async fn topic(&self, name: &str) -> String {
        let answer = self.sns("CreateTopic", &[("Name", name)]).await;
        element(&answer, "TopicArn").unwrap().to_owned()
    }

    /// The post that a subscriber gets of a message to that topic.
    async fn post(&self, topic: &str, message: &str) -> Value {
        let (mut listener, url) = Listener::open().await;
        let made = self.sns("Subscribe", &[("TopicArn", topic), ("Protocol", "http"), ("Endpoint", &url)]).await;
        self.sns("Publish", &[("TopicArn", topic), ("Message", message)]).await;
        let post = listener.next("Notification").await;
        self.sns("Unsubscribe", &[("SubscriptionArn", element(&made, "SubscriptionArn").unwrap())]).await;
        post
    }

    /// An endpoint for these topics with the roots and names of production.
    fn endpoint(&self, topic: &str) -> (Endpoint, Arc<Delivered>) {
        let topics = vec![topic.parse().unwrap()];
        let clock: ws_server::backplane::WallClock = Arc::new(SystemTime::now);
        let fetcher = Arc::new(OverHttp { moto: self.url.clone() });
        let policy = CertificatePolicy::for_topics(&topics);
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
}

/// Fetches a certificate from moto, which tells by the request's signature whose it is.
struct OverHttp {
    moto: String,
}

impl FetchCertificate for OverHttp {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> BoxFuture<'a, Result<bytes::Bytes, FetchError>> {
        async move {
            let url = url.to_string();
            let path = url.strip_prefix("https://sns.us-east-1.amazonaws.com").unwrap();
            let authorization = authorization("sns");
            let headers = [("authorization", authorization.as_str())];
            let answer = http::request("GET", &format!("{}{path}", self.moto), &headers, b"").await;
            let answer = answer.map_err(|error| FetchError::Failed(error.to_string()))?;
            if answer.status == 200 { Ok(answer.body) } else { Err(FetchError::Status(answer.status)) }
        }
        .boxed()
    }
}

#[derive(Default)]
struct Delivered(Mutex<Vec<Envelope>>);

impl EnvelopeSink for Delivered {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        self.0.lock().unwrap().push(envelope);
        Ok(())
    }
}

async fn judged(endpoint: &Endpoint, post: &Value) -> u16 {
    endpoint.receive(post.to_string().as_bytes()).await.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_another_implementation_has_signed_is_taken_and_delivers_its_envelope() {
    let moto = Moto::start().await;
    let topic = moto.topic("rooms").await;
    let (endpoint, delivered) = moto.endpoint(&topic);
    let post = moto.post(&topic, ENVELOPE).await;
    assert_eq!(post["SignatureVersion"], "2");
    assert_eq!(judged(&endpoint, &post).await, 200);
    assert_eq!(*delivered.0.lock().unwrap(), [Envelope::parse(ENVELOPE).unwrap()]);

    let other_text = moto.post(&topic, "zwei\nZeilen \"und\" ü").await;
    assert_eq!(judged(&endpoint, &other_text).await, 200, "genuine, though no envelope");
    assert_eq!(judged(&endpoint, &post).await, 200, "a repeat");
    let counts = endpoint.stats().counts();
    assert_eq!((counts.accepted, counts.unreadable_envelopes, counts.repeated, counts.forged), (1, 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_changed_in_any_signed_field_is_refused_and_delivers_nothing() {
    let moto = Moto::start().await;
    let topic = moto.topic("rooms").await;
    let (endpoint, delivered) = moto.endpoint(&topic);
    let post = moto.post(&topic, ENVELOPE).await;
    let other = moto.post(&topic, "another message").await;
    for (field, value) in [
        ("Message", ENVELOPE.replacen("\"seq\":", "\"seq\":1", 1).into()),
        ("MessageId", Value::from("00000000-0000-4000-8000-000000000000")),
        ("Timestamp", a_millisecond_off(post["Timestamp"].as_str().unwrap()).into()),
        ("Subject", "a subject that was not signed".into()),
        ("Signature", other["Signature"].clone()),
        ("SignatureVersion", "1".into()),
        ("SigningCertURL", "https://sns.us-east-1.amazonaws.com.evil.test/a.pem".into()),
    ] {
        let mut forged = post.clone();
        assert_ne!(forged[field], value, "{field} is changed");
        forged[field] = value;
        assert_eq!(judged(&endpoint, &forged).await, 403, "{field}");
    }
    let elsewhere = moto.topic("elsewhere").await;
    assert_eq!(judged(&endpoint, &moto.post(&elsewhere, ENVELOPE).await).await, 403, "of another topic");
    assert!(delivered.0.lock().unwrap().is_empty());
    assert_eq!(judged(&endpoint, &post).await, 200, "what was not changed is still genuine");
}

/// The same second, another millisecond.
fn a_millisecond_off(timestamp: &str) -> String {
    let (second, millisecond) = timestamp.trim_end_matches('Z').split_once('.').unwrap();
    format!("{second}.{:03}Z", (millisecond.parse::<u32>().unwrap() + 1) % 1_000)
}
