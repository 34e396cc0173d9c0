use std::collections::HashMap;

use aws_lambda_events::event::dynamodb::{EventRecord, StreamRecord};
use protocol::{
    Body, BodyError, Content, DisplayName, Envelope, MAX_SNS_MESSAGE, Message, MessageId, RoomName, Segment, UserId,
    log_item as attribute,
};
use serde::Serialize;
use serde_dynamo::AttributeValue;

/// What a stream record asks for.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing: not an insert, or a room's header.
    Ignored,
    /// To publish this.
    Piece(Piece),
    /// To publish this announcement in place of a segment whose messages cannot be sent, and to say why.
    Announced(Piece, Unreadable),
    /// Nothing can be said about it.
    Undecodable(Unreadable),
}

/// One segment as envelope JSON, small enough for an SNS message of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The room.
    pub(crate) room: RoomName,
    /// The segment as envelope JSON.
    pub(crate) text: String,
    /// The same segment with its messages left out, for when SNS refuses `text`; `None` when `text` is that already.
    pub(crate) announcement: Option<String>,
}

/// Why a record, or its messages, cannot be sent. Never shows what anybody wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("attribute {0} is absent or of another type")]
    Attribute(&'static str),
    #[error("its room, numbers, epoch or node break their rules")]
    Head,
    #[error("its form is version {0}, which is unknown here")]
    Version(u64),
    #[error("attribute {field} of message {index} is absent or breaks its rule")]
    Message { index: usize, field: &'static str },
    #[error("message {index}: {error}")]
    Body { index: usize, error: BodyError },
    #[error("it counts {count} messages and holds {held}")]
    Count { count: u64, held: usize },
    #[error("as JSON it is {0} bytes long, more than an SNS message holds")]
    TooLong(usize),
}

/// Decides what a record asks for.
///
/// Of a segment whose messages cannot be sent (a newer version wrote it, or it is too long) the numbers are still
/// announced, with `null` for the messages: receivers take that for content they cannot read and turn to the log.
pub(crate) fn judge(record: &EventRecord) -> Verdict {
    if record.event_name != "INSERT" {
        return Verdict::Ignored;
    }
    let row = Row(&record.change);
    if row.number(attribute::SEQ) == Ok(0) {
        return Verdict::Ignored;
    }
    let (mut segment, announcement) = match head(row) {
        Ok(head) => head,
        Err(why) => return Verdict::Undecodable(why),
    };
    let text = messages(row, segment.count()).and_then(|messages| {
        segment.content = Content::Messages(messages);
        let text = serde_json::to_string(&segment).expect("a segment with messages is plain JSON");
        if Envelope::OVERHEAD + text.len() > MAX_SNS_MESSAGE { Err(Unreadable::TooLong(text.len())) } else { Ok(text) }
    });
    match text {
        Ok(text) => Verdict::Piece(Piece { room: segment.room, text, announcement: Some(announcement) }),
        Err(why) => Verdict::Announced(Piece { room: segment.room, text: announcement, announcement: None }, why),
    }
}

/// The room and the number that a record is about, as far as they can be read, for logs.
pub(crate) fn subject(record: &EventRecord) -> (&str, &str) {
    let row = Row(&record.change);
    let seq = match row.get(attribute::SEQ) {
        Some(AttributeValue::N(number)) => number,
        _ => "",
    };
    (row.text(attribute::ROOM).unwrap_or_default(), seq)
}

/// Reads everything but the messages. The announcement is read back as receivers read it, so that the protocol alone
/// says which names and numbers are sound.
fn head(row: Row<'_>) -> Result<(Segment, String), Unreadable> {
    #[derive(Serialize)]
    struct Announcement<'a> {
        room: &'a str,
        seq: u64,
        count: u64,
        epoch: &'a str,
        node: &'a str,
        messages: (),
    }
    let announcement = Announcement {
        room: row.text(attribute::ROOM)?,
        seq: row.number(attribute::SEQ)?,
        count: row.number(attribute::COUNT)?,
        epoch: row.text(attribute::EPOCH)?,
        node: row.text(attribute::NODE)?,
        messages: (),
    };
    let text = serde_json::to_string(&announcement).expect("texts and numbers are plain JSON");
    let segment = serde_json::from_str(&text).map_err(|_| Unreadable::Head)?;
    Ok((segment, text))
}

