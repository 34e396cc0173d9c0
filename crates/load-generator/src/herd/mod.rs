//! Thousands of clients on one loop a thread.
//!
//! A client is a socket and a few numbers: connecting never blocks, all share one read buffer, and while nothing happens
//! a client has no memory of its own. It stays in one room, never comes back, and compares every byte that it gets.
//! Deliveries are held against what the first client of the room saw, or, where the load itself brings the messages
//! ([`Feed`]), against what was sent.

mod dial;
mod dialect;
mod dialler;
mod drive;
mod feed;
mod feeding;
pub(crate) mod frame;
pub(crate) mod handshake;
mod hear;
mod member;
mod pacer;
mod shared;
mod sight;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::{Position, RoomName};

pub use dialect::Dialect;
pub use feed::{Batch, Feed, Hearsay, Published, Script};
pub(crate) use sight::Fault;

use crate::crowd::Crowd;
use crate::latencies::Latencies;
use crate::plan::{Pace, Plan};
use crate::wire::Target;
use drive::Drive;
use feeding::Feeding;
use pacer::Pacer;
use shared::{Leave, Shared};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(2);

/// What a herd is to be.
#[derive(Debug, Clone)]
pub struct HerdOptions {
    /// Where it goes: `ws://host:port`, with a path or without.
    pub url: String,
    /// How the server is spoken to.
    pub dialect: Dialect,
    /// Clients, spread evenly over the rooms.
    pub clients: usize,
    /// Rooms; 0: clients join none.
    pub rooms: usize,
    /// What the rooms' names begin with; a hyphen and the room's number follow.
    pub rooms_named: String,
    /// Addresses of the loopback network that clients come from.
    pub sources: u8,
    /// Loops, a thread each.
    pub threads: usize,
    /// Loops never sleep, so that whoever sends to them has nobody to wake: for a core of their own.
    pub spin: bool,
    /// Connections a second.
    pub connect_rate: f64,
}

/// When messages that the load itself brings are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedPace {
    /// So many a second, all rooms together, whatever becomes of them.
    Rate(f64),
    /// So many in each room that not everybody has seen yet.
    InFlight(usize),
}

/// There is no herd.
#[derive(Debug, thiserror::Error)]
pub enum HerdError {
    /// The URL or the rooms' names cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The operating system has no more of what a loop needs.
    #[error("a loop cannot start: {0}")]
    Loop(#[from] io::Error),
    /// Not everybody came.
    #[error("only {came} of {all} clients were there after {seconds} s: {told}")]
    Absent {
        /// Connected, and in their rooms.
        came: usize,
        /// All of them.
        all: usize,
        /// How long they were waited for.
        seconds: u64,
        /// What went wrong for some of them.
        told: String,
    },
}

/// What happened in some time.
#[derive(Clone)]
pub struct Measured {
    /// Messages that came in their place, all clients together.
    pub deliveries: u64,
    /// How long it was.
    pub time: Duration,
    /// From a message's moment to a client, for every delivery.
    pub live: Latencies,
    /// From a message's moment to its sending: how far the load itself was behind.
    pub late: Latencies,
    /// From a client's moment to its place in the room, for those who came.
    pub join: Latencies,
}

/// Running clients. They leave when this is dropped.
pub struct Herd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Herd {
    /// Lets clients set out; [`Herd::come`] waits for them.
    ///
    /// # Errors
    /// [`HerdError`]: there is nowhere to go.
    pub fn start(options: &HerdOptions) -> Result<Self, HerdError> {
        let settings = |error: &dyn std::fmt::Display| HerdError::Settings(error.to_string());
        let target = Target::resolve(&options.url).map_err(|error| settings(&error))?;
        let plan = Plan {
            urls: vec![options.url.clone()],
            sources: options.sources,
            prefix: Some(options.rooms_named.clone()),
            clients: options.clients,
            rooms: options.rooms,
            connect_rate: options.connect_rate,
            ..Plan::empty("herd")
        };
        let crowd = Crowd::new(&plan, vec![target]).map_err(|error| settings(&error))?;
        Ok(Self::over(crowd, plan, (options.dialect, options.threads, options.spin), 0)?)
    }

    /// The clients of a run from this seat on.
    ///
    /// # Errors
    /// The operating system has no more of what a loop needs.
    pub(crate) fn over(
        crowd: Arc<Crowd>,
        plan: Plan,
        how: (Dialect, usize, bool),
        first_seat: usize,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(crowd, plan, how, first_seat));
        let mut herd = Self { shared, threads: Vec::new() };
        for number in 0..herd.shared.threads {
            let drive = Drive::new(Arc::clone(&herd.shared), number)?;
            let thread = std::thread::Builder::new().name(format!("herd-{number}"));
            herd.threads.push(thread.spawn(move || drive.run())?);
        }
        Ok(herd)
    }

