//! How a node ends: in an order in which nothing is lost, and within a time that nobody can prolong.

use std::time::Duration;

use tokio::time::timeout;

use super::Server;
use crate::config::MAX_DRAIN_MS;

/// How long the last connections may take to go after their time to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// For commits that are under way.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
/// For all that follows the connections, whether AWS answers or not.
const REST_WITHIN: Duration = Duration::from_secs(15);
/// What Fargate gives a task between SIGTERM and SIGKILL, at most
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>, stopTimeout).
const FARGATE_GIVES: Duration = Duration::from_secs(120);
const _: () = assert!(
    MAX_DRAIN_MS / 1_000 + LEAVE_WITHIN.as_secs() + REST_WITHIN.as_secs() < FARGATE_GIVES.as_secs(),
    "a node ends before it is killed"
);

impl Server {
    /// Stops the node: it is no longer ready, takes no batches of other nodes, asks its sessions to go elsewhere, each at a
    /// random time of the drain window, brings commits to an end, unsubscribes, and gives up its lease. Takes the drain
    /// window and 20 s at most.
    pub async fn stop(self) {
        let open = self.connections.open();
        tracing::info!(node = %self.node, sessions = open, "draining");
        self.connections.drain();
        let drain = Duration::from_millis(self.connections.limits.drain_ms) + LEAVE_WITHIN;
        if timeout(drain, self.connections.sessions.wait()).await.is_err() {
            tracing::warn!(sessions = self.connections.open(), "sessions were cut off");
        }
        let node = self.node.clone();
        match timeout(REST_WITHIN, self.finish()).await {
            Ok(()) => tracing::info!(%node, "stopped"),
            Err(_) => tracing::warn!(%node, "stopped before everything was done; other nodes remove what it leaves"),
        }
    }

    /// The lease goes last: while there may be a subscription there is a row that says whose it is.
    async fn finish(self) {
        self.unsubscribe.cancel();
        let flush = async {
            if timeout(FLUSH_WITHIN, self.rooms.flush()).await.is_err() {
                tracing::warn!("commits were cut off: their publishers will send again");
            }
        };
        let leave = async {
            for task in self.subscriptions {
                task.stopped().await;
            }
        };
        tokio::join!(flush, leave);
        self.lease.release().await;
        if let Some(link) = self.link {
            link.stop().await;
        }
        self.serving.stop().await;
    }
}
