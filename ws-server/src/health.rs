//! Whether the node is alive, and whether it is ready.
//!
//! `/healthz` never touches the log: an outage of DynamoDB must not make a load balancer kill the nodes. `/readyz` is for
//! start-up and alarms. A broken chain of stream, publisher and SNS is a warning: the node stays in service, because audits
//! carry everything. So is a log that does not answer: another node would not fare better.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backplane::chain::Chain;
use crate::backplane::subscription::SubscriptionState;
use crate::link::Accelerator;
use crate::message_log::LogStats;

/// What readiness depends on.
pub(crate) struct Readiness {
    /// Per topic: the name, and where its subscription stands. Empty until the subscriptions have been started.
    subscriptions: std::sync::OnceLock<Vec<(String, watch::Receiver<SubscriptionState>)>>,
    chain: Arc<Chain>,
    log: Arc<LogStats>,
    draining: CancellationToken,
    accelerator: Option<Arc<Accelerator>>,
}

/// Redis that is away for less is no news.
const REDIS_AWAY: Duration = Duration::from_secs(5);

impl Readiness {
    pub(crate) fn new(chain: Arc<Chain>, log: Arc<LogStats>, draining: CancellationToken) -> Self {
        Self { subscriptions: std::sync::OnceLock::new(), chain, log, draining, accelerator: None }
    }

    pub(crate) fn with_accelerator(self, accelerator: Option<Arc<Accelerator>>) -> Self {
        Self { accelerator, ..self }
    }

    /// The subscriptions have been started. Only the first call counts.
    pub(crate) fn started(&self, subscriptions: Vec<(String, watch::Receiver<SubscriptionState>)>) {
        let _ = self.subscriptions.set(subscriptions);
    }

    /// Why the node is not ready; empty: it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        if self.draining.is_cancelled() {
            return vec!["the node is stopping".into()];
        }
        let Some(subscriptions) = self.subscriptions.get() else {
            return vec!["the node is starting".into()];
        };
        let unconfirmed = subscriptions.iter().filter(|(_, state)| !is_confirmed(&state.borrow()));
        unconfirmed.map(|(topic, _)| format!("the subscription to {topic} is not confirmed")).collect()
    }

    /// What is wrong although the node serves; empty: nothing.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let topics = self.subscriptions.get().map_or(&[][..], Vec::as_slice);
        let name = |topic: usize| topics.get(topic).map_or("a topic", |(name, _)| name);
        let warning = |(topic, since): (usize, Duration)| {
            let topic = name(topic);
            format!("nothing has come through {topic} for {} s, audits carry everything", since.as_secs())
        };
        let silent = |silence: Duration| format!("the message log has not answered for {} s", silence.as_secs());
        let chain = self.chain.broken().into_iter().map(warning);
        let away = self.accelerator.as_ref().and_then(|accelerator| accelerator.away_for());
        let away = away.filter(|away| *away >= REDIS_AWAY);
        let away = away.map(|away| format!("Redis has been away for {} s, hints go other ways", away.as_secs()));
        self.log.silence.lasts().map(silent).into_iter().chain(chain).chain(away).collect()
    }

    /// Waits until every subscription is confirmed (or its task has ended).
    pub(crate) async fn confirmed(&self) {
        for (_, state) in self.subscriptions.get().into_iter().flatten() {
            let _ = state.clone().wait_for(is_confirmed).await;
        }
    }
}

fn is_confirmed(state: &SubscriptionState) -> bool {
    matches!(state, SubscriptionState::Confirmed { .. })
}

pub(crate) async fn healthz() -> &'static str {
    "alive\n"
}

pub(crate) async fn readyz(State(readiness): State<Arc<Readiness>>) -> impl IntoResponse {
    let reasons = readiness.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ready = reasons.is_empty();
    let body = serde_json::json!({ "ready": ready, "reasons": reasons, "warnings": readiness.warnings() });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}
