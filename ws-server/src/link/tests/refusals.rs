//! What a node's port for others does not take, and what it says of that.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use protocol::{Envelope, HandOffAnswer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;

use super::world::{BODY_WITHIN, Served, hand_off, until};
use crate::link::ClusterKeys;
use crate::link::LinkCounts;
use crate::link::client::millis;
use crate::link::listener::LinkBounds;
use crate::link::routes::{HAND_OFF_LIMIT, HAND_OFF_PATH, HINTS_LIMIT, HINTS_PATH, SNS_PATH};
use crate::link::signature::{Claims, Signature, digest_of, header, verify_answer};
use crate::link::testing::{keys, node};

const OLD: &str = "old-0123456789-0123456789-0123456789";
const NEW: &str = "new-0123456789-0123456789-0123456789";

/// The routes of node `b`.
fn served(keys: ClusterKeys) -> (Served, Router) {
    Served::unbound("b", keys, "127.0.0.1:1".parse().unwrap())
}

fn claims(number: u64) -> Claims {
    let body = digest_of(b"");
    Claims { sender: node("a"), receiver: node("b"), time_ms: millis(SystemTime::now()), number, body }
}

fn signed(claims: &Claims, keys: &ClusterKeys, path: &str, body: impl Into<Bytes>) -> (Request<Body>, Signature) {
    let body: Bytes = body.into();
    let mut request = Request::post(path).body(Body::from(body.clone())).unwrap();
    let claims = Claims { body: digest_of(&body), ..claims.clone() };
    let signature = claims.sign(keys, path, request.headers_mut());
    (request, signature)
}

