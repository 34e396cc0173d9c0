//! How clients come in, over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::{get, post};
use clap::Parser;
use hyper::body::Incoming;
use protocol::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Connections, Mailboxes, Pool, WEBSOCKETS, upgrade};
use crate::config::{Config, Limits};
use crate::link::NoPeers;
use crate::listener::{Bounds, Routes, serve_callers};
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;
use crate::rooms::Rooms;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const REQUEST: &str = "GET /ws?guest=a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub(super) const PAGE: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Bytes of a response that no socket buffers as a whole.
pub(super) const LARGE: usize = 64 << 20;
pub(super) const OWN_CALLS: usize = 8;
/// What the slow route takes for its answer.
pub(super) const SLOW: Duration = Duration::from_secs(2);

pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<Connections>,
    stop: CancellationToken,
}

/// Routes with pools of their own.
#[derive(Clone)]
struct Pools(Router);

impl Routes for Pools {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.0.answer(request).await
    }

    fn pool(&self, path: &str) -> Pool {
        pool_of(path)
    }
}

fn pool_of(path: &str) -> Pool {
    match path {
        "/healthz" => Pool::Health,
        "/sns/secret" => Pool::Sns,
        _ => Pool::General,
    }
}

async fn slow() -> &'static str {
    tokio::time::sleep(SLOW).await;
    "at last"
}

/// As many files as the node's own calls might need at a time.
async fn own_calls() -> String {
    let files: Vec<_> = (0..OWN_CALLS).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
    format!("{} calls", files.len())
}

impl Node {
    pub(super) async fn start(extra: &[&str]) -> Self {
        Self::start_bounded(extra, Bounds::all_within(8, Duration::from_secs(10))).await
    }

    pub(super) async fn start_bounded(extra: &[&str], bounds: Bounds) -> Self {
        let needed =
            ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
        let limits = Config::try_parse_from(needed.iter().chain(extra)).unwrap().limits.limits().unwrap();
        Self::start_with(limits, bounds).await
    }

