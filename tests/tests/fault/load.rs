//! Sustained load: publishers and viewers on every node, all of them verified, timed chapter by chapter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::session::Limits;
use client::verifier::Party;
use client::{Client, ClientOptions, Event, JoinFrom};
use protocol::RoomName;
use tests::audience::{Audience, Outcome, Publish, Seat, Times};
use tests::chat_text::chat_text;
use tests::crowd::{options, room};
use tests::room_log::{Logged, room_log};
use tests::{Stack, eventually_within};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cluster::BOUND;

/// Where publishers publish.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Places {
    /// In one of so many rooms after the other.
    AllRooms(usize),
    /// In a room in which only those publish who are at home on the same node.
    RoomOfOwnHome,
}

/// What the load is to be.
#[derive(Debug, Clone)]
pub(crate) struct LoadOptions {
    /// For each node the URLs of those who are at home there; they go from one to the next when a connection is lost.
    pub(crate) homes: Vec<Vec<String>>,
    /// Publishers at home on each node. They see everything, too.
    pub(crate) publishers: usize,
    /// Others at home on each node.
    pub(crate) viewers: usize,
    /// Where is published what; everybody is in all rooms.
    pub(crate) places: Places,
    /// Between two messages of one publisher, on average.
    pub(crate) pause: Duration,
    /// Messages of one publisher that wait for their acknowledgement.
    pub(crate) in_flight: usize,
    /// Bytes of text in each message.
    pub(crate) bytes: usize,
}

impl LoadOptions {
    /// A busy room: on each node two publishers, with 25 messages a second each, and a viewer.
    pub(crate) fn chat(homes: Vec<Vec<String>>) -> Self {
        Self {
            homes,
            publishers: 2,
            viewers: 1,
            places: Places::AllRooms(1),
            pause: Duration::from_millis(40),
            in_flight: 400,
            bytes: 100,
        }
    }
}

/// A running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    publishers: JoinSet<()>,
    clients: Vec<Client>,
    chapters: Vec<String>,
}

struct Shared {
    options: LoadOptions,
    audience: Arc<Audience>,
    /// Each with the number of publishes into it.
    rooms: Vec<(RoomName, AtomicUsize)>,
    /// Publishes so far.
    numbers: AtomicUsize,
    acked: AtomicU64,
    stop: AtomicBool,
}

/// What a load came to, all promises kept.
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// The log of each room.
    pub(crate) logs: Vec<Vec<Logged>>,
    chapters: Vec<String>,
}

impl Load {
    /// Seats everybody, then begins to publish. The first chapter is called `calm`.
    pub(crate) async fn start(options: LoadOptions) -> Self {
        let count = match options.places {
            Places::AllRooms(count) => count,
            Places::RoomOfOwnHome => options.homes.len(),
        };
        let rooms = (0..count).map(|number| (room(&format!("room-{number}")), AtomicUsize::new(0))).collect();
        let (audience, numbers, acked, stop) = <(Arc<Audience>, AtomicUsize, AtomicU64, AtomicBool)>::default();
        let shared = Arc::new(Shared { options, audience, rooms, numbers, acked, stop });
        let mut load = Self { shared, publishers: JoinSet::new(), clients: Vec::new(), chapters: vec!["calm".into()] };
        let mut begin = Vec::new();
        let Shared { options, .. } = &*load.shared.clone();
        for (node, urls) in options.homes.iter().enumerate() {
            for index in 0..options.publishers + options.viewers {
                let party = Party(u32::try_from(load.clients.len()).expect("few clients"));
                let seat = Seat { party, node, viewer: true };
                let permits = Arc::new(Semaphore::new(options.in_flight));
                let client = load.shared.clone().seat(seat, urls, Arc::clone(&permits)).await;
                load.clients.push(client.clone());
                if index < options.publishers {
                    begin.push((seat, client, permits));
                }
            }
        }
        for (seat, client, permits) in begin {
            load.publishers.spawn(Arc::clone(&load.shared).publish(seat, client, permits));
        }
        load
    }

    /// From here on messages are timed apart, under this name.
    pub(crate) fn chapter(&mut self, name: &str) {
        self.shared.audience.begin_chapter();
        self.chapters.push(name.to_owned());
    }

    /// Messages acknowledged so far.
    pub(crate) fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// The first room.
    pub(crate) fn room(&self) -> &RoomName {
        &self.shared.rooms[0].0
    }

    /// Goes on until so many more messages are acknowledged, however long that takes.
    pub(crate) async fn advances(&self, messages: u64) {
        let end = self.acked() + messages;
        while self.acked() < end {
            let before = self.acked();
            eventually_within(BOUND, "publishes are acknowledged", || async { self.acked() > before }).await;
        }
    }

