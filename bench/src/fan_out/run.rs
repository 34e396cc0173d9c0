//! All measurements, server by server and again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Client, ClientOptions, JoinFrom};
use load_generator::herd::FeedPace;
use protocol::{Body, MessageId, RoomName};

use super::goals::verdicts;
use super::log_cost::log_cost;
use super::measure::{Outcome, Times, connects, fan_out, idle as idle_clients, sweep, vanish};
use super::pairs::pairs;
use super::point::{POINTS, Point};
use super::results::Results;
use super::server::{Kind, Server};
use ::tests::{Node, Stack, StackOptions};

/// Clients that come all at once into one room.
pub(super) const CONNECTS: &str = "a crowd connects and joins";
/// Clients that go all at once.
pub(super) const VANISH: &str = "a crowd vanishes";
/// The same load on one core and on two.
pub(super) const ONE_CORE: &str = "5000 clients, 1 room, 4 in flight, server on one core of two";
pub(super) const TWO_CORES: &str = "5000 clients, 1 room, 4 in flight, server on both cores";
/// A message to clients who sleep, from one core and from two.
pub(super) const SWEEP_ONE: &str = "10000 sleeping clients, 1 room, server on one core of two";
pub(super) const SWEEP_TWO: &str = "10000 sleeping clients, 1 room, server on both cores";
/// The sleeping ones.
const SLEEPERS: usize = 10_000;
/// Clients of a crowd, and of the largest idle one; both less where the operating system allows fewer open files.
const CROWD: usize = 20_000;
const MOST: usize = 50_000;
/// Crowds that only are there.
pub(super) const IDLE: [usize; 4] = [2_000, 10_000, 18_000, MOST];
/// Open files that are left for everything else.
const SPARE: usize = 1_000;
/// Rooms that any measurement uses.
const ROOMS: usize = 1_000;
/// Rooms that one session may be in.
const ROOMS_A_SESSION: usize = 100;

/// Clients that say nothing.
pub(super) fn idle(clients: usize) -> String {
    format!("{clients} idle clients in {} rooms", clients / 100)
}

/// Publishes into one room, through the log.
pub(super) fn log(publishers: usize) -> String {
    format!("through the log, {publishers} publisher{}", if publishers == 1 { "" } else { "s" })
}

/// How the bench is to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Only what goals depend on, and less long.
    pub quick: bool,
    /// Runs of everything.
    pub repeat: usize,
    /// How long each load is measured.
    pub time: Duration,
    /// Only what has this in its name.
    pub only: Option<String>,
    /// Only these servers; all when there are none.
    pub servers: Vec<Kind>,
    /// The server's cores, as `taskset --cpu-list` takes them. The load is where this process is.
    pub server_cores: String,
    /// The node that is measured.
    pub node: PathBuf,
    /// Another commit's, which is measured beside it instead of other servers.
    pub before: Option<PathBuf>,
    /// How this was called.
    pub command: String,
}

struct Bench<'a> {
    settings: &'a Settings,
    stack: &'a Stack,
    rooms: String,
    results: Results,
    /// Clients that fit into this process and the server's.
    most: usize,
}

