use client::{Frame, RawSocket};
use protocol::ServerFrame;
use tests::crowd::room;
use tests::{PATIENCE, Stack, StackOptions, http};

use crate::bystanders::Bystanders;

/// FIN and the opcodes of RFC 6455, 5.2.
const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

async fn greeted(url: &str) -> RawSocket {
    let mut socket = RawSocket::connect(&format!("{url}/ws"), &[]).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
    socket
}

/// One frame as bytes that break the protocol: its first byte, its payload, whether it is masked, what it is, and the
/// code with which the connection is closed.
type Broken = (u8, Vec<u8>, bool, &'static str, u16);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_websocket_protocol_is_closed_with_its_code_and_nobody_else_notices() {
    let stack = Stack::start(StackOptions::default()).await;
    let mut bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    let long_room = format!(r#"{{"type":"join","room":"{}"}}"#, "r".repeat(1_000_000)).into_bytes();
    let broken: Vec<Broken> = vec![
        (FIN | TEXT, br#"{"type":"ping"}"#.to_vec(), false, "an unmasked frame", 1002),
        (FIN | 0x40 | TEXT, b"{}".to_vec(), true, "a reserved bit", 1002),
        (FIN | 0x70 | TEXT, b"{}".to_vec(), true, "all reserved bits", 1002),
        (FIN | 3, b"{}".to_vec(), true, "an unknown opcode", 1002),
        (FIN | 0xB, b"{}".to_vec(), true, "an unknown control opcode", 1002),
        (FIN | CONTINUATION, b"{}".to_vec(), true, "a continuation of nothing", 1002),
        (PING, b"{}".to_vec(), true, "a control frame in fragments", 1002),
        (FIN | PING, vec![b'x'; 126], true, "a control frame that is too long", 1002),
        (FIN | CLOSE, vec![3], true, "half a close code", 1002),
        (FIN | TEXT, vec![0xff, 0xfe, 0xfd], true, "text that is no UTF-8", 1007),
        (FIN | TEXT, vec![0xed, 0xa0, 0x80], true, "a surrogate in UTF-8", 1007),
        (FIN | 2, b"{}".to_vec(), true, "a binary frame", 1003),
        (FIN | TEXT, vec![b' '; 20 * 1024 + 1], true, "a frame that is too long", 1009),
        (FIN | TEXT, long_room, true, "a room's name of a million characters", 1009),
        (FIN | TEXT, vec![b' '; 3 << 20], true, "three megabytes", 1009),
    ];
    for (first, payload, masked, what, code) in broken {
        let mut socket = greeted(&stack.ws(0)).await;
        // What is refused in its midst cannot be sent whole.
        let sent = socket.send_frame(first, &payload, masked).await;
        assert!(sent.is_ok() || payload.len() > 1 << 20, "{what}: {sent:?}");
        let close = socket.recv_close(PATIENCE).await.unwrap();
        assert_eq!(close.code, Some(code), "{what}: {close:?}");
        bystanders.chat().await;
    }
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_that_never_end_are_cut_off() {
    let stack = Stack::start(StackOptions::default()).await;
    let bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    let mut socket = greeted(&stack.ws(0)).await;
    let mut sent = socket.send_frame(TEXT, &[b' '; 64 * 1024], true).await;
    let mut fragments = 1;
    while sent.is_ok() && fragments < 1_000 {
        sent = socket.send_frame(CONTINUATION, &[b' '; 64 * 1024], true).await;
        fragments += 1;
    }
    assert!(sent.is_err(), "64 MiB of one message were taken");
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_and_pings_work() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let mut socket = greeted(&stack.ws(0)).await;
    socket.send_frame(TEXT, br#"{"type":"pi"#, true).await.unwrap();
    socket.send_frame(FIN | PING, b"between", true).await.unwrap();
    socket.send_frame(CONTINUATION, br#"ng","ref":"in "#, true).await.unwrap();
    socket.send_frame(CONTINUATION, b"", true).await.unwrap();
    socket.send_frame(FIN | CONTINUATION, br#"parts"}"#, true).await.unwrap();
    assert_eq!(socket.recv(PATIENCE).await.unwrap(), Frame::Pong);
    match socket.recv_frame(PATIENCE).await.unwrap() {
        ServerFrame::Pong(pong) => assert_eq!(pong.reference.unwrap().as_str(), "\"in parts\""),
        other => panic!("{other:?}"),
    }
    socket.close(1000).await.unwrap();
    assert_eq!(socket.recv_close(PATIENCE).await.unwrap().code, Some(1000));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_frames_and_cut_connections_leave_everybody_else_alone() {
    let stack = Stack::start(StackOptions::default()).await;
    let mut bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    for half in [&[FIN | TEXT][..], &[FIN | TEXT, 0xfe, 0x10], &[FIN | TEXT, 0x85, 0, 0, 0, 0, b'{']] {
        let mut socket = greeted(&stack.ws(0)).await;
        socket.send_text(r#"{"type":"join","room":"lobby"}"#).await.unwrap();
        assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Joined(_)));
        socket.send_bytes(half).await.unwrap();
        bystanders.chat().await;
        socket.cut();
    }
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_handshake_get_an_http_error() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let url = format!("{}/ws", stack.nodes()[0]);
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert!((400..500).contains(&http::get(&url).await.unwrap().status));
    assert_eq!(http::post(&url, &[], b"{}").await.unwrap().status, 405);
    let old = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "8"), key];
    assert!((400..500).contains(&http::request("GET", &url, &old, b"").await.unwrap().status));
    assert_eq!(http::get(&format!("{}/nowhere", stack.nodes()[0])).await.unwrap().status, 404);
    stack.stop().await;
}
