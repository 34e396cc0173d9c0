//! What happened when: a sample every half a second, and a line for people every second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::crowd::Crowd;
use crate::server_process::usage;
use crate::stats::{Totals, Window};

/// Between two samples.
const EVERY: Duration = Duration::from_millis(500);

/// One moment of a run.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    at_unix_ms: u64,
    since: Duration,
    /// Open connections of each target.
    connected: Vec<usize>,
    totals: Totals,
    window: Window,
    /// Resident bytes of each server.
    pub(crate) rss: Vec<u64>,
}

/// Takes samples until it is asked for them.
pub(crate) async fn watch(crowd: Arc<Crowd>, pids: Vec<u32>, mut done: oneshot::Receiver<()>) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cpu = Progress::new(&pids);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut done => return samples,
        }
        samples.push(Sample::take(&crowd, &pids));
        if let [.., before, last] = samples.as_slice()
            && samples.len() % 2 == 1
        {
            let earlier = samples.len().checked_sub(3).map_or(before, |index| &samples[index]);
            cpu.tell(&crowd, earlier, last);
        }
    }
}

impl Sample {
    fn take(crowd: &Crowd, pids: &[u32]) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (totals, window) = crowd.stats.sample();
        Self {
            at_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            since: crowd.now(),
            connected: crowd.connected.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            totals,
            window,
            rss: pids.iter().map(|pid| usage(*pid).map_or(0, |usage| usage.rss)).collect(),
        }
    }

    /// Times in milliseconds.
    pub(crate) fn json(&self) -> Value {
        json!({
            "at_unix_ms": self.at_unix_ms,
            "seconds": (self.since.as_secs_f64() * 1e3).round() / 1e3,
            "connected": self.connected,
            "delivered": self.totals.delivered,
            "connects": self.totals.connects,
            "caught_up": self.totals.caught_up,
            "connect": shares(&self.window.connect),
            "join": shares(&self.window.join),
            "replay": shares(&self.window.replay),
            "rss": self.rss,
        })
    }
}

/// Count, and milliseconds at the usual shares; `null` when there are none.
fn shares(times: &[Duration]) -> Value {
    let mut times: Vec<f64> = times.iter().map(|time| (time.as_secs_f64() * 1e6).round() / 1e3).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    match times.len() {
        0 => Value::Null,
        count => json!({ "count": count, "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) }),
    }
}

/// The line for people.
struct Progress {
    pids: Vec<u32>,
    cpu: Duration,
    at: Instant,
}

impl Progress {
    fn new(pids: &[u32]) -> Self {
        Self { pids: pids.to_vec(), cpu: cpu_of(pids), at: Instant::now() }
    }

    fn tell(&mut self, crowd: &Crowd, before: &Sample, now: &Sample) {
        let time = (now.since - before.since).as_secs_f64();
        let rate = |count: fn(&Totals) -> u64| (count(&now.totals) - count(&before.totals)) as f64 / time;
        let (cpu, elapsed) = (cpu_of(&self.pids), self.at.elapsed());
        let share = cpu.saturating_sub(self.cpu).as_secs_f64() / elapsed.as_secs_f64() * 100.0;
        (self.cpu, self.at) = (cpu, Instant::now());
        let servers = if self.pids.is_empty() {
            String::new()
        } else {
            format!(", servers {share:.0} % {} MiB", now.rss.iter().sum::<u64>() >> 20)
        };
        eprintln!(
            "{:4.0} s: {} of {} connected, {:.0} deliveries/s, {:.0} connects/s, {:.0} returns/s{servers}",
            now.since.as_secs_f64(),
            crowd.open(),
            crowd.seats.len(),
            rate(|totals| totals.delivered),
            rate(|totals| totals.connects),
            rate(|totals| totals.caught_up),
        );
    }
}

fn cpu_of(pids: &[u32]) -> Duration {
    pids.iter().filter_map(|pid| usage(*pid)).map(|usage| usage.cpu).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_by_its_shares() {
        assert_eq!(shares(&[]), Value::Null);
        let times: Vec<Duration> = (0..=100).rev().map(Duration::from_millis).collect();
        let expected = json!({ "count": 101, "p50_ms": 50.0, "p99_ms": 99.0, "max_ms": 100.0 });
        assert_eq!(shares(&times), expected);
    }
}
