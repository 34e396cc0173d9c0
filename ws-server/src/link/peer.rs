//! One other node, as it is asked: what waits for it, and whether it answers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use protocol::{HandOff, NodeId};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::HandOverOutcome;
use super::backoff::Backoff;
use super::client::{AskError, LinkClient, Question};
use super::queue::{Batch, Hint, HintQueue};
use super::routes::{HAND_OFF_LIMIT, HAND_OFF_PATH, HINTS_PATH};
use super::stats::LinkStats;
use crate::backplane::{WarnGate, count};

/// For one request with hints: what is later comes through SNS as soon.
const HINTS_WITHIN: Duration = Duration::from_secs(1);
/// For a batch that is handed over: its commit included.
const HAND_OFF_WITHIN: Duration = Duration::from_secs(2);
/// Batches that are handed to one node at a time, each on a connection of its own.
pub(super) const HAND_OFFS: usize = 16;
/// How long a batch waits until fewer are on their way.
const PLACE_WITHIN: Duration = Duration::from_millis(100);

/// What all peers share.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) client: Arc<LinkClient>,
    pub(crate) stats: Arc<LinkStats>,
    pub(crate) warnings: Arc<WarnGate>,
}

/// A node that lives and takes requests.
pub(crate) struct Peer {
    node: NodeId,
    address: Arc<str>,
    asking: Asking,
    queue: HintQueue,
    backoff: Mutex<Backoff>,
    hand_offs: Arc<Semaphore>,
}

/// A peer, and the task that pushes hints to it; the task ends when this is dropped.
pub(crate) struct KeptPeer {
    pub(crate) peer: Arc<Peer>,
    _stop: DropGuard,
}

impl KeptPeer {
    pub(crate) fn start(node: NodeId, address: Arc<str>, asking: Asking) -> Self {
        let peer = Arc::new(Peer {
            node,
            address,
            asking,
            queue: HintQueue::default(),
            backoff: Mutex::default(),
            hand_offs: Arc::new(Semaphore::new(HAND_OFFS)),
        });
        let stop = CancellationToken::new();
        let (pushing, stopped) = (Arc::clone(&peer), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(pushing.push_all()).await });
        Self { peer, _stop: stop.drop_guard() }
    }
}

impl Peer {
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Queues a hint, or drops it.
    pub(crate) fn push(&self, now: Instant, hint: Hint) {
        if self.backoff().is_on(now) || !self.queue.push(hint) {
            count(&self.asking.stats.hints_dropped);
        }
    }

    /// One request at a time, so what is pushed arrives in order, and what gathers meanwhile goes together.
    async fn push_all(self: Arc<Self>) {
        loop {
            let batch = self.queue.next().await;
            self.push_batch(&batch).await;
        }
    }

    async fn push_batch(&self, batch: &Batch) {
        let stats = &self.asking.stats;
        count(&stats.hint_requests);
        let began = Instant::now();
        let body = Bytes::from(batch.envelope());
        let answer = self.ask(HINTS_PATH, body, HINTS_WITHIN).await;
        let now = Instant::now();
        let failure = match answer {
            Ok(status_and_body) if status_and_body.0 == StatusCode::NO_CONTENT => {
                self.backoff().handle_answer(now);
                stats.segments_pushed.fetch_add(batch.segments() as u64, Ordering::Relaxed);
                stats.signals_pushed.fetch_add(batch.signals() as u64, Ordering::Relaxed);
                return;
            }
            // Its queues are full, or it is of another version: it is there all the same.
            Ok((status, _)) => {
                self.backoff().handle_answer(now);
                format!("status {status}")
            }
            Err(error) => {
                self.backoff().handle_failure(now, began, fastrand::f64());
                error.to_string()
            }
        };
        stats.hints_failed.fetch_add(batch.hints.len() as u64, Ordering::Relaxed);
        stats.hints_dropped.fetch_add(self.queue.clear() as u64, Ordering::Relaxed);
        self.warn(&failure);
    }

    /// Gives a batch to the node. `hinted`: hints find out whether a node that did not answer is there again, and no
    /// batch has to wait for that.
    pub(crate) async fn hand_over(&self, hand_off: HandOff, hinted: bool) -> HandOverOutcome {
        let began = Instant::now();
        let place = tokio::time::timeout(PLACE_WITHIN, self.hand_offs.acquire()).await;
        let Ok(Ok(_place)) = place else { return HandOverOutcome::NotSent };
        let Ok(body) = serde_json::to_vec(&hand_off) else { return HandOverOutcome::NotSent };
        let left_alone = {
            let backoff = self.backoff();
            backoff.is_on(began) || (hinted && backoff.is_doubtful())
        };
        if left_alone || body.len() > HAND_OFF_LIMIT {
            return HandOverOutcome::NotSent;
        }
        let answer = self.ask(HAND_OFF_PATH, body.into(), HAND_OFF_WITHIN).await;
        let now = Instant::now();
        match answer {
            Ok((status, body)) => {
                self.backoff().handle_answer(now);
                let answer = status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten();
                answer.map_or(HandOverOutcome::Unknown, HandOverOutcome::Answered)
            }
            Err(error) => {
                self.backoff().handle_failure(now, began, fastrand::f64());
                self.warn(&error.to_string());
                match error {
                    AskError::NotSent(_) => HandOverOutcome::NotSent,
                    AskError::Timeout | AskError::Broken(_) | AskError::Unsigned(_) => HandOverOutcome::Unknown,
                }
            }
        }
    }

    async fn ask(&self, path: &'static str, body: Bytes, patience: Duration) -> Result<(StatusCode, Bytes), AskError> {
        let question = Question { to: &self.node, address: &self.address, path, body, patience };
        self.asking.client.ask(question).await.map(|answer| (answer.status, answer.body))
    }

    fn warn(&self, failure: &str) {
        if let Some(others) = self.asking.warnings.open(Instant::now()) {
            tracing::warn!(to = %self.node, address = %self.address, failure, others, "another node did not answer well");
        }
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
