//! What comes from Redis: judged, and handed to the rooms as other nodes' hints are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::Envelope;
use redis::{PushInfo, PushKind, Value};

use super::super::client::millis;
use super::super::replay::{Novelty, ReplayGuard, TIME_WINDOW};
use super::super::routes::HINTS_LIMIT;
use super::super::stats::LinkStats;
use super::Accelerator;
use super::payload::Unverified;
use crate::backplane::{EnvelopeSink, WarnGate, count};

/// Bytes of a payload: an envelope, and what is said of it.
const LIMIT: usize = HINTS_LIMIT + 1024;

/// The hearing end. It holds nothing back: the rooms' own queues are bounded, and what finds no place there is dropped.
pub(super) struct Hearing {
    accelerator: Arc<Accelerator>,
    sink: Arc<dyn EnvelopeSink>,
    replays: Mutex<ReplayGuard>,
    warnings: WarnGate,
}

/// Why a payload was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("a missing or wrong signature")]
    Forged,
    #[error("a time more than 30 s from this node's clock")]
    Stale,
    #[error("a number that came before")]
    Replayed,
    #[error("no envelope of a known form")]
    Malformed,
    #[error("too large")]
    TooLarge,
    #[error("no room for it")]
    Overloaded,
}

impl Refusal {
    fn counter(self, stats: &LinkStats) -> &AtomicU64 {
        match self {
            Self::Forged => &stats.redis_forged,
            Self::Stale => &stats.redis_stale,
            Self::Replayed => &stats.redis_replayed,
            Self::Malformed => &stats.redis_malformed,
            Self::TooLarge => &stats.redis_too_large,
            Self::Overloaded => &stats.redis_overloaded,
        }
    }
}

impl Hearing {
    pub(super) fn new(accelerator: Arc<Accelerator>, sink: Arc<dyn EnvelopeSink>) -> Self {
        Self { accelerator, sink, replays: Mutex::default(), warnings: WarnGate::new(Duration::from_secs(10)) }
    }

    /// Takes what the connection pushes; never blocks.
    pub(super) fn handle_push(&self, push: &PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        if let Some(Value::BulkString(bytes)) = push.data.last() {
            self.handle_payload(bytes);
        }
    }

    pub(super) fn handle_payload(&self, bytes: &[u8]) {
        let Err(refusal) = self.take(bytes) else { return };
        count(refusal.counter(&self.accelerator.settings.stats));
        // Too much at a time is no news to anybody, and it is counted.
        if refusal != Refusal::Overloaded
            && let Some(others) = self.warnings.open(Instant::now())
        {
            tracing::warn!(%refusal, bytes = bytes.len(), others, "what came through Redis was refused");
        }
    }

    fn take(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let settings = &self.accelerator.settings;
        if bytes.len() > LIMIT {
            return Err(Refusal::TooLarge);
        }
        let unverified = Unverified::read(bytes).ok_or(Refusal::Forged)?;
        // Redis sends a node its own words too; whoever uses its name without being it is not heard either.
        if unverified.payload.sender == settings.node {
            return Ok(());
        }
        let payload = unverified.verify(&settings.keys).ok_or(Refusal::Forged)?;
        if payload.channel != settings.channel {
            return Err(Refusal::Forged);
        }
        let window = u64::try_from(TIME_WINDOW.as_millis()).unwrap_or(u64::MAX);
        if payload.time_ms.abs_diff(millis((settings.clock)())) > window {
            return Err(Refusal::Stale);
        }
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        let novelty = replays.note(Instant::now(), &payload.sender, payload.number);
        drop(replays);
        match novelty {
            Novelty::New => {}
            Novelty::Seen => return Err(Refusal::Replayed),
            Novelty::Crowded => return Err(Refusal::Overloaded),
        }
        if !settings.directory.view().knows(&payload.sender) {
            settings.directory.look_soon();
        }
        let envelope = Envelope::parse(payload.envelope).map_err(|_| Refusal::Malformed)?;
        let (segments, signals) = (envelope.segments.len() as u64, envelope.signals.len() as u64);
        self.sink.deliver(envelope).map_err(|_| Refusal::Overloaded)?;
        settings.stats.redis_segments_received.fetch_add(segments, Ordering::Relaxed);
        settings.stats.redis_signals_received.fetch_add(signals, Ordering::Relaxed);
        Ok(())
    }
}
