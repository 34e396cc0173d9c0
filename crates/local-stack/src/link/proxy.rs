//! The proxy before one node's link address. It speaks HTTP, because the sender's name stands in a header.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::conditions::{Conditions, Fate};

/// Who sends a request, as its node id.
const SENDER: &str = "x-roomcast-sender";

pub(super) struct Proxy {
    node: u16,
    conditions: Arc<Conditions>,
    listens: Mutex<Option<SocketAddr>>,
    client: Client<HttpConnector, Incoming>,
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("lost by request")]
    Lost,
    #[error("the node is not there")]
    NotThere,
    #[error(transparent)]
    Client(#[from] hyper_util::client::legacy::Error),
}

impl Proxy {
    pub(super) fn new(node: u16, conditions: Arc<Conditions>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { node, conditions, listens: Mutex::new(None), client }
    }

    /// Where the node listens.
    pub(super) fn leads_to(&self, address: SocketAddr) {
        *self.listens.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    async fn handle(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Broken> {
        let sender = request.headers().get(SENDER).and_then(|sender| sender.to_str().ok());
        let fate = self.conditions.fate(sender, self.node);
        if fate == Fate::Hangs {
            // Until the sender gives up and hangs up.
            std::future::pending::<()>().await;
        }
        let late = self.conditions.lateness();
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        if fate == Fate::Lost {
            return Err(Broken::Lost);
        }
        *request.uri_mut() = self.target(request.uri()).ok_or(Broken::NotThere)?;
        let response = self.client.request(request).await?;
        if fate == Fate::AnswerLost { Err(Broken::Lost) } else { Ok(response) }
    }

    /// The same path at the node itself.
    fn target(&self, uri: &Uri) -> Option<Uri> {
        let address = (*self.listens.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Authority::try_from(address.to_string()).ok();
        Uri::from_parts(parts).ok()
    }
}

/// Serves until stopped; connections end with it.
pub(super) async fn serve(listener: TcpListener, proxy: Arc<Proxy>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => drop(connections.spawn(serve_connection(socket, Arc::clone(&proxy)))),
            Err(error) => {
                tracing::warn!(%error, "a link's proxy cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(socket: TcpStream, proxy: Arc<Proxy>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(|request| proxy.handle(request));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, node = proxy.node, "a connection of the link ended");
    }
}
