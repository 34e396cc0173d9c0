use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::backplane::{self, Endpoint};
use crate::connection::{self, Connections};
use crate::health::{self, Readiness};
use crate::page::{self, PageInfo};

/// Every route.
pub(crate) fn router(
    connections: Arc<Connections>,
    endpoint: Arc<Endpoint>,
    readiness: Arc<Readiness>,
    info: Arc<PageInfo>,
) -> Router {
    Router::new()
        .route("/ws", get(connection::upgrade).with_state(connections))
        .route("/sns/{secret}", post(backplane::receive_post).with_state(endpoint))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz).with_state(readiness))
        .route("/", get(page::index))
        .route("/chat.css", get(page::style))
        .route("/chat.js", get(page::chat))
        .route("/messages.js", get(page::messages))
        .route("/typing.js", get(page::typing))
        .route("/roomcast.js", get(page::client))
        .route("/icon.svg", get(page::icon))
        .route("/page.json", get(page::info).with_state(info))
}
