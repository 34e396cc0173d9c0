//! Server programs beside a stack of AWS parts, with something that can be cut before each one's link.

use std::time::Duration;

use serde_json::json;
use tests::wire::Condition;
use tests::{Node, Stack, StackOptions, Wire, eventually_within, ports};

/// How long anything may take that is bound to happen, under load and on a machine that has other things to do.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A stack without nodes of its own, and nodes.
pub(crate) struct Cluster {
    pub(crate) stack: Stack,
    pub(crate) nodes: Vec<Node>,
    wires: Vec<Wire>,
}

impl Cluster {
    /// Starts so many nodes with these flags. Commits take 4 ms, as those of DynamoDB do.
    pub(crate) async fn start(nodes: usize, flags: &[&str]) -> Self {
        Self::with_commits_of(4, nodes, flags).await
    }

    /// Starts nodes whose commits take so many milliseconds.
    pub(crate) async fn with_commits_of(commit_ms: u64, nodes: usize, flags: &[&str]) -> Self {
        let mut cluster = Self { stack: stack(commit_ms).await, nodes: Vec::new(), wires: Vec::new() };
        for _ in 0..nodes {
            let link = ports::free(1);
            let wire = Wire::to(link).await;
            let (listen, address) = (format!("127.0.0.1:{link}"), format!("127.0.0.1:{}", wire.port()));
            let flags = [flags, &["--link-listen", &listen, "--link-address", &address]].concat();
            cluster.nodes.push(Node::start(&cluster.stack, &flags).await);
            cluster.wires.push(wire);
        }
        // Nodes find each other some seconds after they have started.
        for node in &cluster.nodes {
            eventually_within(BOUND, "nodes know each other", || async { node.gauge("nodes").await == nodes as u64 })
                .await;
        }
        cluster
    }

    /// Starts nodes that never talk to each other.
    pub(crate) async fn stand_alone(nodes: usize) -> Self {
        let mut cluster = Self { stack: stack(4).await, nodes: Vec::new(), wires: Vec::new() };
        for _ in 0..nodes {
            cluster.nodes.push(Node::start_without_key(&cluster.stack, &["--stand-alone"]).await);
        }
        cluster
    }

    /// The links of all nodes are so from now on.
    pub(crate) fn links_are(&self, condition: Condition) {
        self.wires.iter().for_each(|wire| wire.is(condition));
    }

    /// For each node, the URLs of clients that are at home there: it stands first.
    pub(crate) fn homes(&self) -> Vec<Vec<String>> {
        let urls: Vec<String> = self.nodes.iter().map(Node::ws).collect();
        let home = |first| {
            let mut urls = urls.clone();
            urls.rotate_left(first);
            urls
        };
        (0..urls.len()).map(home).collect()
    }

    /// A counter of all nodes together.
    pub(crate) async fn sum(&self, counter: &str) -> u64 {
        let mut sum = 0;
        for node in &self.nodes {
            sum += node.counter(counter).await;
        }
        sum
    }

    /// What the stack counted of one of its parts under this name.
    pub(crate) async fn counted(&self, part: &str, name: &str) -> u64 {
        let counts = self.stack.counted(part).await;
        counts[name].as_u64().unwrap_or_else(|| panic!("no {name} in {counts}"))
    }

    /// Stops everything.
    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
        self.stack.stop().await;
    }

    /// Changes an item of the messages table: an update expression in which `:value` is a number.
    pub(crate) async fn update(&self, room: &str, seq: u64, expression: &str, value: u64) {
        let request = json!({
            "TableName": self.stack.announced("messages_table"),
            "Key": { "room": { "S": room }, "seq": { "N": seq.to_string() } },
            "UpdateExpression": expression,
            "ExpressionAttributeValues": { ":value": { "N": value.to_string() } },
        });
        self.stack.dynamodb("UpdateItem", &request).await;
    }
}

async fn stack(commit_ms: u64) -> Stack {
    Stack::start(StackOptions { commit_delay_ms: commit_ms, seed: Some(7), ..StackOptions::nodes(0) }).await
}
