//! Signals through SNS, for deployments whose nodes push nothing to each other. Every publish is paid for once a node, so
//! they are gathered, the longer the more nodes there are.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use protocol::{Envelope, Signal, topic_shard};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::directory::Directory;
use super::stats::LinkStats;
use crate::backplane::{TopicArn, WarnGate};

/// Bytes that wait at most.
const MAX_BYTES: usize = 64 * 1024;
/// Signals that wait at most.
const MAX_SIGNALS: usize = 256;
/// Between two publishes, at least.
const SHORTEST: Duration = Duration::from_millis(250);
/// What every node adds to that.
const EACH_NODE: Duration = Duration::from_millis(50);
/// For one publish.
const PUBLISH_WITHIN: Duration = Duration::from_secs(5);

/// Publishes to topics. The node's role must allow `sns:Publish`.
pub(crate) trait PublishSignals: Send + Sync + 'static {
    /// How many topics there are.
    fn topics(&self) -> usize;

    /// Publishes to one of them, counted from 0.
    fn publish(&self, topic: usize, message: String) -> BoxFuture<'_, Result<(), String>>;
}

/// Topics at SNS.
pub(crate) struct SnsTopics {
    pub(crate) client: aws_sdk_sns::Client,
    pub(crate) topics: Vec<TopicArn>,
}

impl PublishSignals for SnsTopics {
    fn topics(&self) -> usize {
        self.topics.len()
    }

    fn publish(&self, topic: usize, message: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let call = self.client.publish().topic_arn(self.topics[topic].as_str()).message(message);
            let published = call.send().await;
            published.map(|_| ()).map_err(|error| aws_sdk_sns::error::DisplayErrorContext(error).to_string())
        })
    }
}

/// Takes signals and publishes them from time to time, until dropped.
#[derive(Debug)]
pub(crate) struct SnsSignals {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Notify,
    stats: Arc<LinkStats>,
}

impl SnsSignals {
    pub(crate) fn start(topics: Arc<dyn PublishSignals>, directory: Arc<Directory>, stats: Arc<LinkStats>) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), filled: Notify::new(), stats });
        let stop = CancellationToken::new();
        let (publishing, stopped) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(publishing.publish_all(topics, directory)).await });
        Self { shared, _stop: stop.drop_guard() }
    }

    /// Takes a signal in; what is too much is dropped, the oldest first.
    pub(crate) fn push(&self, signal: Signal) {
        let room = self.shared.waiting().push(signal);
        self.shared.stats.signals_replaced.fetch_add(room.replaced, Ordering::Relaxed);
        self.shared.stats.signals_dropped.fetch_add(room.dropped, Ordering::Relaxed);
        self.shared.filled.notify_one();
    }
}

