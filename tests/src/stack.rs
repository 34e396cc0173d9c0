//! Server nodes and the parts of AWS that they need: the local stack as a program, or, when `ROOMCAST_TEST_STACK` says
//! `ministack`, parts that are not ours with nodes beside them. The same tests run on either.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aws_query::authorization;
use crate::ministack::Ministack;
use crate::process::{Finished, Process};
use crate::{Node, PATIENCE, http, ports};

/// How long a stack may take to start.
const START: Duration = Duration::from_secs(60);
/// Attempts to find ports that nobody takes in the meantime.
const ATTEMPTS: usize = 10;
/// Chooses the parts of AWS.
const CHOICE: &str = "ROOMCAST_TEST_STACK";

/// What a stack is to be.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Server nodes inside the stack; 0 starts the AWS parts only.
    pub nodes: u16,
    /// Where messages are kept; `None`: in a folder that goes with the stack.
    pub data: Option<PathBuf>,
    /// What to break, as `--fault` takes it.
    pub faults: Option<String>,
    /// Makes faults strike in the same order again.
    pub seed: Option<u64>,
    /// Milliseconds between polls of the stream.
    pub stream_poll_ms: u64,
    /// Keep no messages.
    pub memory: bool,
    /// How long a write of DynamoDB takes, in milliseconds; 0: as long as the embedded one does. Above, commits are
    /// counted.
    pub commit_delay_ms: u64,
    /// Flags of the nodes inside the stack.
    pub node_flags: Vec<String>,
}

/// Tests and benches say more in a second than people do.
pub(crate) const WITHOUT_RATES: [&str; 4] = ["--publishes-per-second", "0", "--signals-per-second", "0"];

impl Default for StackOptions {
    /// Two nodes without limits of what a session says in a second, nothing broken, a stream that is polled more often
    /// than Lambda does, so that tests are short.
    fn default() -> Self {
        Self {
            nodes: 2,
            data: None,
            faults: None,
            seed: None,
            stream_poll_ms: 50,
            memory: false,
            commit_delay_ms: 0,
            node_flags: WITHOUT_RATES.map(str::to_owned).to_vec(),
        }
    }
}

impl StackOptions {
    /// So many nodes, all else as usual.
    #[must_use]
    pub fn nodes(nodes: u16) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// Two nodes and these faults.
    #[must_use]
    pub fn faults(faults: &str) -> Self {
        Self { faults: Some(faults.to_owned()), ..Self::default() }
    }

    /// Whether only the local stack can be so.
    fn local_only(&self) -> bool {
        self.faults.is_some() || self.data.is_some() || self.commit_delay_ms > 0
    }

    fn arguments(&self, port: u16, data: &Path) -> Vec<String> {
        let mut arguments = vec![
            "--nodes".to_owned(),
            self.nodes.to_string(),
            "--port".to_owned(),
            port.to_string(),
            "--data".to_owned(),
            data.to_string_lossy().into_owned(),
            "--stream-poll-ms".to_owned(),
            self.stream_poll_ms.to_string(),
            "--commit-delay-ms".to_owned(),
            self.commit_delay_ms.to_string(),
        ];
        if self.memory {
            arguments.push("--memory".to_owned());
        }
        for (flag, value) in [("--fault", self.faults.clone()), ("--seed", self.seed.map(|seed| seed.to_string()))] {
            arguments.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        arguments.push("--".to_owned());
        arguments.extend(self.node_flags.iter().cloned());
        arguments
    }
}

/// A running stack. Dropping it kills it.
pub struct Stack {
    aws: Aws,
    /// Nodes of this stack that are programs of their own.
    beside: Vec<Node>,
    nodes: Vec<String>,
    announced: Value,
    data: PathBuf,
    _own_data: Option<TempDir>,
}

/// Who plays AWS.
enum Aws {
    /// The local stack, its nodes included.
    Local(Process),
    /// Parts that are not ours.
    Ministack(Box<Ministack>),
}

impl Stack {
    /// Starts a stack and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready, or when options ask for what the chosen parts of AWS cannot do.
    pub async fn start(options: StackOptions) -> Self {
        match std::env::var(CHOICE).as_deref() {
            Ok("ministack") => Self::on_ministack(options).await,
            Err(_) | Ok("local") => Self::local(options).await,
            Ok(other) => panic!("{CHOICE} is `local` or `ministack`, not `{other}`"),
        }
    }

