//! What is said in passing, in a queue of what must not be lost.

use super::{Outbox, Queued, State};
use crate::connection::conflation::EncodedSignal;

impl Outbox {
    /// Queues a signal, or drops it. A newer value of a key takes the place of the one that still waits.
    pub(crate) fn push_signal(&self, signal: &EncodedSignal) {
        self.push_signal_within(signal, self.max_bytes() / 2);
    }

    /// Queues the current values of a room for somebody who has just come to its head: behind a replay, which may have
    /// filled half of the queue already.
    pub(crate) fn push_current<'a>(&self, values: impl Iterator<Item = &'a EncodedSignal>) {
        // Older values may wait from before: these must come after what has been queued since.
        self.lock().signals.seal();
        for value in values {
            self.push_signal_within(value, self.max_bytes() / 4 * 3);
        }
    }

    fn push_signal_within(&self, signal: &EncodedSignal, most: usize) {
        let mut state = self.lock();
        if state.closing.is_none() && state.queue_signal(signal, most, self.address.last_post()) {
            self.address.mailbox().count_queued(0, 1);
            self.tell(state);
        }
    }
}

impl State {
    /// Returns whether there is one more frame to write.
    fn queue_signal(&mut self, signal: &EncodedSignal, most: usize, after: u64) -> bool {
        let EncodedSignal { frame, slot } = signal;
        let place = slot.as_ref().and_then(|slot| self.signals.find(slot));
        let waiting = place.and_then(|place| usize::try_from(place - self.taken).ok());
        if let Some(older) = waiting.and_then(|index| self.frames.get_mut(index)) {
            let (before, now) = (older.frame.cost(), frame.cost());
            // What is no longer takes nothing from the others.
            if now <= before || self.bytes as usize - before + now <= most {
                *older = Queued::new(frame.clone(), older.after);
                self.let_out(before);
                self.take_in(frame);
            }
            return false;
        }
        if self.bytes() + frame.cost() > most {
            return false;
        }
        self.signals.push(self.taken + self.frames.len() as u64, slot.clone());
        self.take_in(frame);
        self.frames.push_back(Queued::new(frame.clone(), after));
        true
    }

    /// Returns how many have gone.
    pub(super) fn drop_signals(&mut self) -> usize {
        let before = self.frames.len();
        let mut signals = self.signals.take().peekable();
        let (mut place, mut freed) = (self.taken, 0);
        self.frames.retain(|queued| {
            let is_signal = signals.next_if_eq(&place).is_some();
            place += 1;
            freed += if is_signal { queued.frame.cost() } else { 0 };
            !is_signal
        });
        self.let_out(freed);
        before - self.frames.len()
    }
}
