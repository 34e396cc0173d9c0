//! `POST /_local/nodes` on SNS's address: `{"kill": 1}`, `{"stop": 1}` (as SIGTERM) and `{"start": 1}`, nodes counted
//! from 1. 204 once the signal is sent or the process started; 400 with a reason.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;

use super::{NodeSignal, Nodes};

/// The way to the nodes from outside. It is there before the nodes are. Clones are the same.
#[derive(Clone, Default)]
pub struct NodeControl(Arc<OnceLock<Nodes>>);

/// Exactly one of these.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Kill(u16),
    Stop(u16),
    Start(u16),
}

impl NodeControl {
    /// From now on it leads to these nodes.
    pub fn leads_to(&self, nodes: Nodes) {
        // Only the first counts, and there is no second.
        let _ = self.0.set(nodes);
    }

    /// The route.
    pub fn routes(&self) -> Router {
        Router::new().route("/_local/nodes", post(handle)).with_state(self.clone())
    }

    async fn carry_out(&self, body: &[u8]) -> Result<(), String> {
        let order = parse(body)?;
        let nodes = self.0.get().ok_or("the stack is still starting")?;
        match order {
            Order::Kill(number) => nodes.signal(number, NodeSignal::Kill),
            Order::Stop(number) => nodes.signal(number, NodeSignal::Stop),
            Order::Start(number) => nodes.start(number).await,
        }
    }
}

fn parse(body: &[u8]) -> Result<Order, String> {
    let forms = r#"expected {"kill": N}, {"stop": N} or {"start": N}"#;
    serde_json::from_slice(body).map_err(|error| format!("{forms}: {error}"))
}

async fn handle(State(control): State<NodeControl>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    let done = control.carry_out(&body).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|reason| (StatusCode::BAD_REQUEST, reason + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_an_object_with_exactly_one_known_key_and_a_number() {
        assert_eq!(parse(br#" {"kill":1}"#), Ok(Order::Kill(1)));
        assert_eq!(parse(br#"{"stop": 2}"#), Ok(Order::Stop(2)));
        assert_eq!(parse(br#"{"start":65535}"#), Ok(Order::Start(65_535)));
        for bad in [
            r"",
            r"{}",
            r"kill=1",
            r#""kill""#,
            r#"["kill",1]"#,
            r#"{"kill":1,"stop":1}"#,
            r#"{"kill":1,"kill":1}"#,
            r#"{"kill":"1"}"#,
            r#"{"kill":-1}"#,
            r#"{"kill":1.5}"#,
            r#"{"kill":65536}"#,
            r#"{"kill":[1]}"#,
            r#"{"pause":1}"#,
            r#"{"kill":1} {}"#,
        ] {
            let reason = parse(bad.as_bytes()).expect_err(bad);
            assert!(reason.starts_with("expected {\"kill\": N}") && !reason.contains('\n'), "{reason}");
        }
    }
}
