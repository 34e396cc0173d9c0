use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use super::{LogError, MessageLog};
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
    /// Reads and probes that were not answered, throttled ones aside.
    pub(crate) reads_failed: AtomicU64,
}

/// Any log, with all that is asked of it counted.
pub(crate) struct MeteredLog {
    log: Arc<dyn MessageLog>,
    stats: Arc<LogStats>,
}

impl MeteredLog {
    pub(crate) fn new(log: Arc<dyn MessageLog>) -> Self {
        Self { log, stats: Arc::default() }
    }

    pub(crate) fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.stats)
    }

    fn asked<'a, T: Send + 'a>(
        &'a self,
        counter: &AtomicU64,
        by: u64,
        answer: BoxFuture<'a, Result<T, LogError>>,
    ) -> BoxFuture<'a, Result<T, LogError>> {
        counter.fetch_add(by, Ordering::Relaxed);
        answer.inspect(|answer| self.stats.handle_answer(answer)).boxed()
    }
}

impl LogStats {
    fn handle_answer<T>(&self, answer: &Result<T, LogError>) {
        match answer {
            Ok(_) => return,
            Err(LogError::Throttled) => &self.throttled,
            Err(LogError::Unavailable(_)) => &self.reads_failed,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn handle_appended(&self, outcome: &AppendOutcome, sent: Instant) {
        match outcome {
            AppendOutcome::Committed => return self.commits.observe(sent.elapsed()),
            AppendOutcome::Conflict(_) => &self.conflicts,
            AppendOutcome::Throttled => &self.throttled,
            AppendOutcome::Unknown(_) => &self.unknown,
            AppendOutcome::Refused(_) | AppendOutcome::Failed(_) => &self.failed,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

impl MessageLog for MeteredLog {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        let sent = Instant::now();
        self.log.append(segment).inspect(move |outcome| self.stats.handle_appended(outcome, sent)).boxed()
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.asked(&self.stats.reads, 1, self.log.read(room, from, limit))
    }

    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.asked(&self.stats.reads, 1, self.log.read_back(room, before, limit))
    }

    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        self.asked(&self.stats.reads, 1, self.log.header(room))
    }

    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        self.log.put_header(room, header, expected)
    }

    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        self.asked(&self.stats.probes, keys.len() as u64, self.log.probe(keys))
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
        Metered(MeteredLog::new(Arc::clone(&memory) as Arc<dyn MessageLog>), memory)
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
