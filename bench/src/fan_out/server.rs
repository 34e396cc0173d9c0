//! The servers that are compared, each on its own core.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use load_generator::herd::{Dialect, Feed, FeedPace, Hearsay, Herd, Published, Script};
use load_generator::server_process::{Usage, usage};

use ::tests::process::{Process, program};
use ::tests::sns_feed::SnsFeed;
use ::tests::{Node, Stack, ports};

/// How long a peer may take to listen.
const START: Duration = Duration::from_secs(10);
/// Bytes of a message's body.
const BODY: usize = 128;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// This repository's node, fed as by SNS.
    Roomcast,
    /// The same of another commit: what a change costs or gains.
    Before,
    /// The least that a server without a queue can do.
    RawWrite,
    /// The same, with what one turn reads in one write.
    RawCoalesce,
    /// Node's `ws`.
    Ws,
    /// Socket.IO on Node.
    SocketIo,
    /// Socket.IO in Rust.
    Socketioxide,
}

impl Kind {
    /// This commit's node and another one's, in the order in which they take turns.
    pub const PAIR: [Self; 2] = [Self::Roomcast, Self::Before];

    /// All that are compared on the page, in the order in which they take turns.
    pub const ALL: [Self; 6] =
        [Self::Roomcast, Self::RawWrite, Self::RawCoalesce, Self::Ws, Self::SocketIo, Self::Socketioxide];

    /// For people and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Roomcast => "roomcast",
            Self::Before => "before",
            Self::RawWrite => "raw-write",
            Self::RawCoalesce => "raw-coalesce",
            Self::Ws => "node ws",
            Self::SocketIo => "socket.io",
            Self::Socketioxide => "socketioxide",
        }
    }

    /// How it is spoken to.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Roomcast | Self::Before => Dialect::Roomcast,
            Self::RawWrite | Self::RawCoalesce | Self::Ws => Dialect::Raw,
            Self::SocketIo | Self::Socketioxide => Dialect::SocketIo,
        }
    }

    /// Whether it keeps the order of one client's messages. What does not is measured all the same, and said so.
    #[must_use]
    pub fn keeps_order(self) -> bool {
        self != Self::Socketioxide
    }

    /// Whether it is this repository's.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Roomcast | Self::Before)
    }

    /// Why it cannot run here; `None`: it can.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let needed = match self {
            ours if ours.is_ours() => return None,
            Self::RawWrite | Self::RawCoalesce => return None,
            Self::Ws => peers().join("node/node_modules/ws"),
            Self::SocketIo => peers().join("node/node_modules/socket.io"),
            _ => socketioxide(),
        };
        (!needed.exists()).then(|| format!("{} was not measured: `make peers` has not built it", self.name()))
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Beside the folder of our own programs: it has a workspace and a lock file of its own.
fn socketioxide() -> PathBuf {
    let own = program("raw-server");
    let target = own.ancestors().nth(2).expect("programs are in a folder of the target folder");
    target.join("peers/release/socketioxide-peer")
}

/// A server that runs. Dropping it kills it.
pub struct Server<'a> {
    kind: Kind,
    stack: &'a Stack,
    running: Running,
}

enum Running {
    Node(Node),
    Peer(Process, u16),
}

impl<'a> Server<'a> {
    /// Starts it on these cores, as `taskset --cpu-list` takes them; `program` is our own node.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub async fn start(kind: Kind, stack: &'a Stack, cores: &str, program: &Path) -> Self {
        let port = ports::free(1);
        let text = |text: &str| text.to_owned();
        let node = |script: &str| vec![peers().join("node").join(script).display().to_string(), port.to_string()];
        let raw = |mode: &str| vec![text(mode), text("--listen"), format!("127.0.0.1:{port}")];
        let process = match kind {
            Kind::Roomcast | Kind::Before => {
                // A machine may allow 20,000 open files: what HTTP does not need is left for the crowd.
                let flags = ["--sessions", "200000", "--http-connections", "512"];
                let node = Node::start_on(cores, program, stack, &flags).await;
                return Self { kind, stack, running: Running::Node(node) };
            }
            Kind::RawWrite => Process::start_on(cores, "raw-server", &raw("write"), &[]),
            Kind::RawCoalesce => Process::start_on(cores, "raw-server", &raw("coalesce"), &[]),
            Kind::Ws => Process::start_at_on(cores, Path::new("node"), &node("ws.js"), &[]),
            Kind::SocketIo => Process::start_at_on(cores, Path::new("node"), &node("socket-io.js"), &[]),
            Kind::Socketioxide => Process::start_at_on(cores, &socketioxide(), &[port.to_string()], &[]),
        };
        let start = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(start.elapsed() < START, "{} does not listen: {}", kind.name(), process.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { kind, stack, running: Running::Peer(process, port) }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients go.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.running {
            Running::Node(node) => node.ws(),
            Running::Peer(_, port) => format!("ws://127.0.0.1:{port}"),
        }
    }

    /// What it has used so far.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let pid = match &self.running {
            Running::Node(node) => node.process().pid(),
            Running::Peer(process, _) => process.pid(),
        };
        usage(pid).expect("the server runs")
    }

    /// What brings messages to it, at this pace for that long; with `whole_path` a client publishes them to a node.
    ///
    /// # Panics
    /// When the node's endpoint is not known to SNS.
    pub async fn feed(
        &self,
        herd: &Herd,
        pace: (FeedPace, usize),
        whole_path: bool,
        time: Duration,
    ) -> (Script, Box<dyn Feed>) {
        let script = Script::new(herd.rooms(), BODY, 1_700_000_000_000);
        let feed: Box<dyn Feed> = match &self.running {
            Running::Node(_) if whole_path => Box::new(Published::new(script.clone())),
            Running::Node(node) => Box::new(SnsFeed::new(self.stack, node, script.clone(), pace, time).await),
            Running::Peer(..) => Box::new(Hearsay::new(script.clone(), self.kind.dialect())),
        };
        (script, feed)
    }

    /// Ends it.
    ///
    /// # Panics
    /// When a node does not end well.
    pub async fn stop(self) {
        match self.running {
            Running::Node(node) => drop(node.stop().await),
            Running::Peer(process, _) => process.kill(),
        }
    }
}
