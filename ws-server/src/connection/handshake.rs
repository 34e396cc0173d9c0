use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use websocket::{accept_key, is_key, negotiate_deflate};

/// The one version of the protocol there is; a client that offers no subprotocol gets it too.
const SUBPROTOCOL: &str = "roomcast.v1";
/// The one version of WebSockets (RFC 6455, 4.4).
const VERSION: &str = "13";

/// A request that asks for a WebSocket, read (RFC 6455, 4.2.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    accept: String,
    subprotocol: bool,
    /// A token came as a subprotocol.
    pub(super) bearer: bool,
    /// The answer to an offer of compression.
    extension: Option<String>,
    /// The client reads compressed messages, with a window of so many bytes.
    pub(super) deflate_window: Option<usize>,
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHandshake {
    /// It is another request.
    #[error("a WebSocket is here: GET with Connection: Upgrade and Upgrade: websocket")]
    NotAsked,
    /// It is another version.
    #[error("WebSocket version 13 is spoken here")]
    Version,
    /// Its key is missing or wrong.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

impl Handshake {
    /// Reads a request. `deflate`: compression may be agreed on.
    ///
    /// # Errors
    /// [`NoHandshake`].
    pub(super) fn of(method: &Method, headers: &HeaderMap, deflate: bool) -> Result<Self, NoHandshake> {
        let asks = method == Method::GET
            && has_token(headers, &header::CONNECTION, "upgrade")
            && has_token(headers, &header::UPGRADE, "websocket");
        if !asks {
            return Err(NoHandshake::NotAsked);
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(NoHandshake::Version);
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
        let key = key.filter(|key| is_key(key)).ok_or(NoHandshake::Key)?;
        let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
        let agreed = if deflate { negotiate_deflate(offers) } else { None };
        Ok(Self {
            accept: accept_key(key),
            subprotocol: tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offer| offer == SUBPROTOCOL),
            bearer: tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offer| offer.starts_with("bearer.")),
            deflate_window: agreed.as_ref().map(|agreed| 1 << agreed.window_bits),
            extension: agreed.map(|agreed| agreed.response),
        })
    }

    /// The answer that makes it a WebSocket (RFC 6455, 4.2.2).
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// The same for the wire.
    pub(super) fn answer(&self) -> Vec<u8> {
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        for (name, value) in self.headers() {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                answer.extend_from_slice(part.as_bytes());
            }
        }
        answer.extend_from_slice(b"\r\n");
        answer
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let headers = [
            (header::CONNECTION, Some("upgrade")),
            (header::UPGRADE, Some("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, Some(&*self.accept)),
            (header::SEC_WEBSOCKET_EXTENSIONS, self.extension.as_deref()),
            (header::SEC_WEBSOCKET_PROTOCOL, self.subprotocol.then_some(SUBPROTOCOL)),
        ];
        headers.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

impl NoHandshake {
    /// The answer to a request that is none (RFC 6455, 4.2.2; RFC 9110, 15.5.22).
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = match self {
            Self::NotAsked | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key => StatusCode::BAD_REQUEST,
        };
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        response
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a list in a header, which may come in several lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// RFC 6455, 1.3, with these headers beside or instead.
    fn request(others: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .iter()
        .chain(others)
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn read(others: &[(HeaderName, &'static str)]) -> Result<Handshake, NoHandshake> {
        Handshake::of(&Method::GET, &request(others), true)
    }

    #[test]
    fn the_answer_holds_the_key_and_what_was_agreed_on() {
        let handshake = read(&[(header::SEC_WEBSOCKET_PROTOCOL, "x, roomcast.v1")]).unwrap();
        let response = handshake.response();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "roomcast.v1");
        assert!(!response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
        let answer = String::from_utf8(handshake.answer()).unwrap();
        let (status, headers) = answer.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
        assert_eq!(status, "HTTP/1.1 101 Switching Protocols");
        let headers: HashMap<&str, &str> = headers.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let same = response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        assert_eq!(headers, same.collect(), "the same for the wire");
    }

    #[test]
    fn compression_is_agreed_on_only_where_it_is_wanted() {
        let offer = [(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate; client_max_window_bits")];
        let agreed = read(&offer).unwrap();
        assert_eq!(agreed.deflate_window, Some(1 << 15));
        let narrow = [(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate; server_max_window_bits=10")];
        assert_eq!(read(&narrow).unwrap().deflate_window, Some(1 << 10));
        assert!(agreed.response().headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
        let refused = Handshake::of(&Method::GET, &request(&offer), false).unwrap();
        assert_eq!((refused.deflate_window, refused.extension), (None, None));
    }

    #[test]
    fn a_bearers_token_is_seen_and_not_answered() {
        let handshake = read(&[(header::SEC_WEBSOCKET_PROTOCOL, "bearer.abc")]).unwrap();
        assert!(handshake.bearer && !handshake.response().headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn what_is_no_handshake_is_told_why() {
        let cases = [
            (read(&[(header::UPGRADE, "h2c")]), NoHandshake::NotAsked, 426),
            (read(&[(header::CONNECTION, "close")]), NoHandshake::NotAsked, 426),
            (read(&[(header::SEC_WEBSOCKET_VERSION, "8")]), NoHandshake::Version, 426),
            (read(&[(header::SEC_WEBSOCKET_KEY, "short")]), NoHandshake::Key, 400),
            (Handshake::of(&Method::POST, &request(&[]), true), NoHandshake::NotAsked, 426),
        ];
        for (found, expected, status) in cases {
            assert_eq!(found.as_ref().unwrap_err(), &expected);
            let response = found.unwrap_err().response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[header::SEC_WEBSOCKET_VERSION], "13");
        }
    }
}
