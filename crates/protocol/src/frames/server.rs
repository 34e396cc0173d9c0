use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::frames::client::Ref;
use crate::json::Body;
use crate::message::Message;
use crate::names::{DisplayName, MessageId, NodeId, RoomName, SessionId, SignalKey, UserId};
use crate::position::{Position, Seq};

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// This conversation.
    pub session: SessionId,
    /// Who the server takes the client for.
    pub user: UserId,
    /// The node that serves it.
    pub node: NodeId,
    /// Milliseconds between the server's WebSocket pings.
    pub heartbeat_ms: u64,
    /// Longest body of a publish, in bytes of JSON text.
    pub max_body: usize,
}

/// The session is in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The room.
    pub room: RoomName,
    /// Live messages follow after this position.
    pub position: Position,
    /// Everything after the position that the join named follows and nothing is missing. False: a `reset` follows.
    pub recovered: bool,
    /// How many messages up to `position` come first.
    pub replayed: u64,
    /// The join's `ref`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
}

/// The session goes on from another position than the one it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The room.
    pub room: RoomName,
    /// Messages follow after this position.
    pub position: Position,
}

/// One message of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFrame {
    /// The room.
    pub room: RoomName,
    /// Its number.
    pub seq: Seq,
    /// Its publisher's id for it.
    pub id: MessageId,
    /// Its publisher.
    pub from: UserId,
    /// What the publisher was called.
    pub name: DisplayName,
    /// When it was taken in, in milliseconds since 1970; informative.
    pub at: u64,
    /// What was said.
    pub body: Body,
}

