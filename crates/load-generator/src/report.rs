//! What a run came to: a table for people, JSON for programs.

use std::fmt;
use std::time::Duration;

use client::Report as Verified;
use serde_json::{Map, Value, json};

use crate::crowd::Crowd;
use crate::latencies::Latencies;
use crate::plan::{Pace, Plan};
use crate::server_process::Usage;
use crate::stats::Counts;
use crate::timeline::Sample;

/// Clients whose memory can be told from a server's own.
const MANY: usize = 1_000;

/// What a run came to.
pub(crate) struct Report {
    plan: Plan,
    run: String,
    time: Duration,
    /// How long it took until nothing was missing any more; `None`: something still was when patience ended.
    settling: Option<Duration>,
    /// Messages that clients should have got, each from its first join to the end.
    expected: u64,
    /// Those that they got, in order and once.
    got: u64,
    counts: Counts,
    /// What publishers sent, and what they saw.
    verified: Verified,
    servers: Vec<Server>,
    own: Server,
    samples: Vec<Sample>,
    /// Every promise that was broken, a line each.
    pub(crate) broken: Vec<String>,
}

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    /// Before anybody connected.
    pub(crate) idle: Usage,
    /// When everybody was there.
    pub(crate) before: Usage,
    /// When the load ended.
    pub(crate) after: Usage,
    /// Most resident bytes that were seen.
    pub(crate) peak_rss: u64,
}

impl Report {
    pub(crate) fn new(
        plan: Plan,
        crowd: &Crowd,
        time: Duration,
        settling: Option<Duration>,
        servers: Vec<Server>,
        own: Server,
        samples: Vec<Sample>,
    ) -> Self {
        let ends = crowd.ends();
        let (mut expected, mut got) = (0, 0);
        for (room, seat) in crowd.seated() {
            expected += seat.expected(ends[room]);
            got += seat.got();
        }
        let (counts, verified) = (crowd.stats.sum(), crowd.verifier().report());
        let run = format!("{:012x}", crowd.run);
        let broken = Vec::new();
        let mut report =
            Self { plan, run, time, settling, expected, got, counts, verified, servers, own, samples, broken };
        report.broken = report.judge();
        report
    }

    fn judge(&self) -> Vec<String> {
        let mut broken = self.counts.broken();
        let counted = [
            (self.verified.unanswered, "publishes have no answer"),
            (self.expected.saturating_sub(self.got), "messages did not come"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        broken.extend(counted.map(|(count, what)| format!("{count} {what}")));
        if self.settling.is_none() {
            broken.push("not everybody was back with everything when patience ended".to_owned());
        }
        broken.extend(self.verified.findings.iter().map(ToString::to_string));
        if self.plan.traffic.is_some() && self.got == 0 {
            broken.push("nothing was delivered: nothing was verified".to_owned());
        }
        broken
    }

    /// The share of all messages that should have come, in percent.
    fn delivered(&self) -> f64 {
        if self.expected == 0 { 100.0 } else { self.got as f64 / self.expected as f64 * 100.0 }
    }

    fn times(&self) -> [(&'static str, &'static str, &Latencies); 7] {
        let times = &self.counts.times;
        [
            ("connect", "dialling to greeting", &times.connect),
            ("join", "TCP to joined, first time", &times.join),
            ("rejoin", "TCP to joined, coming back", &times.rejoin),
            ("replay", "coming back to nothing missed", &times.replay),
            ("live", "due to a client's socket", &times.live),
            ("ack", "due to acknowledged", &times.ack),
            ("late", "due to sent (the load itself)", &times.late),
        ]
    }

    /// Everything, times in milliseconds, memory in bytes.
    pub(crate) fn json(&self) -> Value {
        let Counts { closes, errors, .. } = &self.counts;
        let closes: Map<String, Value> = closes.iter().map(|(code, count)| (name(*code), json!(count))).collect();
        let times: Map<String, Value> =
            self.times().iter().map(|(name, _, times)| ((*name).to_owned(), times.json())).collect();
        let seconds = self.time.as_secs_f64();
        json!({
            "profile": self.plan.profile,
            "engine": if self.plan.herd.is_some() { "herd" } else { "sessions" },
            "run": self.run,
            "urls": self.plan.urls,
            "clients": self.plan.clients,
            "publishers": self.plan.publishers(),
            "rooms": self.plan.rooms,
            "seconds": seconds,
            "settled_within_seconds": self.settling.map(|settling| settling.as_secs_f64()),
            "expected": self.expected,
            "got": self.got,
            "delivered_percent": self.delivered(),
            "replayed": self.counts.replayed,
            "skipped": self.counts.gaps,
            "repeated": self.counts.repeated,
            "reordered": self.counts.reordered,
            "resets": self.counts.resets,
            "published": self.verified.published,
            "acknowledged": self.verified.acked,
            "connects": self.counts.connects,
            "caught_up": self.counts.caught_up,
            "cuts": self.counts.cuts,
            "failed_attempts": self.counts.failed_attempts,
            "newcomers_skipped": self.counts.skipped,
            "closes": closes,
            "errors": errors,
            "times": times,
            "servers": self.servers.iter().map(|server| self.server_json(server)).collect::<Vec<_>>(),
            "own": self.server_json(&self.own),
            "timeline": self.samples.iter().map(Sample::json).collect::<Vec<_>>(),
            "broken": self.broken,
        })
    }

    fn server_json(&self, server: &Server) -> Value {
        json!({
            "pid": server.pid,
            "cpu_percent": server.cpu_percent(self.time),
            "rss_idle": server.idle.rss,
            "rss_connected": server.before.rss,
            "rss_end": server.after.rss,
            "rss_peak": server.peak_rss,
        })
    }
}

impl Server {
    /// Of one core, while the load lasted.
    fn cpu_percent(&self, time: Duration) -> f64 {
        let used = self.after.cpu.saturating_sub(self.before.cpu);
        (used.as_secs_f64() / time.as_secs_f64() * 1e4).round() / 100.0
    }
}

fn name(code: Option<u16>) -> String {
    code.map_or_else(|| "none".to_owned(), |code| code.to_string())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_setting(f)?;
        self.fmt_delivery(f)?;
        for (name, what, times) in self.times() {
            if times.count() > 0 {
                writeln!(f, "{:<10} {times}: {what}", name)?;
            }
        }
        self.fmt_processes(f)?;
        if self.broken.is_empty() {
            return writeln!(f, "every promise was kept");
        }
        writeln!(f, "BROKEN")?;
        self.broken.iter().try_for_each(|what| writeln!(f, "  {what}"))
    }
}

impl Report {
    fn fmt_setting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { profile, clients, rooms, urls, traffic, .. } = &self.plan;
        let nodes = urls.len();
        let seconds = self.time.as_secs_f64();
        write!(f, "{profile:<10} {clients} clients, {rooms} rooms, {nodes} nodes, {seconds:.1} s")?;
        match traffic {
            None => writeln!(f),
            Some(traffic) => {
                let (publishers, bytes) = (traffic.publishers, traffic.bytes);
                match &traffic.pace {
                    Pace::Rate(rate) => write!(f, "; {rate} messages/s of {bytes} bytes")?,
                    Pace::InFlight(most) => write!(f, "; {most} messages in flight of {bytes} bytes")?,
                    Pace::Recorded(recorded) => write!(f, "; a recording at {} times its pace", recorded.speed)?,
                }
                writeln!(f, " from {publishers} publishers")
            }
        }
    }

