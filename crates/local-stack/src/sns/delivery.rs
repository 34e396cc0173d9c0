//! Posts messages to endpoints and tries again as each subscription's policy says.
//!
//! Every delivery is a task of its own, so deliveries overtake each other, as those of SNS may. How many there are,
//! waiting for a retry or not, is bounded, and so is how many are in the air.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::message::{Body, SignedMessage};
use super::registry::Subscription;
use crate::faults::{Current, Dice, SnsFaults};

/// Deliveries that are posted at the same time.
const IN_FLIGHT: usize = 256;
/// Deliveries that are under way, waiting for a retry included. Beyond this, Publish is throttled.
pub(super) const UNDER_WAY: usize = 10_000;
/// How long an endpoint has to answer
/// (<https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html>).
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// An answer's body is of no interest; this much is read so that its connection can serve again.
const ANSWER_BODY: usize = 64 * 1024;

/// What was published and what became of its deliveries since the start.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    messages: AtomicU64,
    message_bytes: AtomicU64,
    delivered: AtomicU64,
    attempts: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

impl DeliveryCounts {
    /// Messages that Publish and PublishBatch accepted.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Bytes of their text.
    pub fn message_bytes(&self) -> u64 {
        self.message_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_message(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.message_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Deliveries that the endpoint accepted.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Posts, retries included.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Deliveries given up, for good.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notifications lost on request.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Notifications sent twice on request.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Messages whose Publish was refused on request.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

struct SnsDice {
    drop: Dice,
    repeat: Dice,
    delay: Dice,
    fail: Dice,
    jitter: Dice,
}

pub(super) struct Deliveries {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    api: String,
    faults: Current<SnsFaults>,
    dice: SnsDice,
    under_way: Arc<Semaphore>,
    in_flight: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
    pub(super) counts: DeliveryCounts,
}

/// What one post came to.
enum Attempt {
    Accepted,
    TryAgain(String),
    Refused(StatusCode),
}

impl Deliveries {
    /// `stop` ends every delivery where it is.
    pub(super) fn new(
        tls: ClientConfig,
        api: String,
        faults: Current<SnsFaults>,
        seed: u64,
        stop: CancellationToken,
    ) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            api,
            faults,
            dice: SnsDice {
                drop: Dice::new(seed, "sns.drop"),
                repeat: Dice::new(seed, "sns.repeat"),
                delay: Dice::new(seed, "sns.delay_ms"),
                fail: Dice::new(seed, "sns.fail"),
                jitter: Dice::new(seed, "sns.jitter"),
            },
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            in_flight: Semaphore::new(IN_FLIGHT),
            tasks: TaskTracker::new(),
            stop,
            counts: DeliveryCounts::default(),
        }
    }

    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// Room for that many deliveries, or `None` when there is not.
    pub(super) fn reserve(&self, deliveries: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.under_way).try_acquire_many_owned(u32::try_from(deliveries).ok()?).ok()
    }

    /// Whether the next Publish is to be refused on request.
    pub(super) fn refuses(&self) -> bool {
        let refuses = self.dice.fail.happens(self.faults.faults().fail);
        self.counts.refused.fetch_add(u64::from(refuses), Ordering::Relaxed);
        refuses
    }

    /// Starts the delivery of a notification to every subscription; `room` has to be for that many.
    pub(super) fn notify(
        self: &Arc<Self>,
        subscriptions: Vec<Subscription>,
        message: &Arc<SignedMessage>,
        mut room: OwnedSemaphorePermit,
    ) {
        let faults = self.faults.faults();
        for subscription in subscriptions {
            let Some(room) = room.split(1) else { return };
            let (lost, again) = (self.dice.drop.happens(faults.drop), self.dice.repeat.happens(faults.repeat));
            if lost {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if let Some(room) = again.then(|| self.reserve(1)).flatten() {
                self.counts.repeated.fetch_add(1, Ordering::Relaxed);
                self.start(subscription.clone(), Arc::clone(message), self.fault_delay(), room);
            }
            self.start(subscription, Arc::clone(message), self.fault_delay(), room);
        }
    }

    /// Starts the delivery of a request to confirm.
    pub(super) fn ask_to_confirm(
        self: &Arc<Self>,
        subscription: Subscription,
        message: SignedMessage,
        room: OwnedSemaphorePermit,
    ) {
        self.start(subscription, Arc::new(message), Duration::ZERO, room);
    }

    /// Waits until every delivery has ended where it was, once told to stop.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn fault_delay(&self) -> Duration {
        self.faults.faults().delay.map(|range| self.dice.delay.between(range)).unwrap_or_default()
    }

