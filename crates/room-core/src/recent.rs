use std::collections::VecDeque;

use protocol::Seq;

/// A room's most recent messages, as the caller keeps them (encoded, say): contiguous, bounded in number and bytes.
/// Serves history and resumption from memory.
#[derive(Debug)]
pub struct Recent<T> {
    start: Seq,
    items: VecDeque<T>,
    bytes: usize,
    max_items: usize,
    max_bytes: usize,
    /// Bytes that a message takes beside its own.
    overhead: usize,
}

impl<T: AsRef<[u8]>> Recent<T> {
    /// An empty window of at most so many messages and bytes.
    #[must_use]
    pub fn new(max_items: usize, max_bytes: usize) -> Self {
        Self { start: Seq::FIRST, items: VecDeque::new(), bytes: 0, max_items, max_bytes, overhead: 0 }
    }

    /// The same, where each message takes `overhead` bytes beside its own: they count, too.
    #[must_use]
    pub fn with_overhead(mut self, overhead: usize) -> Self {
        self.overhead = overhead;
        self
    }

    fn cost(&self, item: &T) -> usize {
        item.as_ref().len() + self.overhead
    }

    /// Takes the message with this number. One that does not follow the last starts the window anew.
    pub fn push(&mut self, seq: Seq, item: T) {
        if seq != self.end() {
            self.clear(seq);
        }
        self.bytes += self.cost(&item);
        self.items.push_back(item);
        while self.items.len() > self.max_items || self.bytes > self.max_bytes {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= self.cost(&oldest);
            self.start = self.start.next();
        }
    }

    /// Takes messages from before those kept: `older` in descending order, the first being the one right before. Stops
    /// where the bounds or the order do.
    pub fn extend_back(&mut self, older: impl IntoIterator<Item = (Seq, T)>) {
        for (seq, item) in older {
            let bytes = self.bytes + self.cost(&item);
            if seq.next() != self.start || self.items.len() >= self.max_items || bytes > self.max_bytes {
                return;
            }
            self.bytes = bytes;
            self.start = seq;
            self.items.push_front(item);
        }
    }

    /// Forgets everything; the next message has this number.
    pub fn clear(&mut self, next: Seq) {
        self.items = VecDeque::new();
        self.bytes = 0;
        self.start = next;
    }

    /// The number of the oldest message kept; equal to [`Recent::end`] when there is none.
    #[must_use]
    pub fn start(&self) -> Seq {
        self.start
    }

    /// The number after the newest message kept.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.start.plus(self.items.len() as u64)
    }

    /// Bytes of all messages kept, with what each takes beside its own.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The messages from `from` (inclusive) to `to` (exclusive), or `None` when not all of them are kept.
    pub fn range(&self, from: Seq, to: Seq) -> Option<impl DoubleEndedIterator<Item = &T> + ExactSizeIterator> {
        if from < self.start || to > self.end() || from > to {
            return None;
        }
        let skip = usize::try_from(from.since(self.start)).ok()?;
        let take = usize::try_from(to.since(from)).ok()?;
        Some(self.items.range(skip..skip + take))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn texts(recent: &Recent<String>, from: u64, to: u64) -> Option<Vec<String>> {
        recent.range(seq(from), seq(to)).map(|items| items.cloned().collect())
    }

    #[test]
    fn the_oldest_leave_first_by_number_and_by_bytes() {
        let mut recent = Recent::new(3, 10);
        for number in 5..9 {
            recent.push(seq(number), number.to_string());
        }
        assert_eq!((recent.start(), recent.end()), (seq(6), seq(9)));
        recent.push(seq(9), "123456789".into());
        assert_eq!((recent.start(), recent.bytes()), (seq(8), 10));
        assert_eq!(texts(&recent, 8, 10), Some(vec!["8".into(), "123456789".into()]));
    }

    #[test]
    fn a_range_is_whole_or_not_given() {
        let mut recent = Recent::new(10, 100);
        recent.push(seq(4), "a".to_owned());
        recent.push(seq(5), "b".to_owned());
        assert_eq!(texts(&recent, 4, 6), Some(vec!["a".into(), "b".into()]));
        assert_eq!(texts(&recent, 6, 6), Some(vec![]));
        assert_eq!(texts(&recent, 3, 6), None);
        assert_eq!(texts(&recent, 5, 7), None);
    }

    #[test]
    fn the_past_is_taken_back_as_far_as_it_connects_and_fits() {
        let mut recent = Recent::new(4, 100);
        recent.push(seq(8), "8".to_owned());
        recent.extend_back([7, 6, 4].map(|number| (seq(number), number.to_string())));
        assert_eq!((recent.start(), recent.end()), (seq(6), seq(9)));
        recent.extend_back([5, 4, 3].map(|number| (seq(number), number.to_string())));
        assert_eq!(texts(&recent, 5, 9), Some(vec!["5".into(), "6".into(), "7".into(), "8".into()]));
        assert_eq!((recent.start(), recent.bytes()), (seq(5), 4));
    }

    #[test]
    fn what_a_message_takes_beside_its_own_bytes_counts() {
        let mut recent = Recent::new(10, 100).with_overhead(30);
        for number in 1..=4 {
            recent.push(seq(number), "x".to_owned());
        }
        assert_eq!((recent.start(), recent.bytes()), (seq(2), 93), "three of 31 bytes fit");
        recent.extend_back([(seq(1), "y".to_owned())]);
        assert_eq!((recent.start(), recent.bytes()), (seq(2), 93));
    }

    #[test]
    fn a_jump_starts_anew() {
        let mut recent = Recent::new(10, 100);
        recent.push(seq(1), "a".to_owned());
        recent.push(seq(7), "b".to_owned());
        assert_eq!(texts(&recent, 7, 8), Some(vec!["b".into()]));
        assert_eq!(texts(&recent, 1, 2), None);
    }

    #[test]
    fn one_message_larger_than_the_window_leaves_it_empty_but_in_place() {
        let mut recent = Recent::new(10, 3);
        recent.push(seq(1), "abcdef".to_owned());
        assert_eq!((recent.start(), recent.end(), recent.bytes()), (seq(2), seq(2), 0));
    }
}
