//! What has been said in a room, as the first client saw it.
//!
//! Everybody gets the same bytes, so a message is parsed once and compared by all others: that costs a client a tenth,
//! and proves at the same time that everybody saw the same under one number. The last [`RECENT`] messages are known;
//! what is older is parsed again, and only its number is checked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{MessageFrame, Seq};

/// Messages that are remembered at most, a power of two.
const RECENT: usize = 1_024;
/// Messages that are remembered at first: there may be thousands of rooms. More as somebody falls behind.
const FEW: usize = 32;

/// The recent messages of one room.
pub(crate) struct Chronicle(Mutex<Pages>);

/// The same, in the hands of one client.
pub(crate) struct Pages {
    slots: Vec<Option<Slot>>,
    /// How many clients see each message.
    viewers: u32,
}

struct Slot {
    /// As the first client got it; empty: nobody has, it is known from who sends it.
    text: Box<[u8]>,
    frame: MessageFrame,
    /// The server tells who said it, and when: what the first client sees of that counts.
    told_by_server: bool,
    /// When it should have been sent, since the run's origin; `None`: another run's.
    due: Option<Duration>,
    seen: u32,
}

/// What a sighting came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Another message was seen under this number before.
    pub(crate) differs: bool,
    /// With this, everybody has seen it.
    pub(crate) complete: bool,
    /// When it was due, if that is known.
    pub(crate) due: Option<Duration>,
}

impl Chronicle {
    /// Nothing was said yet.
    pub(crate) fn new(viewers: u32) -> Self {
        Self(Mutex::new(Pages { slots: (0..FEW).map(|_| None).collect(), viewers }))
    }

    /// The message under this number, if this is its text.
    pub(crate) fn recall(&self, expected: Seq, text: &str) -> Option<(MessageFrame, Sighting)> {
        let mut pages = self.open();
        let sighting = pages.recall(expected.get(), text.as_bytes())?;
        let slot = pages.slots[pages.place(expected.get())].as_ref()?;
        Some((slot.frame.clone(), sighting))
    }

    /// A message that was not recalled.
    pub(crate) fn note(&self, frame: &MessageFrame, text: &str, due: Option<Duration>) -> Sighting {
        self.open().note(frame, text.as_bytes(), due)
    }

    /// For several messages at once.
    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Whether this is what others saw under that number; `None`: nobody has seen it yet, or it was another text.
    pub(crate) fn recall(&mut self, expected: u64, text: &[u8]) -> Option<Sighting> {
        let (place, viewers) = (self.place(expected), self.viewers);
        let slot = self.slots[place].as_mut()?;
        // Nobody has seen what has no text yet, and nobody says nothing.
        let same = slot.frame.seq.get() == expected && !text.is_empty() && *slot.text == *text;
        same.then(|| slot.see(viewers))
    }

    /// A message that was not recalled.
    pub(crate) fn note(&mut self, frame: &MessageFrame, text: &[u8], due: Option<Duration>) -> Sighting {
        self.make_space(frame.seq.get());
        let (place, viewers) = (self.place(frame.seq.get()), self.viewers);
        match &mut self.slots[place] {
            Some(slot) if slot.frame.seq == frame.seq => {
                let differs = slot.differs(frame);
                if slot.text.is_empty() && !differs {
                    slot.text = text.into();
                    slot.frame = frame.clone();
                }
                Sighting { differs, ..slot.see(viewers) }
            }
            Some(slot) if slot.frame.seq > frame.seq => Sighting { differs: false, complete: false, due },
            slot => {
                let new = Slot { text: text.into(), frame: frame.clone(), told_by_server: false, due, seen: 0 };
                slot.insert(new).see(viewers)
            }
        }
    }

    /// This is being sent: a client that sees anything else under its number has seen what was not said. With
    /// `told_by_server` the server puts in the publisher's id and name, and the time.
    pub(crate) fn expect(&mut self, frame: MessageFrame, told_by_server: bool, due: Duration) {
        self.make_space(frame.seq.get());
        let place = self.place(frame.seq.get());
        self.slots[place] = Some(Slot { text: Box::default(), frame, told_by_server, due: Some(due), seen: 0 });
    }

    fn place(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len() - 1)
    }

    /// Doubles the pages when somebody has not yet seen what would go.
    fn make_space(&mut self, seq: u64) {
        while self.slots.len() < RECENT
            && let Some(slot) = &self.slots[self.place(seq)]
            && slot.frame.seq.get() < seq
            && slot.seen < self.viewers
        {
            let length = 2 * self.slots.len();
            let slots = std::mem::replace(&mut self.slots, (0..length).map(|_| None).collect());
            for slot in slots.into_iter().flatten() {
                let place = self.place(slot.frame.seq.get());
                self.slots[place] = Some(slot);
            }
        }
    }
}

