//! Virtual time: what is going to happen, in the order in which it does.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// What is due at a time. Things of one millisecond happen in the order in which they were planned.
#[derive(Debug)]
struct Entry<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Everything that is planned, and what time it is, in milliseconds since the run began.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    now: u64,
    number: u64,
    entries: BinaryHeap<Reverse<Entry<E>>>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { now: 0, number: 0, entries: BinaryHeap::with_capacity(256) }
    }
}

impl<E> Agenda<E> {
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Plans something; what is late already happens next.
    pub(crate) fn at(&mut self, at: u64, event: E) {
        self.number += 1;
        self.entries.push(Reverse(Entry { at, number: self.number, event }));
    }

    pub(crate) fn after(&mut self, ms: u64, event: E) {
        self.at(self.now.saturating_add(ms), event);
    }

    /// The next thing; it is its time then.
    pub(crate) fn pop(&mut self) -> Option<E> {
        let Reverse(Entry { at, event, .. }) = self.entries.pop()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// So much time passes in which nothing happens: all that was due in it is late.
    pub(crate) fn leap(&mut self, ms: u64) {
        self.now = self.now.saturating_add(ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_and_those_of_one_moment_as_they_were_planned() {
        let mut agenda = Agenda::default();
        agenda.at(5, "c");
        agenda.at(3, "a");
        agenda.at(5, "d");
        agenda.after(4, "b");
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!((order.concat().as_str(), agenda.now()), ("abcd", 5));
    }

    #[test]
    fn what_a_leap_passes_by_is_late_and_not_lost() {
        let mut agenda = Agenda::default();
        agenda.at(5, "late");
        agenda.leap(100);
        assert_eq!((agenda.pop(), agenda.now()), (Some("late"), 100));
    }
}