fn messages(row: Row<'_>, count: u64) -> Result<Vec<Message>, Unreadable> {
    let version = row.number(attribute::VERSION)?;
    if version != attribute::ITEM_VERSION {
        return Err(Unreadable::Version(version));
    }
    let Some(AttributeValue::L(list)) = row.get(attribute::MESSAGES) else {
        return Err(Unreadable::Attribute(attribute::MESSAGES));
    };
    if list.len() as u64 != count {
        return Err(Unreadable::Count { count, held: list.len() });
    }
    list.iter().enumerate().map(|(index, value)| message(index, value)).collect()
}

fn message(index: usize, value: &AttributeValue) -> Result<Message, Unreadable> {
    let AttributeValue::M(fields) = value else {
        return Err(Unreadable::Attribute(attribute::MESSAGES));
    };
    let broken = |field| Unreadable::Message { index, field };
    let text = |field| text(fields, field).ok_or(broken(field));
    Ok(Message {
        id: MessageId::new(text(attribute::ID)?).map_err(|_| broken(attribute::ID))?,
        from: UserId::new(text(attribute::FROM)?).map_err(|_| broken(attribute::FROM))?,
        name: DisplayName::new(text(attribute::NAME)?).map_err(|_| broken(attribute::NAME))?,
        at: number(fields, attribute::AT).ok_or(broken(attribute::AT))?,
        body: Body::parse(text(attribute::BODY)?).map_err(|error| Unreadable::Body { index, error })?,
    })
}

/// A record's item. Its key attributes are in `Keys` too, where they outlive a stream view without images.
#[derive(Clone, Copy)]
struct Row<'a>(&'a StreamRecord);

impl<'a> Row<'a> {
    fn get(self, name: &str) -> Option<&'a AttributeValue> {
        self.0.new_image.inner().get(name).or_else(|| self.0.keys.inner().get(name))
    }

    fn text(self, name: &'static str) -> Result<&'a str, Unreadable> {
        match self.get(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(Unreadable::Attribute(name)),
        }
    }

    fn number(self, name: &'static str) -> Result<u64, Unreadable> {
        match self.get(name) {
            Some(AttributeValue::N(digits)) => digits.parse().map_err(|_| Unreadable::Attribute(name)),
            _ => Err(Unreadable::Attribute(name)),
        }
    }
}

fn text<'a>(fields: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    match fields.get(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}

