//! A Redis or Valkey as a program of its own, and somebody at its channels who is no node.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::{PATIENCE, eventually, parts, ports};

/// The make target that installs it.
const TARGET: &str = "test-redis";
/// How long it may take to answer.
const START: Duration = Duration::from_secs(30);
/// Attempts to find a port that nobody takes in the meantime.
const ATTEMPTS: usize = 10;

/// A running Redis, on 127.0.0.1 alone. Dropping it kills it.
pub struct Redis {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts one that asks nobody who they are.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(redis) = Self::launch(ports::free(1), |port, _| format!("port {port}\n")).await {
                return redis;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Starts one at a port that is known to be free.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_at(port: u16) -> Self {
        Self::launch(port, |port, _| format!("port {port}\n")).await.expect("the port was free")
    }

    /// Starts one that is configured by these lines, given its port and a folder for files.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(lines: impl Fn(u16, &Path) -> String) -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(redis) = Self::launch(ports::free(1), &lines).await {
                return redis;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// `None`: somebody else took the port first.
    async fn launch(port: u16, lines: impl Fn(u16, &Path) -> String) -> Option<Self> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("redis.conf");
        let fixed = format!("bind 127.0.0.1\nsave \"\"\nappendonly no\ndir {}\n", folder.path().display());
        std::fs::write(&path, fixed + &lines(port, folder.path())).expect("there is room for a file");
        let program = parts::part("redis/redis-server", TARGET);
        let mut process = Process::start_at(&program, &[path.to_string_lossy().into_owned()], &[]);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if !process.is_running() {
                let said = process.finished(START).await.stdout;
                assert!(said.contains("in use"), "Redis ended:\n{said}");
                return None;
            }
            assert!(start.elapsed() < START, "Redis does not answer within {START:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { process, port, folder })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it with SIGKILL and waits until its port is free.
    ///
    /// # Panics
    /// When it had ended before, or somebody else listens there.
    pub async fn kill(self) {
        let port = self.port;
        self.process.kill();
        eventually("the port is free", || async move { TcpStream::connect(("127.0.0.1", port)).await.is_err() }).await;
    }

    /// Publishes as anybody can who reaches it.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn publish(&self, channel: &str, payload: &[u8]) {
        let mut stranger = Stranger::connect(self.port).await;
        stranger.say(&[b"PUBLISH", channel.as_bytes(), payload]).await;
        assert!(stranger.line().await.starts_with(':'), "it takes what anybody publishes");
    }

    /// Records the next payload at a channel, while `meanwhile` makes nodes say something.
    ///
    /// # Panics
    /// When nothing is said within [`PATIENCE`].
    pub async fn record(&self, channel: &str, meanwhile: impl Future<Output = ()>) -> Vec<u8> {
        let mut stranger = Stranger::connect(self.port).await;
        stranger.say(&[b"SUBSCRIBE", channel.as_bytes()]).await;
        assert_eq!(stranger.texts(2).await[0], b"subscribe");
        assert!(stranger.line().await.starts_with(':'));
        let heard = tokio::time::timeout(PATIENCE, stranger.texts(3));
        let (mut texts, ()) = tokio::join!(async { heard.await.expect("something is said") }, meanwhile);
        texts.pop().expect("a message has three parts")
    }
}

/// Somebody who speaks Redis's protocol, version 2.
struct Stranger {
    stream: BufReader<TcpStream>,
}

impl Stranger {
    async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        Self { stream: BufReader::new(stream) }
    }

    async fn say(&mut self, parts: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend(format!("${}\r\n", part.len()).into_bytes());
            bytes.extend_from_slice(part);
            bytes.extend(b"\r\n");
        }
        self.stream.write_all(&bytes).await.expect("it reads");
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("it answers");
        line.trim_end().to_owned()
    }

    /// The first texts of an array.
    async fn texts(&mut self, count: usize) -> Vec<Vec<u8>> {
        assert_eq!(self.line().await, "*3");
        let mut texts = Vec::new();
        for _ in 0..count {
            let length = self.line().await.strip_prefix('$').and_then(|length| length.parse::<usize>().ok());
            let mut text = vec![0; length.expect("a text has a length") + 2];
            self.stream.read_exact(&mut text).await.expect("the text comes whole");
            text.truncate(text.len() - 2);
            texts.push(text);
        }
        texts
    }
}
