//! Lets in what other nodes of the deployment ask, and nobody else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use protocol::NodeId;
use tokio::sync::Semaphore;

use super::client::millis;
use super::keys::ClusterKeys;
use super::replay::{Novelty, ReplayGuard, TIME_WINDOW};
use super::signature::{self, Claims, Signature, digest_of, sign_answer};
use super::stats::LinkStats;
use crate::backplane::{WallClock, WarnGate, count};
use crate::body::{BodyFault, read_body};

/// A body comes within this time: nodes are near each other, and nobody waits longer for most answers.
const BODY_WITHIN: Duration = Duration::from_secs(3);
/// KiB of bodies that may be on their way at a time.
const BODY_SPACE: u32 = 64 * 1024;

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a missing or wrong signature")]
    Forged,
    #[error("a time more than 30 s from this node's clock")]
    Stale,
    #[error("a number that came before")]
    Replayed,
    #[error("another node is meant")]
    Foreign,
    #[error("too large")]
    TooLarge,
    #[error("its body did not come in time")]
    Slow,
    #[error("its body broke off")]
    Broken,
    #[error("no room for it")]
    Overloaded,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Forged | Self::Stale | Self::Replayed | Self::Foreign => StatusCode::FORBIDDEN,
            Self::TooLarge => BodyFault::TooLarge.status(),
            Self::Slow => BodyFault::Slow.status(),
            Self::Broken => BodyFault::Broken.status(),
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn count(self, stats: &LinkStats) {
        count(match self {
            Self::Forged => &stats.refused_forged,
            Self::Stale => &stats.refused_stale,
            Self::Replayed => &stats.refused_replayed,
            Self::Foreign => &stats.refused_foreign,
            Self::TooLarge => &stats.refused_too_large,
            Self::Slow | Self::Broken => &stats.refused_slow,
            Self::Overloaded => &stats.refused_overloaded,
        });
    }
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::TooLarge,
            BodyFault::Slow => Self::Slow,
            BodyFault::Broken => Self::Broken,
        }
    }
}

/// A request that a node of this deployment sent to this one, now and for the first time.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) sender: NodeId,
    pub(crate) body: Bytes,
    signature: Signature,
}

/// The gate.
pub(crate) struct Gate {
    node: NodeId,
    keys: ClusterKeys,
    clock: WallClock,
    replays: Mutex<ReplayGuard>,
    space: Semaphore,
    body_within: Duration,
    stats: Arc<LinkStats>,
    warnings: WarnGate,
}

impl Gate {
    pub(crate) fn new(node: NodeId, keys: ClusterKeys, clock: WallClock, stats: Arc<LinkStats>) -> Self {
        let space = Semaphore::new(BODY_SPACE as usize);
        let warnings = WarnGate::new(Duration::from_secs(10));
        Self { node, keys, clock, replays: Mutex::default(), space, body_within: BODY_WITHIN, stats, warnings }
    }

    #[cfg(test)]
    pub(crate) fn patient(self, body_within: Duration) -> Self {
        Self { body_within, ..self }
    }

    /// Reads and judges a request whose body may have up to `limit` bytes. A refusal is counted, and its answer is not
    /// signed: who is refused may be anybody.
    pub(crate) async fn admit(&self, request: Request, limit: usize) -> Result<Admitted, StatusCode> {
        self.judge(request, limit).await.map_err(|refusal| {
            refusal.count(&self.stats);
            if let Some(others) = self.warnings.open(Instant::now()) {
                tracing::warn!(reason = %refusal, others, "a request of another node was refused");
            }
            refusal.status()
        })
    }

    /// Everything but the body is judged by the headers alone: who has no key gets none of the space for bodies.
    async fn judge(&self, request: Request, limit: usize) -> Result<Admitted, Refusal> {
        let (head, body) = request.into_parts();
        let (claims, signature) = Claims::read(&head.headers).ok_or(Refusal::Forged)?;
        if claims.receiver != self.node {
            return Err(Refusal::Foreign);
        }
        if claims.time_ms.abs_diff(millis((self.clock)())) > TIME_WINDOW.as_millis() as u64 {
            return Err(Refusal::Stale);
        }
        if !claims.verify(&self.keys, head.uri.path(), &signature) {
            return Err(Refusal::Forged);
        }
        let _space = self.space(&body, limit)?;
        let body = read_body(body, limit, self.body_within).await?;
        if digest_of(&body) != claims.body {
            return Err(Refusal::Forged);
        }
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        match replays.note(Instant::now(), &claims.sender, claims.number) {
            Novelty::New => Ok(Admitted { sender: claims.sender, body, signature }),
            Novelty::Seen => Err(Refusal::Replayed),
            Novelty::Crowded => Err(Refusal::Overloaded),
        }
    }

    fn space(&self, body: &Body, limit: usize) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let hint = hyper::body::Body::size_hint(body);
        let most = hint.upper().and_then(|upper| usize::try_from(upper).ok()).unwrap_or(limit).min(limit);
        let kib = u32::try_from(most.div_ceil(1024)).unwrap_or(BODY_SPACE);
        self.space.try_acquire_many(kib).map_err(|_| Refusal::Overloaded)
    }

    /// A signed answer.
    pub(crate) fn answer(&self, to: &Admitted, status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
        let body: Bytes = body.into();
        let signature = sign_answer(&self.keys, &to.signature, status.as_u16(), &body);
        let answer = Response::builder().status(status).header(signature::header::SIGNATURE, signature);
        let answer = if body.is_empty() { answer } else { answer.header(header::CONTENT_TYPE, "application/json") };
        answer.body(Body::from(body)).expect("status and headers are good")
    }
}
