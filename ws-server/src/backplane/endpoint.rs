use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::BoxError;
use axum::body::HttpBody;
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use protocol::Envelope;
use sns_message::{SnsKind, SnsMessage};
use tokio::sync::mpsc;

use super::accepted::AcceptedIds;
use super::certificate::{CertificateStore, KeyError};
use super::secret::{ENDPOINT_PATH, EndpointSecret};
use super::signature;
use super::stats::{BackplaneStats, count};
use super::subscription::SubscriptionEvent;
use super::{EnvelopeSink, PostSink, TopicArn, WallClock, WarnGate};
use crate::body::{BodyFault, read_body};

/// Bytes of a POST at most. A message has up to 256 KiB, and its JSON can double as a JSON string.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How far a message's timestamp may be from this node's clock, either way: what was recorded cannot be replayed later.
pub const FRESHNESS: Duration = Duration::from_secs(15 * 60);

/// Ids remembered. SNS's retries come within a minute or so; 4,096 messages are many minutes of packed publishes.
const REMEMBERED_IDS: usize = 4096;

/// Events for a subscription that may wait; each is a confirmed fact, so few are under way.
const INBOX: usize = 16;

/// A body comes within this time, or not at all: SNS itself gives up after 15 s.
const BODY_WITHIN: Duration = Duration::from_secs(10);

const WARN_EVERY: Duration = Duration::from_secs(10);

/// Characters of a certificate's URL that a log line shows: strangers choose it.
const SHOWN_OF_A_URL: usize = 200;

/// What an endpoint needs.
pub struct EndpointSettings {
    /// The topics to listen to; messages of others are refused.
    pub topics: Vec<TopicArn>,
    /// The last part of the path.
    pub secret: EndpointSecret,
    /// Who signs for SNS.
    pub certificates: CertificateStore,
    /// Where envelopes go.
    pub sink: Arc<dyn EnvelopeSink>,
    /// This node's clock.
    pub clock: WallClock,
}

/// What SNS tells about one topic's subscription; for [`super::subscription::start`].
#[derive(Debug)]
pub struct SubscriptionInbox {
    /// The topic.
    pub topic: TopicArn,
    /// What was said, verified.
    pub events: mpsc::Receiver<SubscriptionEvent>,
}

/// Takes what SNS posts: verifies, refuses, delivers.
pub struct Endpoint {
    topics: HashMap<String, mpsc::Sender<SubscriptionEvent>>,
    secret: EndpointSecret,
    certificates: CertificateStore,
    sink: Arc<dyn EnvelopeSink>,
    clock: WallClock,
    accepted: Mutex<AcceptedIds>,
    stats: Arc<BackplaneStats>,
    refusals: WarnGate,
    unreadable: WarnGate,
}

/// Why a post was not taken; [`Refusal::status`] says what SNS is told.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not the form of an SNS message: {0}")]
    Malformed(String),
    #[error("of a topic that is not ours")]
    Foreign,
    #[error("its timestamp is more than 15 minutes from this node's clock")]
    Stale,
    #[error("forged: {0}")]
    Forged(#[from] signature::Forged),
    #[error("forged: {0}")]
    Disbelieved(Certificate),
    #[error("{0}")]
    NoCertificate(Certificate),
    #[error("the node is overloaded")]
    Overloaded,
}

/// A certificate that a post names and that could not be used: where it is, why, and what is allowed instead.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {url:?}; allowed: {allowed} (--sns-cert-origin)")]
struct Certificate {
    url: String,
    error: KeyError,
    allowed: String,
}

impl Refusal {
    /// SNS delivers again after 5xx and 429 alone; everything else is final.
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Foreign | Self::Stale | Self::Forged(_) | Self::Disbelieved(_) => StatusCode::FORBIDDEN,
            Self::NoCertificate(_) | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn counter<'a>(&self, stats: &'a BackplaneStats) -> &'a AtomicU64 {
        match self {
            Self::Malformed(_) => &stats.malformed,
            Self::Foreign => &stats.foreign,
            Self::Stale => &stats.stale,
            Self::Forged(_) | Self::Disbelieved(_) => &stats.forged,
            Self::NoCertificate(_) => &stats.no_certificate,
            Self::Overloaded => &stats.overloaded,
        }
    }
}

impl PostSink for Endpoint {
    fn receive_post<'a>(&'a self, body: &'a [u8]) -> BoxFuture<'a, StatusCode> {
        Box::pin(self.receive(body))
    }
}