impl MessageFrame {
    /// A message as its room's members get it: `{"type":"message",…}`.
    #[must_use]
    pub fn encode(room: &RoomName, seq: Seq, message: &Message) -> String {
        let mut json = Vec::with_capacity(Self::usual_len(room, message));
        Self::encode_to(&mut json, room, seq, message);
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Adds what [`MessageFrame::encode`] returns. Every message of every room comes through here once on every node: the
    /// names of the fields are written as they are.
    pub fn encode_to(out: &mut Vec<u8>, room: &RoomName, seq: Seq, message: &Message) {
        out.extend_from_slice(br#"{"type":"message","room":""#);
        // Room names need no escapes.
        out.extend_from_slice(room.as_str().as_bytes());
        out.extend_from_slice(br#"","seq":"#);
        push_json(out, &seq);
        out.extend_from_slice(br#","id":"#);
        push_json(out, message.id.as_str());
        out.extend_from_slice(br#","from":"#);
        push_json(out, message.from.as_str());
        out.extend_from_slice(br#","name":"#);
        push_json(out, message.name.as_str());
        out.extend_from_slice(br#","at":"#);
        push_json(out, &message.at);
        out.extend_from_slice(br#","body":"#);
        out.extend_from_slice(message.body.as_str().as_bytes());
        out.push(b'}');
    }

    /// Bytes that an encoded message has if nothing in it needs escapes, or some more.
    #[must_use]
    pub fn usual_len(room: &RoomName, message: &Message) -> usize {
        const FIELDS: usize = r#"{"type":"message","room":"","seq":,"id":"","from":"","name":"","at":,"body":}"#.len();
        const NUMBERS: usize = 16 + 14;
        let names = room.as_str().len() + message.id.as_str().len() + message.from.as_str().len();
        FIELDS + NUMBERS + names + message.name.as_str().len() + message.body.len()
    }

    /// Bytes of an encoded frame before its `"seq"`. Room names need no escapes.
    fn prefix_len(room: &RoomName) -> usize {
        r#"{"type":"message","room":"","#.len() + room.as_str().len()
    }
}

/// Something that a member said in passing: not logged, delivered at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalFrame {
    /// The room.
    pub room: RoomName,
    /// Who sent it.
    pub from: UserId,
    /// What it is about: replaces the earlier value of the same key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<SignalKey>,
    /// What it says.
    pub body: Body,
}

/// A publish is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The publish's id.
    pub id: MessageId,
    /// The room.
    pub room: RoomName,
    /// The number that it got.
    pub seq: Seq,
}

/// A message in an answer to `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMessage {
    /// Its number.
    pub seq: Seq,
    /// Its publisher's id for it.
    pub id: MessageId,
    /// Its publisher.
    pub from: UserId,
    /// What the publisher was called.
    pub name: DisplayName,
    /// When it was taken in, in milliseconds since 1970; informative.
    pub at: u64,
    /// What was said.
    pub body: Body,
}

/// Messages of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFrame {
    /// The room.
    pub room: RoomName,
    /// The messages, oldest first.
    pub messages: Vec<HistoryMessage>,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
    /// The request's `ref`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
}

impl HistoryFrame {
    /// A history frame made of `message` frames of one room as [`MessageFrame::encode`] wrote them: what members were
    /// sent is kept encoded, and history is cut from it.
    ///
    /// # Panics
    /// When a text is not a `message` frame of that room.
    #[must_use]
    pub fn encode_from<'a>(
        room: &RoomName,
        messages: impl IntoIterator<Item = &'a str>,
        more: bool,
        reference: Option<&Ref>,
    ) -> String {
        let skip = MessageFrame::prefix_len(room);
        let mut text = format!(r#"{{"type":"history","room":"{room}","messages":["#);
        for (index, frame) in messages.into_iter().enumerate() {
            text.push_str(if index == 0 { "{" } else { ",{" });
            text.push_str(&frame[skip..]);
        }
        text.push_str(if more { r#"],"more":true"# } else { r#"],"more":false"# });
        if let Some(reference) = reference {
            text.push_str(r#","ref":"#);
            text.push_str(reference.as_str());
        }
        text.push('}');
        text
    }
}

/// The session has left the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The room.
    pub room: RoomName,
    /// The request's `ref`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The ping's `ref`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
}

/// This node is about to close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// At the latest after so many milliseconds.
    pub within_ms: u64,
}

/// A request failed; the session goes on unless a close follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// The reason.
    pub code: ErrorCode,
    /// The reason, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// The room of the request, when there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub room: Option<RoomName>,
    /// The id of the failed publish.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<MessageId>,
    /// Of `id_conflict`: the number of the message that has the id, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<Seq>,
    /// The request's `ref`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Ref>,
}

impl ErrorFrame {
    /// Whether the same request may succeed later: of a code that this version does not know, the frame says so.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        if self.code == ErrorCode::Other { self.retry } else { self.code.retry() }
    }
}

/// A frame from a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs)] // each variant is its payload's name
pub enum ServerFrame {
    Welcome(Welcome),
    Joined(Joined),
    Reset(Reset),
    Message(MessageFrame),
    Ack(Ack),
    Signal(SignalFrame),
    History(HistoryFrame),
    Left(Left),
    Pong(Pong),
    Draining(Draining),
    Error(ErrorFrame),
}

/// Why a text is no server frame.
#[derive(Debug, thiserror::Error)]
pub enum ServerFrameError {
    /// Not a frame.
    #[error("not a server frame: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A frame of a type that this version does not know; clients ignore it.
    #[error("unknown frame type {0:?}")]
    UnknownType(String),
}

impl ServerFrame {
    /// The frame as JSON text.
    #[must_use]
    pub fn encode(&self) -> String {
        to_json(self)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// `ServerFrameError` when the text is no frame or one of an unknown type.
    pub fn parse(text: &str) -> Result<Self, ServerFrameError> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow, rename = "type")]
            kind: std::borrow::Cow<'a, str>,
        }
        let kind = serde_json::from_str::<Kind<'_>>(text)?.kind;
        Ok(match kind.as_ref() {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "joined" => Self::Joined(serde_json::from_str(text)?),
            "reset" => Self::Reset(serde_json::from_str(text)?),
            "message" => Self::Message(serde_json::from_str(text)?),
            "ack" => Self::Ack(serde_json::from_str(text)?),
            "signal" => Self::Signal(serde_json::from_str(text)?),
            "history" => Self::History(serde_json::from_str(text)?),
            "left" => Self::Left(serde_json::from_str(text)?),
            "pong" => Self::Pong(serde_json::from_str(text)?),
            "draining" => Self::Draining(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            other => return Err(ServerFrameError::UnknownType(other.to_owned())),
        })
    }
}

fn push_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("names and numbers can be written to memory");
}

