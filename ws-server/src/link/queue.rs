use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Envelope;
use tokio::sync::Notify;

/// Bytes that wait for one node at most.
const MAX_BYTES: usize = 1024 * 1024;
/// Entries that wait for one node at most.
const MAX_ENTRIES: usize = 4_096;
/// Bytes that go with one request, unless one entry alone is longer.
const BATCH_BYTES: usize = 256 * 1024;

/// A segment or signal, encoded once for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    Segment(Arc<str>),
    Signal(Arc<str>),
}

impl Hint {
    fn text(&self) -> &str {
        match self {
            Self::Segment(text) | Self::Signal(text) => text,
        }
    }
}

/// What waits for one node.
#[derive(Debug, Default)]
pub(crate) struct HintQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    hints: VecDeque<Hint>,
    bytes: usize,
}

/// What goes with one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) hints: Vec<Hint>,
}

impl Batch {
    pub(crate) fn signals(&self) -> usize {
        self.hints.iter().filter(|hint| matches!(hint, Hint::Signal(_))).count()
    }

    pub(crate) fn segments(&self) -> usize {
        self.hints.len() - self.signals()
    }

    /// The envelope's JSON.
    pub(crate) fn envelope(&self) -> String {
        let segments = self.hints.iter().filter(|hint| matches!(hint, Hint::Segment(_)));
        let signals = self.hints.iter().filter(|hint| matches!(hint, Hint::Signal(_)));
        Envelope::join_all(segments.map(Hint::text), signals.map(Hint::text))
    }
}

impl HintQueue {
    /// Returns whether there was room.
    pub(crate) fn push(&self, hint: Hint) -> bool {
        let mut waiting = self.waiting();
        if waiting.hints.len() >= MAX_ENTRIES || waiting.bytes + hint.text().len() > MAX_BYTES {
            return false;
        }
        waiting.bytes += hint.text().len();
        waiting.hints.push_back(hint);
        drop(waiting);
        self.filled.notify_one();
        true
    }

    /// Waits for something, and takes what there is, as far as it fits one request.
    pub(crate) async fn next(&self) -> Batch {
        loop {
            let batch = self.take();
            if !batch.hints.is_empty() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    /// Forgets everything, and returns how much that was.
    pub(crate) fn clear(&self) -> usize {
        std::mem::take(&mut *self.waiting()).hints.len()
    }

    fn take(&self) -> Batch {
        let mut waiting = self.waiting();
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(hint) = waiting.hints.front() {
            let length = hint.text().len() + 1;
            if bytes + length > BATCH_BYTES && !batch.hints.is_empty() {
                break;
            }
            bytes += length;
            batch.hints.extend(waiting.hints.pop_front());
        }
        waiting.bytes -= batch.hints.iter().map(|hint| hint.text().len()).sum::<usize>();
        batch
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn hint(length: usize) -> Hint {
        Hint::Segment("x".repeat(length).into())
    }

    #[test]
    fn what_gathered_goes_together_in_order_up_to_a_batch() {
        let queue = HintQueue::default();
        for length in [100_000, 100_000, 100_000, 1] {
            assert!(queue.push(hint(length)));
        }
        let lengths = |batch: Batch| batch.hints.iter().map(|hint| hint.text().len()).collect::<Vec<_>>();
        assert_eq!(lengths(queue.next().now_or_never().unwrap()), [100_000, 100_000]);
        assert_eq!(lengths(queue.next().now_or_never().unwrap()), [100_000, 1]);
        assert!(queue.next().now_or_never().is_none(), "nothing is left");
    }

    #[test]
    fn one_that_is_longer_than_a_batch_goes_alone() {
        let queue = HintQueue::default();
        queue.push(hint(BATCH_BYTES + 1));
        queue.push(hint(1));
        assert_eq!(queue.next().now_or_never().unwrap().hints.len(), 1);
    }

    #[test]
    fn bytes_and_entries_are_bounded_and_room_comes_back() {
        let queue = HintQueue::default();
        assert!(queue.push(hint(MAX_BYTES)));
        assert!(!queue.push(hint(1)));
        assert_eq!(queue.clear(), 1);
        for _ in 0..MAX_ENTRIES {
            assert!(queue.push(hint(1)));
        }
        assert!(!queue.push(hint(1)));
        queue.next().now_or_never().unwrap();
        assert!(queue.push(hint(MAX_BYTES)), "what was taken is no longer counted");
    }

    #[test]
    fn segments_and_signals_are_told_apart() {
        let queue = HintQueue::default();
        queue.push(Hint::Signal("7".into()));
        queue.push(Hint::Segment("8".into()));
        queue.push(Hint::Signal("9".into()));
        let batch = queue.next().now_or_never().unwrap();
        assert_eq!((batch.segments(), batch.signals()), (1, 2));
        assert_eq!(batch.envelope(), r#"{"v":1,"segments":[8],"signals":[7,9]}"#);
    }
}
