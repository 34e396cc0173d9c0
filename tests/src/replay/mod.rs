//! A recorded chat, said again faster than it was: through several nodes, seen by viewers on each.
//!
//! Open loop: every message has its moment, whatever became of those before it, and latencies count from that moment.
//! A message that could not be sent in time, because its author's connection was not there yet or the machine was
//! busy, was late for its readers, so that counts too.
//!
//! Every author is a user with a connection of their own, which is made a moment before it is needed and closed after a
//! while without use: a popular stream has thousands of authors, most of whom say one thing. An author comes always to
//! the same node. Texts are made up (see [`crate::chat_text`]); a message's size is that of its text in UTF-8, exactly as
//! recorded, and its body is `{"text":…}`, as the chat page's is.

mod author;
mod summary;
mod visits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Client;
use client::verifier::Party;
use protocol::RoomName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub use summary::{Service, Summary};

use crate::audience::{Audience, Outcome, Seat};
use crate::trace::Trace;
use author::Author;
use visits::{Visit, node_of, visits};

/// How a trace is replayed. Times are those of the run, not of the trace.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The nodes, as `ws://host:port`.
    pub urls: Vec<String>,
    /// How many times faster than it was recorded.
    pub speed: f64,
    /// Viewers in each room on each node.
    pub viewers: usize,
    /// How long before their first message authors connect.
    pub lead: Duration,
    /// How long a connection is kept for the author's next message.
    pub keep: Duration,
    /// Most authors that are connected at a time; more wait, and are late.
    pub connections: usize,
    /// How long everything may take after the last message is due.
    pub patience: Duration,
    /// Decides the texts.
    pub seed: u64,
}

impl ReplayOptions {
    /// A minute in a second, at these nodes.
    #[must_use]
    pub fn to(urls: Vec<String>) -> Self {
        Self {
            urls,
            speed: 60.0,
            viewers: 3,
            lead: Duration::from_millis(20),
            keep: Duration::from_millis(40),
            connections: 200,
            patience: Duration::from_secs(60),
            seed: 1,
        }
    }
}

/// What a replay came to.
pub struct Replayed {
    /// What all clients saw.
    pub outcome: Outcome,
    /// The rooms' names in this run, in the order of the trace, and how many messages each has there.
    pub rooms: Vec<(RoomName, usize)>,
    /// How many people wrote.
    pub authors: usize,
    /// How many connections they made.
    pub visits: usize,
    /// From the first message's moment until everybody had seen everything, or patience ended.
    pub took: Duration,
}

impl Replayed {
    /// Every promise that was broken.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.outcome.problems(&self.rooms)
    }
}

/// What everybody in a run needs.
struct Run {
    name: String,
    rooms: Vec<RoomName>,
    options: ReplayOptions,
    audience: Arc<Audience>,
    start: Instant,
}

/// How long the first moment is after the viewers have joined.
const HEAD_START: Duration = Duration::from_millis(300);
/// How often it is looked whether everybody has seen everything: a pass over all that happened.
const LOOK: Duration = Duration::from_millis(250);

/// Replays a trace in rooms of its own.
///
/// # Panics
/// When the viewers cannot connect.
pub async fn replay(trace: &Trace, options: ReplayOptions) -> Replayed {
    let name = format!("replay-{:012x}", fastrand::u64(..1 << 48));
    let room = |room: &String| RoomName::new(&format!("{name}/{room}")).expect("a trace's rooms have plain names");
    let rooms: Vec<RoomName> = trace.rooms.iter().map(room).collect();
    let audience = Arc::new(Audience::new());
    let viewers = seat_viewers(&audience, &rooms, &options).await;
    let visits = visits(trace, options.keep.mul_f64(options.speed));
    let (count, authors) = (visits.len(), trace.authors());
    let end = trace.lines.last().map_or(Duration::ZERO, |line| line.at).div_f64(options.speed);
    let start = Instant::now() + HEAD_START;
    let deadline = start + end + options.patience;
    let run = Arc::new(Run { name, rooms, options, audience, start });
    // Visits that do not end in time are broken off: the verifier tells what they owe.
    let _ = tokio::time::timeout_at(deadline.into(), all_visits(&run, visits, viewers.len())).await;
    while !run.audience.settled() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    let took = run.start.elapsed();
    let outcome = run.audience.outcome();
    for viewer in viewers {
        viewer.close().await;
    }
    let rooms = run.rooms.iter().cloned().zip(trace.lines_by_room()).collect();
    Replayed { outcome, rooms, authors, visits: count, took }
}

/// Lets the viewers join every room on every node.
async fn seat_viewers(audience: &Arc<Audience>, rooms: &[RoomName], options: &ReplayOptions) -> Vec<Client> {
    let mut viewers = Vec::new();
    for (node, url) in options.urls.iter().enumerate() {
        for room in rooms {
            for _ in 0..options.viewers {
                let seat = Seat { party: party(viewers.len()), node, viewer: true };
                viewers.push(audience.seat_viewer(seat, url, room).await);
            }
        }
    }
    viewers
}

/// Lets every visit begin at its time, as far as there are connections.
async fn all_visits(run: &Arc<Run>, visits: Vec<Visit>, viewers: usize) {
    let places = Arc::new(Semaphore::new(run.options.connections));
    let mut under_way = JoinSet::new();
    for (index, visit) in visits.into_iter().enumerate() {
        sleep_until((run.moment(visit.begins()) - run.options.lead).into()).await;
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
        let node = node_of(visit.author, run.options.urls.len());
        let seat = Seat { party: party(viewers + index), node, viewer: false };
        under_way.spawn(Arc::clone(run).visit(visit, seat, place));
        while let Some(ended) = under_way.try_join_next() {
            ended.expect("a visit does not fail");
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("a visit does not fail");
    }
}

fn party(number: usize) -> Party {
    Party(u32::try_from(number).expect("fewer than 2^32 connections"))
}

impl Run {
    /// When something of the trace happens in this run.
    fn moment(&self, at: Duration) -> Instant {
        self.start + at.div_f64(self.options.speed)
    }

    /// One author's stay, from its beginning to its end.
    async fn visit(self: Arc<Self>, visit: Visit, seat: Seat, _place: OwnedSemaphorePermit) {
        Author::new(&self, seat, &visit).stay().await;
    }
}
