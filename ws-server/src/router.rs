use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hyper::body::Incoming;

use crate::backplane::{self, Endpoint, Relay};
use crate::connection::{self, Connections, WEBSOCKETS};
use crate::health::{self, Readiness};
use crate::listener::Routes;
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

/// What answers on the public port. SNS's posts go to the endpoint at once: the router would take as long for one that
/// comes alone as its signature does, and the members of a room wait for it.
#[derive(Clone)]
pub(crate) struct PublicRoutes {
    router: Router,
    endpoint: Arc<Endpoint>,
}

impl PublicRoutes {
    /// With `others` on the port, too.
    pub(crate) fn new(to: Routed, others: Router) -> Self {
        Self { endpoint: Arc::clone(&to.endpoint), router: router(to).merge(others) }
    }
}

impl Routes for PublicRoutes {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if !self.endpoint.is_at(request.uri().path()) {
            return self.router.answer(request).await;
        }
        match *request.method() {
            Method::POST => self.endpoint.receive_body(request.into_body()).await.into_response(),
            _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response(),
        }
    }
}

/// Every route of the public port, but the endpoint and [`metrics`], which may be elsewhere; `link::routes` has those of the
/// port for other nodes.
fn router(to: Routed) -> Router {
    let routes = health(to.readiness)
        .route(WEBSOCKETS, get(connection::upgrade).with_state(to.connections))
        .merge(page::routes(to.info));
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