/// Measures everything.
///
/// # Panics
/// When a server cannot be started, or does not take clients.
pub async fn run(settings: &Settings) -> Results {
    let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
    let rooms = format!("bench-{:08x}", fastrand::u32(..));
    let most = load_generator::open_files::connections_of(MOST + SPARE).saturating_sub(SPARE);
    let results = Results::new(settings.command.clone());
    let mut bench = Bench { settings, stack: &stack, rooms, results, most };
    let all: &[Kind] = if settings.before.is_some() { &Kind::PAIR } else { &Kind::ALL };
    let kinds: Vec<Kind> = all.iter().copied().filter(|kind| bench.wants_server(*kind)).collect();
    let (here, missing): (Vec<Kind>, Vec<Kind>) = kinds.into_iter().partition(|kind| kind.missing().is_none());
    bench.results.missing = missing.into_iter().filter_map(Kind::missing).collect();
    bench.say_in_every_room().await;
    for repetition in 1..=settings.repeat {
        for &kind in &here {
            say(&format!("-- {repetition} of {}: {}", settings.repeat, kind.name()));
            bench.crowds(kind).await;
        }
        say(&format!("-- {repetition} of {}: loads", settings.repeat));
        bench.loads(&here).await;
        for &kind in here.iter().filter(|kind| Kind::PAIR.contains(kind)) {
            bench.cores(kind).await;
            bench.log(kind).await;
        }
    }
    bench.more_than_fit(&here);
    let Bench { results, .. } = bench;
    stack.stop().await;
    if settings.before.is_some() {
        pairs(&results).iter().for_each(|pair| say(&pair.to_string()));
        return results;
    }
    for verdict in verdicts(&results) {
        let word = verdict.met().map_or("not measured", |met| if met { "met" } else { "MISSED" });
        say(&format!("{word}: {} {:.3} ({})", verdict.what, verdict.judged.unwrap_or(f64::NAN), verdict.goal()));
    }
    results.missing.iter().for_each(|missing| say(missing));
    results
}

impl<'a> Bench<'a> {
    fn wants_server(&self, kind: Kind) -> bool {
        self.settings.servers.is_empty() || self.settings.servers.contains(&kind)
    }

    fn wants(&self, point: &str) -> bool {
        self.settings.only.as_ref().is_none_or(|only| point.contains(only.as_str()))
    }

    fn wants_point(&self, point: &Point, kind: Kind) -> bool {
        let asked_for = point.goal || !self.settings.quick;
        let peer = kind.is_ours() || matches!(kind, Kind::RawWrite | Kind::RawCoalesce) || !self.settings.quick;
        asked_for && peer && point.is_for(kind) && self.wants(&point.name())
    }

