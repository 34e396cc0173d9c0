//! What is between the nodes when the link between them is to misbehave: before each node's own link address a proxy,
//! whose address the other nodes are told instead. It knows who sends to whom, so it can part two nodes and leave the
//! rest as they are. Without such a fault there is nothing between the nodes.

mod conditions;
mod proxy;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faults::LinkFaults;
use conditions::Conditions;
use proxy::Proxy;

/// The proxies of all nodes.
pub struct LinkProxies {
    introductions: Introductions,
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

/// Tells the proxies which nodes there are. Clones tell the same ones.
#[derive(Clone)]
pub struct Introductions {
    conditions: Arc<Conditions>,
    proxies: Vec<Arc<Proxy>>,
}

impl Introductions {
    /// A node, numbered from 1, runs under this id and listens there; `None`: it has no link. The id under which it ran
    /// before is forgotten.
    pub fn introduce(&self, node: u16, id: &str, listens: Option<SocketAddr>) {
        self.conditions.introduce(node, id);
        let proxy = usize::from(node).checked_sub(1).and_then(|index| self.proxies.get(index));
        if let (Some(proxy), Some(listens)) = (proxy, listens) {
            proxy.leads_to(listens);
        }
    }
}

impl LinkProxies {
    /// Starts a proxy on each listener, for the nodes from number 1 on. The listeners must not block.
    ///
    /// # Errors
    /// A listener cannot be used.
    pub fn start(listeners: Vec<TcpListener>, faults: LinkFaults, seed: u64) -> std::io::Result<Self> {
        let conditions = Arc::new(Conditions::new(faults, seed));
        let introductions = Introductions { conditions: Arc::clone(&conditions), proxies: Vec::new() };
        let stop = CancellationToken::new();
        let mut started = Self { introductions, addresses: Vec::new(), stop, servers: Vec::new() };
        for (node, listener) in (1..).zip(listeners) {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            started.addresses.push(listener.local_addr()?);
            let proxy = Arc::new(Proxy::new(node, Arc::clone(&conditions)));
            let serving = proxy::serve(listener, Arc::clone(&proxy), started.stop.clone());
            started.introductions.proxies.push(proxy);
            started.servers.push(tokio::spawn(serving));
        }
        Ok(started)
    }

    /// What other nodes are told to be the nodes' link addresses, in the order of the nodes.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// To be told which nodes there are.
    #[must_use]
    pub fn introductions(&self) -> Introductions {
        self.introductions.clone()
    }

    /// Tells at any time what became of requests so far.
    pub fn counts(&self) -> impl Fn() -> serde_json::Value + Send + Sync + 'static {
        let conditions = Arc::clone(&self.introductions.conditions);
        move || conditions.counts()
    }

    /// `POST /_local/link` with `{"cut":[[1,2],…]}`: from now on nothing gets through between these pairs of nodes, and
    /// everything between all others.
    pub fn routes(&self) -> Router {
        Router::new().route("/_local/link", post(change)).with_state(Arc::clone(&self.introductions.conditions))
    }

    /// Ends all connections.
    pub async fn stop(self) {
        self.stop.cancel();
        for server in self.servers {
            // It was not aborted, and a panic has been reported where it happened.
            drop(server.await);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    cut: Vec<(u16, u16)>,
}

async fn change(State(conditions): State<Arc<Conditions>>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    let change: Change =
        serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    conditions.cut(change.cut);
    Ok(StatusCode::NO_CONTENT)
}
