use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error_code::ErrorCode;
use crate::json::{Body, BodyError};
use crate::limits::{DEFAULT_HISTORY, MAX_HISTORY, MAX_REF};
use crate::names::{MessageId, NameError, RoomName, SignalKey};
use crate::position::{Position, Seq};

/// A client's mark on a request, echoed in its answer: a JSON string or number of at most 128 bytes of text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ref(Box<RawValue>);

impl Ref {
    /// Makes a mark of a number.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self(serde_json::value::to_raw_value(&number).expect("a number is JSON"))
    }

    /// The mark as JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    fn of(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let scalar = text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        (scalar && text.len() <= MAX_REF).then(|| Self(raw.to_owned()))
    }
}

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Ref {}

/// Where a session enters a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinFrom {
    /// At the head: only what is said from now on.
    Head,
    /// After the last position that the client saw.
    After(Position),
    /// Some recent messages back from the head.
    Recent(u32),
}

/// Which messages a `history` request names; bounds are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryRange {
    /// The newest ones.
    Latest,
    /// The ones right before this number.
    Before(Seq),
    /// The ones right after this number.
    After(Seq),
}

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// Enter a room. A second join of a room acts as leave and join.
    Join {
        /// The room.
        room: RoomName,
        /// Where to enter.
        from: JoinFrom,
        /// Echoed in `joined`.
        reference: Option<Ref>,
    },
    /// Leave a room.
    Leave {
        /// The room.
        room: RoomName,
        /// Echoed in `left`.
        reference: Option<Ref>,
    },
    /// Say something durable.
    Publish {
        /// The room.
        room: RoomName,
        /// The publisher's id for the message.
        id: MessageId,
        /// What is said.
        body: Body,
    },
    /// Say something that need not last.
    Signal {
        /// The room.
        room: RoomName,
        /// A newer value of a key replaces the older one.
        key: Option<SignalKey>,
        /// What is said.
        body: Body,
    },
    /// Read back.
    History {
        /// The room.
        room: RoomName,
        /// Which messages.
        range: HistoryRange,
        /// How many at most: 1 to 1,000.
        limit: u32,
        /// Echoed in `history`.
        reference: Option<Ref>,
    },
    /// Ask for a sign of life.
    Ping {
        /// Echoed in `pong`.
        reference: Option<Ref>,
    },
}

/// Why a frame was refused, with all that helps its sender to tell which one it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameError {
    /// The reason.
    pub code: ErrorCode,
    /// The reason, for people.
    pub message: String,
    /// The room that the frame named, when it did so readably.
    pub room: Option<RoomName>,
    /// The id of the publish, likewise.
    pub id: Option<MessageId>,
    /// The frame's `ref`, likewise.
    pub reference: Option<Ref>,
}

/// A frame's fields, before any is believed.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    history: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
}

/// A field that is there even when it is `null`: that is a body too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A refusal in the making: code and text, still without the frame's marks.
type Refusal = (ErrorCode, String);

impl ClientFrame {
    /// Reads one text frame. `max_body` bounds the body of a publish or a signal, in bytes of JSON
    /// text.
    ///
    /// # Errors
    /// `FrameError` names the reason and as much of the frame's identity (`ref`, `room`, `id`) as was readable.
    pub fn parse(text: &str, max_body: usize) -> Result<Self, FrameError> {
        let refuse = |message| FrameError { code: ErrorCode::BadFrame, message, room: None, id: None, reference: None };
        // serde would take an array for the fields in their order, and quote a whole string in its refusal.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(refuse("not a JSON object".to_owned()));
        }
        let fields: Fields<'_> = serde_json::from_str(text)
            .map_err(|error| refuse(format!("not a JSON object of this protocol: {error}")))?;
        Self::from_fields(&fields, max_body).map_err(|(code, message)| FrameError {
            code,
            message,
            room: fields
                .room
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .filter(|room: &RoomName| !room.is_of_service()),
            id: fields.id.and_then(|raw| serde_json::from_str(raw.get()).ok()),
            reference: fields.reference.and_then(Ref::of),
        })
    }

    fn from_fields(fields: &Fields<'_>, max_body: usize) -> Result<Self, Refusal> {
        let kind: String = required(fields.kind, "type")?;
        match kind.as_str() {
            "join" => {
                Ok(Self::Join { room: fields.room()?, from: fields.join_from()?, reference: fields.reference()? })
            }
            "leave" => Ok(Self::Leave { room: fields.room()?, reference: fields.reference()? }),
            "publish" => {
                Ok(Self::Publish { room: fields.room()?, id: fields.message_id()?, body: fields.body(max_body)? })
            }
            "signal" => {
                Ok(Self::Signal { room: fields.room()?, key: fields.signal_key()?, body: fields.body(max_body)? })
            }
            "history" => Ok(Self::History {
                room: fields.room()?,
                range: fields.history_range()?,
                limit: at_most_history(optional(fields.limit, "limit")?.unwrap_or(DEFAULT_HISTORY), "limit")?,
                reference: fields.reference()?,
            }),
            "ping" => Ok(Self::Ping { reference: fields.reference()? }),
            _ => Err((ErrorCode::UnknownType, "this server does not know frames of that type".into())),
        }
    }
}

