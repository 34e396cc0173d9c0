use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use super::silence::LogSilence;
use super::{DynamoLog, LogError, MessageLog};
use crate::telemetry::Histogram;

/// What a node asked of its log, and how that went.
#[derive(Debug, Default)]
pub(crate) struct LogStats {
    /// How long writes took that were accepted.
    pub(crate) commits: Histogram,
    /// Writes whose number was another's.
    pub(crate) conflicts: AtomicU64,
    /// Writes of which nobody knows whether they happened.
    pub(crate) unknown: AtomicU64,
    /// Writes that were refused for good, or failed.
    pub(crate) failed: AtomicU64,
    /// Requests of any kind for which there was no capacity.
    pub(crate) throttled: AtomicU64,
    /// Reads of any kind but probes.
    pub(crate) reads: AtomicU64,
    /// Keys that were probed.
    pub(crate) probes: AtomicU64,
    /// Headers written, or tried to be.
    pub(crate) headers: AtomicU64,
    /// Reads, probes and headers that were not answered, throttled ones aside.
    pub(crate) reads_failed: AtomicU64,
    /// Items that were met and were neither segment nor header; the log counts them.
    pub(crate) corrupt_items: Arc<AtomicU64>,
    /// Since when nothing has been answered.
    pub(crate) silence: LogSilence,
}

/// Any log, with all that is asked of it counted.
pub(crate) struct MeteredLog {
    log: Arc<dyn MessageLog>,
    stats: Arc<LogStats>,
}

impl MeteredLog {
    /// The log in DynamoDB.
    pub(crate) fn of_dynamodb(log: DynamoLog) -> Self {
        let stats = LogStats { corrupt_items: log.corrupt_counter(), ..LogStats::default() };
        Self { log: Arc::new(log), stats: Arc::new(stats) }
    }

    pub(crate) fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.stats)
    }

    /// Passes a call on, and notes how it ended.
    fn watch<'a, T: Send + 'a>(
        &'a self,
        call: BoxFuture<'a, T>,
        ended: impl FnOnce(&LogStats, &T, Instant) -> Answered + Send + 'a,
    ) -> BoxFuture<'a, T> {
        Box::pin(async move {
            let began = Instant::now();
            let outcome = call.await;
            let answered = ended(&self.stats, &outcome, began);
            self.stats.silence.note(began, answered);
            outcome
        })
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        asked: (&AtomicU64, usize),
        call: BoxFuture<'a, Result<T, LogError>>,
    ) -> BoxFuture<'a, Result<T, LogError>> {
        asked.0.fetch_add(asked.1 as u64, Ordering::Relaxed);
        self.watch(call, |stats, outcome, _| stats.handle_answer(outcome))
    }
}

/// Whether the log answered a call at all. That it is throttling is an answer.
type Answered = bool;

impl LogStats {
    fn handle_answer<T>(&self, answer: &Result<T, LogError>) -> Answered {
        let (counter, answered) = match answer {
            Ok(_) => return true,
            Err(LogError::Throttled) => (&self.throttled, true),
            Err(LogError::Unavailable(_)) => (&self.reads_failed, false),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answered
    }

    fn handle_appended(&self, outcome: &AppendOutcome, began: Instant) -> Answered {
        let (counter, answered) = match outcome {
            AppendOutcome::Committed => {
                self.commits.observe(began.elapsed());
                return true;
            }
            AppendOutcome::Conflict(_) => (&self.conflicts, true),
            AppendOutcome::Throttled => (&self.throttled, true),
            AppendOutcome::Refused(_) => (&self.failed, true),
            AppendOutcome::Failed(_) => (&self.failed, false),
            AppendOutcome::Unknown(_) => (&self.unknown, false),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answered
    }
}

impl MessageLog for MeteredLog {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        self.watch(self.log.append(segment), LogStats::handle_appended)
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.ask((&self.stats.reads, 1), self.log.read(room, from, limit))
    }

    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.ask((&self.stats.reads, 1), self.log.read_back(room, before, limit))
    }

    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        self.ask((&self.stats.reads, 1), self.log.header(room))
    }

    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        self.ask((&self.stats.headers, 1), self.log.put_header(room, header, expected))
    }

    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        self.ask((&self.stats.probes, keys.len()), self.log.probe(keys))
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::super::contract::{Subject, contract_suite, room, segment, seq};
    use super::super::memory::MemoryLog;
    use super::*;

    struct Metered(MeteredLog, Arc<MemoryLog>);

    fn metered() -> Metered {
        let memory: Arc<MemoryLog> = Arc::default();
        let log = MeteredLog { log: Arc::clone(&memory) as Arc<dyn MessageLog>, stats: Arc::default() };
        Metered(log, memory)
    }

    impl Subject for Metered {
        fn log(&self) -> &dyn MessageLog {
            &self.0
        }

        fn plant_newer_version<'a>(&'a self, stored: &'a StoredSegment) -> BoxFuture<'a, ()> {
            self.1.plant_newer_version(stored)
        }
    }

    contract_suite!(ready(metered()));

    #[tokio::test]
    async fn commits_are_timed_and_lost_races_counted() {
        let Metered(log, _) = metered();
        let stats = log.stats();
        log.append(&segment("r", 1, 2, "a")).await;
        log.append(&segment("r", 1, 2, "b")).await;
        log.read(&room("r"), seq(1), 5).await.unwrap();
        log.probe(&[(room("r"), seq(1)), (room("r"), seq(3))]).await.unwrap();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((stats.commits.read().count(), count(&stats.conflicts)), (1, 1));
        assert_eq!((count(&stats.reads), count(&stats.probes), count(&stats.reads_failed)), (1, 2, 0));
    }
}
