//! The public port: who asks for a WebSocket is answered by the loop that reads the request. Everything else is HTTP and
//! goes to the router; so does a request for a WebSocket that is not whole when it comes, or not right.

use std::net::TcpListener as StdListener;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Connections;
use super::event_loop::{Doorkeeper, Opener, Port};
use super::handshake::Handshake;
use super::upgrade::opening;
use super::visit::Opening;
use crate::auth::Claims;
use crate::backplane::count;

/// The path at which WebSockets are.
pub(crate) const WEBSOCKETS: &str = "/ws";
/// Header lines of a request that a loop answers.
const HEADERS: usize = 64;

/// A connection that is not a WebSocket, or not yet.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Nothing has been read of it.
    pub(crate) socket: std::net::TcpStream,
    /// Its place among the connections that are no sessions.
    pub(crate) place: OwnedSemaphorePermit,
    /// When it was accepted.
    pub(crate) since: Instant,
}

/// Judges those who come.
struct Entrance {
    /// The loops know the entrance, and must not keep alive what owns them.
    connections: Weak<Connections>,
    places: Arc<Semaphore>,
    callers: UnboundedSender<Caller>,
}

impl Connections {
    /// Takes WebSockets in from a port. Gives back all other connections of it, of which there are so many at a time at most, as
    /// [`Connections::close_port`] ends it. `patience`: how long somebody may say nothing.
    pub(crate) fn listen(
        self: &Arc<Self>,
        listener: StdListener,
        most: usize,
        patience: Duration,
    ) -> UnboundedReceiver<Caller> {
        // Each caller has a place, and there are so many places.
        let (callers, called) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(most));
        let keeper = Arc::new(Entrance { connections: Arc::downgrade(self), places, callers });
        self.loops.listen(Port { listener, keeper, patience });
        called
    }

    /// Takes nobody in any more: the port is closed when this returns.
    pub(crate) async fn close_port(&self) {
        self.loops.close_port().await;
    }
}

impl Doorkeeper<Opening> for Entrance {
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none()
            && let Some(connections) = self.connections.upgrade()
        {
            count(&connections.stats.refused);
        }
        place
    }

    fn look(&self, bytes: &[u8]) -> Option<Opener<Opening>> {
        let connections = self.connections.upgrade()?;
        let request = Request::read(bytes)?;
        let deflate = connections.limits.deflate_above.is_some();
        let handshake = Handshake::of(&Method::GET, &request.headers, deflate).ok()?;
        let claims = Claims::from_query(request.uri.query());
        let bearer = request.headers.contains_key(header::AUTHORIZATION) || handshake.bearer;
        let admission = connections.admit();
        Some(Opener {
            request: request.bytes,
            answer: handshake.answer(),
            deflate_window: handshake.deflate_window,
            opening: opening(&connections, claims, bearer, admission),
        })
    }

    fn pass_on(&self, socket: std::net::TcpStream, place: OwnedSemaphorePermit, since: Instant) {
        // Nobody listens any more: it is closed.
        let _ = self.callers.send(Caller { socket, place, since });
    }
}

/// A request for the WebSockets' path that is there as a whole.
struct Request {
    bytes: usize,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    /// `None`: it is another one, or there will be more of it.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
        let target = request.path.filter(|path| path.starts_with(WEBSOCKETS))?;
        let uri: Uri = target.parse().ok()?;
        if request.method != Some("GET") || request.version != Some(1) || uri.path() != WEBSOCKETS {
            return None;
        }
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for header in &*request.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
        }
        let has_more = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT];
        if has_more.iter().any(|name| headers.contains_key(name)) {
            return None;
        }
        Some(Self { bytes: length, uri, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /ws?guest=a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn a_whole_request_for_a_websocket_is_read_and_nothing_behind_it() {
        let read = Request::read(format!("{HEAD}\u{1}\u{2}").as_bytes()).unwrap();
        assert_eq!((read.bytes, read.uri.query()), (HEAD.len(), Some("guest=a")));
        assert_eq!(read.headers[header::UPGRADE], "websocket");
    }

    #[test]
    fn what_is_cut_short_is_left_to_others() {
        for length in 0..HEAD.len() {
            assert!(Request::read(&HEAD.as_bytes()[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn every_other_request_is_left_to_others() {
        let others = [
            HEAD.replace("GET", "POST"),
            HEAD.replace("/ws?", "/wss?"),
            HEAD.replace("/ws?", "/ws/?"),
            HEAD.replace("/ws?", "/?"),
            HEAD.replace("/ws?guest=a", "*"),
            HEAD.replace("1.1", "1.0"),
            HEAD.replace("1.1", "2.0"),
            HEAD.replace("Host: a", "Content-Length: 1"),
            HEAD.replace("Host: a", "Transfer-Encoding: chunked"),
            HEAD.replace("Host: a", "Expect: 100-continue"),
            HEAD.replace("Host: a", "Ho st: a"),
            HEAD.replace("Host: a\r\n", &"a: b\r\n".repeat(HEADERS)),
            "\u{16}\u{3}\u{1}".to_owned(),
        ];
        for other in others {
            assert!(Request::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
