//! What has been said in a room, as the first client saw it.
//!
//! Everybody gets the same bytes, so a message is parsed once and compared by all others: that costs a client a tenth,
//! and proves at the same time that everybody saw the same under one number. The last [`RECENT`] messages are known;
//! what is older is parsed again, and only its number is checked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{MessageFrame, Seq};

/// Messages that are remembered, a power of two.
const RECENT: usize = 1_024;

/// The recent messages of one room.
pub(crate) struct Chronicle {
    slots: Mutex<Vec<Option<Slot>>>,
    /// How many clients see each message.
    viewers: u32,
}

struct Slot {
    text: Box<str>,
    frame: MessageFrame,
    seen: u32,
}

/// What a sighting came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Another message was seen under this number before.
    pub(crate) differs: bool,
    /// With this, everybody has seen it.
    pub(crate) complete: bool,
}

impl Chronicle {
    /// Nothing was said yet.
    pub(crate) fn new(viewers: u32) -> Self {
        Self { slots: Mutex::new((0..RECENT).map(|_| None).collect()), viewers }
    }

    /// The message under this number, if this is its text.
    pub(crate) fn recall(&self, expected: Seq, text: &str) -> Option<(MessageFrame, Sighting)> {
        let mut slots = self.lock();
        let slot = slots[place(expected)].as_mut()?;
        if slot.frame.seq != expected || *slot.text != *text {
            return None;
        }
        let sighting = slot.see(self.viewers);
        Some((slot.frame.clone(), sighting))
    }

    /// A message that was not recalled.
    pub(crate) fn note(&self, frame: &MessageFrame, text: &str) -> Sighting {
        let mut slots = self.lock();
        let place = &mut slots[place(frame.seq)];
        match place {
            Some(slot) if slot.frame.seq == frame.seq => {
                let differs = slot.frame != *frame;
                Sighting { differs, ..slot.see(self.viewers) }
            }
            Some(slot) if slot.frame.seq > frame.seq => Sighting { differs: false, complete: false },
            _ => {
                let slot = Slot { text: text.into(), frame: frame.clone(), seen: 0 };
                place.insert(slot).see(self.viewers)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn see(&mut self, viewers: u32) -> Sighting {
        self.seen += 1;
        Sighting { differs: false, complete: self.seen == viewers }
    }
}

fn place(seq: Seq) -> usize {
    seq.get() as usize % RECENT
}

#[cfg(test)]
mod tests {
    use protocol::{RoomName, ServerFrame};

    use super::*;

    const SAME: Sighting = Sighting { differs: false, complete: false };
    const LAST: Sighting = Sighting { differs: false, complete: true };

    fn message(seq: u64, body: &str) -> (MessageFrame, String) {
        let room = RoomName::new("r").unwrap();
        let text = format!(
            r#"{{"type":"message","room":"{room}","seq":{seq},"id":"i","from":"u","name":"n","at":1,"body":"{body}"}}"#
        );
        let Ok(ServerFrame::Message(frame)) = ServerFrame::parse(&text) else { panic!("{text} is a message") };
        (frame, text)
    }

    #[test]
    fn the_second_client_recalls_what_the_first_one_saw_and_the_last_one_completes_it() {
        let chronicle = Chronicle::new(3);
        let (frame, text) = message(7, "a");
        assert!(chronicle.recall(frame.seq, &text).is_none());
        assert_eq!(chronicle.note(&frame, &text), SAME);
        assert_eq!(chronicle.recall(frame.seq, &text), Some((frame.clone(), SAME)));
        assert_eq!(chronicle.recall(frame.seq, &text), Some((frame, LAST)));
    }

    #[test]
    fn another_message_under_the_same_number_is_noticed() {
        let chronicle = Chronicle::new(2);
        let (frame, text) = message(7, "a");
        chronicle.note(&frame, &text);
        let (other, text) = message(7, "b");
        assert!(chronicle.recall(other.seq, &text).is_none());
        assert!(chronicle.note(&other, &text).differs);
    }

    #[test]
    fn what_is_long_ago_makes_place_and_does_not_come_back() {
        let chronicle = Chronicle::new(2);
        let (old, old_text) = message(7, "a");
        let (new, new_text) = message(7 + RECENT as u64, "b");
        chronicle.note(&old, &old_text);
        chronicle.note(&new, &new_text);
        assert!(chronicle.recall(old.seq, &old_text).is_none());
        assert_eq!(chronicle.note(&old, &old_text), SAME);
        assert_eq!(chronicle.recall(new.seq, &new_text), Some((new, LAST)));
    }
}
