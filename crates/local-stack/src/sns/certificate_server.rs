//! Serves the signing certificate over HTTPS, as SNS does: under a name that changes with the certificate.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use axum::serve::Listener;
use rsa::sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes under way at the same time.
const HANDSHAKES: usize = 64;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// The path of a certificate, `/SimpleNotificationService-<hex>.pem`.
pub(super) fn certificate_path(certificate_der: &[u8]) -> String {
    let hex = Sha256::digest(certificate_der)[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("/SimpleNotificationService-{hex}.pem")
}

pub(super) fn router(path: &str, certificate_pem: String) -> Router {
    Router::new().route(
        path,
        get(move || async move { ([(header::CONTENT_TYPE, "application/x-pem-file")], certificate_pem.clone()) }),
    )
}

/// Accepts TLS connections; a client that never finishes its handshake holds nobody up.
pub(super) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(tcp: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { tcp, acceptor, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                (stream, address) = Listener::accept(&mut self.tcp), if self.handshakes.len() < HANDSHAKES => {
                    let handshake = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.ok()?.ok()?;
                        Some((stream, address))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
