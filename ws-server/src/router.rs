use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::backplane::{self, Endpoint, Relay};
use crate::connection::{self, Connections, WEBSOCKETS};
use crate::health::{self, Readiness};
use crate::page::{self, PageInfo};
use crate::telemetry::{self, Instruments};

/// What the routes lead to.
pub(crate) struct Routed {
    pub(crate) connections: Arc<Connections>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// `None` without a cluster key: then nobody can have made the relay's paths.
    pub(crate) relay: Option<Arc<Relay>>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) info: Arc<PageInfo>,
}

/// Every route of the public port, but [`metrics`], which may be elsewhere; `link::routes` has those of the port for other
/// nodes.
pub(crate) fn router(to: Routed) -> Router {
    let routes = health(to.readiness)
        .route(WEBSOCKETS, get(connection::upgrade).with_state(to.connections))
        .route("/sns/{secret}", post(backplane::receive_post).with_state(to.endpoint))
        .route("/", get(page::index))
        .route("/chat.css", get(page::style))
        .route("/chat.js", get(page::chat))
        .route("/messages.js", get(page::messages))
        .route("/typing.js", get(page::typing))
        .route("/roomcast.js", get(page::client))
        .route("/icon.svg", get(page::icon))
        .route("/page.json", get(page::info).with_state(to.info));
    match to.relay {
        Some(relay) => routes.route("/sns/{node}/{address}/{mac}", post(backplane::relay_post).with_state(relay)),
        None => routes,
    }
}

/// On every port that others than nodes reach.
pub(crate) fn health(readiness: Arc<Readiness>) -> Router {
    Router::new().route("/healthz", get(health::healthz)).route("/readyz", get(health::readyz).with_state(readiness))
}

/// On the port for operations, if there is one.
pub(crate) fn metrics(instruments: Arc<Instruments>) -> Router {
    Router::new().route("/metrics", get(telemetry::metrics).with_state(instruments))
}
