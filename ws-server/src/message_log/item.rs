//! Segments and headers as items of the `messages` table; the attributes are declared in [`protocol::log_item`].

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::log_item as attribute;
use protocol::{
    Body, BodyHash, Content, DisplayName, Epoch, ID_WINDOW, Message, MessageId, MessageKey, NodeId, Nonce, RoomName,
    Segment, Seq, UserId,
};
use room_core::log::{RoomHeader, StoredSegment, WallSecs};

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// An item of which not even the numbers can be relied on. No version of this service writes such a thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the item at room {room} seq {seq} is not readable: {reason}")]
pub(super) struct ItemError {
    room: String,
    seq: String,
    reason: String,
}

/// A segment that has no form as an item; the text says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unwritable(&'static str);

/// The item of a segment.
///
/// # Errors
/// `Unwritable` for messages that were never read, for none at all, and for a number that is no message's.
pub(super) fn of_segment(stored: &StoredSegment) -> Result<Item, Unwritable> {
    let segment = &stored.segment;
    let Content::Messages(messages) = &segment.content else {
        return Err(Unwritable("an unreadable segment cannot be written"));
    };
    if messages.is_empty() || segment.seq < Seq::FIRST || segment.end() == Seq::MAX {
        return Err(Unwritable("a segment's numbers are out of range"));
    }
    Ok(HashMap::from([
        text(attribute::ROOM, segment.room.as_str()),
        number(attribute::SEQ, segment.seq.get()),
        number(attribute::COUNT, segment.count()),
        (attribute::MESSAGES.to_owned(), AttributeValue::L(messages.iter().map(of_message).collect())),
        (attribute::IDS.to_owned(), AttributeValue::B(Blob::new(ids(messages)))),
        text(attribute::NODE, segment.node.as_str()),
        text(attribute::NONCE, stored.nonce.as_str()),
        text(attribute::EPOCH, segment.epoch.as_str()),
        number(attribute::EXPIRES, stored.segment.expires.0),
        number(attribute::VERSION, attribute::ITEM_VERSION),
    ]))
}

fn of_message(message: &Message) -> AttributeValue {
    AttributeValue::M(HashMap::from([
        text(attribute::ID, message.id.as_str()),
        text(attribute::FROM, message.from.as_str()),
        text(attribute::NAME, message.name.as_str()),
        number(attribute::AT, message.at),
        text(attribute::BODY, message.body.as_str()),
    ]))
}

fn ids(messages: &[Message]) -> Vec<u8> {
    let mut ids = Vec::with_capacity(messages.len() * (MessageKey::LEN + BodyHash::LEN));
    for message in messages {
        ids.extend_from_slice(message.key().as_bytes());
        ids.extend_from_slice(message.body_hash().as_bytes());
    }
    ids
}

/// The segment of an item. Its frame (everything but the messages) must be there in every version of the form;
/// messages that cannot be read become [`Content::Unreadable`]. Messages of the service's
/// own rooms are never read, and become the same.
///
/// # Errors
/// `ItemError` when the frame is not there.
pub(super) fn to_segment(item: Item) -> Result<StoredSegment, ItemError> {
    named(item, read_segment)
}

fn read_segment(item: &mut Item) -> Result<StoredSegment, String> {
    let room = parsed(item, attribute::ROOM, |text| RoomName::of_any(&text).ok())?;
    let seq = sequence(item, attribute::SEQ)?;
    let count = take_number(item, attribute::COUNT)?;
    let in_range = seq >= Seq::FIRST && (1..=ID_WINDOW as u64).contains(&count) && seq.plus(count) != Seq::MAX;
    if !in_range {
        return Err(format!("{count} messages from {seq} on are out of range"));
    }
    let epoch = parsed(item, attribute::EPOCH, |text| Epoch::parse(&text))?;
    let node = parsed(item, attribute::NODE, |text| NodeId::new(&text).ok())?;
    let nonce = parsed(item, attribute::NONCE, |text| Nonce::new(&text).ok())?;
    let expires = WallSecs(take_number(item, attribute::EXPIRES)?);
    let content = match (!room.is_of_service()).then(|| read_messages(item)).flatten() {
        Some(messages) if messages.len() as u64 == count => Content::Messages(messages),
        _ => Content::Unreadable { count },
    };
    Ok(StoredSegment { segment: Arc::new(Segment { room, seq, epoch, node, expires, content }), nonce })
}