    async fn on_ministack(options: StackOptions) -> Self {
        assert!(!options.local_only(), "only the local stack can be {options:?}");
        let (ministack, announced) = Ministack::start().await;
        let own_data = tempfile::tempdir().expect("there is room for a folder");
        let mut stack = Self {
            aws: Aws::Ministack(Box::new(ministack)),
            beside: Vec::new(),
            nodes: Vec::new(),
            announced,
            data: own_data.path().to_owned(),
            _own_data: Some(own_data),
        };
        for _ in 0..options.nodes {
            let node = Node::start(&stack, &[]).await;
            stack.nodes.push(node.url());
            stack.beside.push(node);
        }
        stack
    }

    async fn local(options: StackOptions) -> Self {
        let own_data = options.data.is_none().then(|| tempfile::tempdir().expect("there is room for a folder"));
        let data = own_data.as_ref().map(|folder| folder.path().to_owned()).or_else(|| options.data.clone());
        let data = data.expect("one of the two is there");
        for _ in 0..ATTEMPTS {
            let port = ports::free(options.nodes.max(1));
            let process = Process::start("roomcast-local", &options.arguments(port, &data), &[]);
            if let Some((process, nodes)) = ready(process).await {
                let text = std::fs::read(data.join("stack.json")).expect("a stack that is ready has announced itself");
                let announced = serde_json::from_slice(&text).expect("stack.json is JSON");
                let aws = Aws::Local(process);
                return Self { aws, beside: Vec::new(), nodes, announced, data, _own_data: own_data };
            }
        }
        panic!("no free ports in {ATTEMPTS} attempts");
    }

    /// Its nodes, as `http://host:port`.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Its nodes, as `ws://host:port`.
    #[must_use]
    pub fn ws_urls(&self) -> Vec<String> {
        self.nodes.iter().map(|url| ws(url)).collect()
    }

    /// Node number `index`, counted from 0, as `ws://host:port`.
    #[must_use]
    pub fn ws(&self, index: usize) -> String {
        ws(&self.nodes[index])
    }

    /// A text from `stack.json`: `dynamodb`, `sns`, `region`, `topic_arn`, `trust_root`, `cert_origin`,
    /// `messages_table`, `nodes_table`, `cluster_key`.
    ///
    /// # Panics
    /// When there is no such text.
    #[must_use]
    pub fn announced(&self, key: &str) -> &str {
        self.announced[key].as_str().unwrap_or_else(|| panic!("stack.json has no {key}"))
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Kills, stops or starts one of its own nodes, counted from 1: `what` is the word for it.
    ///
    /// # Panics
    /// When the stack refuses.
    pub async fn order(&self, what: &str, node: u16) {
        let url = format!("{}/_local/nodes", self.announced("sns"));
        let told = http::post(&url, &[], json!({ what: node }).to_string().as_bytes()).await;
        let told = told.expect("a running stack answers");
        assert_eq!(told.status, 204, "{}", told.text());
    }

    /// The process of its parts of AWS. Its nodes are children of that.
    #[must_use]
    pub fn process(&self) -> &Process {
        match &self.aws {
            Aws::Local(process) => process,
            Aws::Ministack(ministack) => ministack.process(),
        }
    }

    /// Whether somebody has deployed the tables, and nodes need not make them.
    #[must_use]
    pub(crate) fn is_deployed(&self) -> bool {
        matches!(self.aws, Aws::Ministack(_))
    }

    /// Calls DynamoDB: `action` is the operation's name.
    ///
    /// # Panics
    /// When the answer is not a success.
    pub async fn dynamodb(&self, action: &str, request: &Value) -> Value {
        let (target, authorization) = (format!("DynamoDB_20120810.{action}"), authorization("dynamodb"));
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
            ("x-amz-date", "20260101T000000Z"),
            ("authorization", authorization.as_str()),
        ];
        let body = request.to_string();
        let response = http::post(self.announced("dynamodb"), &headers, body.as_bytes()).await;
        let response = response.expect("DynamoDB answers");
        assert_eq!(response.status, 200, "{action}: {}", response.text());
        response.json()
    }

