//! Reads of the log that take several requests, or that are asked again.
//!
//! The log answers "no capacity" to some requests while it throttles, and to the same request a moment later something else.
//! So what a client waits for is asked again, after a wait with full jitter, for as long as the client has patience.

use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::StoredSegment;
use tokio::time::{Instant, sleep};

use super::history::HistoryWindow;
use crate::message_log::{LogError, MessageLog};

/// Most pages that one id window is read in.
const MAX_ID_PAGES: usize = 64;
/// How long one request of a comparison, or of a `history`, is asked again. Then the room's machine, or the client, asks again.
pub(super) const SHORT: Duration = Duration::from_secs(1);
/// How long a page for members that read back is asked again: a little less than a join waits.
pub(super) const LONG: Duration = Duration::from_secs(7);
/// The shortest and the longest limit of a wait between two requests, in milliseconds.
const WAIT_MS: (u64, u64) = (25, 500);

/// What a request is asked again for.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    wait_ms: u64,
}

impl Patience {
    pub(super) fn new(time: Duration) -> Self {
        Self { until: Instant::now() + time, wait_ms: WAIT_MS.0 }
    }

    /// Waits before the next request; false: there is none.
    pub(super) async fn wait(&mut self) -> bool {
        let wait = Duration::from_millis(fastrand::u64(0..=self.wait_ms));
        if Instant::now() + wait >= self.until {
            return false;
        }
        sleep(wait).await;
        self.wait_ms = (2 * self.wait_ms).min(WAIT_MS.1);
        true
    }
}

/// Asks again until there is an answer, or for [`SHORT`].
pub(super) async fn again<'a, T>(ask: impl Fn() -> BoxFuture<'a, Result<T, LogError>>) -> Result<T, LogError> {
    let mut patience = Patience::new(SHORT);
    loop {
        let answer = ask().await;
        if answer.is_ok() || !patience.wait().await {
            return answer;
        }
    }
}

/// Segments that hold at least `messages` messages before `before`, in ascending order.
pub(super) async fn read_ids(
    log: &dyn MessageLog,
    room: &RoomName,
    before: Seq,
    messages: u64,
) -> Result<Vec<StoredSegment>, LogError> {
    let mut segments: Vec<StoredSegment> = Vec::new();
    let (mut bound, mut found) = (before, 0);
    for _ in 0..MAX_ID_PAGES {
        let wanted = u32::try_from(messages.saturating_sub(found)).unwrap_or(u32::MAX);
        if wanted == 0 || bound <= Seq::FIRST {
            break;
        }
        let page = log.read_back(room, Some(bound), wanted).await?;
        let Some(oldest) = page.last() else { break };
        bound = oldest.segment.seq;
        found += page.iter().map(|stored| stored.segment.count()).sum::<u64>();
        segments.extend(page);
    }
    segments.reverse();
    Ok(segments)
}

/// Segments of a window, in ascending order: until the window's limits are reached, or its end.
pub(super) async fn read_window(
    log: &dyn MessageLog,
    room: &RoomName,
    window: HistoryWindow,
) -> Result<Vec<StoredSegment>, LogError> {
    let mut segments: Vec<StoredSegment> = Vec::new();
    let (mut low, mut high) = (window.from, window.to);
    let (mut messages, mut bytes) = (0_u64, 0);
    let limit = window.limit as u64;
    while low < high && messages < limit && bytes <= window.bytes {
        let wanted = u32::try_from(limit - messages).unwrap_or(u32::MAX);
        let page = match window.forward {
            true => again(|| log.read(room, low, wanted)).await?,
            false => again(|| log.read_back(room, Some(high), wanted)).await?,
        };
        let Some(farthest) = page.last() else { break };
        match window.forward {
            true => low = farthest.segment.end(),
            false => high = farthest.segment.seq,
        }
        // The first segment may reach out of the window: what is counted too much is read once more.
        let inside =
            |stored: &StoredSegment| stored.segment.end().min(window.to).since(stored.segment.seq.max(window.from));
        messages += page.iter().map(inside).sum::<u64>();
        bytes += page.iter().map(|stored| stored.segment.envelope_len()).sum::<usize>();
        segments.extend(page);
    }
    if !window.forward {
        segments.reverse();
    }
    Ok(segments)
}