impl Endpoint {
    /// An endpoint, and per topic the inbox of its subscription.
    #[must_use]
    pub fn new(settings: EndpointSettings) -> (Self, Vec<SubscriptionInbox>) {
        let mut topics = HashMap::new();
        let mut inboxes = Vec::new();
        for topic in settings.topics {
            if topics.contains_key(topic.as_str()) {
                continue;
            }
            let (sender, events) = mpsc::channel(INBOX);
            topics.insert(topic.as_str().to_owned(), sender);
            inboxes.push(SubscriptionInbox { topic, events });
        }
        let endpoint = Self {
            topics,
            secret: settings.secret,
            certificates: settings.certificates,
            sink: settings.sink,
            clock: settings.clock,
            accepted: Mutex::new(AcceptedIds::new(REMEMBERED_IDS)),
            stats: Arc::default(),
            refusals: WarnGate::new(WARN_EVERY),
            unreadable: WarnGate::new(WARN_EVERY),
        };
        (endpoint, inboxes)
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Arc<BackplaneStats> {
        Arc::clone(&self.stats)
    }

    /// The path that SNS is to post to: `/sns/<secret>`.
    #[must_use]
    pub fn path(&self) -> String {
        self.secret.path()
    }

    /// Whether the path's secret is ours; compared in constant time.
    #[must_use]
    pub fn admits(&self, secret: &str) -> bool {
        self.secret.matches(secret)
    }

    /// Whether a path is this endpoint's; it must be before a body is read.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        path.strip_prefix(ENDPOINT_PATH).is_some_and(|secret| self.admits(secret))
    }

    /// Takes the body of a post to [this endpoint](Self::is_at), and bounds it; the answer is for SNS.
    pub(crate) async fn receive_body<B>(&self, body: B) -> StatusCode
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        match read_body(body, BODY_LIMIT, BODY_WITHIN).await {
            Ok(body) => self.receive(&body).await,
            Err(fault) => {
                if fault != BodyFault::Slow {
                    count(&self.stats.malformed);
                }
                fault.status()
            }
        }
    }

    /// Takes one post, whose path has been checked, of at most [`BODY_LIMIT`] bytes; the answer is for SNS. Its headers
    /// are not needed: they are not signed.
    pub async fn receive(&self, body: &[u8]) -> StatusCode {
        let Err(refusal) = self.take(body).await else {
            // The rooms have their turn first: nobody waits for the answer, but members wait for their messages.
            tokio::task::yield_now().await;
            return StatusCode::OK;
        };
        count(refusal.counter(&self.stats));
        if let Some(others) = self.refusals.open(Instant::now()) {
            tracing::warn!(reason = %refusal, others, "SNS post refused");
        }
        refusal.status()
    }

    async fn take(&self, body: &[u8]) -> Result<(), Refusal> {
        let message = SnsMessage::parse(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let inbox = self.topics.get(&message.topic).ok_or(Refusal::Foreign)?;
        let now = (self.clock)();
        if distance(now, message.published) > FRESHNESS {
            return Err(Refusal::Stale);
        }
        let url = &message.certificate_url;
        let certificate = self.certificates.certificate(url).await.map_err(|error| self.without_key(url, error))?;
        signature::verify(&message, &certificate)?;
        if self.accepted().contains(&message.id) {
            count(&self.stats.repeated);
            return Ok(());
        }
        match message.kind {
            SnsKind::Notification => self.deliver(&message.text, now, message.published)?,
            SnsKind::SubscriptionConfirmation(ticket) => {
                self.tell(inbox, SubscriptionEvent::Token(ticket.token))?;
            }
            SnsKind::UnsubscribeConfirmation(_) => self.tell(inbox, SubscriptionEvent::Gone)?,
        }
        self.accepted().insert(message.id);
        Ok(())
    }

    fn without_key(&self, url: &str, error: KeyError) -> Refusal {
        let url = url.chars().take(SHOWN_OF_A_URL).collect();
        let certificate = |error| Certificate { url, error, allowed: self.certificates.allowed() };
        match error {
            KeyError::Unavailable(_) => Refusal::NoCertificate(certificate(error)),
            KeyError::Url(_) | KeyError::Certificate(_) => Refusal::Disbelieved(certificate(error)),
        }
    }

    /// A genuine message that is no envelope is taken all the same: delivering it again would not make it one.
    fn deliver(&self, text: &str, now: SystemTime, published: SystemTime) -> Result<(), Refusal> {
        let envelope = match Envelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                count(&self.stats.unreadable_envelopes);
                self.warn_unreadable(&error.to_string());
                return Ok(());
            }
        };
        let unreadable = envelope.unreadable as u64;
        self.sink.deliver(envelope).map_err(|_| Refusal::Overloaded)?;
        if unreadable > 0 {
            self.stats.unreadable_segments.fetch_add(unreadable, std::sync::atomic::Ordering::Relaxed);
            self.warn_unreadable("segments of unknown form");
        }
        count(&self.stats.accepted);
        self.stats.note_delivery(Instant::now(), now.duration_since(published).unwrap_or_default());
        Ok(())
    }

    fn tell(&self, inbox: &mpsc::Sender<SubscriptionEvent>, event: SubscriptionEvent) -> Result<(), Refusal> {
        inbox.try_send(event).map_err(|_| Refusal::Overloaded)?;
        count(&self.stats.confirmations);
        Ok(())
    }

    fn warn_unreadable(&self, error: &str) {
        if let Some(others) = self.unreadable.open(Instant::now()) {
            tracing::warn!(error, others, "SNS notification not readable; the audit repairs what it held");
        }
    }

    fn accepted(&self) -> std::sync::MutexGuard<'_, AcceptedIds> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests;