    fn here(&self) -> usize {
        let crowd = &self.shared.crowd;
        let joined = || crowd.seats.iter().filter(|seat| seat.joined()).count();
        if self.shared.plan.rooms > 0 { joined() } else { crowd.open() }
    }

    /// Waits until everybody is there. Returns how long that took since the start.
    ///
    /// # Errors
    /// [`HerdError::Absent`]: not everybody came in time.
    pub fn come(&self, patience: Duration) -> Result<Duration, HerdError> {
        let (start, all) = (Instant::now(), self.shared.plan.seats());
        loop {
            let came = self.here();
            if came == all {
                return Ok(self.shared.crowd.now());
            }
            if start.elapsed() > patience {
                let told = self.shared.crowd.stats.sum().told.join("; ");
                return Err(HerdError::Absent { came, all, seconds: patience.as_secs(), told });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The rooms, and where their clients came in. Everybody must be there.
    #[must_use]
    pub fn rooms(&self) -> Vec<(RoomName, Position)> {
        let rooms = self.shared.crowd.rooms.iter().map(|room| room.name.clone());
        rooms.zip(self.shared.positions()).collect()
    }

    /// Begins to feed the server: messages of the script at this pace, rooms that lie side by side in groups of this
    /// size, whose messages go out together.
    pub fn feed(&self, pace: FeedPace, rooms_a_group: usize, script: Script, feed: Box<dyn Feed>) {
        let pace = match pace {
            FeedPace::Rate(rate) => Pace::Rate(rate),
            FeedPace::InFlight(most) => Pace::InFlight(most),
        };
        let pacer = Pacer::new(pace, script.rooms(), rooms_a_group.max(1));
        let feeding = Feeding { pacer, script, feed, start: self.shared.crowd.now(), known: 0 };
        *self.shared.feeding() = true;
        self.shared.tell(|state| state.feeding = Some(feeding));
    }

    /// What happens from now on for this time.
    #[must_use]
    pub fn measure(&self, time: Duration) -> Measured {
        let stats = &self.shared.crowd.stats;
        stats.forget_times();
        let (start, before) = (Instant::now(), stats.sum().delivered);
        std::thread::sleep(time);
        let measured = self.times();
        Measured { deliveries: measured.deliveries - before, time: start.elapsed(), ..measured }
    }

    /// What has happened since the start, or how long things took since the last [`Herd::measure`] began.
    #[must_use]
    pub fn times(&self) -> Measured {
        let sum = self.shared.crowd.stats.sum();
        let time = self.shared.crowd.now();
        let times = sum.times;
        Measured { deliveries: sum.delivered, time, live: times.live, late: times.late, join: times.join }
    }

    /// Reads nothing any more, or again: what comes meanwhile waits in the operating system's buffers. So a server can be
    /// seen to have the whole machine.
    pub fn doze(&self, dozing: bool) {
        self.shared.tell(|state| state.dozing = dozing);
    }

    /// Ends the feed and waits until everybody has seen what was sent. Returns every promise that was broken, a line
    /// each.
    #[must_use]
    pub fn settle(&self, patience: Duration) -> Vec<String> {
        *self.shared.feeding() = false;
        let start = Instant::now();
        let counted = |what: &std::sync::atomic::AtomicU64| what.load(Ordering::Acquire);
        let missing = loop {
            let missing = counted(&self.shared.sent).saturating_sub(counted(&self.shared.complete));
            if missing == 0 || start.elapsed() > patience {
                break missing;
            }
            std::thread::sleep(LOOK);
        };
        let sum = self.shared.crowd.stats.sum();
        let mut broken = sum.broken();
        broken.extend(self.shared.state().failed.clone());
        if missing > 0 {
            broken.push(format!("{missing} messages were not seen by everybody within {} s", patience.as_secs()));
        }
        broken
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.crowd.open()
    }

    /// All connections are reset at once; returns when they are.
    pub fn vanish(mut self) {
        self.leave(Leave::Vanish);
    }

    fn leave(&mut self, leave: Leave) {
        self.shared.tell(|state| state.leave = leave);
        for thread in self.threads.drain(..) {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        self.leave(Leave::Quietly);
    }
}
