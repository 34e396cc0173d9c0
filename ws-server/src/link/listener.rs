//! The link's port: plain HTTP/1.1 inside the deployment's network, bounded in connections and time.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::linked::HINTED_NODES;
use super::peer::HAND_OFFS;
use super::stats::LinkStats;
use crate::backplane::count;

/// Connections open at a time.
const CONNECTIONS: usize = 4_096;
const _: () = assert!(
    CONNECTIONS >= 4 * HINTED_NODES * (HAND_OFFS + 1),
    "as many nodes as push to each other, and three times as many more, find a place for all their requests"
);
/// For a request's head, the wait for it included: so this is also how long a connection may be idle. Longer than the
/// asking end keeps one.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Bytes that a connection reads ahead, and of a request's head.
const READ_BUFFER: usize = 64 * 1024;
/// After an accept that failed, for want of file descriptors most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Bounds of the port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkBounds {
    connections: usize,
    head_within: Duration,
}

impl Default for LinkBounds {
    fn default() -> Self {
        Self { connections: CONNECTIONS, head_within: HEAD_WITHIN }
    }
}

#[cfg(test)]
impl LinkBounds {
    pub(crate) fn tight(connections: usize, head_within: Duration) -> Self {
        Self { connections, head_within }
    }
}

/// Serves until told to stop; then every connection is closed.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: LinkBounds,
    stats: Arc<LinkStats>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            count(&stats.refused_connections);
            continue;
        };
        let connection = serve_connection(socket, routes.clone(), bounds.head_within);
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(connection).await;
            drop(place);
        });
    }
}

async fn serve_connection(socket: TcpStream, routes: Router, head_within: Duration) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(|request: Request<Incoming>| answer(routes.clone(), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of another node ended");
    }
}

async fn answer(routes: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    routes.oneshot(request.map(Body::new)).await
}

/// The address at which other nodes reach a listener: its own, or this machine's if it listens on all.
///
/// # Errors
/// When the machine has no address on the way to other networks.
pub(crate) async fn reachable_address(listener: SocketAddr) -> io::Result<SocketAddr> {
    if !listener.ip().is_unspecified() {
        return Ok(listener);
    }
    let ip = match outward_address(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(10, 255, 255, 255).into()).await {
        Ok(ip) => ip,
        Err(error) if listener.is_ipv4() => return Err(error),
        Err(_) => {
            outward_address(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into()).await?
        }
    };
    Ok(SocketAddr::new(ip, listener.port()))
}

/// This machine's address on the way to another. Connecting a datagram socket only asks the routing table.
async fn outward_address(from: IpAddr, to: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
    socket.connect(SocketAddr::new(to, 9)).await?;
    let ip = socket.local_addr()?.ip();
    match ip.is_unspecified() {
        false => Ok(ip),
        true => Err(io::Error::other("the machine has no address of its own")),
    }
}
