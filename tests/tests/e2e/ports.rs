use std::time::{Duration, Instant};

use client::RawSocket;
use protocol::{ErrorCode, ServerFrame};
use tests::{Node, PATIENCE, Stack, StackOptions, http, ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections that never finish their request are closed, and cost nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn who_drips_a_request_is_closed_while_others_are_served() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--http-connections", "64"]).await;
    let mut dripping = Vec::new();
    for _ in 0..32 {
        let mut socket = TcpStream::connect(("127.0.0.1", node.port())).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ").await.unwrap();
        dripping.push(socket);
    }
    let began = Instant::now();
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
    for socket in &mut dripping {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it is closed in time");
    }
    assert!(began.elapsed() > Duration::from_secs(5), "nobody is hurried: {:?}", began.elapsed());
    // Who has become a session stays.
    socket.send_text(r#"{"type":"ping","ref":1}"#).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Pong(_)));
    node.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_shown_on_the_port_for_operations_alone_when_there_is_one() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let operations = format!("127.0.0.1:{}", ports::free(1));
    let node = Node::start(&stack, &["--ops-listen", &operations]).await;
    for (url, metrics) in [(node.url(), 404), (format!("http://{operations}"), 200)] {
        assert_eq!(http::get(&format!("{url}/metrics")).await.unwrap().status, metrics, "{url}");
        assert_eq!(http::get(&format!("{url}/healthz")).await.unwrap().status, 200, "{url}");
        assert_eq!(http::get(&format!("{url}/readyz")).await.unwrap().status, 200, "{url}");
    }
    assert_eq!(http::get(&format!("http://{operations}/")).await.unwrap().status, 404);
    assert_eq!(http::get(&format!("http://{operations}/ws")).await.unwrap().status, 404);
    node.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_publishes_too_often_is_told_to_and_goes_on() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--publishes-per-second", "2"]).await;
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.unwrap();
    socket.send_text(r#"{"type":"join","room":"r"}"#).await.unwrap();
    for number in 0..40 {
        let text = format!(r#"{{"type":"publish","room":"r","id":"m{number}","body":1}}"#);
        socket.send_text(&text).await.unwrap();
    }
    let (mut acked, mut limited) = (0, 0);
    while acked + limited < 40 {
        match socket.recv_frame(PATIENCE).await.unwrap() {
            ServerFrame::Ack(_) => acked += 1,
            ServerFrame::Error(error) => {
                assert!(error.code == ErrorCode::RateLimited && error.retry && error.id.is_some(), "{error:?}");
                limited += 1;
            }
            _ => {}
        }
    }
    assert!(acked >= 4 && limited > 0, "{acked} taken, {limited} refused");
    assert_eq!(node.counter("publishes_limited").await, limited);
    node.stop().await;
    stack.stop().await;
}