fn read_messages(item: &mut Item) -> Option<Vec<Message>> {
    if take_number(item, attribute::VERSION).ok()? != attribute::ITEM_VERSION {
        return None;
    }
    let AttributeValue::L(messages) = item.remove(attribute::MESSAGES)? else { return None };
    messages.into_iter().map(read_message).collect()
}

fn read_message(value: AttributeValue) -> Option<Message> {
    let AttributeValue::M(mut fields) = value else { return None };
    let fields = &mut fields;
    Some(Message {
        id: MessageId::new(&take_text(fields, attribute::ID)?).ok()?,
        from: UserId::new(&take_text(fields, attribute::FROM)?).ok()?,
        name: DisplayName::new(&take_text(fields, attribute::NAME)?).ok()?,
        at: take_number(fields, attribute::AT).ok()?,
        body: Body::parse(&take_text(fields, attribute::BODY)?).ok()?,
    })
}

/// The item of a room's header.
pub(super) fn of_header(room: &RoomName, header: &RoomHeader) -> Item {
    HashMap::from([
        text(attribute::ROOM, room.as_str()),
        number(attribute::SEQ, Seq::ZERO.get()),
        text(attribute::EPOCH, header.epoch.as_str()),
        number(attribute::FIRST, header.first.get()),
        number(attribute::SINCE, header.since.0),
        number(attribute::VERSION, attribute::ITEM_VERSION),
    ])
}

/// The header of an item, whatever its version: a header has no more than these attributes to agree on.
///
/// # Errors
/// `ItemError` when one of them is missing or odd.
pub(super) fn to_header(item: Item) -> Result<RoomHeader, ItemError> {
    named(item, |item| {
        Ok(RoomHeader {
            epoch: parsed(item, attribute::EPOCH, |text| Epoch::parse(&text))?,
            first: sequence(item, attribute::FIRST)?,
            since: WallSecs(take_number(item, attribute::SINCE)?),
        })
    })
}

/// An item's key, for requests.
pub(super) fn key(room: &RoomName, seq: Seq) -> Item {
    HashMap::from([text(attribute::ROOM, room.as_str()), number(attribute::SEQ, seq.get())])
}

/// The key of an item, as far as it is one of ours.
pub(super) fn to_key(mut item: Item) -> Option<(RoomName, Seq)> {
    let room = RoomName::of_any(&take_text(&mut item, attribute::ROOM)?).ok()?;
    Some((room, sequence(&mut item, attribute::SEQ).ok()?))
}

/// A text attribute.
pub(super) fn text(name: &str, value: &str) -> (String, AttributeValue) {
    (name.to_owned(), AttributeValue::S(value.to_owned()))
}

/// A number attribute.
pub(super) fn number(name: &str, value: u64) -> (String, AttributeValue) {
    (name.to_owned(), AttributeValue::N(value.to_string()))
}

/// Reads an item; an error names the item by its key as it stands, however odd.
fn named<T>(mut item: Item, read: impl FnOnce(&mut Item) -> Result<T, String>) -> Result<T, ItemError> {
    let shown = |item: &Item, name: &str| match item.get(name) {
        Some(AttributeValue::S(value) | AttributeValue::N(value)) => value.clone(),
        _ => "?".to_owned(),
    };
    let (room, seq) = (shown(&item, attribute::ROOM), shown(&item, attribute::SEQ));
    read(&mut item).map_err(|reason| ItemError { room, seq, reason })
}