impl Fields<'_> {
    fn reference(&self) -> Result<Option<Ref>, Refusal> {
        let Some(raw) = self.reference else { return Ok(None) };
        let reference = Ref::of(raw).ok_or_else(|| bad("`ref` is a string or a number of at most 128 bytes"))?;
        Ok(Some(reference))
    }

    fn room(&self) -> Result<RoomName, Refusal> {
        let text: String = required(self.room, "room")?;
        RoomName::new(&text).map_err(|error: NameError| (ErrorCode::BadRoom, error.to_string()))
    }

    fn message_id(&self) -> Result<MessageId, Refusal> {
        let text: String = required(self.id, "id")?;
        MessageId::new(&text).map_err(|error| bad(&error.to_string()))
    }

    fn signal_key(&self) -> Result<Option<SignalKey>, Refusal> {
        let Some(text) = optional::<String>(self.key, "key")? else { return Ok(None) };
        SignalKey::new(&text).map(Some).map_err(|error| bad(&error.to_string()))
    }

    fn body(&self, max_body: usize) -> Result<Body, Refusal> {
        let raw = self.body.ok_or_else(|| bad("`body` is missing"))?;
        if raw.get().len() > max_body {
            return Err((ErrorCode::TooLarge, format!("the body is longer than {max_body} bytes")));
        }
        Body::from_door(raw).map_err(|error: BodyError| bad(&error.to_string()))
    }

    fn join_from(&self) -> Result<JoinFrom, Refusal> {
        match (object::<Position>(self.after, "after")?, optional::<u32>(self.history, "history")?) {
            (Some(_), Some(_)) => Err(bad("a join has `after` or `history`, not both")),
            (Some(position), None) => {
                in_range(position.seq, "after")?;
                if position.epoch.is_none() && position.seq > Seq::ZERO {
                    return Err(bad("`after`: the empty epoch has no position but 0"));
                }
                Ok(JoinFrom::After(position))
            }
            (None, Some(0)) | (None, None) => Ok(JoinFrom::Head),
            (None, Some(count)) => Ok(JoinFrom::Recent(at_most_history(count, "history")?)),
        }
    }

    fn history_range(&self) -> Result<HistoryRange, Refusal> {
        match (optional::<Seq>(self.before, "before")?, optional::<Seq>(self.after, "after")?) {
            (Some(_), Some(_)) => Err(bad("history has `before` or `after`, not both")),
            (Some(seq), None) => Ok(HistoryRange::Before(in_range(seq, "before")?)),
            (None, Some(seq)) => Ok(HistoryRange::After(in_range(seq, "after")?)),
            (None, None) => Ok(HistoryRange::Latest),
        }
    }
}

fn bad(message: &str) -> Refusal {
    (ErrorCode::BadFrame, message.to_owned())
}

/// A field that may be absent or null.
fn optional<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Result<Option<T>, Refusal> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|error| bad(&format!("`{name}`: {}", brief(&error))))
}

/// An optional field that is an object: serde would take an array for the fields in their order.
fn object<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Result<Option<T>, Refusal> {
    if raw.is_some_and(|raw| raw.get().starts_with('[')) {
        return Err(bad(&format!("`{name}` is an object")));
    }
    optional(raw, name)
}

fn required<T: DeserializeOwned>(raw: Option<&RawValue>, name: &str) -> Result<T, Refusal> {
    optional(raw, name)?.ok_or_else(|| bad(&format!("`{name}` is missing")))
}

/// A parser's complaint without the text it complains about: errors never echo more than they must.
fn brief(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((reason, _)) if reason.len() <= 120 => reason.to_owned(),
        _ => "is of the wrong type".to_owned(),
    }
}

fn at_most_history(count: u32, name: &str) -> Result<u32, Refusal> {
    if count == 0 || count > MAX_HISTORY {
        return Err(bad(&format!("`{name}` is 1 to {MAX_HISTORY}")));
    }
    Ok(count)
}

