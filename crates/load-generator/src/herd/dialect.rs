//! What clients and servers say to each other, beside the messages themselves.

use client::encode;
use protocol::{ClientFrame, JoinFrom, RoomName};
use serde_json::json;

/// How a server under test is spoken to. All carry the same messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Roomcast's own protocol, version 1.
    Roomcast,
    /// A bare WebSocket: the room is in the path, every text that a client sends goes to the room as it is.
    Raw,
    /// Socket.IO 4 over engine.io's WebSocket transport: `join` and `publish` to the server, `message` from it.
    SocketIo,
}

/// A text of the server, unwrapped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// A message, or any frame of Roomcast's.
    Frame(&'a [u8]),
    /// The transport wants this answer.
    Answer(&'static str),
    /// The transport stands: the room can be asked for.
    Open,
    /// The client is in its room.
    Entered,
    /// Nothing of interest.
    Noise,
}

impl Dialect {
    /// The path of the WebSocket of a client of that room.
    pub(crate) fn path(self, path: &str, room: Option<&RoomName>, guest: &str) -> String {
        match (self, room) {
            (Self::Roomcast, _) => {
                let separator = if path.contains('?') { '&' } else { '?' };
                format!("{path}{separator}guest={guest}&name=load")
            }
            (Self::Raw, Some(room)) => format!("{path}?room={room}"),
            (Self::Raw, None) => path.to_owned(),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        }
    }

    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        (self == Self::Roomcast).then_some("roomcast.v1")
    }

    /// What a client says first, if it speaks first.
    pub(crate) fn join(self, room: &RoomName) -> Option<String> {
        match self {
            Self::Roomcast => {
                let frame = ClientFrame::Join { room: room.clone(), from: JoinFrom::Head, reference: None };
                Some(encode(&frame))
            }
            Self::Raw => None,
            Self::SocketIo => Some(format!("421{}", json!(["join", room.as_str()]))),
        }
    }

    /// A message as its publisher sends it.
    pub(crate) fn publish(self, message: &str) -> String {
        match self {
            Self::SocketIo => format!(r#"42["publish",{message}]"#),
            _ => message.to_owned(),
        }
    }

    pub(crate) fn read(self, text: &[u8]) -> Said<'_> {
        if self != Self::SocketIo {
            return Said::Frame(text);
        }
        if let Some(frame) = text.strip_prefix(br#"42["message","#).and_then(|rest| rest.strip_suffix(b"]")) {
            return Said::Frame(frame);
        }
        match text {
            [b'0', ..] => Said::Answer("40"),
            b"2" => Said::Answer("3"),
            [b'4', b'0', ..] => Said::Open,
            [b'4', b'3', ..] => Said::Entered,
            _ => Said::Noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_carries_the_same_message() {
        let message = r#"{"type":"message","seq":1}"#;
        let room = RoomName::new("r").unwrap();
        assert_eq!(Dialect::Raw.read(Dialect::Raw.publish(message).as_bytes()), Said::Frame(message.as_bytes()));
        assert_eq!(Dialect::SocketIo.publish(message), format!(r#"42["publish",{message}]"#));
        let emitted = format!(r#"42["message",{message}]"#);
        assert_eq!(Dialect::SocketIo.read(emitted.as_bytes()), Said::Frame(message.as_bytes()));
        assert_eq!(Dialect::Raw.path("/ws", Some(&room), "g"), "/ws?room=r");
        assert_eq!(Dialect::Roomcast.path("/ws", Some(&room), "g"), "/ws?guest=g&name=load");
        assert_eq!(Dialect::Roomcast.join(&room).unwrap(), r#"{"type":"join","room":"r"}"#);
    }

    #[test]
    fn engine_io_is_opened_answered_and_kept_alive() {
        let read = |text: &'static str| Dialect::SocketIo.read(text.as_bytes());
        assert_eq!(read(r#"0{"sid":"x"}"#), Said::Answer("40"));
        assert_eq!(read(r#"40{"sid":"x"}"#), Said::Open);
        assert_eq!(read("2"), Said::Answer("3"));
        assert_eq!(read("431[]"), Said::Entered);
        assert_eq!(read(r#"42["else"]"#), Said::Noise);
    }
}
