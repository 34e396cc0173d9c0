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
/// announced, with `null` for the messages: receivers take that for content they cannot read and turn to the log. The
/// same form carries what is in the service's own rooms.
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
    // A pulse proves the way that it takes. What it holds is no message, and no node reads it.
    if segment.room.is_of_service() {
        return Verdict::Piece(Piece { room: segment.room, text: announcement, announcement: None });
    }
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
        expires: u64,
        messages: (),
    }
    let announcement = Announcement {
        room: row.text(attribute::ROOM)?,
        seq: row.number(attribute::SEQ)?,
        count: row.number(attribute::COUNT)?,
        epoch: row.text(attribute::EPOCH)?,
        node: row.text(attribute::NODE)?,
        expires: row.number(attribute::EXPIRES)?,
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
mod tests;
