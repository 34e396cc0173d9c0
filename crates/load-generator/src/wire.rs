//! A WebSocket with small buffers: thousands of them fit into one process.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Instant;

use client::close_asks_to_reconnect;
use protocol::CloseCode;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// A connection's own buffers, in bytes.
const READ_BUFFER: usize = 2 * 1024;
const WRITE_BUFFER: usize = 512;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A node, or a load balancer.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As it was given, with the service's path.
    url: String,
    address: SocketAddr,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// TCP failed.
    #[error(transparent)]
    Tcp(#[from] io::Error),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] Box<Error>),
}

/// A URL that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Its form is wrong.
    #[error("--url {0}: only ws://host:port is spoken here")]
    Form(String),
    /// Its host has no address.
    #[error("--url {0}: {1}")]
    Address(String, #[source] io::Error),
}

impl Target {
    /// Looks the host up, once for all connections.
    ///
    /// # Errors
    /// [`TargetError`].
    pub(crate) fn resolve(url: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let rest = url.strip_prefix("ws://").ok_or_else(form)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = if host.rsplit_once(':').is_some() { host.to_owned() } else { format!("{host}:80") };
        let unknown = |error| TargetError::Address(url.to_owned(), error);
        let address = host.to_socket_addrs().map_err(unknown)?.next().ok_or_else(form)?;
        let path = if path.is_empty() { "ws" } else { path };
        Ok(Self { url: format!("ws://{host}/{path}"), address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host with port, and the path with its query.
    pub(crate) fn host_and_path(&self) -> (&str, &str) {
        let rest = &self.url["ws://".len()..];
        rest.split_at(rest.find('/').expect("a target has a path"))
    }

    /// Whether the machine has as many addresses to come from as are asked for.
    pub(crate) fn takes_sources(&self) -> bool {
        matches!(self.address.ip(), IpAddr::V4(ip) if ip.is_loopback())
    }
}

/// The address that a client comes from: one alone has 22,000 ports or more.
pub(crate) fn source(seat: usize, sources: u8) -> Option<Ipv4Addr> {
    (sources > 1).then(|| Ipv4Addr::new(127, 0, 0, 2 + (seat % usize::from(sources)) as u8))
}

/// Connects as a guest. Returns the moment at which TCP stood, too.
///
/// # Errors
/// [`DialError`].
pub(crate) async fn dial(
    target: &Target,
    source: Option<Ipv4Addr>,
    guest: &str,
) -> Result<(Socket, Instant), DialError> {
    let socket = if target.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((source, 0)))?;
    }
    let tcp = socket.connect(target.address).await?;
    let established = Instant::now();
    tcp.set_nodelay(true)?;
    let separator = if target.url.contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}guest={guest}&name=load", target.url);
    let mut request = url.into_client_request().map_err(Box::new)?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("roomcast.v1"));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_frame_size(Some(64 * 1024 * 1024));
    let opened = tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await;
    Ok((opened.map_err(Box::new)?.0, established))
}

impl DialError {
    /// The close code that means the same as an HTTP refusal; `None`: nothing that forbids another attempt.
    pub(crate) fn code(&self) -> Option<u16> {
        let Self::Handshake(error) = self else { return None };
        let Error::Http(response) = &**error else { return None };
        let code = match response.status().as_u16() {
            401 => CloseCode::NotAuthenticated.code(),
            403 => CloseCode::Forbidden.code(),
            _ => return None,
        };
        debug_assert!(!close_asks_to_reconnect(Some(code)));
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_the_services_path_unless_it_has_one() {
        let url = |text| Target::resolve(text).map(|target| target.url);
        assert_eq!(url("ws://127.0.0.1:8080").unwrap(), "ws://127.0.0.1:8080/ws");
        assert_eq!(url("ws://127.0.0.1:8080/").unwrap(), "ws://127.0.0.1:8080/ws");
        assert_eq!(url("ws://127.0.0.1/x?y=1").unwrap(), "ws://127.0.0.1:80/x?y=1");
        let target = Target::resolve("ws://127.0.0.1:1/x?y=1").unwrap();
        assert_eq!(target.host_and_path(), ("127.0.0.1:1", "/x?y=1"));
        assert!(matches!(url("http://127.0.0.1:8080"), Err(TargetError::Form(_))));
    }

    #[test]
    fn clients_come_from_as_many_addresses_as_asked_for() {
        assert_eq!(source(5, 1), None);
        let found: std::collections::BTreeSet<_> = (0..100).filter_map(|seat| source(seat, 8)).collect();
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(Ipv4Addr::is_loopback));
    }
}
