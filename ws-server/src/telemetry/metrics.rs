//! Every instrument of the node, as Prometheus reads them
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::backplane::BackplaneStats;
use crate::backplane::chain::Chain;
use crate::backplane::reaper::ReaperStats;
use crate::connection::{Act, Connections};
use crate::link::directory::Directory;
use crate::link::{Accelerator, LinkStats};
use crate::message_log::LogStats;

use super::histogram::{BOUNDS_MS, Reading};

#[cfg(test)]
mod promlint;

/// What is measured.
pub(crate) struct Instruments {
    pub(crate) connections: Arc<Connections>,
    pub(crate) backplane: Arc<BackplaneStats>,
    pub(crate) chain: Arc<Chain>,
    pub(crate) link: Arc<LinkStats>,
    pub(crate) log: Arc<LogStats>,
    pub(crate) reaper: Arc<ReaperStats>,
    /// `None` when the node is the only one by its configuration.
    pub(crate) directory: Option<Arc<Directory>>,
    /// `None` without Redis.
    pub(crate) accelerator: Option<Arc<Accelerator>>,
}

/// The handler of `GET /metrics`.
pub(crate) async fn metrics(State(instruments): State<Arc<Instruments>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], instruments.exposition(Instant::now()))
}

impl Instruments {
    fn exposition(&self, now: Instant) -> String {
        let mut text = Exposition::default();
        text.gauge("sessions", "Connections of clients that are open", self.connections.open());
        text.gauge("sessions_limit", "Sessions that the node takes", self.connections.limits.connections);
        let stats = &self.connections.stats;
        let places = &stats.places;
        for (name, what, counter) in [
            ("connections_refused", "Connections and requests without a session that found no place", &places.refused),
            ("connections_evicted", "Connections that had waited longest and made place for others", &places.evicted),
            ("connections_refused_address", "Connections beyond those of one address", &places.address_refused),
            ("connections_without_file", "Connections closed because no open file was left", &places.without_file),
            ("heads_refused", "Connections ended because long heads took too much memory", &places.heads_refused),
            ("http_writes_stuck", "Responses that their clients did not read in time", &places.writes_stuck),
            ("bodies_refused", "SNS posts put off because there was no memory for their bodies", &stats.bodies_refused),
            ("handshakes_refused", "Handshakes that broke a rule", &stats.handshakes_refused),
            ("origins_refused", "Handshakes of pages whose origin is not allowed", &stats.origins_refused),
            ("sessions_refused", "Sessions beyond those that the node takes", &stats.sessions_refused),
            ("sessions_refused_address", "Sessions beyond those of one address", &stats.sessions_refused_address),
            ("sessions_closed_slow", "Sessions closed with 4008 because their clients read too slowly", &stats.slow),
            ("sessions_closed_flooding", "Sessions closed with 4029 because of pings or empty frames", &stats.floods),
        ] {
            text.counter(name, what, counter.load(Ordering::Relaxed));
        }
        let mailboxes = &self.connections.mailboxes;
        let what = "Sessions closed with 4008 because all slow readers together took too much memory";
        text.counter("sessions_shed", what, mailboxes.shed());
        text.gauge("outbox_bytes", "Memory of frames that wait for clients", mailboxes.waiting_bytes());
        self.rates(&mut text);
        self.rooms(&mut text);
        if let Some(directory) = &self.directory {
            text.gauge("nodes", "Nodes that live, this one included", directory.view().others() + 1);
        }
        if let Some(accelerator) = &self.accelerator {
            let connected = u8::from(accelerator.is_connected());
            text.gauge("redis_connected", "Whether hints go through Redis: 1 or 0", connected);
        }
        self.log(&mut text);
        self.backplane(&mut text, now);
        self.chain(&mut text);
        for (name, what, value) in self.link.counts().each() {
            text.counter(&format!("link_{name}"), what, value);
        }
        self.reaper(&mut text);
        text.0
    }

