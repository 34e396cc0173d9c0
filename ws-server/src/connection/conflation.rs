use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use protocol::{RoomName, SignalKey};

use super::Frame;

/// What a keyed signal is about: a newer value of the same slot replaces the older one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) room: RoomName,
    pub(crate) key: SignalKey,
}

/// A signal, encoded once for all who get it: a clone is a reference.
#[derive(Debug, Clone)]
pub(crate) struct EncodedSignal {
    pub(crate) frame: Frame,
    /// `None`: it has no key.
    pub(crate) slot: Option<Arc<Slot>>,
}

/// Which frames of a queue are signals. A place counts the frames from the queue's beginning, those taken out included,
/// so it stays true while others leave.
#[derive(Debug, Default)]
pub(super) struct SignalPlaces {
    /// In ascending order.
    queued: VecDeque<(u64, Option<Arc<Slot>>)>,
    /// Where the value waits that a newer one would replace.
    newest: HashMap<Arc<Slot>, u64>,
}

impl SignalPlaces {
    pub(super) fn push(&mut self, place: u64, slot: Option<Arc<Slot>>) {
        if let Some(slot) = &slot {
            self.newest.insert(Arc::clone(slot), place);
        }
        self.queued.push_back((place, slot));
    }

    pub(super) fn find(&self, slot: &Slot) -> Option<u64> {
        self.newest.get(slot).copied()
    }

    /// A frame comes between others, at this place.
    pub(super) fn make_room(&mut self, at: u64) {
        let later = |place: &&mut u64| **place >= at;
        self.queued.iter_mut().map(|(place, _)| place).filter(later).for_each(|place| *place += 1);
        self.newest.values_mut().filter(later).for_each(|place| *place += 1);
    }

    /// All frames before this place have left the queue.
    pub(super) fn advance(&mut self, place: u64) {
        while self.queued.front().is_some_and(|(first, _)| *first < place) {
            if let Some((first, Some(slot))) = self.queued.pop_front()
                && self.newest.get(&slot) == Some(&first)
            {
                self.newest.remove(&slot);
            }
        }
    }

    /// Nothing that is queued now is replaced any more.
    pub(super) fn seal(&mut self) {
        self.newest.clear();
    }

    /// The places of all signals, in ascending order; none is known any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.newest = HashMap::new();
        std::mem::take(&mut self.queued).into_iter().map(|(place, _)| place)
    }
}
