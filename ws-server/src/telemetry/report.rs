use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::histogram::Reading;
use super::metrics::Instruments;
use crate::health::Readiness;

/// How often the node sums itself up.
const EVERY: Duration = Duration::from_secs(60);

/// What a node has done since it began, as far as its report speaks of it.
#[derive(Clone, Copy, Default)]
struct Totals {
    commits: Reading,
    conflicts: u64,
    throttled: u64,
    own_segments_late: u64,
}

impl Totals {
    fn of(instruments: &Instruments) -> Self {
        let (log, chain) = (&instruments.log, instruments.chain.stats());
        Self {
            commits: log.commits.read(),
            conflicts: log.conflicts.load(Ordering::Relaxed),
            throttled: log.throttled.load(Ordering::Relaxed),
            own_segments_late: chain.late_own_segments.load(Ordering::Relaxed),
        }
    }
}

/// Logs one line a minute until stopped, for alarms that count in logs: where nobody scrapes `/metrics`, a metric filter on
/// this line does as well.
pub(crate) async fn report(instruments: Arc<Instruments>, readiness: Arc<Readiness>, stop: CancellationToken) {
    let mut minutes = interval(EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once.
    minutes.tick().await;
    let mut before = Totals::of(&instruments);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = minutes.tick() => {}
        }
        instruments.connections.limiter.forget_idle();
        let totals = Totals::of(&instruments);
        log(&instruments, &readiness, &before, &totals);
        before = totals;
    }
}

fn log(instruments: &Instruments, readiness: &Readiness, before: &Totals, now: &Totals) {
    let commits = now.commits.since(&before.commits);
    tracing::info!(
        sessions = instruments.connections.open(),
        not_ready = u64::from(!readiness.reasons().is_empty()),
        chain_broken = instruments.chain.broken().len(),
        commits = commits.count(),
        commit_p50_ms = commits.percentile_ms(50),
        commit_p99_ms = commits.percentile_ms(99),
        conflicts = now.conflicts - before.conflicts,
        throttled = now.throttled - before.throttled,
        own_segments_late = now.own_segments_late - before.own_segments_late,
        "the last minute"
    );
}
