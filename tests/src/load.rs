//! The load generator as a program, and the nodes that it is let loose on, each a process of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::{Node, PATIENCE, Stack, StackOptions};

/// Between two looks at the program.
const LOOK: Duration = Duration::from_millis(50);

/// A running `roomcast-load`. Dropping it kills it.
pub struct Load {
    process: Process,
    json: PathBuf,
    _folder: TempDir,
}

/// The parts of AWS, and nodes beside them.
pub struct Cluster {
    /// DynamoDB, SNS and the stream.
    pub stack: Stack,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Starts the parts of AWS and so many nodes with further flags.
    ///
    /// # Panics
    /// When they do not become ready.
    pub async fn start(nodes: u16, flags: &[&str]) -> Self {
        let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
        let mut started = Vec::new();
        for _ in 0..nodes {
            started.push(Node::start(&stack, flags).await);
        }
        Self { stack, nodes: started }
    }

    /// The flags that lead the load generator here: where the nodes are, and which processes.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let flags = self
            .nodes
            .iter()
            .flat_map(|node| ["--url".to_owned(), node.ws(), "--pid".to_owned(), node.process().pid().to_string()]);
        flags.collect()
    }

    /// Stops everything.
    ///
    /// # Panics
    /// When something does not end well.
    pub async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
        self.stack.stop().await;
    }
}

impl Load {
    /// Starts a profile against a cluster.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(cluster: &Cluster, profile: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let json = folder.path().join("report.json");
        let mut arguments: Vec<String> = profile.iter().map(|&argument| argument.to_owned()).collect();
        arguments.extend(cluster.flags());
        arguments.extend(["--json".to_owned(), json.to_string_lossy().into_owned()]);
        Self { process: Process::start("roomcast-load", &arguments, &[]), json, _folder: folder }
    }

    /// Waits until all its clients are there.
    ///
    /// # Panics
    /// When they are not within three times [`PATIENCE`].
    pub async fn ready(&mut self) {
        let start = Instant::now();
        while !self.process.stderr().lines().any(|line| line.starts_with("ready: ")) {
            assert!(self.process.is_running(), "the load ended: {}", self.process.stderr());
            assert!(start.elapsed() < 3 * PATIENCE, "not all clients came: {}", self.process.stderr());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Tells it to end the load now, and waits for its report.
    ///
    /// # Panics
    /// As [`Load::report`] does.
    pub async fn end(self) -> Value {
        self.process.signal("TERM");
        self.report(3 * PATIENCE).await
    }

    /// Waits for its end, and for a report in which every promise was kept.
    ///
    /// # Panics
    /// When it does not end within `patience`, or a promise was broken.
    pub async fn report(self, patience: Duration) -> Value {
        let finished = self.process.finished(patience).await;
        assert!(finished.status.success(), "{}\n{}{}", finished.status, finished.stderr, finished.stdout);
        let text = std::fs::read(&self.json).expect("a load that ended well has written its report");
        eprintln!("{}", finished.stdout);
        serde_json::from_slice(&text).expect("the report is JSON")
    }
}
