//! What other nodes may ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use protocol::{Decline, Envelope, HandOff, HandOffAnswer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::HandOffSink;
use super::directory::Directory;
use super::gate::{Admitted, Gate};
use super::stats::LinkStats;
use crate::backplane::{BODY_LIMIT, EnvelopeSink, PostSink, count};

pub(crate) const HINTS_PATH: &str = "/link/v1/hints";
pub(crate) const HAND_OFF_PATH: &str = "/link/v1/hand-off";
pub(crate) const SNS_PATH: &str = "/link/v1/sns";

/// Bytes of a request with hints.
pub(crate) const HINTS_LIMIT: usize = 512 * 1024;
/// Bytes of a batch that is handed over: twice a segment, and what a batch has more than that.
pub(crate) const HAND_OFF_LIMIT: usize = 512 * 1024;
/// For a batch's outcomes; whoever handed it over waits less.
const HAND_OFF_WITHIN: Duration = Duration::from_secs(5);

const _: () = assert!(HAND_OFF_LIMIT >= 2 * protocol::MAX_SEGMENT_BYTES, "any batch can be handed over");

/// What a node does for others.
pub(crate) struct LinkDuties {
    pub(crate) gate: Gate,
    pub(crate) directory: Arc<Directory>,
    pub(crate) hints: Arc<dyn EnvelopeSink>,
    pub(crate) hand_offs: Arc<dyn HandOffSink>,
    pub(crate) posts: Arc<dyn PostSink>,
    /// Cancelled when the node drains.
    pub(crate) draining: CancellationToken,
    pub(crate) stats: Arc<LinkStats>,
}

/// Every route of the link's port.
pub(crate) fn routes(duties: LinkDuties) -> Router {
    Router::new()
        .route(HINTS_PATH, post(take_hints))
        .route(HAND_OFF_PATH, post(take_hand_off))
        .route(SNS_PATH, post(take_post))
        .with_state(Arc::new(duties))
}

impl LinkDuties {
    async fn admit(&self, request: Request, limit: usize) -> Result<Admitted, StatusCode> {
        let admitted = self.gate.admit(request, limit).await?;
        if !self.directory.view().knows(&admitted.sender) {
            self.directory.look_soon();
        }
        Ok(admitted)
    }
}

async fn take_hints(State(duties): State<Arc<LinkDuties>>, request: Request) -> Response {
    let admitted = match duties.admit(request, HINTS_LIMIT).await {
        Ok(admitted) => admitted,
        Err(status) => return status.into_response(),
    };
    let envelope = std::str::from_utf8(&admitted.body).ok().and_then(|text| Envelope::parse(text).ok());
    let Some(envelope) = envelope else {
        count(&duties.stats.refused_malformed);
        return duties.gate.answer(&admitted, StatusCode::BAD_REQUEST, "");
    };
    let (segments, signals) = (envelope.segments.len() as u64, envelope.signals.len() as u64);
    if duties.hints.deliver(envelope).is_err() {
        count(&duties.stats.refused_overloaded);
        return duties.gate.answer(&admitted, StatusCode::SERVICE_UNAVAILABLE, "");
    }
    duties.stats.segments_received.fetch_add(segments, Ordering::Relaxed);
    duties.stats.signals_received.fetch_add(signals, Ordering::Relaxed);
    // The rooms have their turn first.
    tokio::task::yield_now().await;
    duties.gate.answer(&admitted, StatusCode::NO_CONTENT, "")
}

async fn take_hand_off(State(duties): State<Arc<LinkDuties>>, request: Request) -> Response {
    let admitted = match duties.admit(request, HAND_OFF_LIMIT).await {
        Ok(admitted) => admitted,
        Err(status) => return status.into_response(),
    };
    let Ok(hand_off) = serde_json::from_slice::<HandOff>(&admitted.body) else {
        count(&duties.stats.refused_malformed);
        return duties.gate.answer(&admitted, StatusCode::BAD_REQUEST, "");
    };
    count(&duties.stats.hand_offs_received);
    let answer = match duties.draining.is_cancelled() {
        true => HandOffAnswer::Declined { reason: Decline::Draining, leader: None },
        false => match timeout(HAND_OFF_WITHIN, duties.hand_offs.take_hand_off(hand_off)).await {
            Ok(answer) => answer,
            Err(_) => return duties.gate.answer(&admitted, StatusCode::GATEWAY_TIMEOUT, ""),
        },
    };
    let answer = serde_json::to_vec(&answer).expect("an answer is names and numbers");
    duties.gate.answer(&admitted, StatusCode::OK, answer)
}

/// The post is for this node, whatever it says: it is never passed on again. SNS's own signature decides.
async fn take_post(State(duties): State<Arc<LinkDuties>>, request: Request) -> Response {
    let admitted = match duties.admit(request, BODY_LIMIT).await {
        Ok(admitted) => admitted,
        Err(status) => return status.into_response(),
    };
    count(&duties.stats.posts_received);
    let status = duties.posts.receive_post(&admitted.body).await;
    duties.gate.answer(&admitted, status, "")
}
