#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use websocket::{accept_key, is_key, negotiate_deflate};

use crate::config::AllowedOrigins;

/// The one version of the protocol there is; a client that offers no subprotocol gets it too.
const SUBPROTOCOL: &str = "roomcast.v1";
/// What a subprotocol begins with that is a token.
const BEARER: &str = "bearer.";
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

/// What a node takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Compression may be agreed on.
    pub(super) deflate: bool,
    /// Whose pages may open a WebSocket. A client that is no browser sends no origin, and may.
    pub(super) origins: &'a AllowedOrigins,
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
    /// It is older than HTTP/1.1.
    #[error("a WebSocket needs HTTP/1.1")]
    Http,
    /// A body would be read as frames.
    #[error("a request for a WebSocket has no body")]
    Body,
    /// The host is missing, wrong, or there are several.
    #[error("a request has one Host header")]
    Host,
    /// Its key is missing, wrong, or there are several.
    #[error("a request has one Sec-WebSocket-Key: 16 bytes in base64")]
    Key,
    /// It offers subprotocols, and none that is spoken here.
    #[error("none of these subprotocols is spoken here: offer roomcast.v1, or none")]
    Subprotocol,
    /// Pages of this origin may not.
    #[error("pages of this origin may not open a WebSocket here")]
    Origin,
}

impl Handshake {
    /// Reads a request.
    ///
    /// # Errors
    /// [`NoHandshake`].
    pub(super) fn of(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
        rules: Rules<'_>,
    ) -> Result<Self, NoHandshake> {
        if has_body(headers) {
            return Err(NoHandshake::Body);
        }
        let asks = method == Method::GET
            && has_token(headers, &header::CONNECTION, "upgrade")
            && has_token(headers, &header::UPGRADE, "websocket");
        if !asks {
            return Err(NoHandshake::NotAsked);
        }
        if version < Version::HTTP_11 {
            return Err(NoHandshake::Http);
        }
        if only(headers, &header::HOST).is_none_or(|host| !is_host(host)) {
            return Err(NoHandshake::Host);
        }
        if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(NoHandshake::Version);
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
        let key = key.filter(|key| is_key(key)).ok_or(NoHandshake::Key)?;
        if !rules.origins.are_all()
            && !headers.get_all(header::ORIGIN).iter().all(|it| rules.origins.contain(it.as_bytes()))
        {
            return Err(NoHandshake::Origin);
        }
        let mut offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).filter(|offer| !offer.is_empty()).peekable();
        let offers_some = offered.peek().is_some();
        let (mut subprotocol, mut bearer) = (false, false);
        for offer in offered {
            subprotocol |= offer == SUBPROTOCOL;
            bearer |= offer.starts_with(BEARER);
        }
        if offers_some && !subprotocol && !bearer {
            return Err(NoHandshake::Subprotocol);
        }
        let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
        let agreed = if rules.deflate { negotiate_deflate(offers) } else { None };
        Ok(Self {
            accept: accept_key(key),
            subprotocol,
            bearer,
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
        let status = self.status();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let connection = if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            "upgrade"
        } else {
            "close"
        };
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
        response
    }

    fn status(self) -> StatusCode {
        match self {
            Self::NotAsked | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Http | Self::Body | Self::Host | Self::Key | Self::Subprotocol => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }
}

/// Whether a value is a host, with a port or without (RFC 9112, 3.2): empty where the target has none.
pub(crate) fn is_host(value: &HeaderValue) -> bool {
    let is_authority = |text: &str| text.parse::<Authority>().is_ok_and(|parsed| parsed.as_str() == text);
    value.to_str().is_ok_and(|text| text.is_empty() || (is_authority(text) && !text.contains('@')))
}

/// Whether a body follows the head.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0")
}

/// The value of a header that must come once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a list in a header, which may come in several lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
