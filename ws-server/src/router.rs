use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hyper::body::Incoming;

use crate::backplane::{self, BODY_LIMIT, Endpoint, Relay, count};
use crate::body::BodySpace;
use crate::connection::{self, Connections, Pool, WEBSOCKETS};
use crate::health::{self, Readiness};
use crate::listener::Routes;
use crate::page::{self, PageInfo};
use crate::telemetry::{self, Instruments};

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
/// How long a post of SNS waits for memory; SNS itself gives up after 15 s.
const BODY_SPACE_WITHIN: Duration = Duration::from_secs(5);

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
    relay: Option<Arc<Relay>>,
    /// Memory for SNS's posts.
    bodies: BodySpace,
    connections: Arc<Connections>,
}

impl PublicRoutes {
    /// With `others` on the port, too.
    pub(crate) fn new(to: Routed, others: Router) -> Self {
        let connections = Arc::clone(&to.connections);
        let bodies = BodySpace::new(connections.limits.http.request_bytes);
        let (endpoint, relay) = (Arc::clone(&to.endpoint), to.relay.clone());
        Self { endpoint, relay, bodies, connections, router: router(to).merge(others) }
    }
}

impl Routes for PublicRoutes {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        // Every other body is left unread.
        let _space = if self.pool(path) == Pool::Sns {
            let space = self.bodies.reserve(request.body().size_hint().upper(), BODY_LIMIT, BODY_SPACE_WITHIN).await;
            if space.is_none() {
                count(&self.connections.stats.bodies_refused);
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            space
        } else {
            None
        };
        if !self.endpoint.is_at(path) {
            return self.router.answer(request).await;
        }
        match *request.method() {
            Method::POST => self.endpoint.receive_body(request.into_body()).await.into_response(),
            _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response(),
        }
    }

    fn pool(&self, path: &str) -> Pool {
        let is_sns = || self.endpoint.is_at(path) || self.relay.as_ref().is_some_and(|relay| relay.is_at(path));
        match path {
            HEALTHZ | READYZ => Pool::Health,
            _ if is_sns() => Pool::Sns,
            _ => Pool::General,
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
    Router::new().route(HEALTHZ, get(health::healthz)).route(READYZ, get(health::readyz).with_state(readiness))
}

/// On the port for operations, if there is one.
pub(crate) fn metrics(instruments: Arc<Instruments>) -> Router {
    Router::new().route("/metrics", get(telemetry::metrics).with_state(instruments))
}
