//! How many connections the public port takes, of either kind.

use clap::Args;

use super::parse::{whole, whole_such_as};

/// Bounds of connections. A connection belongs to the second kind until its handshake is done, and to the first then.
#[derive(Debug, Clone, Args)]
pub struct ConnectionsConfig {
    /// WebSocket connections that the node takes, one a session; more are closed with 1013
    #[arg(long, env = "ROOMCAST_CONNECTIONS", default_value_t = 50_000, value_name = "N", value_parser = whole::<u32>(1..))]
    pub connections: u32,
    /// The old name of `--connections`
    #[arg(long, env = "ROOMCAST_SESSIONS", value_name = "N", value_parser = whole_such_as::<u32>(1.., 50_000), hide = true, conflicts_with = "connections")]
    pub sessions: Option<u32>,
    /// All other connections, beside those of `--connections`: requests, handshakes, posts of SNS; more are closed
    #[arg(long, env = "ROOMCAST_HTTP_CONNECTIONS", default_value_t = 8_192, value_name = "N", value_parser = whole::<u32>(16..=1_000_000))]
    pub http_connections: u32,
}

impl ConnectionsConfig {
    /// WebSocket connections that the node takes, by whichever name it was told.
    pub(super) fn websockets(&self) -> u32 {
        self.sessions.unwrap_or(self.connections)
    }
}
