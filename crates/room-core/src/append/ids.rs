use std::collections::{HashMap, VecDeque};

use protocol::{BodyHash, MessageKey, Segment, Seq};

/// The publishes that a room's last messages came from, so that none is logged twice.
#[derive(Debug, Default)]
pub(crate) struct IdWindow {
    /// Every message from this number on is known, up to the newest taken.
    floor: Seq,
    /// In ascending order.
    entries: VecDeque<(Seq, MessageKey)>,
    by_key: HashMap<MessageKey, (Seq, BodyHash)>,
}

impl IdWindow {
    /// A window that will be told of every message from `floor` on.
    pub(crate) fn from_floor(floor: Seq) -> Self {
        Self { floor, ..Self::default() }
    }

    /// The number that it reaches back to.
    pub(crate) fn floor(&self) -> Seq {
        self.floor
    }

    /// Takes a segment that follows all those taken before; one that does not is ignored.
    pub(crate) fn observe(&mut self, segment: &Segment) {
        for (seq, message) in segment.messages() {
            if self.entries.back().is_some_and(|(newest, _)| *newest >= seq) {
                continue;
            }
            let key = message.key();
            self.entries.push_back((seq, key));
            self.by_key.insert(key, (seq, message.body_hash()));
        }
    }

    /// The number and body of an earlier publish under this key.
    pub(crate) fn find(&self, key: &MessageKey) -> Option<(Seq, BodyHash)> {
        self.by_key.get(key).copied()
    }

    /// The message is not there any more: its id is free.
    pub(crate) fn forget(&mut self, key: &MessageKey, seq: Seq) {
        if self.by_key.get(key).is_some_and(|(known, _)| *known == seq) {
            self.by_key.remove(key);
        }
    }

    /// Forgets messages before `floor`.
    pub(crate) fn trim(&mut self, floor: Seq) {
        self.floor = self.floor.max(floor);
        while let Some((seq, key)) = self.entries.front().copied() {
            if seq >= floor {
                break;
            }
            self.entries.pop_front();
            if self.by_key.get(&key).is_some_and(|(known, _)| *known == seq) {
                self.by_key.remove(&key);
            }
        }
    }
}
