//! The stack in this process: nodes of the test's own in the servers' place.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use http_body_util::Full;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local_stack::cli::Cli;
use local_stack::faults::Faults;
use local_stack::ports;
use local_stack::servers::{NodeLauncher, NodeOrder, NodeSignal, NodeState, RunningNode};
use local_stack::stack::{Stack, StackError, StackOptions};
use local_stack::stream_pump::{HandlerFuture, StreamHandler};
use serde_json::{Value, json};
use tokio::sync::watch;

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
    told: Arc<Mutex<Vec<NodeOrder>>>,
    nodes: Arc<Mutex<Vec<Node>>>,
    broken: Option<u16>,
}

/// A node that drains only when the test says so, if it is `slow`.
#[derive(Clone)]
struct Node {
    address: String,
    notes: Arc<Mutex<Vec<String>>>,
    state: Arc<watch::Sender<NodeState>>,
    slow: Arc<Mutex<bool>>,
    /// Its port, as the server has it.
    listener: Arc<Mutex<Option<TcpListener>>>,
}

impl NodeLauncher for Notebook {
    fn launch(&self, order: &NodeOrder) -> Result<Box<dyn RunningNode>, String> {
        self.told.lock().unwrap().push(order.clone());
        let address = value(&order.flags, "--listen").unwrap();
        // As the server will: the port must be free.
        let listener = TcpListener::bind(&address).map_err(|error| error.to_string())?;
        let node = Node {
            address: address.clone(),
            notes: Arc::clone(&self.notes),
            state: Arc::new(watch::channel(NodeState::Starting).0),
            slow: Arc::default(),
            listener: Arc::new(Mutex::new(Some(listener))),
        };
        node.note("start");
        let broken = self.broken.is_some_and(|port| address.ends_with(&format!(":{port}")));
        self.nodes.lock().unwrap().push(node.clone());
        let started = node.clone();
        tokio::spawn(async move {
            if broken {
                return started.end("told to");
            }
            let id = format!("id of {address}");
            started.state.send_replace(NodeState::Serving(id.clone()));
            started.state.send_replace(NodeState::Ready(id));
        });
        Ok(Box::new(node))
    }
}

impl RunningNode for Node {
    fn state(&self) -> watch::Receiver<NodeState> {
        self.state.subscribe()
    }

    fn signal(&self, signal: NodeSignal) {
        if self.state.borrow().has_ended() {
            return;
        }
        match signal {
            NodeSignal::Stop => self.note("stop"),
            NodeSignal::Kill => self.note("kill"),
        }
        if signal == NodeSignal::Kill || !*self.slow.lock().unwrap() {
            self.end("signalled");
        }
    }
}

impl Node {
    fn note(&self, what: &str) {
        self.notes.lock().unwrap().push(format!("{what} {}", self.address));
    }

    fn end(&self, how: &str) {
        self.listener.lock().unwrap().take();
        self.state.send_replace(NodeState::Ended(how.to_owned()));
    }
}

/// The value that a command line has for a flag.
fn value(flags: &[String], flag: &str) -> Option<String> {
    flags.iter().skip_while(|word| *word != flag).nth(1).cloned()
}

/// Two ports next to each other that were free a moment ago, and that neither an outgoing connection gets nor a stack's link.
pub(crate) fn two_free_ports() -> u16 {
    free_ports(2)
}

fn free_ports(count: u16) -> u16 {
    loop {
        let port = fastrand::u16(15_000..32_000);
        if ports::take_in_a_row("127.0.0.1".parse().unwrap(), port, count, "test", "none").is_ok() {
            return port;
        }
    }
}

fn options(data: &std::path::Path, port: u16) -> StackOptions {
    let cli: Cli = clap::Parser::parse_from(["roomcast-local", "--memory", "--nodes", "2"]);
    StackOptions { data: data.to_owned(), port, ..cli.options().unwrap() }
}