fn to_json<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).expect("frames hold strings, numbers and valid JSON only")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../fixtures/server_frames.jsonl");

    #[test]
    fn golden_frames_are_read_and_written_to_the_byte() {
        for line in GOLDEN.lines() {
            let frame = ServerFrame::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(frame.encode(), line);
        }
        assert!(GOLDEN.lines().count() >= 18);
    }

    #[test]
    fn a_message_is_encoded_once_in_the_golden_form() {
        let line = GOLDEN.lines().find(|line| line.contains(r#""type":"message""#)).unwrap();
        let Ok(ServerFrame::Message(frame)) = ServerFrame::parse(line) else { panic!("{line}") };
        let message = Message { id: frame.id, from: frame.from, name: frame.name, at: frame.at, body: frame.body };
        assert_eq!(MessageFrame::encode(&frame.room, frame.seq, &message), line);
    }

    #[test]
    fn a_message_is_encoded_as_any_other_frame() {
        let strange = [r#"a"b\c"#, "\u{1f980} é", "<&>'/", "0"];
        for (room, seq, at) in [("$pulse", Seq::FIRST, 0), ("a/b:c@d-e_f.g", Seq::FIRST.plus(1 << 50), u64::MAX)] {
            let room = RoomName::of_any(room).unwrap();
            for (text, body) in strange.into_iter().zip([r#"{"a" : "\u0000\ud83e\udd80"}"#, "1.0e3", "null", r#""é""#])
            {
                let id = MessageId::new(text).unwrap_or_else(|_| MessageId::new("m").unwrap());
                let from = UserId::new(text).unwrap_or_else(|_| UserId::new("u").unwrap());
                let (name, body) = (DisplayName::new(text).unwrap(), Body::parse(body).unwrap());
                let message = Message { id, from, name, at, body };
                let Message { id, from, name, at, body } = message.clone();
                let frame = ServerFrame::Message(MessageFrame { room: room.clone(), seq, id, from, name, at, body });
                assert_eq!(MessageFrame::encode(&room, seq, &message), frame.encode());
            }
        }
    }

    #[test]
    fn history_is_cut_from_encoded_messages() {
        let room = RoomName::new("lobby").unwrap();
        let message = |id: &str| Message {
            id: MessageId::new(id).unwrap(),
            from: UserId::new("u").unwrap(),
            name: DisplayName::new("\"U\"").unwrap(),
            at: 5,
            body: Body::parse(r#"{"a":[1]}"#).unwrap(),
        };
        for count in 0..3_u64 {
            let frames: Vec<String> =
                (0..count).map(|n| MessageFrame::encode(&room, Seq::FIRST.plus(n), &message("m"))).collect();
            let mark = (count == 1).then(|| Ref::number(9));
            let text = HistoryFrame::encode_from(&room, frames.iter().map(String::as_str), count == 2, mark.as_ref());
            let parsed = ServerFrame::parse(&text).unwrap();
            assert_eq!(parsed.encode(), text);
            let ServerFrame::History(history) = parsed else { panic!() };
            assert_eq!((history.messages.len() as u64, history.more), (count, count == 2));
        }
    }

    #[test]
    fn an_error_of_an_unknown_code_is_taken_by_its_retry() {
        for retry in [true, false] {
            let text =
                format!(r#"{{"type":"error","code":"out_of_coffee","message":"-","retry":{retry},"brand":"x"}}"#);
            let Ok(ServerFrame::Error(frame)) = ServerFrame::parse(&text) else { panic!("{text}") };
            assert_eq!((frame.code, frame.may_retry()), (ErrorCode::Other, retry));
        }
        let text = r#"{"type":"error","code":"overloaded","message":"-","retry":false}"#;
        let Ok(ServerFrame::Error(frame)) = ServerFrame::parse(text) else { panic!("{text}") };
        assert!(frame.may_retry(), "what a known code means is known");
    }

    #[test]
    fn unknown_types_say_so() {
        let result = ServerFrame::parse(r#"{"type":"hologram","x":1}"#);
        assert!(matches!(result, Err(ServerFrameError::UnknownType(kind)) if kind == "hologram"));
        assert!(matches!(ServerFrame::parse("{"), Err(ServerFrameError::Malformed(_))));
    }
}
