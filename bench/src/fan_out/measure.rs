//! The measurements themselves, one server at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use load_generator::herd::{FeedPace, Herd, HerdOptions};
use load_generator::latencies::Latencies;
use load_generator::server_process::{Usage, usage};

use super::point::Point;
use super::server::Server;

/// What was measured, by its name with its unit.
pub(super) type Metrics = BTreeMap<String, f64>;

/// What was measured, and every promise that was broken.
pub(super) type Outcome = (Metrics, Vec<String>);

/// How long everybody may take to come, and what is missing at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for a crowd that only is there: more of it, and it may be where system calls are slow.
const PATIENCE_EACH: Duration = Duration::from_millis(10);
/// As fast as they can.
const AT_ONCE: f64 = 1e6;
/// Clients that come from one address: a few thousand, so that ports are found at once.
const FROM_ONE_ADDRESS: usize = 4_000;
/// Clients that come after all others: those that a server reaches last.
const LAST: usize = 8;
/// Messages a second that go to sleeping clients. Each has long reached everybody before the next.
const SWEEPS: f64 = 5.0;
/// Newcomers while a crowd vanishes.
const NEWCOMERS: f64 = 200.0;

/// How long things are measured, after how long a start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// What happens in it is verified and not measured.
    pub(super) warm_up: Duration,
    /// What is measured.
    pub(super) time: Duration,
}

fn herd(server: &Server<'_>, rooms_named: &str, clients: usize, rooms: usize) -> HerdOptions {
    let sources = u8::try_from(clients.div_ceil(FROM_ONE_ADDRESS)).unwrap_or(u8::MAX).clamp(4, 200);
    HerdOptions {
        url: server.url(),
        dialect: server.kind().dialect(),
        clients,
        rooms,
        rooms_named: rooms_named.to_owned(),
        sources,
        threads: 1,
        spin: true,
        connect_rate: AT_ONCE,
    }
}

