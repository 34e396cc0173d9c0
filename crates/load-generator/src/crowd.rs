//! What all clients of a run share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::Verifier;
use protocol::{Body, RoomName};
use tokio::sync::{Semaphore, watch};

use crate::chronicle::Chronicle;
use crate::plan::{Away, Pace, Plan, Traffic};
use crate::seats::Seat;
use crate::stamp::Stamp;
use crate::stats::Stats;
use crate::wire::Target;

/// What all clients of a run share.
pub(crate) struct Crowd {
    /// Tells this run's messages from another's.
    pub(crate) run: u64,
    /// What times count from.
    pub(crate) origin: Instant,
    pub(crate) targets: Vec<Target>,
    pub(crate) sources: u8,
    pub(crate) rooms: Vec<Room>,
    pub(crate) seats: Vec<Seat>,
    /// Open connections of each target.
    pub(crate) connected: Vec<AtomicUsize>,
    pub(crate) stats: Stats,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) away: Option<Away>,
    /// When publishing and cutting begin.
    pub(crate) start: watch::Sender<Option<Instant>>,
    /// Nothing more is published or cut.
    over: AtomicBool,
    messages: AtomicU64,
    verifier: Mutex<Verifier>,
}

/// A room of the run.
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) chronicle: Chronicle,
    /// What a publisher takes before each message, where messages in flight are counted.
    pub(crate) in_flight: Option<Arc<Semaphore>>,
}

/// Rooms' names cannot begin so.
#[derive(Debug, thiserror::Error)]
#[error("--rooms-named {0}: names have A-Z a-z 0-9 . _ : @ / - and at most 128 characters")]
pub(crate) struct PrefixError(String);

impl Crowd {
    /// Everybody's seats, nobody in them.
    ///
    /// # Errors
    /// [`PrefixError`].
    pub(crate) fn new(plan: &Plan, targets: Vec<Target>) -> Result<Arc<Self>, PrefixError> {
        let run = fastrand::u64(..1 << 48);
        let prefix = plan.prefix.clone().unwrap_or_else(|| format!("load-{run:012x}"));
        let mut viewers = vec![0; plan.rooms];
        (0..plan.seats()).filter_map(|seat| plan.place(seat).0).for_each(|room| viewers[room] += 1);
        let permits = plan.traffic.as_ref().and_then(|traffic| match traffic.pace {
            Pace::InFlight(most) => Some(most),
            Pace::Rate(_) | Pace::Recorded(_) => None,
        });
        let room = |(number, viewers)| {
            let name = RoomName::new(&format!("{prefix}-{number}")).map_err(|_| PrefixError(prefix.clone()))?;
            let in_flight = permits.map(|permits| Arc::new(Semaphore::new(permits)));
            Ok(Room { name, chronicle: Chronicle::new(viewers), in_flight })
        };
        let loopback = targets.iter().all(Target::takes_sources);
        Ok(Arc::new(Self {
            run,
            origin: Instant::now(),
            sources: if loopback { plan.sources } else { 1 },
            rooms: viewers.into_iter().enumerate().map(room).collect::<Result<_, _>>()?,
            seats: (0..plan.seats()).map(|_| Seat::default()).collect(),
            connected: targets.iter().map(|_| AtomicUsize::new(0)).collect(),
            targets,
            stats: Stats::default(),
            traffic: plan.traffic.clone(),
            away: plan.away.clone(),
            start: watch::channel(None).0,
            over: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            verifier: Mutex::default(),
        }))
    }

    /// Time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The next message's number.
    pub(crate) fn number(&self) -> u64 {
        self.messages.fetch_add(1, Ordering::Relaxed)
    }

    /// When a message of this run was due, since its origin; `None`: it is another run's.
    pub(crate) fn due(&self, body: &Body) -> Option<Duration> {
        Stamp::read(body).filter(|stamp| stamp.run == self.run).map(|stamp| stamp.due)
    }

    /// Nothing more is to be published or cut.
    pub(crate) fn end(&self) {
        // Who publishes holds it from looking at this until the verifier knows.
        let _verifier = self.verifier();
        self.over.store(true, Ordering::Relaxed);
    }

    /// Lets the verifier know of what is about to be published. Returns false if it must not be: it is over.
    pub(crate) fn expect(&self, publish: impl FnOnce(&mut Verifier)) -> bool {
        let mut verifier = self.verifier();
        if self.is_over() {
            return false;
        }
        publish(&mut verifier);
        true
    }

    /// Whether nothing more is to be published or cut.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What publishers sent and saw.
    pub(crate) fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last number that anybody got, room by room.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let mut ends = vec![0; self.rooms.len()];
        for (room, seat) in self.seated() {
            ends[room] = seat.last().max(ends[room]);
        }
        ends
    }

    /// Every client that is in a room, with its room.
    pub(crate) fn seated(&self) -> impl Iterator<Item = (usize, &Seat)> {
        let rooms = self.rooms.len();
        // Plan::place seats them so.
        self.seats.iter().enumerate().filter(move |_| rooms > 0).map(move |(seat, state)| (seat % rooms, state))
    }

    /// Open connections, all targets together.
    pub(crate) fn open(&self) -> usize {
        self.connected.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_seen_the_end_knows_of_everything_that_is_published() {
        for _ in 0..200 {
            let plan = Plan { urls: vec![String::new()], clients: 1, rooms: 1, ..Plan::empty("test") };
            let crowd = Crowd::new(&plan, Vec::new()).unwrap();
            let expected = AtomicU64::new(0);
            let at_the_end = std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| while crowd.expect(|_| _ = expected.fetch_add(1, Ordering::Relaxed)) {});
                }
                std::thread::yield_now();
                crowd.end();
                expected.load(Ordering::Relaxed)
            });
            assert_eq!(expected.load(Ordering::Relaxed), at_the_end);
        }
    }
}
