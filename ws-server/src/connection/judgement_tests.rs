//! One judgement of requests, whatever the timing: each comes whole, and cut in two.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::entrance_tests::{Node, REQUEST, closed};

/// Status, text and close code of what answers a request.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    text: String,
    close: Option<(u16, String)>,
}

/// Sends a request, cut at this byte if any, and hears it out.
async fn answer(node: &Node, request: &str, cut: Option<usize>) -> Answer {
    let mut stream = node.connect().await;
    stream.set_nodelay(true).unwrap();
    if let Some(cut) = cut {
        stream.write_all(&request.as_bytes()[..cut]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // The node may close while a long head is still being sent.
    let _ = stream.write_all(&request.as_bytes()[cut.unwrap_or(0)..]).await;
    let _ = stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await;
    let _ = stream.shutdown().await;
    let heard = closed(&mut stream).await;
    let text = String::from_utf8_lossy(&heard).into_owned();
    let end = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_else(|| panic!("{text:?}")) + 4;
    let status = text[9..12].parse().unwrap();
    assert!(status == 101 || text.contains("x-content-type-options: nosniff"), "{text}");
    if status != 101 {
        return Answer { status, text: String::from_utf8_lossy(&heard[end..]).into_owned(), close: None };
    }
    let close = heard[end..].iter().position(|byte| *byte == 0x88).map(|at| &heard[end + at..]);
    let close = close.filter(|close| close.len() > 4).map(|close| {
        let reason = String::from_utf8_lossy(&close[4..2 + usize::from(close[1])]).into_owned();
        (u16::from_be_bytes([close[2], close[3]]), reason)
    });
    Answer { status, text: String::new(), close }
}

/// The answer to a request, the same whole and cut.
async fn judged(node: &Node, request: &str) -> Answer {
    let whole = answer(node, request, None).await;
    for cut in [1, request.len() / 2, request.len() - 1] {
        assert_eq!(answer(node, request, Some(cut)).await, whole, "cut at {cut}: {request}");
    }
    whole
}

fn with(line: &str) -> String {
    REQUEST.replace("Host: a\r\n", &format!("Host: a\r\n{line}\r\n"))
}

#[tokio::test]
async fn whole_and_cut_a_request_gets_the_same_answer() {
    let node = Node::start(&[]).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let cases = [
        (REQUEST.to_owned(), 101, ""),
        (with("Content-Length: 0"), 101, ""),
        (with("Sec-WebSocket-Protocol: graphql-ws, roomcast.v1"), 101, ""),
        (with("Origin: https://anywhere.example"), 101, ""),
        (with("Content-Length: 5") + "hello", 400, "no body"),
        (with("Content-Length: 6") + "\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}", 400, "no body"),
        (with("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", 400, "no body"),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400, ""),
        (with("Content-Length: 1\r\nContent-Length: 2"), 400, ""),
        (REQUEST.replace("Host: a\r\n", ""), 400, "one Host"),
        (with("Host: b"), 400, "one Host"),
        (with("Host: a"), 400, "one Host"),
        (REQUEST.replace("Host: a", "Host: a b"), 400, "one Host"),
        (with(key), 400, "one Sec-WebSocket-Key"),
        (with("Sec-WebSocket-Version: 13"), 426, "version 13"),
        (with("Sec-WebSocket-Protocol: graphql-ws"), 400, "offer roomcast.v1"),
        (with("Sec-WebSocket-Protocol: roomcast.v2"), 400, "offer roomcast.v1"),
        (REQUEST.replace("HTTP/1.1", "HTTP/1.0"), 400, "HTTP/1.1"),
        (REQUEST.replace("GET", "POST"), 405, ""),
        (REQUEST.replace("Upgrade: websocket", "Upgrade: h2c"), 426, "a WebSocket is here"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "one Host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400, "one Host"),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404, ""),
        ("nonsense\r\n\r\n".to_owned(), 400, "no HTTP/1.1 request"),
        (with(&"a: b\r\n".repeat(101)), 431, "100 lines and 32 KiB"),
        (with(&format!("a: {}", "b".repeat(70 * 1024))), 431, "100 lines and 32 KiB"),
        (with(&format!("a: {}", "b".repeat(40 * 1024))), 431, "100 lines and 32 KiB"),
    ];
    for (request, status, text) in cases {
        let found = judged(&node, &request).await;
        let shown = &request[..request.len().min(400)];
        assert_eq!(found.status, status, "{shown}: {found:?}");
        assert!(found.text.contains(text) && found.close.is_none(), "{shown}: {found:?}");
    }
}

#[tokio::test]
async fn faults_of_identity_are_told_by_the_close_code_since_browsers_see_no_status() {
    let node = Node::start(&[]).await;
    for (request, reason) in [
        (REQUEST.replace("guest=a", "guest=a&guest=b"), "more than once"),
        (REQUEST.replace("guest=a", "token=a"), "guests only, no tokens"),
        (with("Sec-WebSocket-Protocol: bearer.abc"), "guests only, no tokens"),
        (with("Sec-WebSocket-Protocol: bearer.abc, roomcast.v1"), "guests only, no tokens"),
        (with("Authorization: Bearer abc"), "guests only, no tokens"),
    ] {
        let found = judged(&node, &request).await;
        let (code, said) = found.close.unwrap_or_else(|| panic!("{request}"));
        assert_eq!((found.status, code), (101, 4_001), "{request}");
        assert!(said.contains(reason), "{request}: {said}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_websocket() {
    let node = Node::start(&["--allowed-origins", "https://chat.example"]).await;
    assert_eq!(judged(&node, REQUEST).await.status, 101, "no browser");
    assert_eq!(judged(&node, &with("Origin: https://chat.example")).await.status, 101);
    let refused = judged(&node, &with("Origin: https://evil.example")).await;
    assert_eq!((refused.status, &*refused.text), (403, "pages of this origin may not open a WebSocket here\n"));
    assert_eq!(node.connections.stats.origins_refused.load(Ordering::SeqCst), 4, "whole, and cut three times");
    assert_eq!(node.connections.stats.handshakes_refused.load(Ordering::SeqCst), 0);
}