    fn rates(&self, text: &mut Exposition) {
        let stats = &self.connections.limiter.stats;
        for (name, what, act) in [
            ("publishes", "Publishes refused because their session sends too many", Act::Publish),
            ("signals", "Signals dropped because their session sends too many", Act::Signal),
            ("joins", "Joins refused because their session joins too often", Act::Join),
            ("opens", "Joins refused because their session has too many rooms opened", Act::Open),
            ("histories", "Requests for history refused because their session sends too many", Act::History),
        ] {
            text.counter(&format!("{name}_limited"), what, stats.refused(act));
        }
        for (name, what, counter) in [
            ("user", "Of what was refused for a rate: because of a user's sessions together", &stats.by_user),
            ("address", "Of what was refused for a rate: because of an address's sessions together", &stats.by_address),
        ] {
            text.counter(&format!("{name}_limited"), what, counter.load(Ordering::Relaxed));
        }
    }

    fn rooms(&self, text: &mut Exposition) {
        let counts = self.connections.rooms.counts();
        for (name, what, value) in [
            ("rooms", "Rooms that the node hosts", counts.rooms),
            ("rooms_waiting", "Rooms that wait for the log to be opened or compared with it", counts.waiting),
            ("sessions_waiting", "Sessions whose rooms wait so", counts.waiting_for),
        ] {
            text.gauge(name, what, value);
        }
        for (name, what, value) in [
            ("rooms_refused", "Joins refused because the node hosts as many rooms as it may", counts.refused),
            ("openings_given_up", "Rooms that all had left before they were opened", counts.given_up),
            ("signals_shed", "Signals not told because their room tells too many", counts.signals_shed),
        ] {
            text.counter(name, what, value);
        }
    }

    fn log(&self, text: &mut Exposition) {
        let stats = &self.log;
        text.histogram(
            "log_commit_seconds",
            "Time that accepted writes to the message log took",
            &stats.commits.read(),
        );
        for (name, what, counter) in [
            ("conflicts", "Writes to the message log whose number was another's", &stats.conflicts),
            ("unknown", "Writes to the message log of which nobody knows whether they happened", &stats.unknown),
            ("failed", "Writes that the message log refused for good, or that failed", &stats.failed),
            ("throttled", "Requests of any kind for which the message log had no capacity", &stats.throttled),
            ("reads", "Reads of the message log, probes aside", &stats.reads),
            ("probes", "Keys whose presence the message log was asked for", &stats.probes),
            ("headers", "Headers written to the message log, or tried to be", &stats.headers),
            ("reads_failed", "Reads, probes and headers that the message log did not answer", &stats.reads_failed),
            ("corrupt_items", "Items of the message log that were neither segment nor header", &*stats.corrupt_items),
        ] {
            text.counter(&format!("log_{name}"), what, counter.load(Ordering::Relaxed));
        }
    }

    fn reaper(&self, text: &mut Exposition) {
        let counts = self.reaper.counts();
        for (name, what, value) in [
            ("subscriptions_removed", "Subscriptions of dead nodes that were removed", counts.subscriptions),
            ("rows_removed", "Rows of dead nodes that were removed", counts.rows),
            ("failures", "Looks for dead nodes that SNS or the nodes' table did not let end", counts.failures),
        ] {
            text.counter(&format!("reaper_{name}"), what, value);
        }
    }

    fn chain(&self, text: &mut Exposition) {
        let stats = self.chain.stats();
        for (name, what, counter) in [
            ("pulses", "Pulses written because nothing had come through SNS", &stats.pulses),
            ("pulses_failed", "Pulses that the log did not take", &stats.pulses_failed),
            ("own_segments", "Own commits that came back through SNS", &stats.own_segments),
            ("own_segments_late", "Own commits that did not come back within 10 s", &stats.late_own_segments),
        ] {
            text.counter(&format!("chain_{name}"), what, counter.load(Ordering::Relaxed));
        }
        let took = Duration::from_micros(stats.own_segments_us.load(Ordering::Relaxed)).as_secs_f64();
        text.counter(
            "chain_own_segments_seconds",
            "Time that own commits took to come back through SNS, added up",
            took,
        );
        text.gauge("chain_broken", "Topics through which nothing comes, pulses neither", self.chain.broken().len());
    }

