//! The link's port: plain HTTP/1.1 inside the deployment's network, bounded in connections and time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::linked::HINTED_NODES;
use super::peer::HAND_OFFS;
use super::stats::LinkStats;
use crate::backplane::count;
use crate::listener::{self, Bounds};

/// Connections open at a time.
const CONNECTIONS: usize = 4_096;
const _: () = assert!(
    CONNECTIONS >= 4 * HINTED_NODES * (HAND_OFFS + 1),
    "as many nodes as push to each other, and three times as many more, find a place for all their requests"
);
/// For a request's head, the wait for it included: so this is also how long a connection may be idle. Longer than the
/// asking end keeps one.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Bounds of the port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkBounds(Bounds);

impl Default for LinkBounds {
    fn default() -> Self {
        Self(Bounds {
            connections: CONNECTIONS,
            first_head: HEAD_WITHIN,
            next_head: HEAD_WITHIN,
            write_within: HEAD_WITHIN,
        })
    }
}

#[cfg(test)]
impl LinkBounds {
    pub(crate) fn tight(connections: usize, head_within: Duration) -> Self {
        Self(Bounds::all_within(connections, head_within))
    }
}

/// Serves until told to stop; then every connection is closed.
pub(crate) async fn serve(
    port: TcpListener,
    routes: Router,
    bounds: LinkBounds,
    stats: Arc<LinkStats>,
    stop: CancellationToken,
) {
    listener::serve(port, routes, bounds.0, move || count(&stats.refused_connections), stop).await;
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
