//! One node for all scripts, and the judge of each.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::Verifier;
use client::verifier::Party;
use load_generator::server_process::usage;
use protocol::RoomName;
use ws_server::in_process::InProcessNode;

use crate::script::{CONNECTIONS, ROOMS, steps};
use crate::visitor::{PATIENCE, Places, Visitor};

/// Rooms linger for a minute, and each script has its own.
const FLAGS: [&str; 2] = ["--rooms", "1000000"];
/// After this number of scripts the node forgets its messages.
const FORGET: u64 = 1_000;
/// What the process may hold: nothing of a script stays but rooms, for their minute.
const MOST_MEMORY: u64 = 1 << 30;

struct World {
    node: InProcessNode,
    scripts: AtomicU64,
    _runtime: tokio::runtime::Runtime,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a machine has two more threads");
        let node = runtime.block_on(async { InProcessNode::start(&FLAGS) }).expect("a node starts on loopback");
        World { node, scripts: AtomicU64::new(0), _runtime: runtime }
    })
}

/// Lets connections say what these bytes stand for, and judges what comes back.
///
/// # Panics
/// When a request is not answered or answered twice, when a connection that broke no rule is ended, when the verifier
/// finds a broken promise, or when the process holds more memory than it may.
pub fn session(data: &[u8]) {
    let world = world();
    let number = world.scripts.fetch_add(1, Ordering::Relaxed);
    let room = |room| RoomName::new(&format!("script-{number}-{room}")).expect("a short name");
    let rooms: Vec<RoomName> = (0..ROOMS).map(room).collect();
    Play { address: world.node.address(), number, rooms, verifier: Verifier::default(), parties: 0 }.run(data);
    if number % FORGET == FORGET - 1 {
        world.node.forget();
        let held = usage(std::process::id()).map_or(0, |usage| usage.rss);
        assert!(held < MOST_MEMORY, "{} MiB are held after {number} scripts", held >> 20);
    }
}

/// Waits until the node has let go of every session.
///
/// # Panics
/// When it does not in time.
pub fn all_gone() {
    let (node, began) = (&world().node, Instant::now());
    while node.sessions() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} sessions of connections that have ended are kept", node.sessions());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One script.
struct Play {
    address: SocketAddr,
    number: u64,
    rooms: Vec<RoomName>,
    verifier: Verifier,
    parties: u32,
}

impl Play {
    fn run(mut self, data: &[u8]) {
        let mut visitors: Vec<Option<Visitor>> = (0..CONNECTIONS).map(|_| None).collect();
        let mut places: Vec<Places> = vec![Places::new(); CONNECTIONS];
        for (connection, act) in steps(data) {
            let visitor = match &mut visitors[connection] {
                Some(visitor) => visitor,
                none => none.insert(self.arrive(connection)),
            };
            if !visitor.act(&act, &self.rooms, &mut self.verifier, &mut places[connection]) {
                visitors[connection] = None;
            }
        }
        for (visitor, places) in visitors.iter_mut().zip(&mut places) {
            if visitor.as_mut().is_some_and(|it| !it.settle(&mut self.verifier, places)) {
                *visitor = None;
            }
        }
        // Those who are still there come to the end of their rooms.
        let began = Instant::now();
        while !self.verifier.report().is_clean() && began.elapsed() < PATIENCE {
            for (visitor, places) in visitors.iter_mut().zip(&mut places) {
                if let Some(visitor) = visitor {
                    visitor.read(Duration::from_millis(1), &mut self.verifier, places);
                }
            }
            if visitors.iter().all(Option::is_none) {
                break;
            }
        }
        let report = self.verifier.report();
        assert!(report.is_clean(), "{report}");
    }

    /// The same guest each time that a connection begins anew.
    fn arrive(&mut self, connection: usize) -> Visitor {
        self.parties += 1;
        let guest = format!("script-{}-{connection}", self.number);
        Visitor::arrive(self.address, &guest, Party(self.parties), &mut self.verifier)
    }
}