async fn ask(routes: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let answer = routes.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

/// Asks, and expects an unsigned refusal.
async fn refused(routes: &Router, request: Request<Body>) -> u16 {
    let (status, headers, body) = ask(routes, request).await;
    assert!(!headers.contains_key(header::SIGNATURE) && body.is_empty());
    status.as_u16()
}

/// Asks, and expects a signed answer.
async fn answered(routes: &Router, request: (Request<Body>, Signature), keys: &ClusterKeys) -> (u16, Bytes) {
    let (status, headers, body) = ask(routes, request.0).await;
    assert!(verify_answer(keys, &request.1, status.as_u16(), &body, &headers), "{status}");
    (status.as_u16(), body)
}

fn hints() -> String {
    Envelope::join([])
}

#[tokio::test]
async fn a_request_of_another_node_is_taken_once() {
    let (served, routes) = served(keys());
    let request = || signed(&claims(1), &keys(), HINTS_PATH, hints());
    assert_eq!(answered(&routes, request(), &keys()).await.0, 204);
    assert!(served.known.is_asked_to_look(), "a node that is not known yet");
    assert_eq!(served.rooms.envelopes.lock().unwrap().len(), 1);
    assert_eq!(refused(&routes, request().0).await, 403, "the time differs, the number does not");
    assert_eq!(served.rooms.envelopes.lock().unwrap().len(), 1);
    assert_eq!(served.stats.counts(), LinkCounts { refused_replayed: 1, ..LinkCounts::default() });
    assert_eq!(answered(&routes, signed(&claims(2), &keys(), HINTS_PATH, hints()), &keys()).await.0, 204);
}

#[tokio::test]
async fn whoever_has_no_key_is_refused() {
    let (served, routes) = served(keys());
    let stranger = ClusterKeys::parse(OLD).unwrap();
    let plain = Request::post(HINTS_PATH).body(Body::from(hints())).unwrap();
    let (mut other_body, _) = signed(&claims(1), &keys(), HINTS_PATH, hints());
    *other_body.body_mut() = Body::from(hints() + " ");
    let (mut other_path, _) = signed(&claims(1), &keys(), HINTS_PATH, hints());
    *other_path.uri_mut() = HAND_OFF_PATH.parse().unwrap();
    let strange = signed(&claims(1), &stranger, HINTS_PATH, hints()).0;
    for request in [plain, strange, other_body, other_path] {
        assert_eq!(refused(&routes, request).await, 403);
    }
    assert_eq!(served.stats.counts(), LinkCounts { refused_forged: 4, ..LinkCounts::default() });
    assert!(served.rooms.envelopes.lock().unwrap().is_empty() && !served.known.is_asked_to_look());
    assert_eq!(answered(&routes, signed(&claims(1), &keys(), HINTS_PATH, hints()), &keys()).await.0, 204, "unspent");
}

#[tokio::test]
async fn a_request_for_another_node_is_refused() {
    let (served, routes) = served(keys());
    let claims = Claims { receiver: node("c"), ..claims(1) };
    assert_eq!(refused(&routes, signed(&claims, &keys(), HINTS_PATH, hints()).0).await, 403);
    assert_eq!(served.stats.counts(), LinkCounts { refused_foreign: 1, ..LinkCounts::default() });
}

#[tokio::test]
async fn a_recorded_request_is_refused_for_its_time() {
    let (served, routes) = served(keys());
    for (number, ahead, status) in [(1, -29_000, 204), (2, 29_000, 204), (3, -31_000, 403), (4, 31_000, 403)] {
        served.ahead.store(ahead, Ordering::SeqCst);
        let request = signed(&claims(number), &keys(), HINTS_PATH, hints()).0;
        assert_eq!(ask(&routes, request).await.0.as_u16(), status, "{ahead} ms ahead");
    }
    assert_eq!(served.stats.counts(), LinkCounts { refused_stale: 2, ..LinkCounts::default() });
}

#[tokio::test]
async fn bodies_are_bounded_whether_they_tell_their_length_or_not() {
    let (served, routes) = served(keys());
    for (path, limit) in [(HINTS_PATH, HINTS_LIMIT), (HAND_OFF_PATH, HAND_OFF_LIMIT), (SNS_PATH, 1024 * 1024)] {
        let long = vec![b' '; limit + 1];
        assert_eq!(refused(&routes, signed(&claims(1), &keys(), path, long.clone()).0).await, 413, "{path}");
        let (mut untold, _) = signed(&claims(1), &keys(), path, long.clone());
        let pieces = long.chunks(64 * 1024).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
        *untold.body_mut() = Body::from_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
        assert_eq!(refused(&routes, untold).await, 413, "{path} in pieces");
    }
    assert_eq!(served.stats.counts(), LinkCounts { refused_too_large: 6, ..LinkCounts::default() });
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (served, routes) = served(keys());
    let (mut request, _) = signed(&claims(1), &keys(), HINTS_PATH, hints());
    *request.body_mut() = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let began = Instant::now();
    assert_eq!(refused(&routes, request).await, 408);
    assert!(began.elapsed() >= BODY_WITHIN);
    assert_eq!(served.stats.counts(), LinkCounts { refused_slow: 1, ..LinkCounts::default() });
}

#[tokio::test]
async fn bodies_on_their_way_are_bounded_all_together() {
    let (served, routes) = served(keys());
    let silent = |number| {
        let (mut request, _) = signed(&claims(number), &keys(), SNS_PATH, "x");
        *request.body_mut() = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        request
    };
    let answers = (1..=100).map(|number| ask(&routes, silent(number)));
    let statuses: Vec<u16> =
        futures_util::future::join_all(answers).await.iter().map(|answer| answer.0.as_u16()).collect();
    let (slow, overloaded) = (64, 36);
    assert_eq!(statuses.iter().filter(|status| **status == 408).count(), slow, "64 MiB");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), overloaded);
    assert_eq!(answered(&routes, signed(&claims(1), &keys(), SNS_PATH, "x"), &keys()).await.0, 418, "room again");
    assert_eq!(served.stats.counts().refused_overloaded, overloaded as u64);
}

