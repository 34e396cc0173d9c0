//! A node inside its maker's process, without AWS, other nodes and pages: for the fuzzer of sessions. No program starts one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use protocol::NodeId;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::connection::{Connections, Mailboxes, Pool};
use crate::link::NoPeers;
use crate::listener::{Bounds, serve_callers};
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;
use crate::rooms::Rooms;

/// What every node has to be told.
const NEEDED: [&str; 5] =
    ["node", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
/// Connections without a session, and how long they may take with their request.
const CONNECTIONS: usize = 1_000;
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Loops, so that sessions of one room are on several.
const LOOPS: usize = 2;

/// A node that listens on loopback and keeps its messages in memory. It runs as long as its runtime does.
#[derive(Debug)]
pub struct InProcessNode {
    address: SocketAddr,
    connections: Arc<Connections>,
    log: Arc<MemoryLog>,
}

impl InProcessNode {
    /// Starts one with further flags, on the runtime that it is called in.
    ///
    /// # Errors
    /// A flag is wrong, or the system gives no port, threads or files.
    pub fn start(flags: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let limits = Config::try_parse_from(NEEDED.iter().chain(flags))?.limits.limits()?;
        let (log, id, mailboxes) = (Arc::new(MemoryLog::default()), NodeId::from_random(1), Mailboxes::new(LOOPS));
        let port: Arc<dyn MessageLog> = log.clone();
        let rooms = Rooms::start(&id, &port, Arc::new(NoPeers), &limits, &mailboxes);
        let connections = Connections::new(id, rooms, limits, &mailboxes)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let within = FIRST_HEAD;
        let bounds = Bounds { connections: CONNECTIONS, first_head: within, next_head: within, write_within: within };
        let pool_of = Arc::new(|_: &str| Pool::General);
        let callers = connections.listen(listener, bounds.connections, bounds.first_head, pool_of);
        tokio::spawn(serve_callers(callers, Router::new(), bounds, CancellationToken::new()));
        Ok(Self { address, connections, log })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.connections.open()
    }

    /// Forgets all messages, so that it can run for hours. Rooms that have members notice.
    pub fn forget(&self) {
        self.log.forget();
    }
}
