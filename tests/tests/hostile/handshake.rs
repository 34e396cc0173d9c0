//! Requests for a WebSocket that are invalid, and those that are valid and name no one.

use std::net::SocketAddr;
use std::time::Duration;

use load_generator::attack::{RawConnection, frames};
use tests::{PATIENCE, http};

use crate::arena::Arena;
use crate::guest::{Answer, Guest, asked, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_host_or_with_two_or_with_two_keys_is_answered_with_400_and_a_text() {
    let arena = Arena::open(&[]).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let other = "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==";
    for lines in [
        &["host"][..],
        &["Host: a", "Host: b"],
        &["Host: a", "Host: a"],
        &[key, other],
        &[key, key],
        &["sec-websocket-key"],
    ] {
        let answer = asked(arena.address(), &request("/ws", lines)).unwrap();
        let refused = matches!(&answer, Answer::Http(400, text) if !text.trim().is_empty());
        assert!(refused, "{lines:?}: {answer:?}");
    }
    assert!(matches!(asked(arena.address(), &request("/ws", &[])).unwrap(), Answer::Welcomed(None)));
    arena.close().await;
}

/// The status of a request whose body comes in the same write, or this much later.
fn with_body(address: SocketAddr, lines: &[&str], body: &[u8], later: Option<Duration>) -> Answer {
    let mut connection = RawConnection::tcp(address, None).unwrap();
    let mut bytes = request("/ws", lines).into_bytes();
    match later {
        None => {
            bytes.extend_from_slice(body);
            connection.send(&bytes).unwrap();
        }
        Some(later) => {
            connection.send(&bytes).unwrap();
            std::thread::sleep(later);
            // A server that has answered may have closed.
            let _ = connection.send(body);
        }
    }
    Answer::of(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_with_a_body_is_answered_with_400_whenever_the_body_comes() {
    let arena = Arena::open(&[]).await;
    // As a body it is no frame, as a frame it is a ping.
    let body = frames::text(r#"{"type":"ping"}"#);
    let length = format!("Content-Length: {}", body.len());
    let chunked = [format!("{:x}\r\n", body.len()).into_bytes(), body.clone(), b"\r\n0\r\n\r\n".to_vec()].concat();
    for later in [None, Some(Duration::ZERO), Some(Duration::from_millis(100))] {
        for (lines, body) in [(&[length.as_str()][..], &body), (&["Transfer-Encoding: chunked"][..], &chunked)] {
            let answer = with_body(arena.address(), lines, body, later);
            assert!(matches!(answer, Answer::Http(400, _)), "{lines:?}, {later:?}: {answer:?}");
        }
    }
    // Frames that follow a handshake at once are frames.
    let mut guest = RawConnection::tcp(arena.address(), None).unwrap();
    guest.send(&[request("/ws", &[]).into_bytes(), body].concat()).unwrap();
    assert!(guest.head(PATIENCE).unwrap().contains(" 101 "));
    Guest::greeted(guest).hear_until("the answer", |frame| frame["type"] == "pong");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_identity_is_said_in_the_close_frames_reason() {
    let arena = Arena::open(&[]).await;
    let (long_name, long_guest) = ("n".repeat(65), "g".repeat(257));
    let cases = [
        (format!("guest=a&name={long_name}"), "64"),
        ("guest=a&name=two%0Alines".to_owned(), "name"),
        ("guest=&name=a".to_owned(), "guest"),
        (format!("guest={long_guest}"), "256"),
        ("guest=%ff".to_owned(), ""),
        ("guest=%fe&name=a".to_owned(), ""),
        ("guest=a&name=%ff".to_owned(), ""),
        ("token=abc".to_owned(), "token"),
    ];
    for (query, word) in cases {
        let answer = asked(arena.address(), &request(&format!("/ws?{query}"), &[])).unwrap();
        let Answer::Closed(_, 4001, reason) = &answer else { panic!("{query}: {answer:?}") };
        assert!(reason.len() <= 100 && reason.contains(word), "{query}: {reason:?} has no {word:?}");
        assert!(answer.refuses(), "{query}: {reason:?} names no cause");
    }
    let twice = asked(arena.address(), &request("/ws?guest=a&guest=b", &[])).unwrap();
    assert!(twice.refuses(), "{twice:?}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_character_and_invalid_utf_8_are_not_one_user() {
    let arena = Arena::open(&[]).await;
    let user = |query: &str| Guest::with_query(arena.address(), query).welcome["user"].clone();
    // A plus is a space, in both.
    assert_eq!(user("guest=a+b"), user("guest=a%20b"));
    let genuine = user("guest=%EF%BF%BD");
    assert!(genuine.is_string());
    for query in ["guest=%ff", "guest=%fe"] {
        let answer = asked(arena.address(), &request(&format!("/ws?{query}"), &[])).unwrap();
        assert!(answer.refuses(), "{query} is {genuine} or another user: {answer:?}");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subprotocols_of_which_one_is_known_are_answered_with_it_and_others_are_refused_with_a_text() {
    let arena = Arena::open(&[]).await;
    let offered =
        |names: &str| asked(arena.address(), &request("/ws", &[&format!("Sec-WebSocket-Protocol: {names}")])).unwrap();
    for names in ["roomcast.v1", "roomcast.v2, roomcast.v1", "graphql-ws,roomcast.v1"] {
        let answer = offered(names);
        assert!(matches!(&answer, Answer::Welcomed(Some(chosen)) if chosen == "roomcast.v1"), "{names}: {answer:?}");
    }
    for names in ["graphql-ws", "roomcast.v2", "roomcast.v1x, Roomcast.V1"] {
        let answer = offered(names);
        assert!(matches!(&answer, Answer::Http(400, text) if !text.trim().is_empty()), "{names}: {answer:?}");
    }
    // Programs that are no browsers may offer a token alone; it is never taken for a guest.
    let alone = offered("bearer.abc");
    assert!(alone.refuses(), "{alone:?}");
    // A browser fails a handshake that does not answer with a name that it offered; so it sees the code.
    let bearer = offered("roomcast.v1, bearer.abc");
    let told = matches!(&bearer, Answer::Closed(Some(chosen), 4001, reason) if chosen == "roomcast.v1" && reason.contains("token"));
    assert!(told, "{bearer:?}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_and_too_long_headers_are_answered_with_431_and_a_text() {
    let arena = Arena::open(&[]).await;
    let many: Vec<String> = (0..101).map(|number| format!("X-Line-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("X-Long: {}", "x".repeat(70 * 1024));
    for (what, lines) in [("101 lines", &many[..]), ("70 KiB", &[long.as_str()][..])] {
        for path in ["/ws", "/"] {
            let answer = asked(arena.address(), &request(path, lines)).unwrap();
            assert!(
                matches!(&answer, Answer::Http(431, text) if !text.trim().is_empty()),
                "{what}, {path}: {answer:?}"
            );
        }
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_is_given_is_not_taken_for_anything_else() {
    let arena = Arena::open(&[]).await;
    for path in ["/", "/roomcast.js", "/healthz", "/nothing-here"] {
        let answer = http::get(&format!("{}{path}", arena.node.url())).await.unwrap();
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{path}: {}", answer.head);
    }
    arena.close().await;
}
