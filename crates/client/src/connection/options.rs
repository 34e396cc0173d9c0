use std::fmt::Write as _;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::ClientError;
use crate::backoff::Backoff;
use crate::session::Limits;

/// The protocol's name and version in the WebSocket handshake.
pub(super) const SUBPROTOCOL: &str = "roomcast.v1";

/// What becomes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventQueue {
    /// So many wait to be read; then the client stops reading its socket.
    Bounded(usize),
    /// They are dropped, for clients that only publish.
    Discard,
}

/// How to connect and as whom.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The nodes (or load balancers), each `ws://host:port` or with a path (`/ws` unless given). Every attempt goes to
    /// the one after the last, starting with the first.
    pub urls: Vec<String>,
    /// The secret that an anonymous user is derived from. Random when there is none and no token.
    pub guest: Option<String>,
    /// What to be called.
    pub name: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Whether to connect again after a loss.
    pub reconnect: bool,
    /// How long to wait between attempts, and before something refused for the moment is sent again.
    pub backoff: Backoff,
    /// What bounds the session.
    pub limits: Limits,
    /// What becomes of events.
    pub events: EventQueue,
    /// How long one attempt may take, greeting included.
    pub attempt_timeout: Duration,
    /// How long [`super::Client::connect`] tries.
    pub start_timeout: Duration,
    /// Decides the jitter; random when there is none.
    pub seed: Option<u64>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            guest: None,
            name: None,
            token: None,
            reconnect: true,
            backoff: Backoff::default(),
            limits: Limits::default(),
            events: EventQueue::Bounded(8_192),
            attempt_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(10),
            seed: None,
        }
    }
}

impl ClientOptions {
    /// Options for one node.
    #[must_use]
    pub fn to(url: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], ..Self::default() }
    }

    /// Fills in what must stay the same across connections.
    pub(super) fn settle(mut self) -> Self {
        if self.guest.is_none() && self.token.is_none() {
            self.guest = Some(format!("{:032x}", fastrand::u128(..)));
        }
        self
    }

    /// The handshake for attempt number `attempt`.
    pub(super) fn request(&self, attempt: usize) -> Result<Request, ClientError> {
        let base = self.urls.get(attempt % self.urls.len().max(1)).ok_or_else(|| bad("there is no URL"))?;
        let mut url = with_path(base)?;
        let mut separator = if url.contains('?') { '&' } else { '?' };
        for (key, value) in [("guest", &self.guest), ("name", &self.name)] {
            if let Some(value) = value {
                let _ = write!(url, "{separator}{key}={}", percent_encoded(value)); // a String takes all
                separator = '&';
            }
        }
        let mut request = url.into_client_request().map_err(|error| bad(&format!("{base}: {error}")))?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| bad("the token has characters that no header takes"))?;
            headers.insert("authorization", value);
        }
        Ok(request)
    }
}

fn bad(reason: &str) -> ClientError {
    ClientError::Options(reason.to_owned())
}

/// The URL with the service's path, unless it has one.
fn with_path(base: &str) -> Result<String, ClientError> {
    let rest = base.strip_prefix("ws://").ok_or_else(|| bad(&format!("{base}: only ws:// is spoken here")))?;
    let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    Ok(if has_path { base.to_owned() } else { format!("{}/ws", base.trim_end_matches('/')) })
}

/// A value for a query: everything but the unreserved characters of RFC 3986 is escaped.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // a String takes all
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_carry_who_the_client_is() {
        let options = ClientOptions {
            urls: vec!["ws://127.0.0.1:1".into(), "ws://[::1]:2/".into(), "ws://h:3/other?a=b".into()],
            guest: Some("s&1".into()),
            name: Some("Ada 🦀".into()),
            token: Some("t.1".into()),
            ..ClientOptions::default()
        };
        let uri = |attempt| options.request(attempt).unwrap().uri().to_string();
        assert_eq!(uri(0), "ws://127.0.0.1:1/ws?guest=s%261&name=Ada%20%F0%9F%A6%80");
        assert_eq!(uri(1), "ws://[::1]:2/ws?guest=s%261&name=Ada%20%F0%9F%A6%80");
        assert_eq!(uri(2), "ws://h:3/other?a=b&guest=s%261&name=Ada%20%F0%9F%A6%80");
        assert_eq!(uri(3), uri(0), "the nodes take turns");
        let request = options.request(0).unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer t.1");
        assert_eq!(request.headers()["sec-websocket-protocol"], "roomcast.v1");
    }

    #[test]
    fn options_that_cannot_work_say_why() {
        for urls in [vec![], vec!["wss://h".to_owned()], vec!["ws://".to_owned()]] {
            let options = ClientOptions { urls, ..ClientOptions::default() };
            assert!(matches!(options.request(0), Err(ClientError::Options(_))), "{:?}", options.urls);
        }
    }

    #[test]
    fn an_anonymous_client_keeps_one_secret() {
        let settled = ClientOptions::to("ws://h").settle();
        assert_eq!(settled.guest.as_ref().map(String::len), Some(32));
        assert_ne!(settled.guest, ClientOptions::to("ws://h").settle().guest);
        let with_token = ClientOptions { token: Some("t".into()), ..ClientOptions::to("ws://h") };
        assert_eq!(with_token.settle().guest, None);
    }
}