    pub(super) async fn start_with(limits: Limits, bounds: Bounds) -> Self {
        let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
        let (id, mailboxes) = (NodeId::from_random(1), Mailboxes::new(2));
        let rooms = Rooms::start(&id, &log, Arc::new(NoPeers), &limits, &mailboxes);
        let connections = Connections::new(id, rooms, limits, &mailboxes).unwrap();
        let routes = Router::new().route(WEBSOCKETS, get(upgrade)).with_state(Arc::clone(&connections));
        let routes = routes.route("/", get(|| async { "the page" })).route("/healthz", get(|| async { "alive" }));
        let routes = routes.route("/sns/secret", post(|| async { "taken" }));
        let routes = routes.route("/large", get(|| async { vec![b'x'; LARGE] })).route("/slow", get(slow));
        let routes = routes.route("/own-calls", get(own_calls));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let callers =
            connections.listen(listener.into_std().unwrap(), bounds.connections, bounds.first_head, Arc::new(pool_of));
        tokio::spawn(serve_callers(callers, Pools(routes), bounds, stop.clone()));
        Self { address, connections, stop }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn says(&self, what: &str, until: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(what.as_bytes()).await.unwrap();
        hears(&mut stream, until).await
    }
}

pub(super) async fn hears(stream: &mut TcpStream, until: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(until) {
        let read = timeout(PATIENCE, stream.read_buf(&mut seen)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Waits until the other side has closed it; returns what came.
pub(super) async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed in time") {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => rest,
    }
}

#[tokio::test]
async fn a_request_for_a_websocket_is_answered_and_its_session_begins() {
    let node = Node::start(&[]).await;
    let mut stream = node.connect().await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let heard = hears(&mut stream, r#""type":"welcome""#).await;
    assert!(heard.starts_with("HTTP/1.1 101 ") && heard.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{heard}");
    assert_eq!(node.connections.open(), 1);
}

/// What a client of this URL hears when its connection is closed at once: the code and the text of the close frame.
/// `router`: the request has more headers than the loops read, so the router answers it.
async fn refusal(node: &Node, target: &str, router: bool) -> (u16, String) {
    let headers = format!("Host: a\r\n{}", "X-Header: 1\r\n".repeat(if router { 70 } else { 0 }));
    let request = REQUEST.replace("/ws?guest=a", target).replace("Host: a\r\n", &headers);
    let mut stream = node.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let heard = closed(&mut stream).await;
    let head = heard.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&heard));
    let [0x88, length, high, low, text @ ..] = &heard[head + 4..] else { panic!("no close frame: {heard:?}") };
    assert_eq!(usize::from(*length), 2 + text.len());
    (u16::from_be_bytes([*high, *low]), String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_that_is_not_let_in_learns_the_cause_from_its_close_frame() {
    let node = Node::start(&[]).await;
    let (long_name, long_secret) = (format!("/ws?name={}", "x".repeat(65)), format!("/ws?guest={}", "x".repeat(257)));
    for (target, reason) in [
        ("/ws?guest=%ff", "`guest` in the URL is not UTF-8"),
        ("/ws?guest=a&guest=b", "`guest` is in the URL more than once"),
        ("/ws?guest=", "`guest` is empty: a guest's secret has 1 to 256 bytes"),
        (&long_secret, "`guest` has 257 bytes, at most 256 are allowed"),
        (&long_name, "the name has 65 characters, at most 64 are allowed"),
        ("/ws?name=a%0Ab", "a name has no control characters and no line breaks"),
        ("/ws?name=%E2%80%8B", "a name has at least one visible character"),
        ("/ws?token=abc", "this server takes guests only, no tokens"),
    ] {
        for router in [false, true] {
            assert_eq!(refusal(&node, target, router).await, (4001, reason.to_owned()), "{target}");
        }
    }
}

#[tokio::test]
async fn what_is_sent_behind_the_request_is_heard() {
    let node = Node::start(&[]).await;
    let mut stream = node.connect().await;
    let ping = br#"{"type":"ping","ref":"early"}"#;
    let frame = [&[0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    stream.write_all(&[REQUEST.as_bytes(), &frame].concat()).await.unwrap();
    assert!(hears(&mut stream, "early").await.contains("welcome"));
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_answered_too() {
    let node = Node::start(&[]).await;
    for cut in [1, 20, REQUEST.len() - 1] {
        let mut stream = node.connect().await;
        stream.set_nodelay(true).unwrap();
        stream.write_all(&REQUEST.as_bytes()[..cut]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&REQUEST.as_bytes()[cut..]).await.unwrap();
        hears(&mut stream, "welcome").await;
    }
}

#[tokio::test]
async fn every_other_request_goes_to_the_router() {
    let node = Node::start(&[]).await;
    assert!(node.says(PAGE, "the page").await.starts_with("HTTP/1.1 200 "));
    assert!(node.says("nonsense\r\n\r\n", "\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let wrong = REQUEST.replace("Version: 13", "Version: 8");
    assert!(node.says(&wrong, "\r\n\r\n").await.starts_with("HTTP/1.1 426 "));
    assert_eq!(node.connections.open(), 0);
    // The same connection may ask for more, and in the end for a WebSocket.
    let mut stream = node.connect().await;
    stream.write_all(PAGE.as_bytes()).await.unwrap();
    hears(&mut stream, "the page").await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    hears(&mut stream, "welcome").await;
}

#[tokio::test]
async fn who_may_not_stay_learns_why() {
    let node = Node::start(&["--connections", "1"]).await;
    let mut first = node.connect().await;
    first.write_all(REQUEST.as_bytes()).await.unwrap();
    hears(&mut first, "welcome").await;
    let refused = |request: String, code: u16| {
        let node = &node;
        async move {
            let mut stream = node.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            // It stays open for the other side's answer, which does not come.
            let heard = closed(&mut stream).await;
            assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&heard));
            let close = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            assert_eq!(heard[close], 0x88);
            assert_eq!(heard[close + 2..close + 4], code.to_be_bytes());
        }
    };
    refused(REQUEST.to_owned(), 1_013).await;
    drop(first);
    let start = Instant::now();
    while node.connections.open() > 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    refused(REQUEST.replace("guest=a", "token=a"), 4_001).await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed_in_time() {
    let bounds = Bounds { first_head: Duration::from_millis(300), ..Bounds::all_within(16, Duration::from_secs(60)) };
    let node = Node::start_bounded(&[], bounds).await;
    let began = Instant::now();
    let (mut silent, mut slow) = (node.connect().await, node.connect().await);
    slow.write_all(b"GET ").await.unwrap();
    tokio::join!(closed(&mut silent), closed(&mut slow));
    assert!(began.elapsed() >= bounds.first_head);
    let mut sessions = Vec::new();
    for _ in 0..2 * bounds.connections {
        let mut stream = node.connect().await;
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        hears(&mut stream, "welcome").await;
        sessions.push(stream);
    }
    assert_eq!(node.connections.open(), 2 * bounds.connections, "sessions have a limit of their own");
}

#[tokio::test]
async fn a_closed_port_takes_nobody_and_sessions_go_on() {
    let node = Node::start(&[]).await;
    let mut session = node.connect().await;
    session.write_all(REQUEST.as_bytes()).await.unwrap();
    hears(&mut session, "welcome").await;
    let (mut silent, mut asking) = (node.connect().await, node.connect().await);
    asking.write_all(PAGE.as_bytes()).await.unwrap();
    hears(&mut asking, "the page").await;
    node.connections.close_port().await;
    node.stop.cancel();
    closed(&mut silent).await;
    closed(&mut asking).await;
    assert!(TcpStream::connect(node.address).await.is_err());
    let ping = br#"{"type":"ping","ref":"still"}"#;
    let frame = [&[0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    session.write_all(&frame).await.unwrap();
    hears(&mut session, "still").await;
}
