//! A server that answers as a test tells it, byte for byte if need be, and counts what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Promises this body and closes the connection in the middle of it.
    CutShort(String),
    /// Closes the connection without an answer.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing.
    Hang,
}

impl Reply {
    /// An error as DynamoDB words it.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
        Self::Answer(status, serde_json::json!({ "__type": kind, "message": "as scripted" }).to_string())
    }
}

/// A server on a loopback port, gone when dropped.
#[derive(Debug)]
pub(crate) struct ScriptedServer {
    /// Where it listens, as a URL.
    pub(crate) endpoint: String,
    requests: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl ScriptedServer {
    /// A server that treats the first request as the first reply says, and so on; the last reply serves all the rest.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let script = Script { replies: replies.into(), requests: Arc::clone(&requests) };
        let server = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                tokio::spawn(script.clone().serve(connection));
            }
        });
        Self { endpoint, requests, server }
    }

    /// How many requests have arrived.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Script {
    replies: Arc<[Reply]>,
    requests: Arc<AtomicUsize>,
}

impl Script {
    async fn serve(self, mut connection: TcpStream) {
        while read_request(&mut connection).await.is_some() {
            let index = self.requests.fetch_add(1, Ordering::SeqCst).min(self.replies.len() - 1);
            match &self.replies[index] {
                Reply::Answer(status, body) => {
                    let answer = head(*status, body.len()) + body;
                    connection.write_all(answer.as_bytes()).await.unwrap();
                }
                Reply::CutShort(body) => {
                    let answer = head(200, body.len()) + &body[..body.len() / 2];
                    connection.write_all(answer.as_bytes()).await.unwrap();
                    return;
                }
                Reply::Close => return,
                Reply::Reset => {
                    connection.set_zero_linger().unwrap();
                    return;
                }
                Reply::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    }
}

fn head(status: u16, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Reads one request with its body; `None` at the connection's end.
async fn read_request(connection: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    connection.read_exact(&mut body).await.ok()?;
    Some(())
}
