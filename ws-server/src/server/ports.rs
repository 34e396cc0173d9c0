//! The node's own ports: the public one, and the one for operations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::backplane::count;
use crate::config::NetworkConfig;
use crate::connection::Connections;
use crate::listener::{self, Bounds, Routes as _};
use crate::router::{self, PublicRoutes, Routed};

/// The flag of the public port's address.
const LISTEN: &str = "--listen";
/// Between a connection's beginning and its first request: who opens connections and asks for nothing is closed.
const FIRST_HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests: longer than a load balancer keeps one (60 s unless configured), or
/// it would send requests into connections that are being closed.
const NEXT_HEAD_WITHIN: Duration = Duration::from_secs(130);
/// Connections that wait to be accepted, as far as the kernel's own limit allows (`net.core.somaxconn`, 4,096 as Linux
/// comes): a crowd comes at once.
const BACKLOG: u32 = 4_096;
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
    connections: Arc<Connections>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Binds what the configuration names.
    pub(super) fn bind(config: &NetworkConfig) -> Result<Self, StartError> {
        let public = Bound::to(LISTEN, config.listen)?;
        let operations = match config.ops_listen {
            Some(listen) => Some(Bound::to("--ops-listen", listen)?),
            None => None,
        };
        Ok(Self { public, operations })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// Begins to serve. Metrics are shown where operations are, and to nobody else if that is a port of its own.
    ///
    /// # Errors
    /// The public port cannot be given to the loops.
    pub(super) fn serve(self, to: Routed, connections: &Arc<Connections>) -> Result<Serving, StartError> {
        let stop = CancellationToken::new();
        let metrics = router::metrics(Arc::clone(&to.instruments));
        let health = router::health(Arc::clone(&to.readiness));
        let (public, operations) = match self.operations {
            Some(bound) => (PublicRoutes::new(to, Router::new()), Some((bound, health.merge(metrics)))),
            None => (PublicRoutes::new(to, metrics), None),
        };
        let Bound { listener, address } = self.public;
        let refused = |source| StartError::Listen { flag: LISTEN, address, source };
        let listener = listener.into_std().map_err(refused)?;
        let (most, write_ms) = (connections.limits.http_connections, connections.limits.http.write_ms);
        let bounds = |connections| Bounds {
            connections,
            first_head: FIRST_HEAD_WITHIN,
            next_head: NEXT_HEAD_WITHIN,
            write_within: Duration::from_millis(write_ms),
        };
        let routes = public.clone();
        let pool_of = Arc::new(move |path: &str| routes.pool(path));
        let callers = connections.listen(listener, most, FIRST_HEAD_WITHIN, pool_of);
        let mut tasks = vec![tokio::spawn(listener::serve_callers(callers, public, bounds(most), stop.clone()))];
        if let Some((bound, routes)) = operations {
            tracing::info!(address = %bound.address, "serving operations");
            let counted = Arc::clone(connections);
            let refused = move || count(&counted.stats.places.refused);
            let bounds = bounds(OPERATIONS);
            tasks.push(tokio::spawn(listener::serve(bound.listener, routes, bounds, refused, stop.clone())));
        }
        Ok(Serving { connections: Arc::clone(connections), stop, tasks })
    }
}

impl Bound {
    /// `flag` chooses the address.
    fn to(flag: &'static str, listen: SocketAddr) -> Result<Self, StartError> {
        let bind = || {
            let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A node that starts again finds its port still waiting for the last packets of the one before.
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|source| StartError::Listen { flag, address: listen, source })
    }
}

impl Serving {
    /// Closes what is not a session, and takes nothing new.
    pub(super) async fn stop(self) {
        self.connections.close_port().await;
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "serving ended badly");
            }
        }
    }
}