fn number(fields: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    match fields.get(name) {
        Some(AttributeValue::N(digits)) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture, insert};

    fn verdicts(name: &str) -> Vec<Verdict> {
        fixture(name).records.iter().map(judge).collect()
    }

    fn read_back(text: &str) -> Segment {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_inserted_segment_becomes_envelope_json_with_its_texts_untouched() {
        let [Verdict::Piece(piece)] = &verdicts("insert_one")[..] else { panic!("not published") };
        let segment = read_back(&piece.text);
        assert_eq!((segment.room.as_str(), segment.seq.get(), segment.count()), ("lobby", 41, 2));
        let bodies: Vec<&str> = segment.messages().map(|(_, message)| message.body.as_str()).collect();
        assert_eq!(bodies, [r#"{"text":"hello"}"#, "\"été\""]);
        assert_eq!(segment.messages().nth(1).unwrap().1.name.as_str(), "Grace \"🦀\"");
    }

    #[test]
    fn the_binary_ids_that_nodes_store_do_not_disturb() {
        let event = fixture("insert_one");
        let ids = event.records[0].change.new_image.inner().get(attribute::IDS);
        assert!(matches!(ids, Some(AttributeValue::B(bytes)) if bytes.len() == 48), "two messages, 24 bytes each");
    }

    #[test]
    fn changes_removals_and_headers_are_ignored() {
        let removal = &fixture("ttl_remove").records[0];
        assert_eq!(removal.user_identity.as_ref().unwrap().principal_id, "dynamodb.amazonaws.com");
        for name in ["modify", "ttl_remove", "header"] {
            assert!(matches!(verdicts(name)[..], [Verdict::Ignored]), "{name}");
        }
    }

    #[test]
    fn a_segment_of_a_newer_form_is_announced() {
        let [Verdict::Announced(piece, why)] = &verdicts("newer_version")[..] else { panic!("not announced") };
        assert_eq!(*why, Unreadable::Version(2));
        assert_eq!(
            piece.text,
            r#"{"room":"lobby","seq":43,"count":3,"epoch":"1.00000000000000aa","node":"0a1b2c3d4e5f","messages":null}"#
        );
        assert_eq!(read_back(&piece.text).content, Content::Unreadable { count: 3 });
        assert_eq!(piece.announcement, None, "it is one already");
    }

    #[test]
    fn unreadable_messages_are_announced_with_the_reason_and_without_their_words() {
        let reasons: Vec<String> = verdicts("unreadable_messages")
            .into_iter()
            .map(|verdict| {
                let Verdict::Announced(piece, why) = verdict else { panic!("{verdict:?}") };
                assert!(!piece.text.contains("secret") && !why.to_string().contains("secret"));
                let segment = read_back(&piece.text);
                assert_eq!((segment.seq.get(), segment.content), (50, Content::Unreadable { count: 1 }));
                why.to_string()
            })
            .collect();
        assert_eq!(
            reasons,
            [
                "message 0: the body is not valid JSON",
                "message 0: the body is nested deeper than 64 levels",
                "it counts 1 messages and holds 2",
                "attribute from of message 0 is absent or breaks its rule",
                "attribute at of message 0 is absent or breaks its rule",
                "attribute name of message 0 is absent or breaks its rule",
                "attribute messages is absent or of another type",
                "attribute messages is absent or of another type",
                "attribute v is absent or of another type",
            ]
        );
    }

    #[test]
    fn a_record_without_a_sound_head_is_undecodable() {
        let reasons: Vec<String> = verdicts("unreadable_heads")
            .into_iter()
            .map(|verdict| {
                let Verdict::Undecodable(why) = verdict else { panic!("{verdict:?}") };
                why.to_string()
            })
            .collect();
        let head = "its room, numbers, epoch or node break their rules";
        let absent = |name| format!("attribute {name} is absent or of another type");
        assert_eq!(
            reasons,
            [
                head.to_owned(),
                absent("count"),
                head.to_owned(),
                head.to_owned(),
                absent("count"),
                head.to_owned(),
                absent("epoch"),
                head.to_owned(),
                absent("node"),
                head.to_owned(),
                absent("seq"),
                absent("room"),
            ]
        );
    }

    #[test]
    fn a_segment_fills_an_sns_message_to_the_last_byte_and_is_announced_beyond() {
        let len = |record: &EventRecord| match judge(record) {
            Verdict::Piece(piece) => piece.text.len(),
            other => panic!("{other:?}"),
        };
        let room_left = MAX_SNS_MESSAGE - Envelope::OVERHEAD - len(&insert("r", 1, 0));
        assert_eq!(len(&insert("r", 1, room_left)), MAX_SNS_MESSAGE - Envelope::OVERHEAD);

        let Verdict::Announced(piece, why) = judge(&insert("r", 1, room_left + 1)) else { panic!("not announced") };
        assert_eq!(why, Unreadable::TooLong(MAX_SNS_MESSAGE - Envelope::OVERHEAD + 1));
        assert_eq!(read_back(&piece.text).content, Content::Unreadable { count: 1 });
    }

    #[test]
    fn bytes_count_and_not_characters() {
        let mut record = insert("r", 1, 0);
        let Some(AttributeValue::L(messages)) = record.change.new_image.inner_mut().get_mut(attribute::MESSAGES) else {
            panic!("no messages")
        };
        let AttributeValue::M(message) = &mut messages[0] else { panic!("no message") };
        let crabs = "🦀".repeat(MAX_SNS_MESSAGE / 4);
        message.insert(attribute::BODY.to_owned(), AttributeValue::S(format!("\"{crabs}\"")));
        assert!(matches!(judge(&record), Verdict::Announced(_, Unreadable::TooLong(_))));
    }

    #[test]
    fn the_subject_of_a_record_is_found_as_far_as_it_can_be_read() {
        assert_eq!(subject(&fixture("ttl_remove").records[0]), ("lobby", "1"));
        assert_eq!(subject(&fixture("unreadable_heads").records[10]), ("lobby", ""));
        assert_eq!(subject(&fixture("unreadable_heads").records[11]), ("", ""));
    }
}
