//! The chat page. It is part of the program: a node needs no files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::config::PageLink;

/// Scripts, styles and connections of the page's own origin alone.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the page asks about its node.
#[derive(Debug, Serialize)]
pub(crate) struct PageInfo {
    pub(crate) node: String,
    pub(crate) links: Vec<PageLink>,
}

macro_rules! file {
    ($name:ident, $path:literal, $kind:literal) => {
        pub(crate) async fn $name() -> impl IntoResponse {
            let headers = [
                (header::CONTENT_TYPE, $kind),
                (header::CACHE_CONTROL, "no-cache"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (headers, include_str!(concat!("../../web/", $path)))
        }
    };
}

file!(index, "index.html", "text/html; charset=utf-8");
file!(style, "chat.css", "text/css; charset=utf-8");
file!(chat, "chat.js", "text/javascript; charset=utf-8");
file!(messages, "messages.js", "text/javascript; charset=utf-8");
file!(typing, "typing.js", "text/javascript; charset=utf-8");
file!(client, "roomcast.js", "text/javascript; charset=utf-8");
file!(icon, "icon.svg", "image/svg+xml");

pub(crate) async fn info(State(info): State<Arc<PageInfo>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(json_of(&info)))
}

fn json_of(info: &PageInfo) -> serde_json::Value {
    serde_json::json!({ "node": info.node, "links": info.links })
}
