//! As much of Redis as a node asks for: greeting, role, one channel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

/// A hub. Dropping it closes its connections.
pub(super) struct Hub {
    pub(super) port: u16,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    messages: broadcast::Sender<Vec<u8>>,
    payloads: Mutex<Vec<Vec<u8>>>,
    mute: AtomicBool,
    replica: AtomicBool,
}

impl Hub {
    pub(super) async fn start() -> Self {
        Self::start_at(0).await
    }

    pub(super) async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let shared = Arc::new(Shared {
            messages: broadcast::channel(1_024).0,
            payloads: Mutex::default(),
            mute: AtomicBool::new(false),
            replica: AtomicBool::new(false),
        });
        let (port, mut serving) = (listener.local_addr().unwrap().port(), JoinSet::new());
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, _serving: serving }
    }

    /// What nodes published.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.shared.payloads.lock().unwrap().clone()
    }

    /// Says something that no node has published.
    pub(super) fn say(&self, payload: &[u8]) {
        let _ = self.shared.messages.send(payload.to_vec());
    }

    /// From now on nothing is answered.
    pub(super) fn falls_silent(&self) {
        self.shared.mute.store(true, Ordering::SeqCst);
    }

    /// From now on it is a replica of another one.
    pub(super) fn is_demoted(&self) {
        self.shared.replica.store(true, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let (reader, writer) = stream.into_split();
    let (answers, to_write) = mpsc::channel(1_024);
    let mut tasks = JoinSet::new();
    tasks.spawn(write_all(writer, to_write));
    let mut reader = BufReader::new(reader);
    while let Some(command) = read_command(&mut reader).await {
        if shared.mute.load(Ordering::SeqCst) {
            continue;
        }
        let answer = match &command[0][..] {
            b"HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
            b"ROLE" if shared.replica.load(Ordering::SeqCst) => b"*1\r\n$5\r\nslave\r\n".to_vec(),
            b"ROLE" => b"*1\r\n$6\r\nmaster\r\n".to_vec(),
            b"SUBSCRIBE" => {
                tasks.spawn(pass_on(command[1].clone(), shared.messages.subscribe(), answers.clone()));
                push(&[b"subscribe", &command[1]], b":1\r\n")
            }
            b"PUBLISH" => {
                shared.payloads.lock().unwrap().push(command[2].clone());
                let heard = shared.messages.send(command[2].clone()).unwrap_or(0);
                format!(":{heard}\r\n").into_bytes()
            }
            _ => b"-ERR unknown command\r\n".to_vec(),
        };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

async fn pass_on(channel: Vec<u8>, mut messages: broadcast::Receiver<Vec<u8>>, answers: mpsc::Sender<Vec<u8>>) {
    while let Ok(payload) = messages.recv().await {
        let _ = answers.send(push(&[b"message", &channel, &payload], b"")).await;
    }
}

async fn write_all(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Vec<u8>>) {
    while let Some(answer) = answers.recv().await {
        if writer.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// A push of texts, and what follows them.
fn push(texts: &[&[u8]], rest: &[u8]) -> Vec<u8> {
    let mut bytes = format!(">{}\r\n", texts.len() + usize::from(!rest.is_empty())).into_bytes();
    for text in texts {
        bytes.extend(format!("${}\r\n", text.len()).into_bytes());
        bytes.extend_from_slice(text);
        bytes.extend(b"\r\n");
    }
    bytes.extend_from_slice(rest);
    bytes
}

async fn read_command(reader: &mut BufReader<OwnedReadHalf>) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    for _ in 0..read_number(reader, '*').await? {
        let mut part = vec![0; read_number(reader, '$').await? + 2];
        reader.read_exact(&mut part).await.ok()?;
        part.truncate(part.len() - 2);
        parts.push(part);
    }
    Some(parts)
}

async fn read_number(reader: &mut BufReader<OwnedReadHalf>, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}
