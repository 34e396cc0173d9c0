//! A steady load on many rooms from many nodes, whatever the service does with it.
//!
//! Open loop: every message has its moment, evenly spread and jittered, and latencies count from that moment. A thread
//! keeps the time, because tokio's timers are a millisecond wide. Each node's first connection is a viewer too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::verifier::Party;
use client::{Client, ClientOptions, Event, JoinFrom};
use protocol::RoomName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use ::tests::audience::{Audience, Outcome, Publish, Seat};
use ::tests::chat_text::chat_text;

/// Messages that are due and were not yet taken by one connection's task.
const DUE: usize = 8_192;

/// What the load is to be.
#[derive(Debug, Clone)]
pub struct OpenLoadOptions {
    /// The nodes, as `ws://host:port`.
    pub urls: Vec<String>,
    /// Rooms; every connection is in all of them.
    pub rooms: usize,
    /// Connections to each node.
    pub connections: usize,
    /// Messages a second from each node to each room.
    pub rate: f64,
    /// Bytes of text in each message.
    pub bytes: usize,
    /// What is sent in this time is verified, but not timed.
    pub warm_up: Duration,
    /// For how long messages are timed.
    pub time: Duration,
    /// How long to wait for what is missing afterwards.
    pub patience: Duration,
}

/// What the load came to.
pub struct OpenLoaded<T> {
    /// What all clients saw.
    pub outcome: Outcome,
    /// The rooms, and how many messages were published in each.
    pub rooms: Vec<(RoomName, usize)>,
    /// What was noted when the warm-up ended.
    pub before: T,
    /// What was noted when the last message was due.
    pub after: T,
}

impl<T> OpenLoaded<T> {
    /// Every promise that was broken.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.outcome.problems(&self.rooms)
    }
}

/// Which message is due, and when.
type Due = (usize, Instant);

/// Node, room, and connection of the node.
type Place = (usize, usize, usize);

/// A client and what it does.
struct Connection {
    seat: Seat,
    client: Client,
    due: mpsc::Receiver<Due>,
}

/// What all connections need.
struct Load {
    options: OpenLoadOptions,
    places: Vec<Place>,
    rooms: Vec<RoomName>,
    audience: Arc<Audience>,
}

impl OpenLoadOptions {
    fn messages_a_second(&self) -> f64 {
        self.rate * self.rooms as f64 * self.urls.len() as f64
    }

    fn messages_in(&self, time: Duration) -> usize {
        (self.messages_a_second() * time.as_secs_f64()).round() as usize
    }

    /// The node, the room and the node's connection of each message, each from 0. All have the same share, in an order
    /// that changes from one round to the next: nothing that nodes do at the same time is arranged.
    fn places(&self, total: usize) -> Vec<Place> {
        let (nodes, rooms) = (self.urls.len(), self.rooms);
        let mut round: Vec<Place> = (0..nodes * rooms * self.connections)
            .map(|number| (number % nodes, number / nodes % rooms, number / nodes / rooms))
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        let mut places = Vec::with_capacity(total + round.len());
        while places.len() < total {
            random.shuffle(&mut round);
            places.extend_from_slice(&round);
        }
        places.truncate(total);
        places
    }
}

/// Runs the load, and takes note when the warm-up ends and when the last message is due.
///
/// # Panics
/// When a client cannot connect or join.
pub async fn open_load<T>(options: OpenLoadOptions, note: impl AsyncFn() -> T) -> OpenLoaded<T> {
    let (warm_up, time) = (options.warm_up, options.time);
    let (first_timed, total) = (options.messages_in(warm_up), options.messages_in(warm_up + time));
    let run = fastrand::u64(..1 << 48);
    let name = |number| RoomName::new(&format!("bench-{run:012x}-{number}")).expect("a plain name");
    let rooms: Vec<RoomName> = (0..options.rooms).map(name).collect();
    let audience = Arc::new(Audience::timing_from(first_timed));
    let load = Arc::new(Load { places: options.places(total), options, rooms, audience });

    let (connections, queues) = load.connect().await;
    let clients: Vec<Client> = connections.iter().map(|connection| connection.client.clone()).collect();
    let start = Instant::now();
    let mut publishers = JoinSet::new();
    for connection in connections {
        publishers.spawn(Arc::clone(&load).publish_what_is_due(connection));
    }
    let pace = Arc::clone(&load);
    let pacing = std::thread::spawn(move || pace.keep_time(start, total, &queues));

    sleep_until((start + warm_up).into()).await;
    let before = note().await;
    sleep_until((start + warm_up + time).into()).await;
    let after = note().await;
    let deadline = start + warm_up + time + load.options.patience;
    let all = async { while publishers.join_next().await.is_some() {} };
    // Whoever does not end in time is broken off: the verifier tells what is owed.
    let _ = timeout_at(deadline.into(), all).await;
    while !load.audience.settled() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let outcome = load.audience.outcome();
    for client in clients {
        client.close().await;
    }
    drop(publishers);
    pacing.join().expect("it only keeps time");
    let mut published = vec![0; load.rooms.len()];
    load.places.iter().for_each(|(_, room, _)| published[*room] += 1);
    OpenLoaded { outcome, rooms: load.rooms.iter().cloned().zip(published).collect(), before, after }
}

