//! Places of connections without a session, when clients want more of them than there are, over real sockets.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::entrance_tests::{LARGE, Node, PAGE, PATIENCE, REQUEST, SLOW, closed, hears};
use crate::listener::Bounds;

const PLACES: usize = 16;
const LARGE_PAGE: &str = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
const SNS: &str = "POST /sns/secret HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

async fn node(extra: &[&str], write_within: Duration) -> Node {
    let bounds = Bounds { write_within, ..Bounds::all_within(PLACES, Duration::from_secs(60)) };
    Node::start_bounded(extra, bounds).await
}

/// A client that asks for more than it ever reads.
async fn deaf(node: &Node) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(node.address).await.unwrap();
    stream.write_all(LARGE_PAGE.repeat(4).as_bytes()).await.unwrap();
    stream
}

/// One that has asked, has its answer, and keeps the connection.
async fn idle(node: &Node) -> TcpStream {
    let mut stream = node.connect().await;
    stream.write_all(PAGE.as_bytes()).await.unwrap();
    hears(&mut stream, "the page").await;
    stream
}

async fn is_served(node: &Node) {
    assert!(node.says(PAGE, "the page").await.starts_with("HTTP/1.1 200 "));
    assert!(node.says(HEALTH, "alive").await.starts_with("HTTP/1.1 200 "));
    assert!(node.says(SNS, "taken").await.starts_with("HTTP/1.1 200 "));
    assert!(node.says(REQUEST, "welcome").await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_response_that_its_client_does_not_read_ends_in_time() {
    let within = Duration::from_millis(400);
    let node = node(&[], within).await;
    let began = Instant::now();
    let deaf = deaf(&node).await;
    let stuck = &node.connections.stats.places.writes_stuck;
    while stuck.load(Ordering::SeqCst) == 0 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() >= within);
    drop(deaf);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_its_whole_response() {
    let within = Duration::from_millis(400);
    let node = node(&[], within).await;
    let mut stream = node.connect().await;
    stream.write_all(LARGE_PAGE.as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 4 << 20]);
    while read < LARGE {
        // Pauses that are shorter than the node's patience, and longer than it all together.
        tokio::time::sleep(within / 8).await;
        let part = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        let part = part.unwrap().unwrap();
        assert!(part > 0, "it ends after {read} bytes");
        read += part;
    }
    assert_eq!(node.connections.stats.places.writes_stuck.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_that_ask_and_never_read_keep_no_other_out() {
    let node = node(&[], Duration::from_secs(60)).await;
    let mut crowd = Vec::new();
    for _ in 0..2 * PLACES {
        crowd.push(deaf(&node).await);
    }
    // From the moment at which their writes count as waiting, each new connection is served at once.
    tokio::time::sleep(super::STUCK_AFTER + Duration::from_millis(300)).await;
    for _ in 0..PLACES {
        is_served(&node).await;
    }
    drop(crowd);
}

#[tokio::test]
async fn idle_connections_keep_no_other_out_and_the_longest_idle_goes_first() {
    let node = node(&[], Duration::from_secs(60)).await;
    let mut crowd = Vec::new();
    for _ in 0..PLACES / 2 {
        crowd.push(idle(&node).await);
    }
    // The first one asks again, and is not the longest idle any more.
    crowd[0].write_all(PAGE.as_bytes()).await.unwrap();
    hears(&mut crowd[0], "the page").await;
    let silent: Vec<TcpStream> = {
        let mut silent = Vec::new();
        for _ in 0..PLACES {
            silent.push(node.connect().await);
        }
        silent
    };
    is_served(&node).await;
    closed(&mut crowd[1]).await;
    let mut more = Vec::new();
    for _ in 0..PLACES {
        more.push(idle(&node).await);
    }
    is_served(&node).await;
    assert!(node.connections.stats.places.evicted.load(Ordering::SeqCst) > 0);
    assert_eq!(node.connections.stats.places.refused.load(Ordering::SeqCst), 0);
    drop((silent, more));
}

#[tokio::test]
async fn a_request_in_flight_is_never_cut() {
    let node = node(&[], Duration::from_secs(60)).await;
    let mut slow = Vec::new();
    // As many as the general pool takes.
    for _ in 0..PLACES {
        let mut stream = node.connect().await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    let mut silent = Vec::new();
    while began.elapsed() < SLOW / 2 {
        silent.push(node.connect().await);
        assert!(
            node.says(HEALTH, "alive").await.starts_with("HTTP/1.1 200 "),
            "health checks have places of their own"
        );
        assert!(node.says(SNS, "taken").await.starts_with("HTTP/1.1 200 "), "so has SNS");
        assert!(node.says(REQUEST, "welcome").await.starts_with("HTTP/1.1 101 "), "sessions need none");
    }
    let mut answered = 0;
    for stream in &mut slow {
        let answer = closed_or_answered(stream).await;
        answered += usize::from(answer.ends_with("at last"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "));
    }
    assert!(answered >= PLACES / 2, "{answered} of {PLACES}");
}

/// What comes until the answer is whole, or the connection closed.
async fn closed_or_answered(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !seen.ends_with(b"at last") {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it ends in time");
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn health_checks_that_keep_their_connections_do_not_refuse_others_or_sns() {
    let node = node(&[], Duration::from_secs(60)).await;
    let mut crowd = Vec::new();
    for request in [HEALTH, SNS].into_iter().cycle().take(4 * PLACES) {
        let mut stream = node.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        hears(&mut stream, if request == HEALTH { "alive" } else { "taken" }).await;
        crowd.push(stream);
    }
    for _ in 0..PLACES {
        is_served(&node).await;
    }
    drop(crowd);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_sessions_and_no_more() {
    let flags = ["--http-connections-per-address", "2", "--sessions-per-address", "2"];
    let node = node(&flags, Duration::from_secs(60)).await;
    let (first, second) = (idle(&node).await, idle(&node).await);
    closed(&mut node.connect().await).await;
    assert_eq!(node.connections.stats.places.address_refused.load(Ordering::SeqCst), 1);
    drop((first, second));
    let mut sessions = Vec::new();
    while sessions.len() < 2 {
        let mut stream = node.connect().await;
        let _ = stream.write_all(REQUEST.as_bytes()).await;
        // The places that were left may still be counted.
        if tokio::time::timeout(PATIENCE, closed_or(&mut stream, "welcome")).await.expect("no client is left waiting") {
            sessions.push(stream);
        }
    }
    let refused = node.says(REQUEST, "this address has 2 sessions").await;
    assert!(refused.starts_with("HTTP/1.1 101 "), "{refused}");
    assert_eq!(node.connections.stats.sessions_refused_address.load(Ordering::SeqCst), 1);
    drop(sessions.pop());
    let began = Instant::now();
    while node.connections.open() > 1 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    node.says(REQUEST, "welcome").await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_told_apart() {
    let flags =
        ["--sessions-per-address", "1", "--http-connections-per-address", "1", "--trusted-proxies", "127.0.0.0/8"];
    let node = node(&flags, Duration::from_secs(60)).await;
    let _kept = (idle(&node).await, idle(&node).await);
    let from = |address: &str| REQUEST.replace("Host: a", &format!("Host: a\r\nX-Forwarded-For: 10.1.1.1, {address}"));
    let mut sessions = Vec::new();
    for address in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
        let mut stream = node.connect().await;
        stream.write_all(from(address).as_bytes()).await.unwrap();
        hears(&mut stream, "welcome").await;
        sessions.push(stream);
    }
    node.says(&from("198.51.100.2"), "this address has 1 sessions").await;
    node.says(&from("2001:db8::2"), "this address has 1 sessions").await;
}

#[tokio::test]
async fn long_heads_of_all_connections_together_are_bounded() {
    let most = 8 << 20;
    let bounds = Bounds::all_within(1_024, Duration::from_secs(60));
    let node = Node::start_bounded(&["--http-request-bytes", &most.to_string()], bounds).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}", "b".repeat(31 * 1024));
    let mut crowd = Vec::new();
    // Each holds 23 KiB beyond what every connection may.
    for _ in 0..600 {
        let mut stream = node.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        crowd.push(stream);
    }
    let refused = &node.connections.stats.places.heads_refused;
    let began = Instant::now();
    while refused.load(Ordering::SeqCst) < 600 - (most / (22 * 1024)) as u64 {
        assert!(began.elapsed() < PATIENCE, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    is_served(&node).await;
    // What is answered or gone is held no more.
    drop(crowd);
    let long = PAGE.replace("Host: a", &format!("Host: a\r\nx: {}", "b".repeat(31 * 1024)));
    let served = async {
        loop {
            let mut stream = node.connect().await;
            let _ = stream.write_all(long.as_bytes()).await;
            if closed_or(&mut stream, "the page").await {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("there is memory again");
    let mut stream = node.connect().await;
    for _ in 0..2 * most / (23 * 1024) {
        stream.write_all(long.as_bytes()).await.unwrap();
        hears(&mut stream, "the page").await;
    }
}

/// Whether this comes before the connection is closed.
async fn closed_or(stream: &mut TcpStream, until: &str) -> bool {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(until) {
        if !matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            return false;
        }
    }
    true
}