impl Shared {
    async fn publish_all(self: Arc<Self>, topics: Arc<dyn PublishSignals>, directory: Arc<Directory>) {
        let warnings = WarnGate::new(Duration::from_secs(30));
        loop {
            self.filled.notified().await;
            let signals = self.waiting().take();
            for (topic, signals) in by_topic(signals, topics.topics()) {
                let published = timeout(PUBLISH_WITHIN, topics.publish(topic, envelope(&signals))).await;
                let failure = match published {
                    Ok(Ok(())) => {
                        self.stats.signals_published.fetch_add(signals.len() as u64, Ordering::Relaxed);
                        continue;
                    }
                    Ok(Err(error)) => error,
                    Err(_) => "no answer in time".to_owned(),
                };
                self.stats.signals_unpublished.fetch_add(signals.len() as u64, Ordering::Relaxed);
                if let Some(others) = warnings.open(Instant::now()) {
                    tracing::warn!(error = failure, others, "signals were not published to SNS");
                }
            }
            tokio::time::sleep(interval(directory.view().others())).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interval(others: usize) -> Duration {
    let nodes = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    SHORTEST.max(EACH_NODE.saturating_mul(nodes))
}

/// The signals of each topic that has any, in their order.
fn by_topic(signals: VecDeque<Signal>, topics: usize) -> Vec<(usize, Vec<Signal>)> {
    let mut shards: Vec<(usize, Vec<Signal>)> = (0..topics).map(|topic| (topic, Vec::new())).collect();
    for signal in signals {
        shards[topic_shard(&signal.room, topics)].1.push(signal);
    }
    shards.retain(|(_, signals)| !signals.is_empty());
    shards
}

fn envelope(signals: &[Signal]) -> String {
    let texts: Vec<String> = signals.iter().filter_map(|signal| serde_json::to_string(signal).ok()).collect();
    Envelope::join_all([], texts.iter().map(String::as_str))
}

/// What waits for the next publish.
#[derive(Debug, Default)]
struct Waiting {
    signals: VecDeque<Signal>,
    bytes: usize,
}

/// What had to go for a signal to be taken in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Room {
    replaced: u64,
    dropped: u64,
}

impl Waiting {
    /// The newest value of a key takes the last place, so that numbers keep rising.
    fn push(&mut self, signal: Signal) -> Room {
        let mut room = Room::default();
        if signal.envelope_len() > MAX_BYTES {
            return Room { dropped: 1, ..room };
        }
        let same = |other: &Signal| signal.key.is_some() && other.key == signal.key && other.room == signal.room;
        if let Some(older) = self.signals.iter().position(same) {
            self.remove(older);
            room.replaced = 1;
        }
        while self.signals.len() >= MAX_SIGNALS || self.bytes + signal.envelope_len() > MAX_BYTES {
            self.remove(0);
            room.dropped += 1;
        }
        self.bytes += signal.envelope_len();
        self.signals.push_back(signal);
        room
    }

    fn remove(&mut self, index: usize) {
        if let Some(signal) = self.signals.remove(index) {
            self.bytes -= signal.envelope_len();
        }
    }

    fn take(&mut self) -> VecDeque<Signal> {
        self.bytes = 0;
        std::mem::take(&mut self.signals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::{alone, signal};

    fn waiting(of: &Waiting) -> Vec<u64> {
        of.signals.iter().map(|signal| signal.number).collect()
    }

    #[test]
    fn the_newest_value_of_a_key_replaces_the_older_one_in_its_room_alone() {
        let mut queue = Waiting::default();
        queue.push(signal("a", Some("k"), 1, 1));
        queue.push(signal("b", Some("k"), 2, 1));
        queue.push(signal("a", None, 3, 1));
        queue.push(signal("a", None, 4, 1));
        assert_eq!(queue.push(signal("a", Some("k"), 5, 1)), Room { replaced: 1, dropped: 0 });
        assert_eq!(waiting(&queue), [2, 3, 4, 5]);
    }

    #[test]
    fn when_full_the_oldest_go() {
        let mut queue = Waiting::default();
        for number in 1..=MAX_SIGNALS as u64 {
            assert_eq!(queue.push(signal("a", None, number, 1)), Room::default());
        }
        assert_eq!(queue.push(signal("a", None, 1_000, 1)).dropped, 1);
        assert_eq!((queue.signals.len(), queue.signals[0].number), (MAX_SIGNALS, 2));
        assert!(queue.push(signal("a", None, 1_001, 60_000)).dropped > 100, "bytes count too");
        assert!(queue.bytes <= MAX_BYTES);
        assert_eq!(queue.push(signal("a", None, 1_002, MAX_BYTES)).dropped, 1, "what never fits goes itself");
        queue.take();
        assert_eq!((queue.bytes, queue.signals.len()), (0, 0));
    }

    #[test]
    fn more_nodes_publish_less_often() {
        for (others, ms) in [(0, 250), (4, 250), (5, 300), (99, 5_000)] {
            assert_eq!(interval(others), Duration::from_millis(ms));
        }
    }

    #[derive(Default)]
    struct Topics {
        published: Mutex<Vec<(usize, String)>>,
        failing: std::sync::atomic::AtomicBool,
    }

    impl PublishSignals for Topics {
        fn topics(&self) -> usize {
            4
        }

        fn publish(&self, topic: usize, message: String) -> BoxFuture<'_, Result<(), String>> {
            self.published.lock().unwrap().push((topic, message));
            let failing = self.failing.load(Ordering::SeqCst);
            Box::pin(std::future::ready(if failing { Err("down".to_owned()) } else { Ok(()) }))
        }
    }

    async fn until(wanted: impl Fn() -> bool) {
        let waiting = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.expect("it happens in time");
    }

    #[tokio::test]
    async fn signals_gather_and_go_to_the_topic_of_their_room() {
        let (topics, stats) = (Arc::new(Topics::default()), Arc::<LinkStats>::default());
        let signals = SnsSignals::start(Arc::clone(&topics) as _, alone(), Arc::clone(&stats));
        signals.push(signal("first", None, 1, 1));
        until(|| stats.counts().signals_published == 1).await;
        let rest = Instant::now();
        for (number, room) in (2..).zip(["a", "b", "a", "b", "c"]) {
            signals.push(signal(room, None, number, 1));
        }
        until(|| stats.counts().signals_published == 6).await;
        assert!(rest.elapsed() >= SHORTEST.mul_f64(0.8), "they wait for each other");
        let published = topics.published.lock().unwrap();
        assert!((2..=4).contains(&published.len()), "at most one publish a topic: {published:?}");
        for (topic, message) in published.iter() {
            let envelope = Envelope::parse(message).unwrap();
            assert!(envelope.signals.iter().all(|signal| topic_shard(&signal.room, 4) == *topic));
            assert!(envelope.signals.is_sorted_by_key(|signal| signal.number));
        }
    }

    #[tokio::test]
    async fn a_failed_publish_is_counted_and_the_next_one_goes_on() {
        let (topics, stats) = (Arc::new(Topics::default()), Arc::<LinkStats>::default());
        let signals = SnsSignals::start(Arc::clone(&topics) as _, alone(), Arc::clone(&stats));
        topics.failing.store(true, Ordering::SeqCst);
        signals.push(signal("a", None, 1, 1));
        until(|| stats.counts().signals_unpublished == 1).await;
        topics.failing.store(false, Ordering::SeqCst);
        signals.push(signal("a", None, 2, 1));
        until(|| stats.counts().signals_published == 1).await;
        assert_eq!(stats.counts().signals_unpublished, 1);
    }
}
