//! How connections end, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use protocol::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Connections, Mailboxes};
use crate::config::Config;
use crate::link::NoPeers;
use crate::listener::{Bounds, serve_callers};
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;
use crate::rooms::Rooms;

async fn node(extra: &[&str]) -> (std::net::SocketAddr, Arc<Connections>) {
    let needed = ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
    let limits = Config::try_parse_from(needed.iter().chain(extra)).unwrap().limits.limits().unwrap();
    let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
    let id = NodeId::from_random(1);
    let mailboxes = Mailboxes::new(2);
    let rooms = Rooms::start(&id, &log, Arc::new(NoPeers), &limits, &mailboxes);
    let connections = Connections::new(id, rooms, limits, &mailboxes).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds { connections: 1_000, first_head: Duration::from_secs(10), next_head: Duration::from_secs(10) };
    let callers = connections.listen(listener, bounds.connections, bounds.first_head);
    tokio::spawn(serve_callers(callers, Router::new(), bounds, CancellationToken::new()));
    (address, connections)
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = "GET /ws?guest=0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("welcome") {
        let mut bytes = [0; 1024];
        let read = timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..read]);
    }
    stream
}

/// Where a text ends, if it is there.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text).map(|at| at + text.len())
}

/// A masked frame (with a mask of zeros).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    if payload.len() < 126 {
        bytes.push(0x80 | payload.len() as u8);
    } else {
        bytes.push(0x80 | 126);
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

#[tokio::test]
async fn a_close_frame_is_answered_with_one() {
    let (address, _connections) = node(&[]).await;
    let mut stream = connect(address).await;
    stream.write_all(&frame(8, &1000_u16.to_be_bytes())).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(3), stream.read_to_end(&mut rest)).await.expect("the server closes");
    assert_eq!(rest.first(), Some(&0x88), "RFC 6455, 5.5.1: a close frame comes back; got {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_write_is_stuck_misses_its_heartbeats() {
    let (address, connections) = node(&["--heartbeat-ms", "100", "--drain-ms", "200"]).await;
    let mut stream = connect(address).await;
    stream.write_all(&frame(1, br#"{"type":"join","room":"r"}"#)).await.unwrap();
    // 12 messages of 10,000 bytes; then their history again and again, and nothing is read any more.
    for id in 0..12 {
        let text = format!(r#"{{"type":"publish","room":"r","id":"m{id}","body":"{}"}}"#, "x".repeat(10_000));
        stream.write_all(&frame(1, text.as_bytes())).await.unwrap();
    }
    for _ in 0..200 {
        let request = frame(1, br#"{"type":"history","room":"r"}"#);
        if timeout(Duration::from_millis(100), stream.write_all(&request)).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Twenty heartbeats.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open = connections.open();
    connections.drain();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((open, connections.open()), (0, 0), "closed by its heartbeat; and by the drain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_more_than_its_outbox_holds_gets_it_all_if_it_reads() {
    let (address, connections) = node(&["--publishes-per-second", "0"]).await;
    let mut stream = connect(address).await;
    stream.write_all(&frame(1, br#"{"type":"join","room":"r"}"#)).await.unwrap();
    // As much as fills a fourth of an outbox.
    for id in 0..40 {
        let text = format!(r#"{{"type":"publish","room":"r","id":"m{id}","body":"{}"}}"#, "x".repeat(8_000));
        stream.write_all(&frame(1, text.as_bytes())).await.unwrap();
    }
    let request = |number| format!(r#"{{"type":"history","room":"r","limit":1000,"ref":"answer {number}"}}"#);
    let asked: Vec<u8> = (0..20).flat_map(|number| frame(1, request(number).as_bytes())).collect();
    stream.write_all(&asked).await.unwrap();
    let (mut seen, mut answers) = (Vec::new(), 0);
    while answers < 20 {
        let mut bytes = vec![0; 256 * 1024];
        let read = timeout(Duration::from_secs(20), stream.read(&mut bytes)).await.expect("it is answered").unwrap();
        assert!(read > 0, "{answers} answers, then it was closed");
        seen.extend_from_slice(&bytes[..read]);
        let mark = |number| format!(r#""ref":"answer {number}"}}"#);
        while let Some(at) = find(&seen, mark(answers).as_bytes()) {
            seen.drain(..at);
            answers += 1;
        }
    }
    assert_eq!(connections.open(), 1, "and stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_that_has_sent_something_learns_why() {
    let (address, _connections) = node(&[]).await;
    let told: Vec<_> = (0..100).map(|_| tokio::spawn(learns_why(address))).collect();
    for told in told {
        assert!(told.await.unwrap());
    }
}

/// Whether a client that is refused, and has sent something meanwhile, gets the close code.
async fn learns_why(address: std::net::SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /ws?token=x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
    // What a client sends once its socket is open.
    let _ = stream.write_all(&frame(1, br#"{"type":"join","room":"r"}"#)).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    rest.windows(2).any(|two| two == 4001_u16.to_be_bytes())
}