fn metrics<const N: usize>(values: [(&str, f64); N]) -> Metrics {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn own_usage() -> Usage {
    usage(std::process::id()).expect("this process runs")
}

fn ms(latencies: &Latencies, share: f64) -> f64 {
    latencies.quantile_ms(share)
}

/// A server's load at one point. `spin`: the load has its core for itself.
///
/// # Panics
/// When clients do not come.
pub(super) async fn fan_out(server: &Server<'_>, rooms: &str, point: &Point, times: Times, spin: bool) -> Outcome {
    let herd = Herd::start(&HerdOptions { spin, ..herd(server, rooms, point.clients, point.rooms) });
    let herd = herd.expect("the server is there");
    herd.come(PATIENCE).expect("the server takes clients");
    let time = point.time(times.time);
    let whole = times.warm_up + time + Duration::from_millis(500);
    let (script, feed) = server.feed(&herd, (point.pace, point.rooms_a_group()), point.whole, whole).await;
    herd.feed(point.pace, point.rooms_a_group(), script, feed);
    std::thread::sleep(times.warm_up);
    let (before, own_before) = (server.usage(), own_usage());
    let measured = herd.measure(time);
    let (after, own_after) = (server.usage(), own_usage());
    let broken = herd.settle(PATIENCE);
    let deliveries = measured.deliveries.max(1) as f64;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    let own_cpu = (own_after.cpu - own_before.cpu).as_secs_f64();
    let seconds = measured.time.as_secs_f64();
    let mut told = metrics([
        ("deliveries/s", measured.deliveries as f64 / seconds),
        ("server cpu us/delivery", cpu * 1e6 / deliveries),
        ("server cpu %", cpu / seconds * 100.0),
        ("load cpu %", own_cpu / seconds * 100.0),
        ("p50 ms", ms(&measured.live, 0.5)),
        ("p99 ms", ms(&measured.live, 0.99)),
    ]);
    if let FeedPace::Rate(_) = point.pace {
        told.insert("late p99 ms".to_owned(), ms(&measured.late, 0.99));
    }
    (told, broken)
}

/// How long a message takes to the last of many clients who sleep: nothing is read until all is measured, but by those
/// last ones. So the load takes no processor time from the server while it writes.
///
/// # Panics
/// When clients do not come.
pub(super) async fn sweep(server: &Server<'_>, rooms: &str, clients: usize, times: Times) -> Outcome {
    let start = |clients| Herd::start(&HerdOptions { spin: false, ..herd(server, rooms, clients, 1) });
    let crowd = start(clients).expect("the server is there");
    crowd.come(PATIENCE).expect("the server takes clients");
    let last = start(LAST).expect("the server is there");
    last.come(PATIENCE).expect("the server takes clients");
    crowd.doze(true);
    let pace = FeedPace::Rate(SWEEPS);
    let whole = times.warm_up + times.time + Duration::from_millis(500);
    let (script, feed) = server.feed(&last, (pace, 1), false, whole).await;
    last.feed(pace, 1, script, feed);
    std::thread::sleep(times.warm_up);
    let (before, own_before) = (server.usage(), own_usage());
    let measured = last.measure(times.time);
    let (after, own_after) = (server.usage(), own_usage());
    let mut broken = last.settle(PATIENCE);
    let messages = last.times().deliveries / LAST as u64;
    crowd.doze(false);
    let wanted = messages * clients as u64;
    let begun = Instant::now();
    while crowd.times().deliveries < wanted && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = crowd.times().deliveries;
    if seen != wanted {
        broken.push(format!("{seen} of {wanted} deliveries came to clients that had slept"));
    }
    broken.extend(crowd.settle(PATIENCE));
    let deliveries = (clients + LAST) as f64 * measured.deliveries as f64 / LAST as f64;
    let seconds = measured.time.as_secs_f64();
    let last_ms = ms(&measured.live, 0.5);
    let told = metrics([
        ("last client p50 ms", last_ms),
        ("deliveries/s meanwhile", (clients + LAST) as f64 / last_ms * 1e3),
        ("server cpu us/delivery", (after.cpu - before.cpu).as_secs_f64() * 1e6 / deliveries),
        ("load cpu %", (own_after.cpu - own_before.cpu).as_secs_f64() / seconds * 100.0),
    ]);
    (told, broken)
}

/// Clients that come all at once into one room that exists.
///
/// # Panics
/// When they do not come.
pub(super) fn connects(server: &Server<'_>, rooms: &str, clients: usize) -> Outcome {
    // The room is open, and the server has seen some clients.
    let first = Herd::start(&herd(server, rooms, 100, 1)).expect("the server is there");
    first.come(PATIENCE).expect("the server takes clients");
    let before = server.usage();
    let herd = Herd::start(&herd(server, rooms, clients, 1)).expect("the server is there");
    let took = herd.come(PATIENCE).expect("the server takes clients").as_secs_f64();
    let cpu = (server.usage().cpu - before.cpu).as_secs_f64();
    let told = metrics([
        ("connects/s", clients as f64 / took),
        ("server cpu us/connect", cpu * 1e6 / clients as f64),
        ("connects/s of a core's time", clients as f64 / cpu),
        ("server cpu %", cpu / took * 100.0),
    ]);
    (told, herd.settle(PATIENCE))
}

/// What clients cost that say nothing, in rooms of a hundred; and then how long newcomers take while all of them vanish
/// at once. The server must be new.
///
/// # Panics
/// When they do not come.
pub(super) fn idle(server: &Server<'_>, rooms: &str, clients: usize) -> Outcome {
    let empty = server.usage().rss;
    let options = HerdOptions { spin: false, ..herd(server, rooms, clients, clients / 100) };
    let herd = Herd::start(&options).expect("the server is there");
    let patience = PATIENCE + PATIENCE_EACH * u32::try_from(clients).expect("fewer than files can be open");
    herd.come(patience).expect("the server takes clients");
    // What a server frees late it has freed by now.
    std::thread::sleep(Duration::from_secs(1));
    let full = server.usage().rss;
    let told = metrics([
        ("rss bytes/connection", full.saturating_sub(empty) as f64 / clients as f64),
        ("rss MiB", full as f64 / f64::from(1 << 20)),
        ("rss MiB empty", empty as f64 / f64::from(1 << 20)),
    ]);
    (told, herd.settle(patience))
}

/// How long newcomers take to come into a room while so many others vanish at once.
///
/// # Panics
/// When they do not come.
pub(super) fn vanish(server: &Server<'_>, rooms: &str, clients: usize) -> Outcome {
    let crowd = HerdOptions { spin: false, ..herd(server, rooms, clients, clients / 100) };
    let crowd = Herd::start(&crowd).expect("the server is there");
    crowd.come(PATIENCE).expect("the server takes clients");
    let broken = crowd.settle(PATIENCE);
    let newcomers = |seconds: f64| {
        let connect_rate = NEWCOMERS;
        let count = (connect_rate * seconds) as usize;
        let options = HerdOptions { spin: false, connect_rate, ..herd(server, rooms, count, 1) };
        Herd::start(&options).expect("the server is there")
    };
    let longest = |herd: Herd| {
        herd.come(PATIENCE).expect("the server takes newcomers");
        let told = herd.times();
        let broken = herd.settle(PATIENCE);
        (ms(&told.join, 1.0), ms(&told.join, 0.5), broken)
    };
    let (calm, calm_median, _) = longest(newcomers(0.5));
    let during = newcomers(1.5);
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    crowd.vanish();
    let took = start.elapsed().as_secs_f64() * 1e3;
    let (longest, median, more) = longest(during);
    let told = metrics([
        ("newcomer longest ms", longest),
        ("newcomer p50 ms", median),
        ("newcomer longest ms before", calm),
        ("newcomer p50 ms before", calm_median),
        ("vanishing took ms", took),
    ]);
    (told, [broken, more].concat())
}
