use std::time::{Duration, Instant};

use client::{JoinFrom, RawSocket};
use protocol::ServerFrame;
use tests::crowd::{room, text_body};
use tests::{Crowd, Node, PATIENCE, Stack, StackOptions, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A WebSocket by hand that never sends anything after its handshake. Its receive buffer is small.
async fn silent(node: &Node, and_then: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let address = format!("127.0.0.1:{}", node.port());
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let handshake = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    stream.write_all(and_then).await.unwrap();
    stream
}

/// A masked pong that nobody asked for.
const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

/// A masked text frame; the mask is zero.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length <= 125).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// The code of the close frame with which a server's bytes end: unmasked, two bytes of code, a short reason.
fn close_code(bytes: &[u8]) -> Option<u16> {
    let at = bytes.windows(2).rposition(|pair| pair[0] == 0x88 && (2..=125).contains(&pair[1]))?;
    let payload = bytes.get(at + 2..)?;
    (payload.len() == usize::from(bytes[at + 1])).then(|| u16::from_be_bytes([payload[0], payload[1]]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_pings_is_closed_with_4009_and_one_that_does_stays() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--heartbeat-ms", "200"]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let polite = crowd.member(&node.ws(), &lobby).await;
    let mut stream = silent(&node, b"").await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the node closes").unwrap();
    assert_eq!(close_code(&bytes), Some(4009));
    polite.say(&lobby, "still here").await;
    assert_eq!(polite.losses(), 0);
    crowd.verified().await;
    node.stop().await;
    stack.stop().await;
}

/// What a dead client leaves behind is bounded in time even when there is something to write to it and its outbox does
/// not overflow.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_neither_reads_nor_answers_is_let_go() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node =
        Node::start(&stack, &["--heartbeat-ms", "200", "--outbox-bytes", "1000000000", "--connections", "2"]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&node.ws(), &lobby).await;
    let mut dying = silent(&node, &text_frame(r#"{"type":"join","room":"lobby"}"#)).await;
    // More than the system's buffers hold, far less than the outbox does. Until then it shows signs of life; it may have
    // been closed before the end.
    for number in 0..300 {
        speaker.shout(&lobby, &format!("{number} {}", "x".repeat(15 * 1024))).await;
        let _ = dying.write_all(PONG).await;
    }
    while !crowd.is_settled() {
        let _ = dying.write_all(PONG).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("its place is free again", || async {
        let mut next = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.unwrap();
        matches!(next.recv_frame(PATIENCE).await, Ok(ServerFrame::Welcome(_)))
    })
    .await;
    drop(dying);
    crowd.verified().await;
    node.stop().await;
    stack.stop().await;
}

/// Whoever has much to read must not have to finish before it is listened to.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_more_slowly_than_others_write_is_heard_meanwhile() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--outbox-bytes", "1000000000"]).await;
    let (crowd, lobby, plaza) = (Crowd::new(), room("lobby"), room("plaza"));
    let speaker = crowd.member(&node.ws(), &lobby).await;
    let listener = crowd.member(&node.ws(), &plaza).await;
    let mut slow = silent(&node, &text_frame(r#"{"type":"join","room":"lobby"}"#)).await;
    slow.write_all(&text_frame(r#"{"type":"join","room":"plaza"}"#)).await.unwrap();
    let (mut reading, mut writing) = slow.into_split();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let long = "x".repeat(15 * 1024);
    for _ in 0..300 {
        speaker.shout(&lobby, &long).await;
    }
    // More waits for the slow one now than the system's buffers hold, and there will be more all the time.
    speaker.has_seen(&lobby, 300).await;
    writing.write_all(&text_frame(r#"{"type":"publish","room":"plaza","id":"1","body":"me too"}"#)).await.unwrap();
    let asked = Instant::now();
    while listener.messages(&plaza).is_empty() {
        assert!(asked.elapsed() < PATIENCE, "it is not heard while others write");
        speaker.say(&lobby, &long).await;
    }
    assert_eq!(listener.messages(&plaza)[0].body.as_str(), "\"me too\"");
    reader.abort();
    node.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_closes_newcomers_with_1013_until_somebody_leaves() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--connections", "2"]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&node.ws(), &lobby).await;
    let ben = crowd.member(&node.ws(), &lobby).await;
    let url = format!("{}/ws", node.ws());
    for _ in 0..3 {
        let close = RawSocket::connect(&url, &[]).await.unwrap().recv_close(PATIENCE).await.unwrap();
        assert_eq!(close.code, Some(1013));
    }
    ada.publish(&lobby, tests::crowd::fresh_id(), text_body("nobody noticed")).await;
    crowd.settled().await;
    ben.depart(&[&lobby]).await;
    // The client comes back by itself until there is a place.
    let cleo = crowd.guest(&[node.ws()]).await;
    cleo.join(&lobby, JoinFrom::Head).await;
    ada.say(&lobby, "welcome").await;
    timeout(Duration::from_secs(30), cleo.has_seen(&lobby, 1)).await.unwrap();
    crowd.verified().await;
    node.stop().await;
    stack.stop().await;
}