fn in_range(seq: Seq, name: &str) -> Result<Seq, Refusal> {
    Seq::new(seq.get()).ok_or_else(|| bad(&format!("`{name}` is out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DEFAULT_MAX_BODY;

    #[derive(Deserialize)]
    struct Golden {
        frame: Box<RawValue>,
        #[serde(default)]
        reads: Option<String>,
        #[serde(default)]
        error: Option<ErrorCode>,
        #[serde(default)]
        marks: Option<Vec<Option<String>>>,
    }

    #[test]
    fn what_is_no_object_is_refused_briefly() {
        let long = format!("\"{}\"", "\u{7f}".repeat(10_000));
        let array = r#"["ping",1,null,null,null,null,null,null,null,null]"#;
        for text in [long.as_str(), array, " 7", "null", "", " \n", "{", "{}"] {
            let refusal = ClientFrame::parse(text, DEFAULT_MAX_BODY).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::BadFrame, "{text}");
            assert!(refusal.message.len() < 128, "{}", refusal.message);
        }
        assert!(ClientFrame::parse(" \n{\"type\":\"ping\"}", DEFAULT_MAX_BODY).is_ok());
    }

    #[test]
    fn golden_frames_are_read_as_written_down() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../../fixtures/client_frames.json")).unwrap();
        assert!(golden.len() >= 30);
        for case in golden {
            let text = case.frame.get();
            match ClientFrame::parse(text, DEFAULT_MAX_BODY) {
                Ok(frame) => assert_eq!(Some(describe(&frame)), case.reads, "{text}"),
                Err(error) => {
                    assert_eq!(Some(error.code), case.error, "{text}: {}", error.message);
                    let marks = vec![
                        error.room.as_ref().map(ToString::to_string),
                        error.id.as_ref().map(ToString::to_string),
                        error.reference.as_ref().map(|r| r.as_str().to_owned()),
                    ];
                    assert_eq!(marks, case.marks.unwrap_or(vec![None, None, None]), "{text}");
                }
            }
        }
    }

    fn describe(frame: &ClientFrame) -> String {
        let mark = |reference: &Option<Ref>| reference.as_ref().map_or("-".to_owned(), |r| r.as_str().to_owned());
        match frame {
            ClientFrame::Join { room, from, reference } => {
                let from = match from {
                    JoinFrom::Head => "head".to_owned(),
                    JoinFrom::After(p) => format!("after {}/{}", p.epoch, p.seq),
                    JoinFrom::Recent(count) => format!("recent {count}"),
                };
                format!("join {room} {from} {}", mark(reference))
            }
            ClientFrame::Leave { room, reference } => format!("leave {room} {}", mark(reference)),
            ClientFrame::Publish { room, id, body } => format!("publish {room} {id} {}", body.as_str()),
            ClientFrame::Signal { room, key, body } => {
                format!("signal {room} {} {}", key.as_ref().map_or("-", SignalKey::as_str), body.as_str())
            }
            ClientFrame::History { room, range, limit, reference } => {
                format!("history {room} {range:?} {limit} {}", mark(reference))
            }
            ClientFrame::Ping { reference } => format!("ping {}", mark(reference)),
        }
    }

    #[test]
    fn text_that_is_no_object_is_a_bad_frame() {
        for text in
            ["", "{", "[]", "null", "1", "\"join\"", "{\"type\":\"ping\"} x", "{\"type\":\"ping\",\"type\":\"ping\"}"]
        {
            assert_eq!(ClientFrame::parse(text, 100).unwrap_err().code, ErrorCode::BadFrame, "{text}");
        }
    }

    #[test]
    fn a_body_longer_than_the_limit_names_its_publish() {
        let text = format!(r#"{{"type":"publish","room":"a","id":"7","body":"{}"}}"#, "x".repeat(99));
        assert!(ClientFrame::parse(&text, 101).is_ok());
        let error = ClientFrame::parse(&text, 100).unwrap_err();
        assert_eq!((error.code, error.id.unwrap().as_str()), (ErrorCode::TooLarge, "7"));
    }

    #[test]
    fn a_signals_body_is_bounded_like_a_publishs() {
        let text = format!(r#"{{"type":"signal","room":"a","key":"k","body":"{}"}}"#, "x".repeat(99));
        assert!(ClientFrame::parse(&text, 101).is_ok());
        let error = ClientFrame::parse(&text, 100).unwrap_err();
        assert_eq!((error.code, error.room.unwrap().as_str()), (ErrorCode::TooLarge, "a"));
    }

    #[test]
    fn errors_do_not_echo_long_input() {
        let text = format!(r#"{{"type":"history","room":"a","limit":"{}"}}"#, "x".repeat(5_000));
        assert!(ClientFrame::parse(&text, 100).unwrap_err().message.len() < 200);
    }
}
