//! A node that may open few files: the test runs itself as a child with a lower limit.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::entrance_tests::{Node, OWN_CALLS, PATIENCE, REQUEST, hears};
use crate::config::Config;
use crate::listener::Bounds;
use crate::open_files;

/// Tells the child where the test listens.
const CONTROL: &str = "ROOMCAST_TEST_CONTROL";
const NAME: &str = "connection::files_tests::with_few_files_those_inside_join_and_others_come_later";
const FILES: usize = 64;
const CLIENTS: usize = 200;

#[tokio::test]
async fn with_few_files_those_inside_join_and_others_come_later() {
    if let Ok(control) = std::env::var(CONTROL) {
        return serve(&control).await;
    }
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _child = Guard::start(&control.local_addr().unwrap().to_string());
    let (stream, _) = timeout(PATIENCE, control.accept()).await.expect("the child starts").unwrap();
    let mut stream = BufReader::new(stream);
    let mut address = String::new();
    stream.read_line(&mut address).await.unwrap();

    let mut inside = Vec::new();
    loop {
        match come(address.trim()).await {
            Outcome::Inside(stream) => inside.push(stream),
            Outcome::Told => break,
            Outcome::Closed => panic!("there is a place for a client that comes alone"),
        }
    }
    assert!(inside.len() >= 8 && inside.len() < FILES, "{} inside", inside.len());
    // A crowd is told, or closed where even that takes more files than there are.
    let crowd = join_all((0..CLIENTS).map(|_| come(address.trim()))).await;
    assert!(crowd.iter().all(|outcome| !matches!(outcome, Outcome::Inside(_))), "the node is full");
    drop(crowd);
    let join = br#"{"type":"join","room":"r","ref":1}"#;
    let frame = [&[0x81, 0x80 | join.len() as u8, 0, 0, 0, 0], &join[..]].concat();
    for stream in &mut inside {
        stream.write_all(&frame).await.unwrap();
        hears(stream, r#""type":"joined""#).await;
    }
    let mut asking = TcpStream::connect(address.trim()).await.unwrap();
    asking.write_all(b"GET /own-calls HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    hears(&mut asking, &format!("{OWN_CALLS} calls")).await;
    drop(inside);
    let returned = async {
        while !matches!(come(address.trim()).await, Outcome::Inside(_)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, returned).await.expect("places that were left are given to others");
}

/// What becomes of a client.
enum Outcome {
    Inside(TcpStream),
    /// Closed with 1013 and a reason.
    Told,
    /// Closed unheard.
    Closed,
}

async fn come(address: &str) -> Outcome {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(REQUEST.as_bytes()).await;
    let mut seen = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("no client is left waiting");
        let text = String::from_utf8_lossy(&seen);
        if text.contains("welcome") {
            return Outcome::Inside(stream);
        }
        if text.contains("as many sessions as it takes") {
            return Outcome::Told;
        }
        if matches!(read, Ok(0) | Err(_)) {
            return Outcome::Closed;
        }
    }
}

/// The child: a node, until the test is over.
async fn serve(control: &str) {
    let needed = ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
    let limits = Config::try_parse_from(needed).unwrap().limits.limits().unwrap();
    let mut control = TcpStream::connect(control).await.unwrap();
    let limits = open_files::fit(limits, 2);
    let bounds = Bounds::all_within(limits.http_connections, PATIENCE);
    let node = Node::start_with(limits, bounds).await;
    control.write_all(format!("{}\n", node.address).as_bytes()).await.unwrap();
    let _ = control.read_u8().await;
}

struct Guard(Child);

impl Guard {
    fn start(control: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self(Self::limited(&program).env(CONTROL, control).spawn().unwrap())
    }

    fn limited(program: &Path) -> Command {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(program).args(["--exact", NAME, "--nocapture"]);
        command
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