    async fn server(&self, kind: Kind, cores: &str) -> Server<'a> {
        Server::start(kind, self.stack, cores, self.program(kind)).await
    }

    fn program(&self, kind: Kind) -> &'a Path {
        let before = self.settings.before.as_deref().filter(|_| kind == Kind::Before);
        before.unwrap_or(&self.settings.node)
    }

    fn times(&self) -> Times {
        Times { warm_up: self.settings.time / 3, time: self.settings.time }
    }

    fn note(&mut self, point: &str, kind: Kind, (metrics, broken): Outcome) {
        let numbers: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        say(&format!("   {point}: {}: {}", kind.name(), numbers.join(", ")));
        let broken = broken.into_iter().map(|what| format!("{}: {point}: {what}", kind.name()));
        let list = if kind.is_ours() { &mut self.results.broken } else { &mut self.results.peers_broke };
        let known = list.len();
        list.extend(broken);
        list[known..].iter().for_each(|what| say(&format!("   BROKEN {what}")));
        self.results.add(point, kind.name(), metrics);
    }

    /// A room's epoch begins with its first real message; what the bench itself brings goes on from there.
    async fn say_in_every_room(&self) {
        let node = Node::start(self.stack, &[]).await;
        for first in (0..ROOMS).step_by(ROOMS_A_SESSION) {
            let client = Client::connect(ClientOptions::to(node.ws())).await.expect("the node greets");
            for number in first..first + ROOMS_A_SESSION {
                let room = RoomName::new(&format!("{}-{number}", self.rooms)).expect("a plain name");
                client.join(&room, JoinFrom::Head).await.expect("the room takes clients");
                let id = MessageId::new("first").expect("a plain id");
                let body = Body::parse(r#""first""#).expect("it is JSON");
                client.publish(&room, id, body).await.expect("the log takes it");
            }
            client.close().await;
        }
        node.stop().await;
    }

    /// What thousands of clients cost that only come, are there, and go. Each on a new server.
    async fn crowds(&mut self, kind: Kind) {
        let cores = self.settings.server_cores.clone();
        let most: &[usize] = match kind {
            kind if of_crowds(kind) && self.settings.quick => &[10_000, MOST],
            _ if self.settings.quick => &[],
            kind if of_crowds(kind) => &IDLE,
            Kind::RawCoalesce => &[],
            // A goal depends on this one.
            Kind::Before => &[10_000],
            _ => &IDLE[..2],
        };
        let fitting = self.most;
        for &clients in most.iter().filter(|&&clients| kind.keeps_order() && clients <= fitting) {
            if self.wants(&idle(clients)) {
                let server = self.server(kind, &cores).await;
                let outcome = idle_clients(&server, &self.rooms, clients);
                self.note(&idle(clients), kind, outcome);
                server.stop().await;
            }
        }
        if !of_crowds(kind) {
            return;
        }
        for (point, what) in [(CONNECTS, connects as fn(&Server<'_>, &str, usize) -> Outcome), (VANISH, vanish)] {
            if self.wants(point) {
                let server = self.server(kind, &cores).await;
                let clients = CROWD.min(self.most / 1_000 * 1_000);
                let (mut metrics, broken) = what(&server, &self.rooms, clients);
                metrics.insert("clients".to_owned(), clients as f64);
                self.note(point, kind, (metrics, broken));
                server.stop().await;
            }
        }
    }

    /// Names the largest crowd where the operating system allows too few open files for it.
    fn more_than_fit(&mut self, kinds: &[Kind]) {
        let point = idle(MOST);
        if self.most < MOST && self.wants(&point) && kinds.iter().any(|kind| of_crowds(*kind)) {
            let why = format!("here the operating system allows open files for {} clients", self.most);
            self.results.missing.push(format!("{point} were not measured: {why}"));
        }
    }

    /// Messages to many clients, one server after the other at each point: what is compared is seconds apart. Those that wait for
    /// their turn have nobody to serve.
    async fn loads(&mut self, kinds: &[Kind]) {
        let cores = self.settings.server_cores.clone();
        let mut servers = Vec::new();
        for &kind in kinds.iter().filter(|kind| POINTS.iter().any(|point| self.wants_point(point, **kind))) {
            servers.push(self.server(kind, &cores).await);
        }
        for point in &POINTS {
            for server in &servers {
                if self.wants_point(point, server.kind()) {
                    // The log has the load's core too: a loop that never sleeps would keep it waiting.
                    let outcome = fan_out(server, &self.rooms, point, self.times(), !point.whole).await;
                    self.note(&point.name(), server.kind(), outcome);
                }
            }
        }
        for server in servers {
            server.stop().await;
        }
    }

    /// The same load with one core and with two, of which the load needs its part; and a message to clients who sleep, where it
    /// needs none.
    async fn cores(&mut self, kind: Kind) {
        let pace = FeedPace::InFlight(4);
        let point = Point { clients: 5_000, rooms: 1, pace, all: false, goal: true, whole: false };
        let both = "0-1".to_owned();
        for (name, cores) in [(ONE_CORE, self.settings.server_cores.clone()), (TWO_CORES, both)] {
            if self.wants(name) {
                let server = self.server(kind, &cores).await;
                let outcome = fan_out(&server, &self.rooms, &point, self.times(), false).await;
                self.note(name, kind, outcome);
                server.stop().await;
            }
        }
        for (name, cores) in [(SWEEP_ONE, self.settings.server_cores.clone()), (SWEEP_TWO, "0-1".to_owned())] {
            if self.wants(name) {
                let server = self.server(kind, &cores).await;
                let outcome = sweep(&server, &self.rooms, SLEEPERS, self.times()).await;
                self.note(name, kind, outcome);
                server.stop().await;
            }
        }
    }

    /// What a publish costs on its way through the log, alone and in company.
    async fn log(&mut self, kind: Kind) {
        for publishers in [1, 20] {
            let name = log(publishers);
            if self.wants(&name) {
                let place = (self.settings.server_cores.as_str(), self.program(kind));
                let outcome = log_cost(self.stack, place, publishers, self.settings.time).await;
                self.note(&name, kind, outcome);
            }
        }
    }
}

/// Servers that the largest crowds come to.
fn of_crowds(kind: Kind) -> bool {
    matches!(kind, Kind::Roomcast | Kind::Before | Kind::RawWrite)
}

/// What is going on, for people.
fn say(what: &str) {
    // Who closed the output does not read it.
    let _ = writeln!(std::io::stderr().lock(), "{what}");
}
