//! The public port: who asks for a WebSocket is answered by the loop that reads the request. Everything else is HTTP and
//! goes to the router; so does a request for a WebSocket that is not whole when it comes, or not right.

use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::event_loop::{Doorkeeper, Look, Opener, Port};
use super::handshake::{Handshake, Rules};
use super::upgrade::{Arriving, claims, opening};
use super::visit::Opening;
use super::{Connections, Place, Places, Pool};
use crate::backplane::count;
use crate::listener::MAX_HEAD;

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
    pub(crate) place: Arc<Place>,
    /// When it was accepted.
    pub(crate) since: Instant,
}

/// Tells the pool whose places requests for a path take.
pub(crate) type PoolOfPath = Arc<dyn Fn(&str) -> Pool + Send + Sync>;

/// Judges new connections.
struct Entrance {
    /// The loops know the entrance, and must not keep alive what owns them.
    connections: Weak<Connections>,
    places: Arc<Places>,
    pool_of: PoolOfPath,
    callers: UnboundedSender<Caller>,
}

impl Connections {
    /// Takes WebSockets in from a port, until [`Connections::close_port`]. Gives back all other connections of it, at most
    /// `most` at a time. `patience`: how long a new connection may send nothing.
    pub(crate) fn listen(
        self: &Arc<Self>,
        listener: StdListener,
        most: usize,
        patience: Duration,
        pool_of: PoolOfPath,
    ) -> UnboundedReceiver<Caller> {
        // Each caller has a place, so the queue is bounded.
        let (callers, called) = mpsc::unbounded_channel();
        let (http, stats) = (&self.limits.http, Arc::clone(&self.stats.places));
        let places = Places::of_public(most, http.connections_per_address, http.request_bytes, stats);
        let keeper = Arc::new(Entrance { connections: Arc::downgrade(self), places, pool_of, callers });
        self.loops.listen(Port { listener, keeper, patience });
        called
    }

    /// Takes no connection any more: the port is closed when this returns.
    pub(crate) async fn close_port(&self) {
        self.loops.close_port().await;
    }
}

impl Doorkeeper<Opening> for Entrance {
    fn place(&self, peer: IpAddr) -> Option<(Arc<Place>, bool)> {
        let connections = self.connections.upgrade()?;
        let is_proxy = connections.limits.http.proxies.contain(peer);
        self.places.take(peer, is_proxy, Pool::Lobby)
    }

    fn look(&self, bytes: &[u8], place: &Arc<Place>) -> Look<Opening> {
        let Some(connections) = self.connections.upgrade() else { return Look::Close };
        match open(&connections, bytes, place) {
            Some(Opener { opening: Opening::Refusal(..), .. }) if !place.ask(Pool::General) => Look::Close,
            Some(opener) => Look::Open(opener),
            None if place.enter(pool_of(bytes, &self.pool_of)) => Look::PassOn,
            None => Look::Close,
        }
    }

    fn pass_on(&self, socket: std::net::TcpStream, place: Arc<Place>, since: Instant) {
        // The port is closed, and so is the connection.
        let _ = self.callers.send(Caller { socket, place, since });
    }

    fn note_no_file(&self) {
        count(&self.places.stats.without_file);
    }
}

/// `None`: it is no request for a WebSocket, or none that is whole and right. Then the router answers it.
fn open(connections: &Arc<Connections>, bytes: &[u8], place: &Arc<Place>) -> Option<Opener<Opening>> {
    let request = Request::read(bytes)?;
    let Request { uri, headers, .. } = &request;
    let deflate = connections.limits.deflate_above.is_some();
    let rules = Rules { deflate, origins: &connections.limits.http.origins };
    let handshake = Handshake::of(&Method::GET, Version::HTTP_11, headers, rules).ok()?;
    let arriving = Arriving::new(connections, claims(uri), headers, handshake.bearer, Arc::clone(place));
    Some(Opener {
        request: request.bytes,
        answer: handshake.answer(),
        deflate_window: handshake.deflate_window,
        opening: opening(connections, arriving),
    })
}

/// The pool of the request that begins so.
fn pool_of(bytes: &[u8], pool_of: &PoolOfPath) -> Pool {
    let mut words = bytes.split(|byte| *byte == b' ');
    let target = words.nth(1).filter(|_| words.next().is_some()).and_then(|target| std::str::from_utf8(target).ok());
    let path = target.and_then(|target| target.split('?').next());
    path.map_or(Pool::General, |path| pool_of(path))
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
        if request.method != Some("GET") || request.version != Some(1) || uri.path() != WEBSOCKETS || length > MAX_HEAD
        {
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
    fn the_pool_is_that_of_the_path() {
        let known: PoolOfPath = Arc::new(|path| if path == "/healthz" { Pool::Health } else { Pool::General });
        for (bytes, pool) in [
            ("GET /healthz HTTP/1.1\r\n", Pool::Health),
            ("GET /healthz?a=/ HTTP/1.1\r\n", Pool::Health),
            ("GET /healthz", Pool::General),
            ("GET /healthz/ HTTP/1.1\r\n", Pool::General),
            ("\u{16}\u{3}\u{1}", Pool::General),
            ("", Pool::General),
        ] {
            assert_eq!(pool_of(bytes.as_bytes(), &known), pool, "{bytes}");
        }
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
            HEAD.replace("Host: a", &format!("a: {}", "b".repeat(MAX_HEAD))),
            "\u{16}\u{3}\u{1}".to_owned(),
        ];
        for other in others {
            assert!(Request::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
