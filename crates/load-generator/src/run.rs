//! Carries out a plan: everybody comes, the load lasts its time, what is missing is waited for, and all is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::churn::newcomers;
use crate::crowd::{Crowd, PrefixError};
use crate::herd::{Dialect, Herd};
use crate::participant::Participant;
use crate::plan::Plan;
use crate::report::{Report, Server};
use crate::server_process::{Usage, usage};
use crate::timeline;
use crate::wire::{Target, TargetError};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A URL cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Rooms' names cannot begin so.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// There is no such process.
    #[error("--pid {0}: there is no such process")]
    Pid(u32),
    /// Signals cannot be listened for.
    #[error("signals cannot be listened for: {0}")]
    Signals(#[from] std::io::Error),
    /// There is no herd.
    #[error("lean clients cannot start: {0}")]
    Herd(#[source] std::io::Error),
    /// Not everybody came.
    #[error("only {came} of {all} clients were there after {seconds} s")]
    Absent {
        /// Connected, and in their rooms.
        came: usize,
        /// All of them.
        all: usize,
        /// How long they were waited for, from when the last of them set out.
        seconds: u64,
    },
}

/// Carries out a plan.
///
/// # Errors
/// [`RunError`]: there was no run.
pub(crate) async fn run(plan: Plan) -> Result<Report, RunError> {
    let mut targets = Vec::new();
    for url in &plan.urls {
        targets.push(Target::resolve(url)?);
    }
    let crowd = Crowd::new(&plan, targets)?;
    let idle = usages(&plan.pids)?;
    let (done, until) = oneshot::channel();
    let watching = tokio::spawn(timeline::watch(Arc::clone(&crowd), plan.pids.clone(), until));
    let mut clients = JoinSet::new();
    let herd = plan.herd.map(|threads| {
        let how = (Dialect::Roomcast, threads, false);
        Herd::over(Arc::clone(&crowd), plan.clone(), how, plan.publishers())
    });
    // It leaves when the run is over.
    let _herd = herd.transpose().map_err(RunError::Herd)?;
    everybody_comes(&plan, &crowd, &mut clients).await?;

    // For programs that wait for it.
    eprintln!("ready: {} clients", crowd.seats.len());
    let (before, own_before) = (usages(&plan.pids)?, own());
    let start = Instant::now();
    crowd.start.send_replace(Some(start));
    if let Some(rate) = plan.newcomers {
        tokio::spawn(newcomers(Arc::clone(&crowd), rate));
    }
    told_to_end(start + plan.time).await?;
    crowd.end();
    let (after, own_after) = (lenient(&plan.pids), own());
    let time = start.elapsed();
    let settled = timeout(plan.patience, settled(&crowd)).await.is_ok();
    let settling = start.elapsed() - time;

    let _ = done.send(()); // the watch ends for nothing else
    let samples = watching.await.unwrap_or_default();
    let servers = plan.pids.iter().zip(idle).zip(before).zip(after).enumerate();
    let servers = servers.map(|(index, (((pid, idle), before), after))| {
        let peak_rss = samples.iter().map(|sample| sample.rss[index]).max().unwrap_or(after.rss);
        Server { pid: *pid, idle, before, after, peak_rss }
    });
    let servers = servers.collect();
    let own = Server {
        pid: std::process::id(),
        idle: own_before,
        before: own_before,
        after: own_after,
        peak_rss: own_after.rss,
    };
    Ok(Report::new(plan, &crowd, time, settled.then_some(settling), servers, own, samples))
}

async fn everybody_comes(plan: &Plan, crowd: &Arc<Crowd>, clients: &mut JoinSet<()>) -> Result<(), RunError> {
    let start = Instant::now();
    let sessions = if plan.herd.is_some() { plan.publishers() } else { plan.seats() };
    for seat in 0..sessions {
        sleep_until((start + Duration::from_secs_f64(seat as f64 / plan.connect_rate)).into()).await;
        clients.spawn(Participant::new(crowd, seat, plan.place(seat)).run());
    }
    let here = || {
        let joined = crowd.seats.iter().filter(|seat| seat.joined()).count();
        if plan.rooms > 0 { joined.min(crowd.open()) } else { crowd.open() }
    };
    let all_here = async {
        while here() < plan.seats() {
            sleep(LOOK).await;
        }
    };
    let came = timeout(plan.patience, all_here).await;
    came.map_err(|_| RunError::Absent { came: here(), all: plan.seats(), seconds: plan.patience.as_secs() })
}

/// Waits for the load's end, which SIGINT and SIGTERM bring forward.
async fn told_to_end(at: Instant) -> Result<(), RunError> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        () = sleep_until(at.into()) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Waits until every publish has its answer and everybody is in their room and has come to its end.
async fn settled(crowd: &Crowd) {
    loop {
        let ends = crowd.ends();
        if crowd.verifier().settled() && crowd.seated().all(|(room, seat)| seat.is_at(ends[room])) {
            return;
        }
        sleep(LOOK).await;
    }
}

fn usages(pids: &[u32]) -> Result<Vec<Usage>, RunError> {
    pids.iter().map(|pid| usage(*pid).ok_or(RunError::Pid(*pid))).collect()
}

/// A server may have ended meanwhile: that may be what the run was for.
fn lenient(pids: &[u32]) -> Vec<Usage> {
    pids.iter().map(|pid| usage(*pid).unwrap_or_default()).collect()
}

fn own() -> Usage {
    usage(std::process::id()).unwrap_or_default()
}