    fn backplane(&self, text: &mut Exposition, now: Instant) {
        let counts = self.backplane.counts();
        for (name, what, value) in [
            ("accepted", "SNS notifications delivered to the rooms", counts.accepted),
            ("repeated", "SNS messages that had been accepted before", counts.repeated),
            ("confirmations", "Genuine confirmations of a subscription or its end", counts.confirmations),
            ("forged", "SNS posts refused for certificate or signature", counts.forged),
            ("stale", "SNS posts refused for their timestamp", counts.stale),
            ("foreign", "SNS posts refused for another topic", counts.foreign),
            ("malformed", "SNS posts refused for their form or size", counts.malformed),
            ("overloaded", "SNS posts put off because the rooms' queues were full", counts.overloaded),
            ("no_certificate", "SNS posts put off because the certificate could not be fetched", counts.no_certificate),
            (
                "unreadable_envelopes",
                "SNS notifications without an envelope of a known version",
                counts.unreadable_envelopes,
            ),
            ("unreadable_segments", "Segments in SNS notifications that had no known form", counts.unreadable_segments),
        ] {
            text.counter(&format!("sns_{name}"), what, value);
        }
        if let Some(age) = self.backplane.newest_delivery_age() {
            let what = "Time that the newest SNS delivery had been under way, by SNS's clock and this node's";
            text.gauge("sns_newest_delivery_age_seconds", what, age.as_secs_f64());
        }
        if let Some(since) = self.backplane.since_newest_delivery(now) {
            text.gauge("sns_newest_delivery_ago_seconds", "Time since the newest SNS delivery", since.as_secs_f64());
        }
    }
}

