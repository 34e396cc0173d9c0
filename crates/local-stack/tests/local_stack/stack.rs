//! The stack in this process: nodes of the test's own in the servers' place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_lambda_events::event::dynamodb::Event;
use local_stack::cli::Cli;
use local_stack::faults::Faults;
use local_stack::ports;
use local_stack::servers::{NodeFuture, NodeLauncher, RunningNode};
use local_stack::stack::{Stack, StackError, StackOptions};
use local_stack::stream_pump::{HandlerFuture, StreamHandler};

struct Idle;

impl StreamHandler for Idle {
    fn invoke(&self, _: Event) -> HandlerFuture<'_> {
        Box::pin(async { Ok(Default::default()) })
    }
}

/// Notes what happens to its nodes; the node whose port is `broken` does not start.
#[derive(Clone, Default)]
struct Notebook {
    notes: Arc<Mutex<Vec<String>>>,
    /// The command lines.
    told: Arc<Mutex<Vec<Vec<String>>>>,
    broken: Option<u16>,
}

struct Node {
    address: String,
    notes: Arc<Mutex<Vec<String>>>,
}

impl NodeLauncher for Notebook {
    fn launch(&self, arguments: Vec<String>, aws: SdkConfig) -> NodeFuture<'_, Result<Box<dyn RunningNode>, String>> {
        Box::pin(async move {
            self.told.lock().unwrap().push(arguments.clone());
            let listen = arguments.iter().position(|argument| argument == "--listen").unwrap();
            let address = arguments[listen + 1].clone();
            // As the server will: the port must be free, SNS must be there.
            let listener = tokio::net::TcpListener::bind(&address).await.map_err(|e| e.to_string())?;
            if Some(listener.local_addr().unwrap().port()) == self.broken {
                return Err("told to".to_owned());
            }
            let topic = arguments.iter().position(|argument| argument == "--topic-arn").unwrap();
            let sns = aws_sdk_sns::Client::new(&aws);
            sns.get_topic_attributes().topic_arn(&arguments[topic + 1]).send().await.map_err(|e| e.to_string())?;
            let node = Node { address, notes: Arc::clone(&self.notes) };
            node.notes.lock().unwrap().push(format!("start {}", node.address));
            Ok(Box::new(node) as Box<dyn RunningNode>)
        })
    }
}

impl RunningNode for Node {
    fn id(&self) -> String {
        self.address.clone()
    }

    fn link_address(&self) -> Option<SocketAddr> {
        None
    }

    fn ready(&self) -> NodeFuture<'_, ()> {
        Box::pin(async { self.notes.lock().unwrap().push(format!("ready {}", self.address)) })
    }

    fn stop(self: Box<Self>) -> NodeFuture<'static, ()> {
        Box::pin(async move { self.notes.lock().unwrap().push(format!("stop {}", self.address)) })
    }
}

/// Two ports next to each other that were free a moment ago.
fn two_free_ports() -> u16 {
    loop {
        let first = ports::take(0, "test", "none").unwrap();
        let port = first.local_addr().unwrap().port();
        drop(first);
        if ports::take_for_nodes(port, 2).is_ok() {
            return port;
        }
    }
}

fn options(data: &std::path::Path, port: u16) -> StackOptions {
    let cli: Cli = clap::Parser::parse_from(["roomcast-local", "--memory", "--nodes", "2"]);
    StackOptions { data: data.to_owned(), port, ..cli.options().unwrap() }
}

async fn start(options: StackOptions, launcher: &Notebook) -> Result<Stack, StackError> {
    Stack::start(options, |_, _| Ok(Arc::new(Idle)), launcher).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_started_made_ready_announced_and_stopped() {
    let data = tempfile::tempdir().unwrap();
    let port = two_free_ports();
    let (one, two) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
    let launcher = Notebook::default();
    let stack = start(options(data.path(), port), &launcher).await.unwrap();
    let file = data.path().join("stack.json");
    let announced: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(announced["nodes"], serde_json::json!([format!("http://{one}"), format!("http://{two}")]));
    stack.stop().await;
    assert!(!file.exists());
    let notes = launcher.notes.lock().unwrap();
    let expected = ["start", "ready", "stop"].map(|what| [format!("{what} {one}"), format!("{what} {two}")]);
    assert_eq!(*notes, expected.concat());
}

impl Notebook {
    /// The values that the nodes were told for a flag.
    fn told(&self, flag: &str) -> Vec<String> {
        let all = self.told.lock().unwrap();
        let value = |line: &Vec<String>| line.iter().skip_while(|word| *word != flag).nth(1).cloned();
        all.iter().filter_map(value).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_have_the_key_that_the_stack_announces_and_reach_each_other_directly() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let stack = start(options(data.path(), two_free_ports()), &launcher).await.unwrap();
    let key = stack.announcement().cluster_key.clone();
    assert_eq!(launcher.told("--cluster-key"), [key.clone(), key]);
    assert_eq!(launcher.told("--link-listen"), ["127.0.0.1:0", "127.0.0.1:0"]);
    assert!(launcher.told("--link-address").is_empty());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fault_of_the_link_each_node_is_told_the_address_of_a_proxy_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let faults = Faults::parse(&["link.cut=1-2"]).unwrap();
    let stack = start(StackOptions { faults, ..options(data.path(), two_free_ports()) }, &launcher).await.unwrap();
    let addresses = launcher.told("--link-address");
    assert!(addresses.len() == 2 && addresses[0] != addresses[1], "{addresses:?}");
    for address in addresses {
        tokio::net::TcpStream::connect(&address).await.unwrap();
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_start_stops_the_rest() {
    let data = tempfile::tempdir().unwrap();
    let port = two_free_ports();
    let launcher = Notebook { broken: Some(port + 1), ..Notebook::default() };
    let error = start(options(data.path(), port), &launcher).await.err().unwrap();
    assert_eq!(error.to_string(), "node 2 did not start: told to");
    assert_eq!(launcher.notes.lock().unwrap().last(), Some(&format!("stop 127.0.0.1:{port}")));
    let again = start(options(data.path(), port), &Notebook::default()).await.unwrap();
    again.stop().await;
}
