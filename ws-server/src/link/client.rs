//! Asks other nodes: signed requests over connections that are kept, with signed answers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use protocol::NodeId;
use tokio::time::timeout;

use super::keys::ClusterKeys;
use super::peer::HAND_OFFS;
use super::signature::{Claims, digest_of, verify_answer};
use crate::backplane::WallClock;

/// Until a connection is open: nodes are near each other.
const CONNECT_WITHIN: Duration = Duration::from_millis(300);
/// A connection that was idle for so long is closed by this end, before the other one does.
const IDLE: Duration = Duration::from_secs(10);
/// Idle connections kept for each node: for as many requests as there are at a time.
const IDLE_CONNECTIONS: usize = HAND_OFFS + 1;
/// Bytes of an answer at most: the outcomes of a batch.
const ANSWER_LIMIT: usize = 256 * 1024;

/// What another node answered, its signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// Nothing was sent.
    #[error("no connection: {0}")]
    NotSent(String),
    /// The request may have arrived, or may yet.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or the answer was none.
    #[error("{0}")]
    Broken(String),
    /// Somebody answered who did not sign. A refusal is never signed: its sender is not believed to be a node.
    #[error(
        "an unsigned answer with status {0}: do both nodes have the same cluster key, and their clocks the same time?"
    )]
    Unsigned(u16),
}

/// A request to another node.
#[derive(Debug, Clone)]
pub(crate) struct Question<'a> {
    pub(crate) to: &'a NodeId,
    pub(crate) address: &'a str,
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    pub(crate) patience: Duration,
}

/// The asking end of the link.
pub(crate) struct LinkClient {
    node: NodeId,
    keys: ClusterKeys,
    clock: WallClock,
    http: Client<HttpConnector, Full<Bytes>>,
    numbers: Mutex<Numbers>,
}

impl LinkClient {
    pub(crate) fn new(node: NodeId, keys: ClusterKeys, clock: WallClock) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self { node, keys, clock, http, numbers: Mutex::new(Numbers::new()) }
    }

    /// Asks, and waits for `patience` at most. The request is given up when this is dropped, sent or not.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, AskError> {
        let patience = question.patience;
        timeout(patience, self.ask_patiently(question)).await.unwrap_or(Err(AskError::Timeout))
    }

    async fn ask_patiently(&self, question: Question<'_>) -> Result<Answer, AskError> {
        let Question { to, address, path, body, .. } = question;
        let uri = Uri::builder().scheme("http").authority(address).path_and_query(path).build();
        let uri = uri.map_err(|error| AskError::NotSent(error.to_string()))?;
        let claims = Claims {
            sender: self.node.clone(),
            receiver: to.clone(),
            time_ms: millis((self.clock)()),
            number: self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now(), to),
            body: digest_of(&body),
        };
        let mut request = Request::post(uri).body(Full::new(body)).expect("method and address are set");
        let signature = claims.sign(&self.keys, path, request.headers_mut());
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.http.request(request).await.map_err(|error| match error.is_connect() {
            true => AskError::NotSent(whole_story(&error)),
            false => AskError::Broken(whole_story(&error)),
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| AskError::Broken(error.to_string()))?.to_bytes();
        if !verify_answer(&self.keys, &signature, head.status.as_u16(), &body, &head.headers) {
            return Err(AskError::Unsigned(head.status.as_u16()));
        }
        Ok(Answer { status: head.status, body })
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// hyper's own text is only "client error (Connect)".
fn whole_story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Receivers whose count is remembered before those are forgotten that were not asked for a while.
const COUNTED: usize = 1_024;
/// That while.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// Counts the requests to each receiver. A count that was forgotten goes on from the microseconds since the start, which
/// no count outruns: so a number is never used twice.
struct Numbers {
    start: Instant,
    receivers: HashMap<NodeId, (u64, Instant)>,
}

impl Numbers {
    fn new() -> Self {
        Self { start: Instant::now(), receivers: HashMap::new() }
    }

    fn next(&mut self, now: Instant, receiver: &NodeId) -> u64 {
        if self.receivers.len() >= COUNTED {
            self.receivers.retain(|_, (_, used)| now.saturating_duration_since(*used) < FORGET_AFTER);
        }
        let micros = now.saturating_duration_since(self.start).as_micros();
        let first = u64::try_from(micros).unwrap_or(u64::MAX);
        let (next, used) = self.receivers.entry(receiver.clone()).or_insert((first, now));
        *next += 1;
        *used = now;
        *next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_by_one_and_never_come_twice_even_when_forgotten() {
        let mut numbers = Numbers::new();
        let start = numbers.start;
        let receiver = NodeId::from_random(1);
        let counted: Vec<u64> = (0..1_000).map(|_| numbers.next(start, &receiver)).collect();
        assert_eq!(counted, (1..=1_000).collect::<Vec<_>>());
        for other in 2..COUNTED as u64 + 1 {
            numbers.next(start, &NodeId::from_random(other));
        }
        assert_eq!(numbers.receivers.len(), COUNTED);
        let later = start + FORGET_AFTER;
        assert!(numbers.next(later, &receiver) > 1_000);
        assert_eq!(numbers.receivers.len(), 1);
    }
}
