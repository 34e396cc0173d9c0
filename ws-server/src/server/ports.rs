//! The node's own ports: the public one, and the one for operations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::backplane::count;
use crate::config::NetworkConfig;
use crate::connection::Connections;
use crate::listener::{self, Bounds};
use crate::router::{self, Routed};

/// Between a connection's beginning and its first request: who opens connections and asks for nothing is closed.
const FIRST_HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests: longer than a load balancer keeps one (60 s unless configured), or
/// it would send requests into connections that are being closed.
const NEXT_HEAD_WITHIN: Duration = Duration::from_secs(130);
/// Connections of the port for operations.
const OPERATIONS: usize = 256;

/// The ports, bound and not yet served.
pub(super) struct Ports {
    public: Bound,
    operations: Option<Bound>,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// The ports while they are served.
pub(super) struct Serving {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Binds what the configuration names.
    pub(super) async fn bind(config: &NetworkConfig) -> Result<Self, StartError> {
        let public = Bound::to(config.listen).await?;
        let operations = match config.ops_listen {
            Some(listen) => Some(Bound::to(listen).await?),
            None => None,
        };
        Ok(Self { public, operations })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// Begins to serve. Metrics are shown where operations are, and to nobody else if that is a port of its own.
    pub(super) fn serve(self, to: Routed, connections: &Arc<Connections>) -> Serving {
        let stop = CancellationToken::new();
        let metrics = router::metrics(Arc::clone(&to.instruments));
        let health = router::health(Arc::clone(&to.readiness));
        let (public, operations) = match self.operations {
            Some(bound) => (router::router(to), Some((bound, health.merge(metrics)))),
            None => (router::router(to).merge(metrics), None),
        };
        let most = connections.limits.http_connections;
        let mut tasks = vec![self.public.serve(public, most, connections, &stop)];
        if let Some((bound, routes)) = operations {
            tracing::info!(address = %bound.address, "serving operations");
            tasks.push(bound.serve(routes, OPERATIONS, connections, &stop));
        }
        Serving { stop, tasks }
    }
}

impl Bound {
    async fn to(listen: SocketAddr) -> Result<Self, StartError> {
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;
        Ok(Self { listener, address })
    }

    fn serve(
        self,
        routes: Router,
        most: usize,
        connections: &Arc<Connections>,
        stop: &CancellationToken,
    ) -> JoinHandle<()> {
        let bounds = Bounds { connections: most, first_head: FIRST_HEAD_WITHIN, next_head: NEXT_HEAD_WITHIN };
        let counted = Arc::clone(connections);
        let refused = move || count(&counted.stats.refused);
        tokio::spawn(listener::serve(self.listener, routes, bounds, refused, stop.clone()))
    }
}

impl Serving {
    /// Closes what is not a session, and takes nothing new.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "serving ended badly");
            }
        }
    }
}