#[tokio::test]
async fn what_is_authentic_and_malformed_is_told_so() {
    let (served, routes) = served(keys());
    for (number, path, body) in
        [(1, HINTS_PATH, "{"), (2, HINTS_PATH, r#"{"v":2}"#), (3, HAND_OFF_PATH, "{}"), (4, HINTS_PATH, "\u{fffd}")]
    {
        let request = signed(&claims(number), &keys(), path, body);
        assert_eq!(answered(&routes, request, &keys()).await.0, 400, "{body}");
    }
    assert_eq!(served.stats.counts(), LinkCounts { refused_malformed: 4, ..LinkCounts::default() });
}

#[tokio::test]
async fn full_rooms_put_hints_off() {
    let (served, routes) = served(keys());
    served.rooms.full.store(true, Ordering::SeqCst);
    assert_eq!(answered(&routes, signed(&claims(1), &keys(), HINTS_PATH, hints()), &keys()).await.0, 503);
    assert_eq!(served.stats.counts(), LinkCounts { refused_overloaded: 1, ..LinkCounts::default() });
}

#[tokio::test]
async fn a_node_that_drains_takes_no_batches() {
    let (served, routes) = served(keys());
    let batch = || serde_json::to_vec(&hand_off(1)).unwrap();
    let (status, taken) = answered(&routes, signed(&claims(1), &keys(), HAND_OFF_PATH, batch()), &keys()).await;
    assert!(status == 200 && matches!(serde_json::from_slice(&taken), Ok(HandOffAnswer::Settled { .. })));
    served.draining.cancel();
    let (status, declined) = answered(&routes, signed(&claims(2), &keys(), HAND_OFF_PATH, batch()), &keys()).await;
    assert_eq!((status, &declined[..]), (200, &br#"{"declined":{"reason":"draining"}}"#[..]));
}

#[tokio::test]
async fn keys_are_changed_step_by_step_without_a_refusal() {
    let steps = [OLD.to_owned(), format!("{OLD},{NEW}"), format!("{NEW},{OLD}"), NEW.to_owned()];
    for pair in steps.windows(2) {
        for (asking, serving) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let (asking, serving) = (ClusterKeys::parse(asking).unwrap(), ClusterKeys::parse(serving).unwrap());
            let (_served, routes) = served(serving);
            let request = signed(&claims(1), &asking, HINTS_PATH, hints());
            assert_eq!(answered(&routes, request, &asking).await.0, 204);
        }
    }
    let (_served, routes) = served(ClusterKeys::parse(NEW).unwrap());
    let late = signed(&claims(1), &ClusterKeys::parse(OLD).unwrap(), HINTS_PATH, hints()).0;
    assert_eq!(refused(&routes, late).await, 403, "two steps at once are too many");
}

#[tokio::test]
async fn nothing_else_is_served() {
    let (_served, routes) = served(keys());
    for (method, path, status) in [("GET", HINTS_PATH, 405), ("POST", "/link/v1/other", 404), ("GET", "/healthz", 404)]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(ask(&routes, request).await.0.as_u16(), status, "{method} {path}");
    }
}

// Connections.

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_head_are_closed() {
    let bounds = LinkBounds::tight(8, Duration::from_millis(200));
    let served = Served::start_bounded("b", keys(), bounds).await;
    for said in ["", "POST /link/v1/hints HTTP/1.1\r\nhost: b\r\n"] {
        let mut socket = TcpStream::connect(&served.address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await;
        closed.expect("it is closed in time").unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_was_used_and_is_idle_is_closed() {
    let served = Served::start_bounded("b", keys(), LinkBounds::tight(8, Duration::from_millis(200))).await;
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.expect("closed in time").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"));
}

#[tokio::test]
async fn the_connection_that_has_waited_longest_makes_place_for_a_new_one() {
    let served = Served::start_bounded("b", keys(), LinkBounds::tight(2, Duration::from_secs(60))).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(TcpStream::connect(&served.address).await.unwrap());
    }
    until(|| served.stats.counts().refused_connections == 1).await;
    let read = timeout(Duration::from_secs(10), sockets[0].read(&mut [0; 1])).await.expect("closed in time");
    assert!(matches!(read, Ok(0) | Err(_)));
    sockets[2].write_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(Duration::from_secs(10), sockets[2].read_exact(&mut answer)).await.expect("answered in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    served.stop.cancel();
    let read = timeout(Duration::from_secs(10), sockets[1].read(&mut [0; 1])).await.expect("closed at the end");
    assert!(matches!(read, Ok(0) | Err(_)));
}