    /// Goes on for this long, and until at least 50 more messages are acknowledged.
    pub(crate) async fn lasts(&self, time: Duration) {
        let end = Instant::now() + time;
        self.advances(50).await;
        tokio::time::sleep_until(end.into()).await;
    }

    /// Ends the publishing, waits until everybody has everything, and holds it against all promises and the log.
    pub(crate) async fn done(mut self, stack: &Stack) -> Done {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = async {
            while let Some(ended) = self.publishers.join_next().await {
                ended.expect("a publisher publishes to the end");
            }
        };
        tokio::time::timeout(BOUND, ended).await.expect("publishers come to an end");
        let (audience, start) = (&self.shared.audience, Instant::now());
        while !audience.settled() && start.elapsed() < BOUND {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let outcome = audience.outcome();
        let rooms = self.shared.rooms.iter();
        let expected: Vec<_> = rooms.map(|(room, count)| (room.clone(), count.load(Ordering::Relaxed))).collect();
        assert_eq!(outcome.problems(&expected), [""; 0], "{}", outcome.setbacks());
        let mut logs = Vec::new();
        for (room, published) in expected {
            let log = room_log(stack, &room).await;
            assert_eq!(log.len(), published, "{room}: every publish is in the log, and nothing else");
            logs.push(log);
        }
        for client in self.clients {
            client.close().await;
        }
        Done { outcome, logs, chapters: self.chapters }
    }
}

impl Shared {
    async fn seat(self: Arc<Self>, seat: Seat, urls: &[String], permits: Arc<Semaphore>) -> Client {
        let limits = Limits { unacknowledged: self.options.in_flight, ..Limits::default() };
        let client = Client::connect(ClientOptions { limits, ..options(urls) }).await.expect("the service greets");
        let (shared, watched) = (Arc::clone(&self), client.clone());
        tokio::spawn(async move {
            while let Some(event) = watched.next_event().await {
                shared.audience.handle_event(seat, &event);
                if matches!(event, Event::Acked { .. }) {
                    shared.acked.fetch_add(1, Ordering::Relaxed);
                    permits.add_permits(1);
                }
            }
        });
        for (room, _) in &self.rooms {
            client.join(room, JoinFrom::Head).await.expect("the room takes everybody");
            self.audience.expect_viewer(seat, room);
        }
        client
    }

    /// Publishes until it is time to stop, into one room after the other.
    async fn publish(self: Arc<Self>, seat: Seat, client: Client, permits: Arc<Semaphore>) {
        loop {
            let due = Instant::now() + self.options.pause.mul_f64(2.0 * fastrand::f64());
            tokio::time::sleep_until(due.into()).await;
            permits.acquire().await.expect("it is never closed").forget();
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let (room, count) = match self.options.places {
                Places::AllRooms(_) => &self.rooms[number % self.rooms.len()],
                Places::RoomOfOwnHome => &self.rooms[seat.node],
            };
            count.fetch_add(1, Ordering::Relaxed);
            let text = chat_text(number as u64, self.options.bytes);
            // At full speed everything is due when there is room for it.
            let due = if self.options.pause.is_zero() { Instant::now() } else { due };
            let publish = Publish { number, room, text: &text, due };
            let (id, body) = self.audience.handle_publish(seat, client.user(), &publish);
            client.publish_nowait(room, id, body).await.expect("there is room for what has a permit");
        }
    }
}

impl Done {
    /// The times of a chapter.
    ///
    /// # Panics
    /// When there is none of that name, or nothing was published in it.
    pub(crate) fn times(&self, chapter: &str) -> &Times {
        let index = self.chapters.iter().position(|name| name == chapter);
        let times = index.and_then(|index| self.outcome.chapters.get(index));
        times.unwrap_or_else(|| panic!("nothing was published in chapter {chapter}"))
    }

    /// Prints what the fault of each chapter but those that are called calm did cost, beside what there was without it.
    pub(crate) fn print(&self, row: &str) {
        let calm = self.times("calm");
        for chapter in self.chapters.iter().filter(|name| !name.starts_with("calm")) {
            let Times { acks, cross_node, .. } = self.times(chapter);
            eprintln!("fault {row}, {chapter}: cross-node {cross_node}; acknowledgement {acks}");
        }
        eprintln!("fault {row}, without: cross-node {}; acknowledgement {}", calm.cross_node, calm.acks);
        eprintln!("fault {row}: {} acknowledged, {}", self.outcome.report.acked, self.outcome.setbacks());
    }
}
