use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Request, header};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::backplane::certificate::{CertificatePolicy, CertificateUrl, FetchCertificate, FetchError, StoreLimits};
use crate::backplane::testing::{Signer, TOPIC, confirmation, notification, signer};
use crate::backplane::{BackplaneCounts, Overloaded};

const ENVELOPE: &str = r#"{"v":1,"segments":[{"room":"a","seq":5,"count":1,"epoch":"1.0","node":"n","expires":2000000000,"messages":[{"id":"i","from":"u","name":"U","at":1,"body":1}]}]}"#;

/// Counts fetches, and fails while told to.
#[derive(Default)]
struct Fetcher {
    fetches: AtomicUsize,
    down: AtomicBool,
}

impl FetchCertificate for Fetcher {
    fn fetch<'a>(&'a self, _: &'a CertificateUrl) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) { Err(FetchError::Timeout) } else { Ok(signer().certificate().into()) }
        })
    }
}

#[derive(Default)]
struct Sink {
    delivered: Mutex<Vec<Envelope>>,
    full: AtomicBool,
    woken: Notify,
}

impl EnvelopeSink for Sink {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Overloaded);
        }
        self.delivered.lock().unwrap().push(envelope);
        self.woken.notify_one();
        Ok(())
    }
}

struct World {
    endpoint: Arc<Endpoint>,
    inbox: SubscriptionInbox,
    fetcher: Arc<Fetcher>,
    sink: Arc<Sink>,
    now: SystemTime,
}

impl World {
    fn new() -> Self {
        let now = SystemTime::now();
        let (fetcher, sink) = (Arc::new(Fetcher::default()), Arc::new(Sink::default()));
        let topic: TopicArn = TOPIC.parse().unwrap();
        let policy = CertificatePolicy::for_topics(std::slice::from_ref(&topic));
        let clock: WallClock = Arc::new(move || now);
        let limits = StoreLimits { retry_fetch_after: Duration::ZERO, ..StoreLimits::default() };
        let certificates = CertificateStore::new(policy, Arc::clone(&fetcher) as _, Arc::clone(&clock), limits);
        let (endpoint, mut inboxes) = Endpoint::new(EndpointSettings {
            topics: vec![topic.clone(), topic],
            secret: EndpointSecret::random(),
            certificates,
            sink: Arc::clone(&sink) as _,
            clock,
        });
        assert_eq!(inboxes.len(), 1, "one inbox a topic");
        Self { endpoint: Arc::new(endpoint), inbox: inboxes.remove(0), fetcher, sink, now }
    }

    async fn receive(&self, post: &Value) -> u16 {
        self.endpoint.receive(post.to_string().as_bytes()).await.as_u16()
    }

    fn notification(&self, id: &str) -> Value {
        notification(id, ENVELOPE, self.now)
    }

    fn delivered(&self) -> usize {
        self.sink.delivered.lock().unwrap().len()
    }

    fn fetches(&self) -> usize {
        self.fetcher.fetches.load(Ordering::SeqCst)
    }

    fn counts(&self) -> BackplaneCounts {
        self.endpoint.stats().counts()
    }
}

// Deliveries.