    fn start(
        self: &Arc<Self>,
        to: Subscription,
        message: Arc<SignedMessage>,
        delay: Duration,
        room: OwnedSemaphorePermit,
    ) {
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let delivery = async {
                tokio::time::sleep(delay).await;
                this.deliver(&to, &message).await;
            };
            tokio::select! {
                () = this.stop.cancelled() => {}
                () = delivery => {}
            }
            drop(room);
        });
    }

    async fn deliver(&self, to: &Subscription, message: &SignedMessage) {
        let mut retries = to.policy.parsed.schedule().into_iter();
        let problem = loop {
            let problem = match self.attempt(to, message).await {
                Attempt::Accepted => {
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Attempt::Refused(status) => break status.to_string(),
                Attempt::TryAgain(problem) => problem,
            };
            let Some(delay) = retries.next() else { break problem };
            tracing::debug!(endpoint = to.endpoint, %problem, ?delay, "a delivery will be tried again");
            tokio::time::sleep(self.jittered(delay)).await;
        };
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(endpoint = to.endpoint, problem, "SNS gave a delivery up");
    }

    /// SNS spreads its retries; by how much is not known.
    fn jittered(&self, delay: Duration) -> Duration {
        self.dice.jitter.between((delay, delay + delay / 10))
    }

    async fn attempt(&self, to: &Subscription, message: &SignedMessage) -> Attempt {
        let _in_flight = self.in_flight.acquire().await;
        self.counts.attempts.fetch_add(1, Ordering::Relaxed);
        let request = match self.request(to, message) {
            Ok(request) => request,
            Err(problem) => {
                tracing::warn!(endpoint = to.endpoint, %problem, "an endpoint that no request can be made for");
                return Attempt::Refused(StatusCode::BAD_REQUEST);
            }
        };
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|e| e.to_string())?;
            let status = answer.status();
            let _ = Limited::new(answer.into_body(), ANSWER_BODY).collect().await;
            Ok::<_, String>(status)
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Err(_) => Attempt::TryAgain("no answer within 15 s".to_owned()),
            Ok(Err(problem)) => Attempt::TryAgain(problem),
            Ok(Ok(status)) if status.is_success() => Attempt::Accepted,
            // https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html: all else is permanent.
            Ok(Ok(status)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Attempt::TryAgain(status.to_string())
            }
            Ok(Ok(status)) => Attempt::Refused(status),
        }
    }

    fn request(&self, to: &Subscription, signed: &SignedMessage) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let message = &signed.message;
        let mut request = Request::post(&to.endpoint)
            .header(USER_AGENT, "Amazon Simple Notification Service Agent")
            .header(CONNECTION, "Keep-Alive")
            .header(CONTENT_TYPE, HeaderValue::from_str(to.policy.parsed.content_type())?)
            .header(HeaderName::from_static("x-amz-sns-message-type"), message.body.message_type())
            .header(HeaderName::from_static("x-amz-sns-message-id"), &message.id)
            .header(HeaderName::from_static("x-amz-sns-topic-arn"), &message.topic_arn);
        if let Body::Notification { .. } = message.body {
            request = request.header(HeaderName::from_static("x-amz-sns-subscription-arn"), &to.arn);
        }
        request.body(Full::new(Bytes::from(signed.json(&to.arn, &self.api))))
    }
}
