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
/// so it stays true while others leave. Most queues never hold a signal, and have no memory for any.
#[derive(Debug, Default)]
pub(super) struct SignalPlaces(Option<Box<Places>>);

#[derive(Debug, Default)]
struct Places {
    /// In ascending order.
    queued: VecDeque<(u64, Option<Arc<Slot>>)>,
    /// Where the value waits that a newer one would replace.
    newest: HashMap<Arc<Slot>, u64>,
}

impl SignalPlaces {
    pub(super) fn push(&mut self, place: u64, slot: Option<Arc<Slot>>) {
        let Places { queued, newest } = &mut **self.0.get_or_insert_default();
        if let Some(slot) = &slot {
            newest.insert(Arc::clone(slot), place);
        }
        queued.push_back((place, slot));
    }

    pub(super) fn find(&self, slot: &Slot) -> Option<u64> {
        self.0.as_ref()?.newest.get(slot).copied()
    }

    /// A frame comes between others, at this place.
    pub(super) fn make_room(&mut self, at: u64) {
        let Some(places) = &mut self.0 else { return };
        let later = |place: &&mut u64| **place >= at;
        places.queued.iter_mut().map(|(place, _)| place).filter(later).for_each(|place| *place += 1);
        places.newest.values_mut().filter(later).for_each(|place| *place += 1);
    }

    /// All frames before this place have left the queue.
    pub(super) fn advance(&mut self, place: u64) {
        let Some(places) = &mut self.0 else { return };
        while let Some((first, slot)) = places.queued.pop_front_if(|(first, _)| *first < place) {
            if let Some(slot) = slot
                && places.newest.get(&slot) == Some(&first)
            {
                places.newest.remove(&slot);
            }
        }
    }

    /// Nothing that is queued now is replaced any more.
    pub(super) fn seal(&mut self) {
        if let Some(places) = &mut self.0 {
            places.newest.clear();
        }
    }

    /// The places of all signals, in ascending order; none is known any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.0.take().into_iter().flat_map(|places| places.queued).map(|(place, _)| place)
    }
}