#[tokio::test]
async fn a_genuine_notification_is_delivered_once() {
    let world = World::new();
    for version in ["1", "2"] {
        let post = signer().sign(world.notification(version), version);
        assert_eq!(world.receive(&post).await, 200);
        assert_eq!(world.receive(&post).await, 200, "SNS had not seen the answer");
    }
    assert_eq!(world.delivered(), 2);
    assert_eq!(world.sink.delivered.lock().unwrap()[0].segments[0].seq.get(), 5);
    assert_eq!(world.counts(), BackplaneCounts { accepted: 2, repeated: 2, ..BackplaneCounts::default() });
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn the_age_of_the_newest_delivery_is_known() {
    let world = World::new();
    assert_eq!(world.endpoint.stats().newest_delivery_age(), None);
    let published = world.now - Duration::from_secs(2);
    world.receive(&signer().sign(notification("n", ENVELOPE, published), "2")).await;
    let age = world.endpoint.stats().newest_delivery_age().unwrap();
    assert!((2_000..=2_001).contains(&age.as_millis()), "SNS tells milliseconds: {age:?}");
    assert!(world.endpoint.stats().since_newest_delivery(Instant::now()).unwrap() < Duration::from_secs(60));
}

#[tokio::test]
async fn overload_is_told_and_the_next_attempt_is_delivered() {
    let world = World::new();
    let post = signer().sign(world.notification("n"), "2");
    world.sink.full.store(true, Ordering::SeqCst);
    assert_eq!(world.receive(&post).await, 503);
    world.sink.full.store(false, Ordering::SeqCst);
    assert_eq!(world.receive(&post).await, 200);
    assert_eq!(world.delivered(), 1);
    assert_eq!(world.counts(), BackplaneCounts { accepted: 1, overloaded: 1, ..BackplaneCounts::default() });
}

#[tokio::test]
async fn a_genuine_message_that_is_no_envelope_is_taken_and_counted() {
    let world = World::new();
    for (id, message) in [("a", "hello"), ("b", r#"{"v":2,"parts":[]}"#)] {
        assert_eq!(world.receive(&signer().sign(notification(id, message, world.now), "2")).await, 200);
    }
    let partly = r#"{"v":1,"segments":[{},7]}"#;
    assert_eq!(world.receive(&signer().sign(notification("c", partly, world.now), "2")).await, 200);
    assert_eq!(world.delivered(), 1);
    let counts = world.counts();
    assert_eq!((counts.unreadable_envelopes, counts.unreadable_segments, counts.accepted), (2, 2, 1));
}

// Refusals.

#[tokio::test]
async fn a_forged_message_is_refused_and_its_genuine_one_is_not_forgotten() {
    let world = World::new();
    let genuine = signer().sign(world.notification("n"), "2");
    let mut forged = genuine.clone();
    forged["Message"] = json!(ENVELOPE.replace("\"seq\":5", "\"seq\":6"));
    assert_eq!(world.receive(&forged).await, 403);
    assert_eq!(world.receive(&Signer::new().sign(world.notification("n"), "2")).await, 403);
    assert_eq!((world.delivered(), world.counts().forged), (0, 2));
    assert_eq!(world.receive(&genuine).await, 200, "a forged id is no accepted id");
    assert_eq!(world.delivered(), 1);
}

#[tokio::test]
async fn a_certificate_from_elsewhere_is_refused_without_a_fetch() {
    let world = World::new();
    for url in [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "https://sns.us-east-1.amazonaws.com@evil/a.pem",
        "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a",
        "https://sns.eu-west-1.amazonaws.com/a.pem",
        "https://127.0.0.1/a.pem",
        "",
    ] {
        let mut post = world.notification("n");
        post["SigningCertURL"] = json!(url);
        assert_eq!(world.receive(&signer().sign(post, "2")).await, 403, "{url}");
    }
    assert_eq!((world.fetches(), world.delivered(), world.counts().forged), (0, 0, 7));
}

#[tokio::test]
async fn a_refusal_for_a_certificate_names_its_url_the_allowed_origin_and_the_flag() {
    let world = World::new();
    let refusal = async |url: &str| {
        let mut post = world.notification("n");
        post["SigningCertURL"] = json!(url);
        let post = signer().sign(post, "2").to_string();
        world.endpoint.take(post.as_bytes()).await.unwrap_err().to_string()
    };
    let allowed = "; allowed: https://sns.us-east-1.amazonaws.com (--sns-cert-origin)";
    let elsewhere = refusal("https://evil.example/a.pem").await;
    let why = "forged: the certificate's URL is not at an allowed origin: \"https://evil.example/a.pem\"";
    assert_eq!(elsewhere, format!("{why}{allowed}"));
    let long = refusal(&format!("https://evil.example/{}\nINFO all is well", "a".repeat(1_000))).await;
    assert!(long.len() < 400 && !long.contains('\n') && long.ends_with(allowed), "{long}");
    world.fetcher.down.store(true, Ordering::SeqCst);
    let url = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-b.pem";
    let unreached = refusal(url).await;
    assert!(unreached.starts_with("the certificate cannot be fetched now: "), "{unreached}");
    assert!(unreached.contains(url) && unreached.ends_with(allowed), "{unreached}");
}

#[tokio::test]
async fn another_topic_is_refused_without_a_fetch() {
    let world = World::new();
    for kind in ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let mut post = confirmation(kind, "c", world.now);
        post["TopicArn"] = json!("arn:aws:sns:us-east-1:999999999999:rooms");
        assert_eq!(world.receive(&signer().sign(post, "2")).await, 403, "{kind}");
    }
    let mut world = world;
    assert!(world.inbox.events.try_recv().is_err());
    assert_eq!((world.fetches(), world.delivered(), world.counts().foreign), (0, 0, 3));
}

#[tokio::test]
async fn a_timestamp_more_than_fifteen_minutes_away_is_refused() {
    let world = World::new();
    let (minute, far) = (Duration::from_secs(60), Duration::from_secs(15 * 60 + 1));
    for (published, status) in
        [(world.now - far, 403), (world.now + far, 403), (world.now - 14 * minute, 200), (world.now + 14 * minute, 200)]
    {
        let id = format!("{published:?}");
        assert_eq!(world.receive(&signer().sign(notification(&id, ENVELOPE, published), "2")).await, status);
    }
    assert_eq!((world.delivered(), world.counts().stale), (2, 2));
}

#[tokio::test]
async fn what_is_no_sns_message_is_malformed() {
    let world = World::new();
    for body in [&b""[..], b"{}", b"not json", ENVELOPE.as_bytes()] {
        assert_eq!(world.endpoint.receive(body).await, 400);
    }
    assert_eq!(world.counts().malformed, 4);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_fetched_now_asks_for_another_attempt() {
    let world = World::new();
    let post = signer().sign(world.notification("n"), "2");
    world.fetcher.down.store(true, Ordering::SeqCst);
    assert_eq!(world.receive(&post).await, 503);
    world.fetcher.down.store(false, Ordering::SeqCst);
    assert_eq!(world.receive(&post).await, 200);
    assert_eq!((world.delivered(), world.counts().no_certificate), (1, 1));
}

// Confirmations.

#[tokio::test]
async fn a_confirmation_hands_over_its_token() {
    let mut world = World::new();
    let post = signer().sign(confirmation("SubscriptionConfirmation", "c", world.now), "2");
    assert_eq!(world.receive(&post).await, 200);
    assert_eq!(world.receive(&post).await, 200);
    assert_eq!(world.inbox.events.try_recv().unwrap(), SubscriptionEvent::Token("2336412f37fb687f".to_owned()));
    assert!(world.inbox.events.try_recv().is_err(), "the repeat told nothing new");
    let gone = signer().sign(confirmation("UnsubscribeConfirmation", "u", world.now), "1");
    assert_eq!(world.receive(&gone).await, 200);
    assert_eq!(world.inbox.events.try_recv().unwrap(), SubscriptionEvent::Gone);
    assert_eq!(world.fetches(), 1, "nothing but the certificate is fetched, never the SubscribeURL");
    assert_eq!(world.counts().confirmations, 2);
}

#[tokio::test]
async fn a_forged_confirmation_hands_over_nothing() {
    let mut world = World::new();
    let mut post = signer().sign(confirmation("SubscriptionConfirmation", "c", world.now), "2");
    post["Token"] = json!("somebody-elses");
    assert_eq!(world.receive(&post).await, 403);
    assert!(world.inbox.events.try_recv().is_err());
}

#[tokio::test]
async fn confirmations_beyond_the_inbox_are_put_off() {
    let world = World::new();
    let mut statuses = Vec::new();
    for id in 0..=INBOX {
        let post = confirmation("SubscriptionConfirmation", &id.to_string(), world.now);
        statuses.push(world.receive(&signer().sign(post, "2")).await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), INBOX);
    assert_eq!(statuses.last(), Some(&503));
}

// Over HTTP.

async fn http(world: &World, path: &str, content_type: &str, body: impl Into<Body>) -> u16 {
    let request = Request::post(path).header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap();
    if !world.endpoint.is_at(request.uri().path()) {
        return 404;
    }
    world.endpoint.receive_body(request.into_body()).await.as_u16()
}

#[tokio::test]
async fn the_rooms_have_their_turn_before_sns_has_its_answer() {
    let world = World::new();
    let (sink, turns) = (Arc::clone(&world.sink), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            sink.woken.notified().await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    tokio::task::yield_now().await;
    for number in 1..=5 {
        let post = signer().sign(world.notification(&number.to_string()), "2");
        assert_eq!(world.receive(&post).await, 200);
        assert_eq!(turns.load(Ordering::SeqCst), number);
    }
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let world = World::new();
    let path = world.endpoint.path();
    for (id, content_type) in [("a", "text/plain; charset=UTF-8"), ("b", "application/json"), ("c", "nonsense")] {
        let post = signer().sign(world.notification(id), "2").to_string();
        assert_eq!(http(&world, &path, content_type, post).await, 200);
    }
    assert_eq!(world.delivered(), 3);
}

#[tokio::test]
async fn a_wrong_secret_finds_nothing() {
    let world = World::new();
    let post = signer().sign(world.notification("n"), "2").to_string();
    let path = world.endpoint.path();
    for wrong in ["/sns/x", &format!("{path}0"), &path.to_uppercase().replace("/SNS", "/sns"), "/sns/"] {
        // An upper-cased secret without letters would be the secret itself.
        if wrong != path {
            assert_eq!(http(&world, wrong, "text/plain", post.clone()).await, 404, "{wrong}");
        }
    }
    assert_eq!((world.delivered(), world.fetches()), (0, 0));
}

#[tokio::test]
async fn ten_megabytes_are_too_much_and_the_largest_message_is_not() {
    let world = World::new();
    let path = world.endpoint.path();
    assert_eq!(http(&world, &path, "text/plain", vec![b'x'; 10 << 20]).await, 413);
    assert_eq!(http(&world, &path, "text/plain", vec![b'x'; BODY_LIMIT]).await, 400);
    // 256 KiB of text that doubles when it is escaped.
    let largest = signer().sign(notification("n", &"\"".repeat(256 * 1024), world.now), "2").to_string();
    assert!(largest.len() > 512 * 1024);
    assert_eq!(http(&world, &path, "text/plain", largest).await, 200);
    assert_eq!(world.counts().malformed, 2);
}
