//! How far each client has come in its room, readable from anywhere at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use protocol::Seq;

/// No client joins after so many messages.
const NOWHERE: u64 = u64::MAX;

/// One client's way through its room. Only its own task writes; others look on.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The number before the first message that it should get.
    start: AtomicU64,
    last: AtomicU64,
    got: AtomicU64,
    /// It is in its room, and misses nothing that was there when it came.
    present: AtomicBool,
}

impl Default for Seat {
    fn default() -> Self {
        let [start, last, got] = [NOWHERE, 0, 0].map(AtomicU64::new);
        Self { start, last, got, present: AtomicBool::new(false) }
    }
}

impl Seat {
    /// The client is in the room for the first time, and gets what follows `before`.
    pub(crate) fn handle_joined(&self, before: Seq) {
        if !self.joined() {
            self.last.store(before.get(), Ordering::Relaxed);
            self.start.store(before.get(), Ordering::Release);
        }
    }

    /// The client got a message in its order.
    pub(crate) fn handle_message(&self, seq: Seq) {
        self.last.store(seq.get(), Ordering::Relaxed);
        self.got.fetch_add(1, Ordering::Relaxed);
    }

    /// The client got so many messages, the last of them under this number.
    pub(crate) fn handle_messages(&self, last: u64, count: u64) {
        self.last.store(last, Ordering::Relaxed);
        self.got.fetch_add(count, Ordering::Relaxed);
    }

    /// The client is in the room and has everything from before, or its connection is gone.
    pub(crate) fn set_present(&self, present: bool) {
        self.present.store(present, Ordering::Relaxed);
    }

    /// Whether it is there now, and has everything up to the room's last message.
    pub(crate) fn is_at(&self, end: u64) -> bool {
        self.present.load(Ordering::Relaxed) && self.last() == end
    }

    /// Whether it has been in the room.
    pub(crate) fn joined(&self) -> bool {
        self.start.load(Ordering::Acquire) != NOWHERE
    }

    /// The last number it got.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// How many messages it got.
    pub(crate) fn got(&self) -> u64 {
        self.got.load(Ordering::Relaxed)
    }

    /// How many it should have got when the room's last message is number `end`.
    pub(crate) fn expected(&self, end: u64) -> u64 {
        if self.joined() { end.saturating_sub(self.start.load(Ordering::Relaxed)) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_should_get_is_everything_from_its_first_join_to_the_end() {
        let seat = Seat::default();
        assert_eq!((seat.joined(), seat.expected(9)), (false, 0));
        seat.handle_joined(Seq::ZERO.plus(4));
        assert_eq!((seat.last(), seat.expected(9)), (4, 5));
        seat.handle_message(Seq::ZERO.plus(5));
        seat.handle_joined(Seq::ZERO.plus(5)); // it comes back
        assert_eq!((seat.last(), seat.got(), seat.expected(9)), (5, 1, 5));
        assert!(!seat.is_at(5), "it has not caught up yet");
        seat.set_present(true);
        assert!(seat.is_at(5) && !seat.is_at(6));
    }
}
