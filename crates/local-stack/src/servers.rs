//! The server nodes: processes with the flags and variables that they get in production, told where the local parts are.

mod by_hand;
mod control;
mod nodes;
mod own_flags;
mod process;
mod report;
mod settings;
mod stderr_lines;

use std::net::SocketAddr;

use tokio::sync::watch;

pub use by_hand::instructions;
pub use control::NodeControl;
pub use nodes::{NodeFailure, Nodes};
pub use own_flags::{OwnFlag, check_flags};
pub use process::ProcessLauncher;
pub use report::Report;
pub use settings::{NodeSettings, random_cluster_key};

/// The table of messages.
pub const MESSAGES_TABLE: &str = "roomcast-messages";
/// The table of nodes.
pub const NODES_TABLE: &str = "roomcast-nodes";

/// What a node is to be. The same order starts it again at its old ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOrder {
    /// Counted from 1.
    pub number: u16,
    /// Its flags.
    pub flags: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Where it listens for other nodes.
    pub link: SocketAddr,
}

/// Starts nodes: the seam between this library and the server, so that tests can put something else there.
pub trait NodeLauncher: Send + Sync {
    /// Starts one node, and does not wait for it: its state tells how far it is.
    ///
    /// # Errors
    /// There is no such program, or the system has no room for it.
    fn launch(&self, order: &NodeOrder) -> Result<Box<dyn RunningNode>, String>;
}

/// A node that was started.
pub trait RunningNode: Send + Sync {
    /// How far it is.
    fn state(&self) -> watch::Receiver<NodeState>;
    /// Sends it a signal, if it has not ended.
    fn signal(&self, signal: NodeSignal);
}

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// It has been started.
    Starting,
    /// It listens, under this id.
    Serving(String),
    /// It listens under this id, and SNS delivers to it.
    Ready(String),
    /// It has ended: its exit status, and why if it said so. The last state.
    Ended(String),
}

/// How a node is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSignal {
    /// As SIGTERM: it drains.
    Stop,
    /// As SIGKILL: at once.
    Kill,
}

impl NodeState {
    /// The node's id, while it listens.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Serving(id) | Self::Ready(id) => Some(id),
            Self::Starting | Self::Ended(_) => None,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
