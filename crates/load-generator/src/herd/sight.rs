//! One client's view of its room: every message is held against the one that must come next, byte for byte.

use std::time::Duration;

use protocol::{Body, MessageFrame, RoomName, Seq, ServerFrame};

use crate::chronicle::Pages;

/// How every message begins.
const MESSAGE: &[u8] = br#"{"type":"message""#;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("message {seq} instead of {expected}: {} missing", seq - expected)]
    Missing { expected: u64, seq: u64 },
    /// Again, or later than one that comes after it.
    #[error("message {seq} where {expected} is next")]
    Late { expected: u64, seq: u64 },
    #[error("message {0} is another one than was sent or others saw")]
    Altered(u64),
    #[error("a message of room {0}")]
    Foreign(RoomName),
    #[error("not a message: {0}")]
    Unreadable(String),
}

/// A message in its place, as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// With this, everybody has seen it.
    pub(crate) complete: bool,
    /// When it was due, if that is known.
    pub(crate) due: Option<Duration>,
}

/// Whether a text frame is a message.
pub(crate) fn is_message(text: &[u8]) -> bool {
    text.starts_with(MESSAGE)
}

/// Holds a message against what must come next, and moves on: past what is missing, too, so that one loss is one fault.
/// `due_of` reads from a body when it was due.
///
/// # Errors
/// [`Fault`]: a promise was broken.
pub(crate) fn see(
    pages: &mut Pages,
    room: &RoomName,
    next: &mut u64,
    text: &[u8],
    due_of: impl FnOnce(&Body) -> Option<Duration>,
) -> Result<Seen, Fault> {
    if let Some(sighting) = pages.recall(*next, text) {
        *next += 1;
        return Ok(Seen { complete: sighting.complete, due: sighting.due });
    }
    let frame = parse(text)?;
    if frame.room != *room {
        return Err(Fault::Foreign(frame.room));
    }
    let (expected, seq) = (*next, frame.seq.get());
    if seq < expected {
        return Err(Fault::Late { expected, seq });
    }
    let due = due_of(&frame.body);
    let sighting = pages.note(&frame, text, due);
    *next = frame.seq.next().get();
    if sighting.differs {
        return Err(Fault::Altered(seq));
    }
    if seq > expected {
        return Err(Fault::Missing { expected, seq });
    }
    Ok(Seen { complete: sighting.complete, due: sighting.due })
}

fn parse(text: &[u8]) -> Result<MessageFrame, Fault> {
    let unreadable = |why: String| Fault::Unreadable(why);
    let text = std::str::from_utf8(text).map_err(|error| unreadable(error.to_string()))?;
    match ServerFrame::parse(text).map_err(|error| unreadable(error.to_string()))? {
        ServerFrame::Message(frame) if frame.seq >= Seq::FIRST => Ok(frame),
        _ => Err(unreadable("another frame".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use crate::chronicle::Chronicle;

    use super::*;

    fn text(seq: u64, body: &str) -> String {
        format!(
            r#"{{"type":"message","room":"r","seq":{seq},"id":"i{seq}","from":"u","name":"n","at":1,"body":"{body}"}}"#
        )
    }

    /// Two clients of one room.
    struct Room {
        chronicle: Chronicle,
        next: [u64; 2],
    }

    impl Room {
        fn new() -> Self {
            Self { chronicle: Chronicle::new(2), next: [1; 2] }
        }

        fn sees(&mut self, client: usize, text: &str) -> Result<Seen, Fault> {
            let room = RoomName::new("r").unwrap();
            let mut pages = self.chronicle.open();
            see(&mut pages, &room, &mut self.next[client], text.as_bytes(), |_| Some(Duration::ZERO))
        }
    }

    fn seen(complete: bool) -> Result<Seen, Fault> {
        Ok(Seen { complete, due: Some(Duration::ZERO) })
    }

    #[test]
    fn what_comes_whole_in_order_and_once_is_right_and_the_last_client_completes_it() {
        let mut room = Room::new();
        for seq in 1..=3 {
            assert_eq!(room.sees(0, &text(seq, "a")), seen(false));
        }
        for seq in 1..=3 {
            assert_eq!(room.sees(1, &text(seq, "a")), seen(true));
        }
        assert_eq!(room.next, [4, 4]);
    }

    #[test]
    fn a_missing_message_is_noticed_by_either_client() {
        for first in [0, 1] {
            let mut room = Room::new();
            room.sees(1 - first, &text(1, "a")).unwrap();
            room.sees(1 - first, &text(2, "a")).unwrap();
            assert_eq!(room.sees(first, &text(2, "a")), Err(Fault::Missing { expected: 1, seq: 2 }));
            assert_eq!(room.sees(first, &text(3, "a")), seen(false), "one loss is one fault");
        }
    }

    #[test]
    fn a_repeated_message_is_noticed() {
        let mut room = Room::new();
        room.sees(0, &text(1, "a")).unwrap();
        assert_eq!(room.sees(0, &text(1, "a")), Err(Fault::Late { expected: 2, seq: 1 }));
    }

    #[test]
    fn swapped_messages_are_noticed() {
        let mut room = Room::new();
        assert_eq!(room.sees(0, &text(2, "a")), Err(Fault::Missing { expected: 1, seq: 2 }));
        assert_eq!(room.sees(0, &text(1, "a")), Err(Fault::Late { expected: 3, seq: 1 }));
    }

    #[test]
    fn a_message_that_was_altered_for_one_client_is_noticed() {
        for altered in [text(1, "b"), text(1, "a").replace("\"at\":1", "\"at\":2"), text(1, "a").replace("i1", "i2")] {
            let mut room = Room::new();
            room.sees(0, &text(1, "a")).unwrap();
            assert_eq!(room.sees(1, &altered), Err(Fault::Altered(1)), "{altered}");
        }
    }

    #[test]
    fn a_message_that_was_altered_for_everybody_is_noticed_where_it_is_known_what_was_sent() {
        let mut room = Room::new();
        let sent = parse(text(1, "a").as_bytes()).unwrap();
        room.chronicle.open().expect(sent, false, Duration::ZERO);
        assert_eq!(room.sees(0, &text(1, "b")), Err(Fault::Altered(1)));
        assert_eq!(room.sees(1, &text(1, "b")), Err(Fault::Altered(1)));
    }

    #[test]
    fn what_is_of_another_room_or_no_message_is_noticed() {
        let mut room = Room::new();
        let foreign = text(1, "a").replace(r#""room":"r""#, r#""room":"s""#);
        assert_eq!(room.sees(0, &foreign), Err(Fault::Foreign(RoomName::new("s").unwrap())));
        assert!(matches!(room.sees(0, r#"{"type":"message"}"#), Err(Fault::Unreadable(_))));
        assert!(matches!(room.sees(0, &text(1, "a")[..40]), Err(Fault::Unreadable(_))));
        assert!(is_message(text(1, "a").as_bytes()) && !is_message(br#"{"type":"ack"}"#));
    }
}