fn take_text(item: &mut Item, name: &str) -> Option<String> {
    match item.remove(name) {
        Some(AttributeValue::S(value)) => Some(value),
        _ => None,
    }
}

fn take_number(item: &mut Item, name: &str) -> Result<u64, String> {
    let digits = match item.remove(name) {
        Some(AttributeValue::N(digits)) => digits,
        _ => return Err(format!("no number `{name}`")),
    };
    digits.parse().map_err(|_| format!("`{name}` is {digits}"))
}

fn sequence(item: &mut Item, name: &str) -> Result<Seq, String> {
    let number = take_number(item, name)?;
    Seq::new(number).ok_or_else(|| format!("`{name}` is {number}"))
}

fn parsed<T>(item: &mut Item, name: &str, parse: impl FnOnce(String) -> Option<T>) -> Result<T, String> {
    take_text(item, name).and_then(parse).ok_or_else(|| format!("no usable text `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_log::contract::{header, room, segment};

    #[test]
    fn a_segment_survives_the_way_through_an_item() {
        let stored = segment("lobby", 7, 3, "n1");
        assert_eq!(to_segment(of_segment(&stored).unwrap()), Ok(stored));
    }

    #[test]
    fn the_item_has_the_documented_attributes() {
        let stored = segment("lobby", 7, 2, "n1");
        let item = of_segment(&stored).unwrap();
        let mut names: Vec<_> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["count", "epoch", "expires", "ids", "messages", "node", "nonce", "room", "seq", "v"],
            "the stream publisher relies on them"
        );
        let AttributeValue::B(ids) = &item["ids"] else { panic!("ids are binary") };
        let (_, second) = stored.segment.messages().nth(1).unwrap();
        assert_eq!(ids.as_ref().len(), 2 * 24);
        assert_eq!(&ids.as_ref()[24..40], second.key().as_bytes());
        assert_eq!(&ids.as_ref()[40..], second.body_hash().as_bytes());
        let AttributeValue::L(messages) = &item["messages"] else { panic!("messages are a list") };
        let AttributeValue::M(fields) = &messages[1] else { panic!("a message is a map") };
        assert_eq!(fields["body"], AttributeValue::S(second.body.as_str().to_owned()));
        assert_eq!(fields["at"], AttributeValue::N(second.at.to_string()));
    }

    /// An attribute as DynamoDB's JSON has it.
    fn of_json(value: &serde_json::Value) -> AttributeValue {
        use base64::Engine;
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        let text = || value.as_str().unwrap().to_owned();
        match kind.as_str() {
            "S" => AttributeValue::S(text()),
            "N" => AttributeValue::N(text()),
            "B" => AttributeValue::B(Blob::new(base64::engine::general_purpose::STANDARD.decode(text()).unwrap())),
            "L" => AttributeValue::L(value.as_array().unwrap().iter().map(of_json).collect()),
            "M" => AttributeValue::M(fields_of_json(value)),
            other => panic!("{other} is in no item"),
        }
    }

    fn fields_of_json(value: &serde_json::Value) -> Item {
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), of_json(value))).collect()
    }

    #[test]
    fn items_from_before_there_were_rules_for_bodies_and_names_are_read_and_written_alike() {
        let recorded = include_str!("../../../crates/protocol/fixtures/recorded/items.jsonl");
        let mut messages = 0;
        for line in recorded.lines() {
            let item = fields_of_json(&serde_json::from_str(line).unwrap());
            let stored = to_segment(item.clone()).unwrap();
            assert!(matches!(stored.segment.content, Content::Messages(_)), "{line}");
            messages += stored.segment.count();
            assert_eq!(of_segment(&stored).unwrap(), item, "their ids too");
        }
        assert_eq!(messages, 15);
    }

    type Spoiler = Box<dyn Fn(&mut Item)>;

    #[test]
    fn messages_of_another_form_are_unreadable_and_their_numbers_known() {
        let original = segment("lobby", 7, 2, "n1");
        let message = |change: fn(&mut Item)| {
            move |item: &mut Item| {
                let Some(AttributeValue::L(messages)) = item.get_mut("messages") else { panic!("no list") };
                let AttributeValue::M(fields) = &mut messages[1] else { panic!("no map") };
                change(fields);
            }
        };
        let spoilers: Vec<Spoiler> = vec![
            Box::new(|item| drop(item.insert("v".into(), AttributeValue::N("2".into())))),
            Box::new(|item| drop(item.remove("v"))),
            Box::new(|item| drop(item.remove("messages"))),
            Box::new(|item| drop(item.insert("messages".into(), AttributeValue::B(Blob::new("zip"))))),
            Box::new(|item| drop(item.insert("messages".into(), AttributeValue::L(vec![])))),
            Box::new(|item| {
                drop(item.insert("messages".into(), AttributeValue::L(vec![AttributeValue::Bool(true); 2])));
            }),
            Box::new(message(|fields| drop(fields.remove("from")))),
            Box::new(message(|fields| drop(fields.insert("body".into(), AttributeValue::S("{".into()))))),
            Box::new(message(|fields| drop(fields.insert("at".into(), AttributeValue::N("-1".into()))))),
        ];
        for (index, spoil) in spoilers.iter().enumerate() {
            let mut item = of_segment(&original).unwrap();
            spoil(&mut item);
            let read = to_segment(item).unwrap();
            assert_eq!(read.segment.content, Content::Unreadable { count: 2 }, "spoiler {index}");
            assert_eq!((read.segment.seq, read.segment.end()), (original.segment.seq, original.segment.end()));
            assert_eq!(read.nonce, original.nonce);
        }
    }

    #[test]
    fn an_item_without_its_frame_is_an_error_that_names_it() {
        let spoiled = |name: &str, value: Option<AttributeValue>| {
            let mut item = of_segment(&segment("lobby", 7, 2, "n1")).unwrap();
            item.remove(name);
            item.extend(value.map(|value| (name.to_owned(), value)));
            to_segment(item).unwrap_err().to_string()
        };
        for name in ["count", "epoch", "node", "nonce", "expires"] {
            let error = spoiled(name, None);
            assert!(error.contains("room lobby seq 7") && error.contains(name), "{error}");
        }
        for count in ["0", "1001", "1.5", "-1", "18446744073709551616"] {
            let error = spoiled("count", Some(AttributeValue::N(count.into())));
            assert!(error.contains("room lobby seq 7") && error.contains(count), "{error}");
        }
        assert!(spoiled("seq", Some(AttributeValue::N("0".into()))).contains("room lobby seq 0"));
        assert!(spoiled("seq", None).contains("room lobby seq ?"));
        assert!(spoiled("room", Some(AttributeValue::S("a b".into()))).contains("room a b seq 7"));
    }

    #[test]
    fn what_has_no_numbers_is_not_written() {
        let mut stored = segment("lobby", 7, 2, "n1");
        let mut content = |content: Content| {
            Arc::make_mut(&mut stored.segment).content = content;
            of_segment(&stored)
        };
        assert!(content(Content::Unreadable { count: 2 }).is_err());
        assert!(content(Content::Messages(vec![])).is_err());
        assert!(of_segment(&segment("lobby", 0, 1, "n1")).is_err());
        assert!(of_segment(&segment("lobby", Seq::MAX.get() - 1, 1, "n1")).is_err());
    }

    #[test]
    fn a_header_survives_the_way_through_an_item() {
        let original = header(3, 41);
        let item = of_header(&room("lobby"), &original);
        assert_eq!(item["seq"], AttributeValue::N("0".into()));
        assert_eq!(to_header(item.clone()), Ok(original));
        let mut spoiled = item;
        spoiled.remove("first");
        assert!(to_header(spoiled).unwrap_err().to_string().contains("room lobby seq 0"));
    }
}
