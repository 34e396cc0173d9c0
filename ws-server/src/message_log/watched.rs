//! Whether the log answers, noted on the way to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use super::{LogError, MessageLog};

/// Silence of this length is worth a word. A single call that comes to nothing takes as long.
const SILENCE: Duration = Duration::from_secs(2);

/// Since when no call of the log has been answered, though there were some.
#[derive(Debug, Default)]
pub(crate) struct LogSilence(Mutex<Option<Instant>>);

impl LogSilence {
    /// For how long the log has not answered; `None`: it does, or nobody asked.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.since().map(|since| since.elapsed()).filter(|silence| *silence >= SILENCE)
    }

    /// A call that began then has ended. That the log is throttling is an answer.
    fn note(&self, began: Instant, answered: bool) {
        let mut since = self.since();
        let before = since.unwrap_or(began);
        *since = (!answered).then(|| before.min(began));
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log, and what is noted of it.
pub(crate) struct WatchedLog<L> {
    log: L,
    silence: Arc<LogSilence>,
}

impl<L: MessageLog> WatchedLog<L> {
    pub(crate) fn new(log: L, silence: Arc<LogSilence>) -> Self {
        Self { log, silence }
    }

    fn watch<'a, T: Send + 'a>(
        &'a self,
        call: BoxFuture<'a, T>,
        answered: impl Fn(&T) -> bool + Send + 'a,
    ) -> BoxFuture<'a, T> {
        Box::pin(async move {
            let began = Instant::now();
            let outcome = call.await;
            self.silence.note(began, answered(&outcome));
            outcome
        })
    }
}

fn is_answer<T>(outcome: &Result<T, LogError>) -> bool {
    !matches!(outcome, Err(LogError::Unavailable(_)))
}

impl<L: MessageLog> MessageLog for WatchedLog<L> {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        self.watch(self.log.append(segment), |outcome| {
            !matches!(outcome, AppendOutcome::Unknown(_) | AppendOutcome::Failed(_))
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.watch(self.log.read(room, from, limit), is_answer)
    }

    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        self.watch(self.log.read_back(room, before, limit), is_answer)
    }

    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        self.watch(self.log.header(room), is_answer)
    }

    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        self.watch(self.log.put_header(room, header, expected), is_answer)
    }

    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        self.watch(self.log.probe(keys), is_answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_beginning_of_the_first_call_that_came_to_nothing_until_one_is_answered() {
        let (silence, now) = (LogSilence::default(), Instant::now());
        let before = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        assert_eq!(silence.lasts(), None, "nobody asked");
        silence.note(before(1), false);
        assert_eq!(silence.lasts(), None, "one second is nothing");
        silence.note(before(5), false);
        silence.note(before(3), false);
        let lasts = silence.lasts().unwrap();
        assert!((Duration::from_secs(5)..Duration::from_secs(60)).contains(&lasts), "{lasts:?}");
        silence.note(before(9), true);
        assert_eq!(silence.lasts(), None);
    }
}
