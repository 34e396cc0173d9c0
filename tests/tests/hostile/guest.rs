//! A session by hand: what it says is text, what it hears is JSON.

use std::net::SocketAddr;
use std::time::Duration;

use load_generator::attack::{AttackError, End, Incoming, RawConnection, frames};
use serde_json::Value;
use tests::PATIENCE;

/// How long an answer may take beside other tests.
const ANSWER: Duration = Duration::from_secs(15);

/// A guest that was welcomed.
pub(crate) struct Guest {
    pub(crate) connection: RawConnection,
    /// What it has been told at its start.
    pub(crate) welcome: Value,
}

impl Guest {
    /// Connects with a secret of its own.
    pub(crate) fn arrive(address: SocketAddr) -> Self {
        Self::with_query(address, &format!("guest={:032x}", fastrand::u128(..)))
    }

    /// Connects with this query.
    pub(crate) fn with_query(address: SocketAddr, query: &str) -> Self {
        let connection = RawConnection::websocket(address, &format!("/ws?{query}"), None).unwrap();
        Self::greeted(connection)
    }

    /// Takes the greeting.
    pub(crate) fn greeted(connection: RawConnection) -> Self {
        let mut guest = Self { connection, welcome: Value::Null };
        guest.welcome = guest.hear();
        assert_eq!(guest.welcome["type"], "welcome", "{}", guest.welcome);
        guest
    }

    pub(crate) fn say(&mut self, json: &str) {
        self.connection.say(json).unwrap();
    }

    /// The next text. Heartbeats are answered.
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            match self.connection.receive(ANSWER).unwrap() {
                Incoming::Text(text) => return serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")),
                Incoming::Ping(payload) => {
                    self.connection.send(&frames::frame(frames::PONG, &payload)).unwrap();
                }
                Incoming::Pong(_) => {}
                Incoming::End(end) => panic!("the connection has ended: {end:?}"),
            }
        }
    }

    /// The first text that fits; what comes before it is passed over.
    pub(crate) fn hear_until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100_000 {
            let frame = self.hear();
            if fits(&frame) {
                return frame;
            }
        }
        panic!("100,000 frames came, and not {what}");
    }

    /// The answer to a request with that `ref`.
    pub(crate) fn answer_to(&mut self, reference: &str) -> Value {
        self.hear_until(reference, |frame| frame["ref"] == reference)
    }

    /// The answer to a publish with that `id`: `ack` or `error`.
    pub(crate) fn outcome_of(&mut self, id: &str) -> Value {
        self.hear_until(id, |frame| frame["id"] == id && frame["type"] != "message")
    }

    /// Joins at the room's head.
    pub(crate) fn join(&mut self, room: &str) -> Value {
        self.say(&format!(r#"{{"type":"join","room":"{room}","ref":"join {room}"}}"#));
        let joined = self.answer_to(&format!("join {room}"));
        assert_eq!(joined["type"], "joined", "{joined}");
        joined
    }

    /// Publishes a body and returns the answer.
    pub(crate) fn publish(&mut self, room: &str, id: &str, body: &str) -> Value {
        self.say(&publish(room, id, body));
        self.outcome_of(id)
    }

    /// Publishes that many messages of that many bytes, a portion at a time, and waits until all are acknowledged.
    pub(crate) fn fill(&mut self, room: &str, messages: usize, bytes: usize) {
        let body = format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)));
        let name = format!("{:x}", fastrand::u64(..));
        let ids: Vec<String> = (0..messages).map(|number| format!("{name}-{number}")).collect();
        for portion in ids.chunks(100) {
            for id in portion {
                self.say(&publish(room, id, &body));
            }
            let mut acked = 0;
            while acked < portion.len() {
                let frame = self.hear();
                assert_ne!(frame["type"], "error", "{frame}");
                acked += usize::from(frame["type"] == "ack");
            }
        }
    }

    /// The session goes on: a ping is answered.
    pub(crate) fn goes_on(&mut self) {
        self.say(r#"{"type":"ping","ref":"still there"}"#);
        self.answer_to("still there");
    }
}

/// A publish's frame.
pub(crate) fn publish(room: &str, id: &str, body: &str) -> String {
    format!(r#"{{"type":"publish","room":"{room}","id":"{id}","body":{body}}}"#)
}

/// What the answer to a whole request is, as bytes by hand.
pub(crate) enum Answer {
    /// Another status than 101, with the body.
    Http(u16, String),
    /// A WebSocket that was closed: code and reason. The subprotocol that was chosen comes first.
    Closed(Option<String>, u16, String),
    /// A WebSocket whose session was welcomed; with the subprotocol that was chosen.
    Welcomed(Option<String>),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(status, body) => write!(f, "{status} {body:?}"),
            Self::Closed(_, code, reason) => write!(f, "closed {code} {reason:?}"),
            Self::Welcomed(subprotocol) => write!(f, "welcomed {subprotocol:?}"),
        }
    }
}

impl Answer {
    /// Reads it.
    pub(crate) fn of(mut connection: RawConnection) -> Self {
        let head = connection.head(PATIENCE).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 101 {
            let body = connection.rest(Duration::from_millis(300));
            return Self::Http(status, String::from_utf8_lossy(&body).into_owned());
        }
        let subprotocol = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        let subprotocol = subprotocol.map(str::to_owned);
        match connection.receive(PATIENCE).unwrap() {
            Incoming::Text(text) if text.contains(r#""type":"welcome""#) => Self::Welcomed(subprotocol),
            Incoming::End(End::Close(code, reason)) => Self::Closed(subprotocol, code, reason),
            other => panic!("{other:?}"),
        }
    }

    /// It is a refusal that says why, in a way that its reader can see: 4001 with a reason or 400 with a text.
    pub(crate) fn refuses(&self) -> bool {
        match self {
            Self::Http(status, text) => *status == 400 && !text.trim().is_empty(),
            Self::Closed(_, code, reason) => *code == 4001 && !reason.is_empty() && reason != "not authenticated",
            Self::Welcomed(_) => false,
        }
    }
}

/// A whole request for a WebSocket with these lines instead of the usual `Host` and key where they are given.
pub(crate) fn request(path: &str, lines: &[&str]) -> String {
    let has = |name: &str| lines.iter().any(|line| line.to_ascii_lowercase().starts_with(name));
    let mut request =
        format!("GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    for (name, usual) in
        [("host", "Host: localhost"), ("sec-websocket-key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")]
    {
        if !has(name) {
            request += &format!("{usual}\r\n");
        }
    }
    // A line without a colon says that there is to be none of that name.
    for line in lines.iter().filter(|line| line.contains(':')) {
        request += &format!("{line}\r\n");
    }
    request + "\r\n"
}

/// Sends bytes over a connection of their own, and reads the answer.
pub(crate) fn asked(address: SocketAddr, request: &str) -> Result<Answer, AttackError> {
    let mut connection = RawConnection::tcp(address, None)?;
    connection.send(request.as_bytes())?;
    Ok(Answer::of(connection))
}
