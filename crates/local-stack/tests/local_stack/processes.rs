//! The nodes of `roomcast-local`: processes that end with it, and that it outlives.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::program;
use crate::stack::two_free_ports;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running program, in a process group of its own as from a terminal.
struct Running {
    child: Child,
    /// What its first line said behind `ready`.
    urls: Vec<String>,
    announced: Value,
    said: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
    complained: JoinHandle<String>,
}

fn start(data: &Path, arguments: &[&str]) -> Running {
    launch(data, program(data, arguments))
}

fn launch(data: &Path, mut command: Command) -> Running {
    let mut child = command.process_group(0).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = child.stderr.take().unwrap();
    let complained = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    let said = Arc::new(Mutex::new(String::new()));
    let text = Arc::clone(&said);
    let reading = std::thread::spawn(move || {
        for line in stdout.lines() {
            *text.lock().unwrap() += &format!("{}\n", line.unwrap());
        }
    });
    let mut words = ready.split_whitespace().map(str::to_owned);
    if words.next().as_deref() != Some("ready") {
        panic!("it is not ready: {}", complained.join().unwrap());
    }
    let announced = serde_json::from_slice(&fs::read(data.join("stack.json")).unwrap()).unwrap();
    Running { child, urls: words.collect(), announced, said, reading, complained }
}

impl Running {
    fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The process ids of the nodes that run.
    fn nodes(&self) -> Vec<u32> {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut nodes: Vec<u32> = pids.filter(|&pid| is_running_child(pid, Some(self.child.id()))).collect();
        nodes.sort_unstable();
        nodes
    }

    fn signal(&self, signal: &str, to: &str) {
        assert!(Command::new("kill").args([signal, "--", to]).status().unwrap().success());
    }

    /// Its exit status, and what it said on standard output and standard error.
    fn ended(mut self) -> (ExitStatus, String, String) {
        let status = until("it ends", || self.child.try_wait().unwrap());
        self.reading.join().unwrap();
        let said = self.said.lock().unwrap().clone();
        (status, said, self.complained.join().unwrap())
    }

    fn stop(self) -> (ExitStatus, String, String) {
        self.signal("-TERM", &self.id());
        self.ended()
    }
}

/// Whether a process runs; of this parent, if one is named. One that has ended and was not waited for does not run.
fn is_running_child(pid: u32, parent: Option<u32>) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let mut fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let state = fields.next().unwrap();
    let has_parent = fields.next().unwrap().parse::<u32>().unwrap();
    state != "Z" && state != "X" && parent.is_none_or(|parent| parent == has_parent)
}

/// The state of each thread of a process, as `ps` has it.
fn threads(pid: u32) -> impl Iterator<Item = String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned())
    })
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited for this: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The status of a request, if there is an answer.
fn request(method: &str, url: &str, body: &str) -> Option<u16> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = TcpStream::connect(host).ok()?;
    let length = body.len();
    let head =
        format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn is_ready(url: &str) -> bool {
    request("GET", &format!("{url}/readyz"), "") == Some(200)
}

