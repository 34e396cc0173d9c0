//! Limits by address: off unless asked for, since all clients behind a load balancer share a few; and a client's own only
//! where a trusted proxy says which it is.

use load_generator::attack::{End, Incoming, RawConnection};

use crate::arena::Arena;
use crate::flags::{HTTP_CONNECTIONS_PER_ADDRESS, SESSIONS_PER_ADDRESS, TRUSTED_PROXIES};
use crate::guest::{Answer, Guest, request};

/// A session that a proxy passes on for a client at this address. It stays while what is returned does.
fn through_proxy(arena: &Arena, forwarded: &str) -> Result<Guest, Answer> {
    let mut connection = RawConnection::tcp(arena.address(), None).unwrap();
    let request = request("/ws", &[&format!("X-Forwarded-For: {forwarded}")]);
    connection.send(request.as_bytes()).unwrap();
    let head = connection.head(tests::PATIENCE).unwrap();
    if !head.contains(" 101 ") {
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        return Err(Answer::Http(status, String::new()));
    }
    match connection.receive(tests::PATIENCE).unwrap() {
        Incoming::End(End::Close(code, reason)) => Err(Answer::Closed(None, code, reason)),
        _ => Ok(Guest { connection, welcome: serde_json::Value::Null }),
    }
}

fn is_try_later(answer: &Answer) -> bool {
    match answer {
        Answer::Http(status, _) => [429, 503].contains(status),
        Answer::Closed(_, code, reason) => [1013, 4029].contains(code) && !reason.is_empty(),
        Answer::Welcomed(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_no_more_sessions_than_its_address_may_and_others_behind_the_same_proxy_are_served() {
    let arena = Arena::open(&[TRUSTED_PROXIES, "127.0.0.1/32", SESSIONS_PER_ADDRESS, "3"]).await;
    let mut sessions: Vec<Guest> = (0..3).map(|_| through_proxy(&arena, "203.0.113.9").unwrap()).collect();
    // What the client itself has written stands before what the proxy has added.
    for forwarded in ["203.0.113.9", "198.51.100.7, 203.0.113.9"] {
        let refused = through_proxy(&arena, forwarded).err().unwrap_or_else(|| panic!("{forwarded} is a fourth"));
        assert!(is_try_later(&refused), "{refused:?}");
    }
    for other in ["203.0.113.10", "203.0.113.9, 203.0.113.11", "2001:db8::1"] {
        sessions.push(through_proxy(&arena, other).unwrap_or_else(|answer| panic!("{other}: {answer:?}")));
    }
    sessions.iter_mut().for_each(Guest::goes_on);
    // A session that ends gives its place back.
    drop(sessions.remove(0));
    tests::eventually("a place is free", || async { through_proxy(&arena, "203.0.113.9").is_ok() }).await;
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_a_client_about_its_address_counts_for_nothing_without_a_trusted_proxy() {
    let arena = Arena::open(&[SESSIONS_PER_ADDRESS, "3", TRUSTED_PROXIES, "192.0.2.0/24"]).await;
    let mut sessions = Vec::new();
    for number in 0..3 {
        sessions.push(through_proxy(&arena, &format!("203.0.113.{number}")).unwrap());
    }
    let refused = through_proxy(&arena, "203.0.113.200").err().expect("all of them came from one address");
    assert!(is_try_later(&refused), "{refused:?}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_session_are_bounded_by_address_where_asked_for() {
    let arena = Arena::open(&[TRUSTED_PROXIES, "192.0.2.0/24", HTTP_CONNECTIONS_PER_ADDRESS, "8"]).await;
    let held: Vec<RawConnection> = (0..40)
        .filter_map(|_| {
            let mut connection = RawConnection::tcp(arena.address(), None).ok()?;
            connection.send(b"GET / HTTP/1.1\r\nx-slow: ").ok()?;
            Some(connection)
        })
        .collect();
    // Those beyond are closed at once, long before an unfinished request is.
    let closed = held.into_iter().map(|mut held| held.is_open_after(std::time::Duration::from_millis(30)));
    let open = closed.filter(|open| *open).count();
    assert!(open <= 8, "{open} connections of one address are open");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_bounded_by_address_unless_asked_for() {
    let arena = Arena::open(&[]).await;
    let mut sessions: Vec<Guest> = (0..100).map(|_| Guest::arrive(arena.address())).collect();
    sessions.iter_mut().for_each(Guest::goes_on);
    arena.close().await;
}
