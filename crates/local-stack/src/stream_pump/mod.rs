//! The event source mapping between the messages table's stream and the publisher, in the way of Lambda's
//! (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>): at least once, in the stream's order, with partial
//! batch responses, bisecting on errors and a bounded number of retries.
//!
//! It starts at the oldest record of the stream (`TRIM_HORIZON`), and after a restart on the same data folder where it
//! was: the place is kept in a small file.

mod batch;
mod calls;
mod checkpoint;
mod handler;
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use calls::StreamCalls;
pub use checkpoint::CheckpointFile;
pub use handler::{FaultyHandler, HandlerFuture, StreamHandler};
pub use source::SourceError;

use crate::dynamodb::Consumed;
use batch::{Next, Outcome, Work};
use checkpoint::Place;
use source::{Record, Source};

/// How the mapping behaves; the default is how `infra/` configures the real one.
#[derive(Debug, Clone)]
pub struct PumpOptions {
    /// The table whose stream is read. It may appear later.
    pub table: String,
    /// Time between polls while there is nothing to do; Lambda polls each shard 4 times a second.
    pub poll: Duration,
    /// Most records in one invocation.
    pub batch_size: usize,
    /// Retries of a batch that cannot be split, before its records are given up.
    pub retries: u32,
    /// Before the first retry; doubles with each further failure in a row, up to 5 s.
    pub backoff: Duration,
    /// How long an invocation may take.
    pub timeout: Duration,
}

impl PumpOptions {
    /// The mapping's defaults for this table.
    #[must_use]
    pub fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            poll: Duration::from_millis(250),
            batch_size: 100,
            retries: 10,
            backoff: Duration::from_millis(100),
            timeout: Duration::from_secs(30),
        }
    }
}

const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What the mapping did since its start.
#[derive(Debug, Default)]
pub struct PumpCounts {
    invocations: AtomicU64,
    failures: AtomicU64,
    published: AtomicU64,
    given_up: AtomicU64,
}

impl PumpCounts {
    /// Calls of the handler.
    pub fn invocations(&self) -> u64 {
        self.invocations.load(Ordering::Relaxed)
    }

    /// Calls that failed, in part or as a whole.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Records that the handler took.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Records that went to nobody after all retries: on AWS they would be in the on-failure queue.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// All of them, for people and measurements.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "invocations": self.invocations(),
            "failures": self.failures(),
            "published": self.published(),
            "given_up": self.given_up(),
        })
    }
}

/// A running mapping. Dropping it stops it too, without waiting.
pub struct StreamPump {
    counts: Arc<PumpCounts>,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl StreamPump {
    /// Starts it on the streams of a database.
    #[must_use]
    pub fn start(
        streams: Arc<dyn StreamCalls>,
        options: PumpOptions,
        handler: Arc<dyn StreamHandler>,
        checkpoint: CheckpointFile,
        consumed: Consumed,
    ) -> Self {
        let (counts, stop) = (Arc::new(PumpCounts::default()), CancellationToken::new());
        let source = Source::new(streams, &options.table, checkpoint.load());
        let pump = Pump { source, options, handler, checkpoint, consumed, counts: Arc::clone(&counts) };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            stopped.run_until_cancelled_owned(pump.run()).await;
        });
        Self { counts, stop: stop.drop_guard(), task }
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> &PumpCounts {
        &self.counts
    }

    pub(crate) fn shared_counts(&self) -> Arc<PumpCounts> {
        Arc::clone(&self.counts)
    }

    /// Stops it, in the midst of a batch if need be: the batch is repeated after the next start.
    pub async fn stop(self) {
        drop(self.stop);
        drop(self.task.await);
    }
}

struct Pump {
    source: Source,
    options: PumpOptions,
    handler: Arc<dyn StreamHandler>,
    checkpoint: CheckpointFile,
    consumed: Consumed,
    counts: Arc<PumpCounts>,
}

impl Pump {
    async fn run(mut self) {
        loop {
            match self.poll().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(self.options.poll).await,
                Err(error) => {
                    tracing::warn!(%error, "the stream cannot be read");
                    tokio::time::sleep(LONGEST_BACKOFF).await;
                }
            }
        }
    }

    /// Reads one batch and sees it through; whether there was one.
    async fn poll(&mut self) -> Result<bool, SourceError> {
        let read = self.source.read(self.options.batch_size).await?;
        let Some(last) = read.last else { return Ok(false) };
        self.see_through(read.records).await;
        // Records that the filter kept out count too.
        self.advance(&last);
        Ok(true)
    }

    /// Invokes the handler until every record was taken or given up.
    async fn see_through(&mut self, records: Vec<Record>) {
        let mut work = Work::new(records, self.options.retries);
        let mut failures_in_a_row = 0;
        while let Some(batch) = work.current() {
            let outcome = self.invoke(batch).await;
            failures_in_a_row = if outcome == Outcome::Success { 0 } else { failures_in_a_row + 1 };
            let Next { taken, given_up } = work.settle(&outcome);
            self.counts.published.fetch_add(taken.len() as u64, Ordering::Relaxed);
            self.counts.given_up.fetch_add(given_up.len() as u64, Ordering::Relaxed);
            if let (Some(first), Some(last)) = (given_up.first(), given_up.last()) {
                let (from, to) = (&first.sequence_number, &last.sequence_number);
                tracing::warn!(from, to, records = given_up.len(), "records were given up after all retries");
            }
            if let Some(last) = given_up.last().or(taken.last()) {
                self.advance(&last.sequence_number);
            }
            if failures_in_a_row > 0 && work.current().is_some() {
                tokio::time::sleep(self.backoff(failures_in_a_row)).await;
            }
        }
    }

    async fn invoke(&self, batch: &[Record]) -> Outcome {
        self.counts.invocations.fetch_add(1, Ordering::Relaxed);
        let event = match source::event(batch) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, "a stream record is not what Lambda sends");
                return Outcome::failed(0);
            }
        };
        let outcome = match tokio::time::timeout(self.options.timeout, self.handler.invoke(event)).await {
            Ok(Ok(response)) => Outcome::of(&response, batch),
            Ok(Err(error)) => {
                tracing::debug!(error, "an invocation failed");
                Outcome::failed(0)
            }
            Err(_) => {
                tracing::warn!(timeout = ?self.options.timeout, "an invocation took too long");
                Outcome::failed(0)
            }
        };
        if outcome != Outcome::Success {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn advance(&mut self, sequence_number: &str) {
        if let Some(stored) = self.source.advance(sequence_number) {
            self.consumed.up_to(stored);
        }
        if let Err(error) = self.checkpoint.store(&Place { sequence_number: sequence_number.to_owned() }) {
            tracing::warn!(%error, "the place in the stream could not be kept");
        }
    }

    fn backoff(&self, failures_in_a_row: u32) -> Duration {
        self.options.backoff.saturating_mul(1 << (failures_in_a_row - 1).min(16)).min(LONGEST_BACKOFF)
    }
}