impl Slot {
    /// Whether this is another message than the one that is known.
    fn differs(&self, frame: &MessageFrame) -> bool {
        if !self.told_by_server || !self.text.is_empty() {
            return self.frame != *frame;
        }
        let said = |frame: &MessageFrame| (frame.room.clone(), frame.seq, frame.id.clone(), frame.body.clone());
        said(&self.frame) != said(frame)
    }

    fn see(&mut self, viewers: u32) -> Sighting {
        self.seen += 1;
        Sighting { differs: false, complete: self.seen == viewers, due: self.due }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{RoomName, ServerFrame};

    use super::*;

    const SAME: Sighting = Sighting { differs: false, complete: false, due: None };
    const LAST: Sighting = Sighting { differs: false, complete: true, due: None };

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
        assert_eq!(chronicle.note(&frame, &text, None), SAME);
        assert_eq!(chronicle.recall(frame.seq, &text), Some((frame.clone(), SAME)));
        assert_eq!(chronicle.recall(frame.seq, &text), Some((frame, LAST)));
    }

    #[test]
    fn another_message_under_the_same_number_is_noticed() {
        let chronicle = Chronicle::new(2);
        let (frame, text) = message(7, "a");
        chronicle.note(&frame, &text, None);
        let (other, text) = message(7, "b");
        assert!(chronicle.recall(other.seq, &text).is_none());
        assert!(chronicle.note(&other, &text, None).differs);
    }

    #[test]
    fn what_not_everybody_has_seen_is_kept_for_a_while() {
        let chronicle = Chronicle::new(2);
        let all: Vec<_> = (1..=RECENT as u64 + 1).map(|seq| message(seq, "a")).collect();
        for (frame, text) in &all {
            assert_eq!(chronicle.note(frame, text, None), SAME);
        }
        assert_eq!(chronicle.open().slots.len(), RECENT);
        assert!(chronicle.recall(all[0].0.seq, &all[0].1).is_none(), "there is an end to it");
        for (frame, text) in &all[1..] {
            assert_eq!(chronicle.recall(frame.seq, text), Some((frame.clone(), LAST)));
        }
    }

    #[test]
    fn what_is_being_sent_is_held_against_what_the_first_client_sees() {
        let chronicle = Chronicle::new(2);
        let due = Some(Duration::from_millis(3));
        let (frame, text) = message(7, "a");
        chronicle.open().expect(frame.clone(), false, Duration::from_millis(3));
        let (other, other_text) = message(7, "b");
        assert!(chronicle.open().recall(7, b"").is_none() && chronicle.recall(frame.seq, &text).is_none());
        assert!(chronicle.note(&other, &other_text, None).differs);
        assert_eq!(chronicle.note(&frame, &text, None), Sighting { differs: false, complete: true, due });
        assert_eq!(chronicle.recall(frame.seq, &text).unwrap().1.due, due);
    }

    #[test]
    fn what_the_server_puts_in_is_held_against_what_the_first_client_sees() {
        let (sent, text) = message(7, "a");
        let changed = |from: &str, to: &str| {
            let text = text.replace(from, to);
            let Ok(ServerFrame::Message(frame)) = ServerFrame::parse(&text) else { panic!("{text} is a message") };
            (frame, text)
        };
        let (told, told_text) = changed(r#""at":1"#, r#""at":2"#);
        for (differs, (frame, text)) in [
            (false, (told.clone(), told_text.clone())),
            (true, changed(r#""at":1"#, r#""at":3"#)),
            (true, changed(r#""body":"a""#, r#""body":"b""#)),
        ] {
            let chronicle = Chronicle::new(2);
            chronicle.open().expect(sent.clone(), true, Duration::ZERO);
            assert!(!chronicle.note(&told, &told_text, None).differs, "the first client sees another time");
            assert_eq!(chronicle.note(&frame, &text, None).differs, differs, "{text}");
        }
        for (from, to) in [(r#""body":"a""#, r#""body":"b""#), (r#""id":"i""#, r#""id":"j""#)] {
            let chronicle = Chronicle::new(2);
            chronicle.open().expect(sent.clone(), true, Duration::ZERO);
            let (frame, text) = changed(from, to);
            assert!(chronicle.note(&frame, &text, None).differs, "{text}");
        }
    }

    #[test]
    fn what_is_long_ago_makes_place_and_does_not_come_back() {
        let chronicle = Chronicle::new(1);
        let (old, old_text) = message(7, "a");
        let (new, new_text) = message(7 + FEW as u64, "b");
        chronicle.note(&old, &old_text, None);
        chronicle.note(&new, &new_text, None);
        assert!(chronicle.recall(old.seq, &old_text).is_none());
        assert_eq!(chronicle.note(&old, &old_text, None), SAME);
        assert_eq!(chronicle.recall(new.seq, &new_text), Some((new, SAME)), "it was seen already");
    }
}