async fn start(options: StackOptions, launcher: &Notebook) -> Result<Stack, StackError> {
    Stack::start(options, |_, _| Ok(Arc::new(Idle)), Arc::new(launcher.clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_started_made_ready_announced_and_stopped() {
    let data = tempfile::tempdir().unwrap();
    let port = two_free_ports();
    let (one, two) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
    let launcher = Notebook::default();
    let stack = start(options(data.path(), port), &launcher).await.unwrap();
    let file = data.path().join("stack.json");
    let announced: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let links = launcher.told("--link-listen");
    let node =
        |address: &str, link: &str| json!({ "url": format!("http://{address}"), "link": format!("http://{link}") });
    assert_eq!(announced["nodes"], json!([node(&one, &links[0]), node(&two, &links[1])]));
    stack.stop().await;
    assert!(!file.exists());
    let notes = launcher.notes.lock().unwrap();
    let expected = ["start", "stop"].map(|what| [format!("{what} {one}"), format!("{what} {two}")]);
    assert_eq!(*notes, expected.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_for_operations_is_each_node_s_own_and_announced() {
    let data = tempfile::tempdir().unwrap();
    let (launcher, port) = (Notebook::default(), free_ports(4));
    let ops = port + 2;
    let options = StackOptions { ops_port: Some(ops), ..options(data.path(), port) };
    let stack = start(options, &launcher).await.unwrap();
    let told = [format!("127.0.0.1:{ops}"), format!("127.0.0.1:{}", ops + 1)];
    assert_eq!(launcher.told("--ops-listen"), told);
    let announced: Vec<_> = stack.announcement().nodes.iter().filter_map(|node| node.ops.clone()).collect();
    assert_eq!(announced, told.map(|address| format!("http://{address}")));
    stack.stop().await;
}

impl Notebook {
    /// The values that the nodes were told for a flag.
    fn told(&self, flag: &str) -> Vec<String> {
        self.told.lock().unwrap().iter().filter_map(|order| value(&order.flags, flag)).collect()
    }

    /// The node that was started as this one, counted from 0.
    fn node(&self, index: usize) -> Node {
        self.nodes.lock().unwrap()[index].clone()
    }
}

/// Posts to `/_local/nodes`: the status, and the reason.
async fn order(stack: &Stack, content_type: &str, body: &str) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
    let request = Request::post(format!("{}/_local/nodes", stack.sns().url())).header("content-type", content_type);
    let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let reason = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, String::from_utf8(reason.to_vec()).unwrap())
}

const DONE: (u16, String) = (204, String::new());

fn refused(reason: &str) -> (u16, String) {
    (400, format!("{reason}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_killed_stopped_and_started_again_at_their_old_ports() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let stack = start(options(data.path(), two_free_ports()), &launcher).await.unwrap();
    assert_eq!(order(&stack, "application/json", r#"{"kill":1}"#).await, DONE);
    assert_eq!(order(&stack, "text/plain", r#"{"kill":1}"#).await, refused("node 1 is not running"));
    assert_eq!(order(&stack, "text/plain", r#"{"stop":1}"#).await, refused("node 1 is not running"));
    assert_eq!(order(&stack, "application/x-www-form-urlencoded", r#"{"start":1}"#).await, DONE);
    assert_eq!(order(&stack, "", r#"{"start":1}"#).await, refused("node 1 is already running"));
    assert_eq!(order(&stack, "image/png", r#"{"stop":2}"#).await, DONE);
    assert_eq!(order(&stack, "", r#"{"start":2}"#).await, DONE);
    for number in [0, 3, 65_535] {
        let reason = refused(&format!("there is no node {number} among 2"));
        for what in ["kill", "stop", "start"] {
            assert_eq!(order(&stack, "", &format!("{{\"{what}\":{number}}}")).await, reason);
        }
    }
    let (status, reason) = order(&stack, "application/json", r#"{"kill":1,"start":1}"#).await;
    assert!(status == 400 && reason.starts_with("expected {\"kill\": N}"), "{status} {reason}");
    let told = launcher.told.lock().unwrap().clone();
    assert_eq!(told[2..], told[..2], "flags, variables and ports are the same");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_a_node_that_drains_waits_for_its_end() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let stack = start(options(data.path(), two_free_ports()), &launcher).await.unwrap();
    let draining = launcher.node(0);
    *draining.slow.lock().unwrap() = true;
    assert_eq!(order(&stack, "", r#"{"stop":1}"#).await, DONE);
    let end = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        draining.end("drained");
    };
    let (started, ()) = tokio::join!(order(&stack, "", r#"{"start":1}"#), end);
    assert_eq!(started, DONE);

    let stuck = launcher.node(2);
    *stuck.slow.lock().unwrap() = true;
    assert_eq!(order(&stack, "", r#"{"stop":1}"#).await, DONE);
    assert_eq!(order(&stack, "", r#"{"start":1}"#).await, refused("node 1 is still stopping"));
    assert_eq!(order(&stack, "", r#"{"kill":1}"#).await, DONE);
    assert_eq!(order(&stack, "", r#"{"start":1}"#).await, DONE);

    let draining = launcher.node(3);
    *draining.slow.lock().unwrap() = true;
    assert_eq!(order(&stack, "", r#"{"stop":1}"#).await, DONE);
    let before = launcher.notes.lock().unwrap().len();
    let end = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        draining.end("drained");
    };
    tokio::join!(stack.stop(), end);
    assert_eq!(launcher.notes.lock().unwrap()[before..].len(), 1, "only the other node is told to stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_by_itself_leaves_the_stack_and_can_be_started_again() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let stack = start(options(data.path(), two_free_ports()), &launcher).await.unwrap();
    launcher.node(1).end("exit status: 101");
    assert_eq!(order(&stack, "", r#"{"kill":2}"#).await, refused("node 2 is not running"));
    assert_eq!(order(&stack, "", r#"{"start":2}"#).await, DONE);
    stack.stop().await;
    assert!(launcher.notes.lock().unwrap().last().unwrap().starts_with("stop "));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_have_the_key_that_the_stack_announces_and_reach_each_other_directly() {
    let data = tempfile::tempdir().unwrap();
    let launcher = Notebook::default();
    let stack = start(options(data.path(), two_free_ports()), &launcher).await.unwrap();
    let key = stack.announcement().cluster_key.clone();
    for order in &*launcher.told.lock().unwrap() {
        assert!(order.environment.contains(&("ROOMCAST_CLUSTER_KEY", key.clone())));
    }
    let links = launcher.told("--link-listen");
    assert!(links[0] != links[1] && links.iter().all(|link| link.starts_with("127.0.0.1:1")), "{links:?}");
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