fn with_port(arguments: &[&'static str]) -> Vec<String> {
    let port = two_free_ports().to_string();
    ["--memory", "--nodes", "2", "--port", &port].iter().chain(arguments).map(|&word| word.to_owned()).collect()
}

fn start_two(data: &Path, arguments: &[&'static str]) -> Running {
    let arguments = with_port(arguments);
    start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_stack_that_is_killed_leaves_no_node_behind() {
    let data = tempfile::tempdir().unwrap();
    let running = start_two(data.path(), &[]);
    let nodes = running.nodes();
    assert_eq!(nodes.len(), 2);
    running.signal("-KILL", &running.id());
    assert!(!running.ended().0.success());
    until("the nodes end", || nodes.iter().all(|&pid| !is_running_child(pid, None)).then_some(()));
}

/// A frozen node cannot read that its stack has gone; the system ends it.
#[test]
fn a_stack_that_is_killed_leaves_no_frozen_node_behind() {
    let data = tempfile::tempdir().unwrap();
    let running = start_two(data.path(), &[]);
    let nodes = running.nodes();
    running.signal("-STOP", &nodes[0].to_string());
    until("it is frozen", || threads(nodes[0]).all(|state| state == "T").then_some(()));
    running.signal("-KILL", &running.id());
    running.ended();
    until("the nodes end", || nodes.iter().all(|&pid| !is_running_child(pid, None)).then_some(()));
}

#[test]
fn ctrl_c_in_a_terminal_stops_the_nodes_in_their_order() {
    let data = tempfile::tempdir().unwrap();
    let running = start_two(data.path(), &["--", "--log", "warn,ws_server::server=info"]);
    // A terminal signals the whole process group.
    running.signal("-INT", &format!("-{}", running.id()));
    let (status, _, stderr) = running.ended();
    assert!(status.success(), "{status}");
    for node in ["node 1 | ", "node 2 | "] {
        let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with(node)).collect();
        assert!(lines.iter().any(|line| line.contains(" draining ")), "{stderr}");
        assert!(lines.last().unwrap().contains(" stopped "), "{stderr}");
    }
    assert!(stderr.lines().all(|line| line.starts_with("node ")), "{stderr}");
    assert!(!data.path().join("stack.json").exists());
}

#[test]
fn a_node_that_dies_is_told_in_a_line_and_the_stack_goes_on_and_starts_it_again() {
    let data = tempfile::tempdir().unwrap();
    let running = start_two(data.path(), &[]);
    let urls: Vec<_> =
        running.announced["nodes"].as_array().unwrap().iter().map(|node| node["url"].as_str().unwrap()).collect();
    assert_eq!(running.urls, urls);
    let orders = format!("{}/_local/nodes", running.announced["sns"].as_str().unwrap());
    for node in running.nodes() {
        running.signal("-KILL", &node.to_string());
    }
    until("both are dead", || running.nodes().is_empty().then_some(()));
    until("both run again", || {
        // Refused for as long as the stack has not heard of their end, and once they run.
        for node in 1..=2 {
            let _ = request("POST", &orders, &format!("{{\"start\":{node}}}"));
        }
        urls.iter().all(|url| is_ready(url)).then_some(())
    });
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{status}");
    let mut lines: Vec<_> = stderr.lines().collect();
    lines.sort_unstable();
    let died = |node| format!("roomcast-local: node {node} has ended by itself: signal: 9 (SIGKILL)");
    assert_eq!(lines, [died(1), died(2)]);
}

#[test]
fn a_node_that_cannot_start_is_the_reason_in_one_line() {
    let data = tempfile::tempdir().unwrap();
    let arguments = with_port(&["--", "--connections", "10", "--sessions-per-address", "11"]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (code, text) = crate::program::fails(data.path(), &arguments);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("roomcast-local: node 1 did not start: --sessions-per-address 11 is more"), "{text}");
    assert!(text.trim_end().ends_with("(exit status: 1)"), "{text}");
}

#[test]
fn what_is_printed_without_nodes_starts_a_node_in_a_shell() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("it's a folder");
    let port = two_free_ports().to_string();
    let running = start(&folder, &["--memory", "--nodes", "0", "--port", &port, "--", "--max-body", "1024"]);
    assert_eq!(running.announced["nodes"], serde_json::json!([]));
    let said = until("all is said", || {
        let said = running.said.lock().unwrap().clone();
        said.contains("Ctrl-C").then_some(said)
    });
    let script: String = said.lines().filter_map(|line| Some(format!("{}\n", line.strip_prefix("    ")?))).collect();
    assert!(script.contains("export AWS_ENDPOINT_URL_SNS=") && script.contains(" --max-body 1024\n"), "{script}");
    let mut shell = Command::new("sh");
    // What the shell has of its own does not lead elsewhere.
    shell.env("AWS_PROFILE", "nowhere").env("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9").env("ROOMCAST_LISTEN", "x");
    shell.arg("-c").arg(&script).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut shell = shell.spawn().unwrap();
    until("the node is ready", || is_ready(&format!("http://127.0.0.1:{port}")).then_some(()));
    running.signal("-TERM", &format!("-{}", shell.id()));
    until("the shell ends", || shell.try_wait().unwrap());
    until("the node ends", || request("GET", &format!("http://127.0.0.1:{port}/healthz"), "").is_none().then_some(()));
    assert!(running.stop().0.success());
}

#[test]
fn no_colours_reach_a_pipe() {
    let data = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let arguments = with_port(&["--", "--log-format"]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).chain([format]).collect();
        let mut command = program(data.path(), &arguments);
        command.env("RUST_LOG", "info").env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let running = launch(data.path(), command);
        // What cannot be removed is warned of.
        fs::remove_file(data.path().join("stack.json")).unwrap();
        fs::create_dir(data.path().join("stack.json")).unwrap();
        let (status, _, stderr) = running.stop();
        assert!(status.success() && stderr.contains("WARN"), "{stderr}");
        assert!(!stderr.contains('\x1b'), "{stderr:?}");
        let nodes = stderr.lines().filter(|line| match format {
            "json" => serde_json::from_str::<Value>(line).is_ok_and(|line| line["local_node"].is_u64()),
            _ => line.starts_with("node 1 | ") || line.starts_with("node 2 | "),
        });
        assert!(nodes.filter(|line| line.contains("serving")).count() >= 2, "RUST_LOG is for nodes too: {stderr}");
        fs::remove_dir(data.path().join("stack.json")).unwrap();
    }
}

#[test]
fn nodes_listen_at_the_host_that_is_asked_for_and_strangers_are_warned_of() {
    let data = tempfile::tempdir().unwrap();
    for (host, url, warned) in
        [("::1", "http://[::1]:", false), ("0.0.0.0", "http://127.0.0.1:", true), ("::", "http://[::1]:", true)]
    {
        let port = two_free_ports();
        let running = start(data.path(), &["--memory", "--nodes", "1", "--port", &port.to_string(), "--host", host]);
        // Ready means that SNS has reached it there.
        assert_eq!(running.urls, [format!("{url}{port}")]);
        assert!(is_ready(&running.urls[0]));
        let announced = running.announced["nodes"][0]["url"].as_str().unwrap().to_owned();
        assert_eq!(announced, running.urls[0]);
        if host != "0.0.0.0" {
            TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).unwrap();
        }
        assert!(running.announced["sns"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        let (status, said, stderr) = running.stop();
        assert!(status.success());
        assert_eq!(stderr.lines().count(), usize::from(warned), "{stderr}");
        assert_eq!(stderr.contains("may use the nodes") && stderr.contains(&port.to_string()), warned, "{stderr}");
        assert_eq!(said.contains(&format!("all addresses of this machine ({host})")), warned, "{said}");
    }
}