    fn fmt_delivery(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { replayed, gaps, repeated, reordered, resets, .. } = &self.counts;
        let (expected, got, seconds) = (self.expected, self.got, self.time.as_secs_f64());
        writeln!(
            f,
            "delivered  {:.4} % ({got} of {expected}, {:.0}/s), {replayed} of them replayed; {gaps} skipped, \
             {repeated} repeated, {reordered} reordered, {resets} resets",
            self.delivered(),
            got as f64 / seconds,
        )?;
        let (published, acked) = (self.verified.published, self.verified.acked);
        write!(f, "published  {published} ({:.1}/s), {acked} acknowledged; ", published as f64 / seconds)?;
        match self.settling {
            Some(settling) => writeln!(f, "nothing missing {:.2} s after the end", settling.as_secs_f64())?,
            None => writeln!(f, "something was missing when patience ended")?,
        }
        let Counts { connects, failed_attempts, cuts, caught_up, closes, errors, skipped, .. } = &self.counts;
        write!(f, "connects   {connects}, {failed_attempts} failed attempts, {cuts} cut off, ")?;
        writeln!(f, "{caught_up} came back and caught up ({:.1}/s)", *caught_up as f64 / seconds)?;
        let closes: Vec<String> = closes.iter().map(|(code, count)| format!("{} × {count}", name(*code))).collect();
        let errors: Vec<String> = errors.iter().map(|(code, count)| format!("{code} × {count}")).collect();
        for (what, list) in [("closes", closes), ("errors", errors)] {
            if !list.is_empty() {
                writeln!(f, "{what:<10} {}", list.join(", "))?;
            }
        }
        if *skipped > 0 {
            writeln!(f, "newcomers  {skipped} did not set out: too many were on their way")?;
        }
        Ok(())
    }

    fn fmt_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            let grown = server.before.rss.saturating_sub(server.idle.rss);
            let each = grown / (self.plan.seats() as u64 / self.servers.len() as u64).max(1);
            let cpu = server.cpu_percent(self.time);
            let [idle, connected, peak] = [server.idle.rss, server.before.rss, server.peak_rss].map(mib);
            write!(
                f,
                "server     {}: {cpu:.0} % of a core; {idle:.0} MiB idle, {connected:.0} MiB connected",
                server.pid
            )?;
            // What a few clients take is lost in what a server takes anyway.
            if self.plan.seats() >= MANY {
                write!(f, " ({each} bytes a client)")?;
            }
            writeln!(f, ", {peak:.0} MiB peak")?;
        }
        let own = self.own.cpu_percent(self.time);
        writeln!(f, "load       {own:.0} % of a core, {:.0} MiB", mib(self.own.after.rss))
    }
}