    /// What a local stack counted of one of its parts: see `/_local/stats`.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn counted(&self, part: &str) -> Value {
        let stats = http::get(&format!("{}/_local/stats", self.announced("sns"))).await.expect("a running stack tells");
        stats.json()[part].take()
    }

    /// Breaks these things, as `--fault` names them, and mends all others; an empty text mends everything. Faults of the
    /// link are others. For DynamoDB's faults the stack must count commits.
    ///
    /// # Panics
    /// When the stack refuses.
    pub async fn break_now(&self, faults: &str) {
        let url = format!("{}/_local/faults", self.announced("sns"));
        let told = http::post(&url, &[], faults.as_bytes()).await.expect("a running stack answers");
        assert_eq!(told.status, 204, "{}", told.text());
    }

    /// Cuts the link between these pairs of nodes, numbered from 1, and mends all others. Some fault of the link must
    /// have been asked for at the start.
    ///
    /// # Panics
    /// When the stack refuses.
    pub async fn cut_links(&self, pairs: &[(u16, u16)]) {
        let url = format!("{}/_local/link", self.announced("sns"));
        let told = http::post(&url, &[], json!({ "cut": pairs }).to_string().as_bytes()).await;
        assert_eq!(told.expect("a running stack answers").status, 204);
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Panics
    /// When it does not end in time or not well; or when its nodes, which were not to push, have done so.
    pub async fn stop(self) -> Finished {
        for node in self.beside {
            assert_eq!(node.counter("link_segments_received").await, 0, "SNS and the log carry everything");
            for refused in ["sns_forged", "sns_foreign", "sns_stale", "sns_malformed", "sns_unreadable_envelopes"] {
                assert_eq!(node.counter(refused).await, 0, "{refused}: what SNS posts is genuine and readable");
            }
            node.stop().await;
        }
        match self.aws {
            Aws::Local(process) => process.stop().await,
            Aws::Ministack(ministack) => {
                assert!(ministack.posts().accepted > 0, "nothing came through SNS: {:?}", ministack.posts());
                ministack.stop().await
            }
        }
    }

    /// Waits until it has ended, having been asked to before.
    ///
    /// # Panics
    /// When it does not end in time or not well.
    pub async fn stop_requested(self) -> Finished {
        let finished = match self.aws {
            Aws::Local(process) => process.finished(PATIENCE).await,
            Aws::Ministack(ministack) => ministack.finished(PATIENCE).await,
        };
        assert!(finished.status.success(), "the stack ended with {}:\n{}", finished.status, finished.stderr);
        finished
    }

    /// Kills it with SIGKILL.
    pub fn kill(self) {
        self.beside.into_iter().for_each(Node::kill);
        match self.aws {
            Aws::Local(process) => process.kill(),
            Aws::Ministack(ministack) => ministack.kill(),
        }
    }
}

/// The node's WebSocket origin.
pub(crate) fn ws(http: &str) -> String {
    http.replacen("http://", "ws://", 1)
}

/// Waits for the line that says so. `None`: somebody else took a port first.
async fn ready(mut process: Process) -> Option<(Process, Vec<String>)> {
    let start = Instant::now();
    loop {
        if let Some((line, _)) = process.stdout().split_once('\n') {
            let mut words = line.split_whitespace().map(str::to_owned);
            assert_eq!(words.next().as_deref(), Some("ready"), "the first line is the one for scripts");
            return Some((process, words.collect()));
        }
        if !process.is_running() {
            let finished = process.finished(Duration::from_secs(1)).await;
            assert!(finished.stderr.contains("already in use"), "the stack ended:\n{}", finished.stderr);
            return None;
        }
        assert!(start.elapsed() < START, "the stack is not ready within {START:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