/// The text format, version 0.0.4. Names are as `promtool check metrics` wants them: base units (seconds, bytes), `_total`
/// at the end of counters and of nothing else. A test holds them to its rules.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn counter(&mut self, name: &str, what: &str, value: impl Display) {
        self.metric(&format!("{name}_total"), "counter", what, value);
    }

    fn gauge(&mut self, name: &str, what: &str, value: impl Display) {
        self.metric(name, "gauge", what, value);
    }

    /// The buckets of the format hold all that is not above their bounds, in seconds.
    fn histogram(&mut self, name: &str, what: &str, reading: &Reading) {
        let text = &mut self.0;
        let mut write = || -> std::fmt::Result {
            writeln!(text, "# HELP roomcast_{name} {what}.\n# TYPE roomcast_{name} histogram")?;
            let mut below = 0;
            for (bound, count) in BOUNDS_MS.iter().zip(reading.buckets) {
                below += count;
                writeln!(text, "roomcast_{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1_000.0)?;
            }
            let (count, sum) = (reading.count(), reading.sum_us as f64 / 1_000_000.0);
            writeln!(text, "roomcast_{name}_bucket{{le=\"+Inf\"}} {count}\nroomcast_{name}_sum {sum}")?;
            writeln!(text, "roomcast_{name}_count {count}")
        };
        write().expect("a string takes all text");
    }

    fn metric(&mut self, name: &str, kind: &str, what: &str, value: impl Display) {
        let text = &mut self.0;
        writeln!(text, "# HELP roomcast_{name} {what}.\n# TYPE roomcast_{name} {kind}\nroomcast_{name} {value}")
            .expect("a string takes all text");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::Parser as _;
    use protocol::NodeId;

    use super::*;
    use crate::backplane::count;
    use crate::backplane::testing::TOPIC;
    use crate::config::Config;
    use crate::connection::Mailboxes;
    use crate::link::NoPeers;
    use crate::link::testing::alone;
    use crate::message_log::MessageLog;
    use crate::message_log::memory::MemoryLog;
    use crate::rooms::Rooms;

    fn instruments() -> Instruments {
        let config = Config::try_parse_from(["", "--topic-arn", TOPIC, "--sns-endpoint", "http://127.0.0.1"]).unwrap();
        let limits = config.limits.limits().unwrap();
        let (node, log): (_, Arc<dyn MessageLog>) = (NodeId::from_random(1), Arc::new(MemoryLog::default()));
        let rooms = Rooms::start(&node, &log, Arc::new(NoPeers), &limits, &Mailboxes::new(1));
        Instruments {
            connections: Connections::new(node, rooms, limits, &Mailboxes::new(1)).unwrap(),
            backplane: Arc::default(),
            chain: Chain::new(NodeId::from_random(1), 1),
            link: Arc::default(),
            log: Arc::default(),
            reaper: Arc::default(),
            directory: Some(alone()),
            accelerator: None,
        }
    }

    #[tokio::test]
    async fn every_metric_has_help_type_and_one_value_under_a_name_of_its_own() {
        let instruments = instruments();
        count(&instruments.link.refused_forged);
        instruments.backplane.note_delivery(Instant::now(), Duration::from_millis(1_500));
        let text = instruments.exposition(Instant::now());
        assert!(text.ends_with('\n'));
        let mut names = HashSet::new();
        // The one metric of more than a line.
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("log_commit_seconds")).collect();
        for lines in lines.chunks(3) {
            let (name, value) = lines[2].split_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{value}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(lines[0].starts_with(&format!("# HELP {name} ")), "{}", lines[0]);
            let kind = lines[1].strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" });
            assert!(names.insert(name), "{name} comes twice");
        }
        assert!(names.len() > 30);
        assert!(text.contains("\nroomcast_link_refused_forged_total 1\n"));
        assert!(text.contains("\nroomcast_sns_newest_delivery_age_seconds 1.5\n"));
        assert!(text.contains("\nroomcast_nodes 1\n"));
    }

    #[tokio::test]
    async fn promtool_finds_nothing_to_complain_of() {
        let instruments = instruments();
        instruments.backplane.note_delivery(Instant::now(), Duration::from_millis(1_500));
        assert_eq!(promlint::problems(&instruments.exposition(Instant::now())), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_way_of_own_segments_is_told_in_seconds() {
        let instruments = instruments();
        instruments.chain.stats().own_segments_us.store(1_250_000, Ordering::Relaxed);
        let text = instruments.exposition(Instant::now());
        assert!(text.contains("\nroomcast_chain_own_segments_seconds_total 1.25\n"), "{text}");
    }

    #[tokio::test]
    async fn the_time_of_commits_is_a_histogram_whose_buckets_add_up() {
        let instruments = instruments();
        for ms in [3, 4, 4, 60_000] {
            instruments.log.commits.observe(Duration::from_millis(ms));
        }
        let text = instruments.exposition(Instant::now());
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
        assert_eq!(value("# TYPE roomcast_log_commit_seconds"), Some("histogram".into()));
        for (bound, count) in [("0.002", "0"), ("0.003", "1"), ("0.005", "3"), ("10", "3"), ("+Inf", "4")] {
            let bucket = value(&format!("roomcast_log_commit_seconds_bucket{{le=\"{bound}\"}}"));
            assert_eq!(bucket.as_deref(), Some(count), "{bound}");
        }
        assert_eq!(value("roomcast_log_commit_seconds_count"), Some("4".into()));
        assert_eq!(value("roomcast_log_commit_seconds_sum"), Some("60.011".into()));
    }

    #[tokio::test]
    async fn what_is_not_known_is_left_out() {
        let text = Instruments { directory: None, ..instruments() }.exposition(Instant::now());
        assert!(!text.contains("roomcast_nodes") && !text.contains("newest_delivery"));
    }
}
