//! `GET /_local/stats`: what the stack counted, for measurements from outside. The real SNS has nothing like it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{Response, header};
use serde_json::{Map, Value, json};

use super::delivery::Deliveries;

type Counts = Box<dyn Fn() -> Value + Send + Sync>;

/// The counts of SNS, and those of other parts that were added.
pub(super) struct Stats {
    deliveries: Arc<Deliveries>,
    others: Mutex<BTreeMap<&'static str, Counts>>,
}

impl Stats {
    pub(super) fn new(deliveries: Arc<Deliveries>) -> Self {
        Self { deliveries, others: Mutex::default() }
    }

    /// Shows another part's counts under this name.
    pub(super) fn add(&self, part: &'static str, counts: Counts) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(part, counts);
    }

    fn read(&self) -> Value {
        let counts = &self.deliveries.counts;
        let sns = json!({
            "messages": counts.messages(),
            "message_bytes": counts.message_bytes(),
            "delivered": counts.delivered(),
            "attempts": counts.attempts(),
            "failed": counts.failed(),
            "dropped": counts.dropped(),
            "repeated": counts.repeated(),
            "refused": counts.refused(),
        });
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let others = others.iter().map(|(part, counts)| ((*part).to_owned(), counts()));
        Value::Object(others.chain([("sns".to_owned(), sns)]).collect::<Map<_, _>>())
    }
}

pub(super) async fn show(State(stats): State<Arc<Stats>>) -> Response<String> {
    let mut response = Response::new(stats.read().to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
