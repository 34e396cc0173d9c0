//! Asks the log, for many rooms at once, whether there is anything at the number that each expects next.

use std::sync::Arc;
use std::time::Duration;

use protocol::{RoomName, Seq};
use room_core::Ticket;
use room_core::log::Probe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::io::{AnswerBody, Return};
use crate::message_log::{LogError, MessageLog};

/// Rooms that wait to be audited; beyond it an audit is put off.
pub(crate) const QUEUE: usize = 10_000;
/// Most rooms in one look-up (`BatchGetItem` takes 100 keys).
const BATCH: usize = 100;
/// How long a batch gathers.
const GATHER: Duration = Duration::from_millis(20);
/// Read units that one absent key costs. A present one may cost more, once: then it is read and delivered.
const UNITS_A_KEY: f64 = 0.5;

#[derive(Debug)]
pub(crate) struct AuditRequest {
    pub(crate) next: Seq,
    pub(crate) ticket: Ticket,
    pub(crate) to: Return,
}

/// Runs until all rooms are gone. `units`: read units a second that audits may take; halved while the log throttles.
pub(crate) async fn run(log: Arc<dyn MessageLog>, units: u32, mut requests: mpsc::Receiver<AuditRequest>) {
    let full = f64::from(units.max(1));
    let mut rate = full;
    let mut free_at = Instant::now();
    while let Some(batch) = gather(&mut requests).await {
        sleep_until(free_at).await;
        free_at = Instant::now() + Duration::from_secs_f64(batch.len() as f64 * UNITS_A_KEY / rate);
        let throttled = audit(log.as_ref(), batch).await;
        rate = if throttled { (rate / 2.0).max(1.0) } else { (rate * 1.1).min(full) };
    }
}

async fn gather(requests: &mut mpsc::Receiver<AuditRequest>) -> Option<Vec<AuditRequest>> {
    let mut batch = vec![requests.recv().await?];
    let end = Instant::now() + GATHER;
    while batch.len() < BATCH {
        match timeout_at(end, requests.recv()).await {
            Ok(Some(request)) => batch.push(request),
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}

async fn audit(log: &dyn MessageLog, batch: Vec<AuditRequest>) -> bool {
    let keys: Vec<(RoomName, Seq)> = batch.iter().map(|request| (request.to.room.clone(), request.next)).collect();
    let result = log.probe(&keys).await;
    let throttled = matches!(result, Err(LogError::Throttled));
    let probes = result.unwrap_or_else(|error| {
        tracing::warn!(%error, rooms = keys.len(), "rooms could not be audited");
        vec![Probe::Unknown; keys.len()]
    });
    for (request, probe) in batch.into_iter().zip(probes) {
        request.to.send_now(AnswerBody::Probed(request.ticket, probe));
    }
    throttled
}
