//! The opening of a WebSocket, as a client does it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;
/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One key for a whole herd: what must come back is then worked out once.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    key: String,
    accept: String,
}

/// The server does not open a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("HTTP {0}")]
    Status(u16),
    #[error("{0}")]
    NoUpgrade(&'static str),
}

/// What a server answers to a key (RFC 6455, 4.2.2).
pub(crate) fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}").as_bytes()))
}

impl Handshake {
    pub(crate) fn new(random: u128) -> Self {
        let key = STANDARD.encode(random.to_be_bytes());
        let accept = accept_of(&key);
        Self { key, accept }
    }

    /// The request. `path` may have a query; `subprotocol` is offered if there is one.
    pub(crate) fn request(&self, host: &str, path: &str, subprotocol: Option<&str>) -> Vec<u8> {
        let offered = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n{offered}\r\n",
            self.key
        )
        .into_bytes()
    }

    /// Bytes of the answer's head; `None`: it is not whole yet.
    ///
    /// # Errors
    /// [`Refusal`]: this will not become a WebSocket.
    pub(crate) fn answered(&self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            let too_long = bytes.len() > LONGEST_HEAD;
            return if too_long { Err(Refusal::NoUpgrade("a head without an end")) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Refusal::NoUpgrade("a head that is no text"))?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        match status {
            Some(101) => {}
            Some(status) => return Err(Refusal::Status(status)),
            None => return Err(Refusal::NoUpgrade("no answer of HTTP/1.1")),
        }
        let accept = head.lines().filter_map(|line| line.split_once(':'));
        let mut accept = accept.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
        if accept.next().is_none_or(|(_, value)| value.trim() != self.accept) {
            return Err(Refusal::NoUpgrade("Sec-WebSocket-Accept answers another key"));
        }
        Ok(Some(end + 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 1.3.
    fn sample() -> Handshake {
        let handshake = Handshake::new(u128::from_be_bytes(*b"the sample nonce"));
        assert_eq!(handshake.key, "dGhlIHNhbXBsZSBub25jZQ==");
        handshake
    }

    #[test]
    fn the_answer_to_our_key_opens_it_and_what_follows_is_left() {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u{1}rest";
        let head = answer.find('\u{1}').unwrap();
        assert_eq!(sample().answered(answer.as_bytes()), Ok(Some(head)));
        for cut in 0..head {
            assert_eq!(sample().answered(&answer.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn any_other_answer_is_a_refusal() {
        let refusal = |answer: &str| sample().answered(answer.as_bytes()).unwrap_err().to_string();
        assert_eq!(refusal("HTTP/1.1 503 Busy\r\n\r\n"), "HTTP 503");
        assert_eq!(refusal("SSH-2.0\r\n\r\n"), "no answer of HTTP/1.1");
        let wrong = "HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
        assert_eq!(refusal(wrong), "Sec-WebSocket-Accept answers another key");
        assert_eq!(refusal("HTTP/1.1 101 Yes\r\n\r\n"), "Sec-WebSocket-Accept answers another key");
        assert_eq!(refusal(&"x".repeat(LONGEST_HEAD + 1)), "a head without an end");
    }

    #[test]
    fn a_request_has_all_that_rfc_6455_asks_for() {
        let text = String::from_utf8(sample().request("h:1", "/ws?a", Some("roomcast.v1"))).unwrap();
        assert!(text.starts_with("GET /ws?a HTTP/1.1\r\nHost: h:1\r\n") && text.ends_with("\r\n\r\n"));
        assert!(text.contains("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
        assert!(text.contains("Sec-WebSocket-Protocol: roomcast.v1\r\n"));
    }
}
