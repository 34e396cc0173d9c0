use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    pub(super) fn note(&self, began: Instant, answered: bool) {
        let mut since = self.since();
        let before = since.unwrap_or(began);
        *since = (!answered).then(|| before.min(began));
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