impl Load {
    /// All connections, in all rooms, and the queues that tell them what is due, node by node.
    async fn connect(&self) -> (Vec<Connection>, Vec<mpsc::Sender<Due>>) {
        let (mut connections, mut queues) = (Vec::new(), Vec::new());
        for (node, url) in self.options.urls.iter().enumerate() {
            for index in 0..self.options.connections {
                let party = Party(u32::try_from(connections.len()).expect("fewer than 2^32 clients"));
                let seat = Seat { party, node, viewer: index == 0 };
                let client = self.seat(seat, url).await;
                let (sender, due) = mpsc::channel(DUE);
                queues.push(sender);
                connections.push(Connection { seat, client, due });
            }
        }
        (connections, queues)
    }

    async fn seat(&self, seat: Seat, url: &str) -> Client {
        let client = Client::connect(ClientOptions::to(url)).await.expect("the service greets");
        let (audience, watched, rooms) = (Arc::clone(&self.audience), client.clone(), self.rooms.clone());
        tokio::spawn(async move {
            while let Some(event) = watched.next_event().await {
                audience.handle_event(seat, &event);
                // It is there to publish: nobody waits until it has seen everything.
                if !seat.viewer && matches!(event, Event::Joined { .. }) {
                    audience.handle_gone(seat, &rooms);
                }
            }
        });
        for room in &self.rooms {
            client.join(room, JoinFrom::Head).await.expect("the room takes clients");
            if seat.viewer {
                self.audience.expect_viewer(seat, room);
            }
        }
        client
    }

    /// Tells every connection what is due when it is.
    fn keep_time(&self, start: Instant, total: usize, queues: &[mpsc::Sender<Due>]) {
        let every = 1.0 / self.options.messages_a_second();
        for number in 0..total {
            let due = start + Duration::from_secs_f64((number as f64 + fastrand::f64()) * every);
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::sleep(left);
            }
            let (node, _, connection) = self.places[number];
            if queues[node * self.options.connections + connection].blocking_send((number, due)).is_err() {
                return; // broken off
            }
        }
    }

    async fn publish_what_is_due(self: Arc<Self>, mut connection: Connection) {
        while let Some((number, due)) = connection.due.recv().await {
            let (_, room, _) = self.places[number];
            let (room, text) = (&self.rooms[room], chat_text(number as u64, self.options.bytes));
            let publish = Publish { number, room, text: &text, due };
            let client = &connection.client;
            let (id, body) = self.audience.handle_publish(connection.seat, client.user(), &publish);
            if client.publish_nowait(room, id, body).await.is_err() {
                return; // the verifier tells what is owed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_node_and_room_and_connection_gets_its_share() {
        let seconds = Duration::from_secs;
        let options = OpenLoadOptions {
            urls: vec![String::new(); 2],
            rooms: 3,
            connections: 5,
            rate: 10.0,
            bytes: 1,
            warm_up: seconds(1),
            time: seconds(2),
            patience: seconds(1),
        };
        assert_eq!((options.messages_in(options.warm_up), options.messages_in(seconds(3))), (60, 180));
        let mut shares = BTreeMap::new();
        options.places(180).into_iter().for_each(|place| *shares.entry(place).or_insert(0) += 1);
        assert_eq!(shares.len(), 2 * 3 * 5);
        assert!(shares.values().all(|&share| share == 6));
    }
}
