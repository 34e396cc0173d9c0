//! The chat page and the browser client. They are part of the program: a node needs no files.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::config::PageLink;

/// Scripts, styles and connections of the page's own origin alone.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file of the page: where it is served, its type, and its text.
type File = (&'static str, &'static str, &'static str);

macro_rules! file {
    ($name:literal, $kind:ident) => {
        (concat!("/", $name), $kind, include_str!(concat!("../../web/", $name)))
    };
}

/// What answers at `/`.
const INDEX: File = ("/", HTML, include_str!("../../web/index.html"));

/// Everything that the page loads.
const FILES: [File; 27] = [
    file!("chat.css", STYLE),
    file!("icon.svg", PICTURE),
    file!("chat.js", SCRIPT),
    file!("address.js", SCRIPT),
    file!("browser.js", SCRIPT),
    file!("composer.js", SCRIPT),
    file!("conversation.js", SCRIPT),
    file!("frame.js", SCRIPT),
    file!("kept.js", SCRIPT),
    file!("links.js", SCRIPT),
    file!("messages.js", SCRIPT),
    file!("names.js", SCRIPT),
    file!("nodes.js", SCRIPT),
    file!("rows.js", SCRIPT),
    file!("setup.js", SCRIPT),
    file!("status.js", SCRIPT),
    file!("typing.js", SCRIPT),
    file!("roomcast.js", SCRIPT),
    file!("client/backoff.js", SCRIPT),
    file!("client/identity.js", SCRIPT),
    file!("client/link.js", SCRIPT),
    file!("client/publishes.js", SCRIPT),
    file!("client/publishing.js", SCRIPT),
    file!("client/room.js", SCRIPT),
    file!("client/session.js", SCRIPT),
    file!("client/shell.js", SCRIPT),
    file!("client/work.js", SCRIPT),
];

/// What the page asks about its node.
#[derive(Debug, Serialize)]
pub(crate) struct PageInfo {
    pub(crate) node: String,
    pub(crate) links: Vec<PageLink>,
}

/// The page, what it loads, and what it asks about its node.
pub(crate) fn routes(info: Arc<PageInfo>) -> Router {
    let pages = Router::new().route("/page.json", get(about).with_state(info));
    [INDEX].into_iter().chain(FILES).fold(pages, |routes, (path, kind, text)| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        routes.route(path, get(move || async move { (headers, text) }))
    })
}

async fn about(State(info): State<Arc<PageInfo>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(json_of(&info)))
}

fn json_of(info: &PageInfo) -> serde_json::Value {
    serde_json::json!({ "node": info.node, "links": info.links })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    fn web() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../web")
    }

    fn files_below(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path, found);
            } else {
                found.push(format!("/{}", path.strip_prefix(web()).unwrap().display()));
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served_and_no_other() {
        let mut there = Vec::new();
        files_below(&web(), &mut there);
        there.retain(|path| path != "/index.html" && path != "/package.json");
        there.sort();
        let mut served = FILES.map(|(path, _, _)| path.to_owned());
        served.sort();
        assert_eq!(served.as_slice(), there);
    }

    #[tokio::test]
    async fn files_come_with_their_type_and_the_policy_and_page_json_is_never_kept() {
        let link = PageLink { name: "Node 2".into(), url: "http://127.0.0.1:8081".into() };
        let routes = routes(Arc::new(PageInfo { node: "0a1b".into(), links: vec![link] }));
        let asked = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            (parts.status, parts.headers, String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().into()).unwrap())
        };
        for (path, kind, text) in [INDEX].into_iter().chain(FILES) {
            let (status, headers, body) = asked(path).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, text), "{path}");
            assert_eq!(headers[header::CONTENT_TYPE], kind, "{path}");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY, "{path}");
        }
        let (status, headers, body) = asked("/page.json").await;
        assert_eq!((status, &headers[header::CACHE_CONTROL]), (StatusCode::OK, &"no-store".parse().unwrap()));
        assert_eq!(body, r#"{"links":[{"name":"Node 2","url":"http://127.0.0.1:8081"}],"node":"0a1b"}"#);
        assert_eq!(asked("/package.json").await.0, StatusCode::NOT_FOUND);
    }
}
