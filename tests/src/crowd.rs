//! Clients whose every publish and every event the verifier sees.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::session::Event;
use client::verifier::Party;
use client::{Backoff, Client, ClientOptions, JoinFrom, JoinedRoom, Report, Verifier};
use protocol::{Body, MessageFrame, MessageId, RoomName, Seq};
use tokio::sync::{Notify, watch};

use crate::PATIENCE;

/// Clients under one verifier.
#[derive(Default)]
pub struct Crowd {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    verifier: Mutex<Verifier>,
    /// Something happened to somebody.
    change: Notify,
    parties: std::sync::atomic::AtomicU32,
}

impl Shared {
    fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client of a crowd: a viewer, a publisher or both.
pub struct Guest {
    /// The client itself. Its events go to the crowd; everything else may be done with it.
    pub client: Client,
    party: Party,
    shared: Arc<Shared>,
    seen: Arc<Mutex<Vec<Event>>>,
    paused: watch::Sender<bool>,
    pump: tokio::task::JoinHandle<()>,
}

/// A room's name.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("tests name rooms well")
}

/// A message id that was never used before.
///
/// # Panics
/// Never.
#[must_use]
pub fn fresh_id() -> MessageId {
    MessageId::new(&format!("{:032x}", fastrand::u128(..))).expect("32 characters of hex are an id")
}

/// A body that is a JSON string.
///
/// # Panics
/// Never.
#[must_use]
pub fn text_body(text: &str) -> Body {
    Body::parse(&serde_json::Value::from(text).to_string()).expect("a JSON string is a body")
}

/// Options for the nodes at these URLs with little patience between attempts.
#[must_use]
pub fn options(urls: &[String]) -> ClientOptions {
    ClientOptions {
        urls: urls.to_vec(),
        backoff: Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) },
        start_timeout: PATIENCE,
        ..ClientOptions::default()
    }
}

impl Crowd {
    /// An empty crowd.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects somebody; returning ones go from one URL to the next.
    ///
    /// # Panics
    /// When the service does not greet.
    pub async fn guest(&self, urls: &[String]) -> Guest {
        self.guest_with(options(urls)).await
    }

    /// Connects somebody to one node, to which it also returns, and lets it join a room at its head.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn member(&self, url: &str, room: &RoomName) -> Guest {
        let guest = self.guest(&[url.to_owned()]).await;
        guest.join(room, JoinFrom::Head).await;
        guest
    }

    /// Connects somebody with options of their own.
    ///
    /// # Panics
    /// When the service does not greet.
    pub async fn guest_with(&self, options: ClientOptions) -> Guest {
        let client = Client::connect(options).await.expect("the service greets");
        let number = self.shared.parties.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (party, seen) = (Party(number), Arc::default());
        let (paused, pause) = watch::channel(false);
        let pump = tokio::spawn(pump(client.clone(), party, Arc::clone(&self.shared), Arc::clone(&seen), pause));
        Guest { client, party, shared: Arc::clone(&self.shared), seen, paused, pump }
    }

    /// Waits until every publish has its outcome and everybody has come to the end of every room they are in.
    ///
    /// # Panics
    /// When that does not happen within [`PATIENCE`].
    pub async fn settled(&self) {
        let start = Instant::now();
        loop {
            let change = self.shared.change.notified();
            if self.shared.verifier().settled() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "not settled within {PATIENCE:?}: {}", self.report());
            // What is looked for costs a pass over everything: not for every message.
            let _ = tokio::time::timeout(Duration::from_millis(500), change).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether every publish has its outcome and everybody has come to the end of every room they are in.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.shared.verifier().settled()
    }

    /// What the verifier says now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.verifier().report()
    }

    /// Waits for the end and for a clean report.
    ///
    /// # Panics
    /// When a promise was broken, or nobody published anything.
    pub async fn verified(&self) -> Report {
        self.settled().await;
        let report = self.report();
        assert!(report.is_clean(), "{report}");
        assert!(report.acked > 0 && report.sightings > 0, "nothing was verified: {report}");
        report
    }
}

/// Takes a client's events from its start to its end.
async fn pump(
    client: Client,
    party: Party,
    shared: Arc<Shared>,
    seen: Arc<Mutex<Vec<Event>>>,
    mut paused: watch::Receiver<bool>,
) {
    // An error says that nobody can pause it any more.
    while paused.wait_for(|paused| !paused).await.is_ok()
        && let Some(event) = client.next_event().await
    {
        shared.verifier().handle_event(party, &event);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        shared.change.notify_waiters();
    }
}

impl Guest {
    /// Joins a room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn join(&self, room: &RoomName, from: JoinFrom) -> JoinedRoom {
        let joined = tokio::time::timeout(PATIENCE, self.client.join(room, from)).await;
        joined.expect("a join is answered").expect("the room takes everybody")
    }

    /// Publishes a text and waits until it is durable.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn say(&self, room: &RoomName, text: &str) -> Seq {
        self.publish(room, fresh_id(), text_body(text)).await
    }

    /// Publishes and waits until it is durable.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn publish(&self, room: &RoomName, id: MessageId, body: Body) -> Seq {
        self.announce(room, &id, &body);
        let acked = tokio::time::timeout(PATIENCE, self.client.publish(room, id, body)).await;
        acked.expect("a publish is answered").expect("the room takes everything").seq
    }

    /// Publishes and waits for nothing but room among the publishes that have no answer yet.
    ///
    /// # Panics
    /// When the client does not take it.
    pub async fn shout(&self, room: &RoomName, text: &str) {
        let (id, body) = (fresh_id(), text_body(text));
        self.announce(room, &id, &body);
        let start = Instant::now();
        loop {
            match self.client.publish_nowait(room, id.clone(), body.clone()).await {
                Ok(()) => return,
                Err(client::RequestError::Refused(client::session::Refusal::TooManyUnacknowledged)) => {
                    assert!(start.elapsed() < PATIENCE, "nothing is acknowledged within {PATIENCE:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("not taken: {error}"),
            }
        }
    }

    /// Tells the verifier of a publish that the test sends by itself.
    pub fn announce(&self, room: &RoomName, id: &MessageId, body: &Body) {
        self.shared.verifier().handle_publish(self.party, self.client.user(), room, id, body);
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All messages of a room so far, in the order in which they came.
    #[must_use]
    pub fn messages(&self, room: &RoomName) -> Vec<MessageFrame> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = seen.iter().filter_map(|event| match event {
            Event::Message { message, .. } if message.room == *room => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }

    /// The numbers of all messages of a room so far.
    #[must_use]
    pub fn seqs(&self, room: &RoomName) -> Vec<u64> {
        self.messages(room).iter().map(|message| message.seq.get()).collect()
    }

    /// Waits until an event has come, be it before this call or after.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    pub async fn until(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let start = Instant::now();
        loop {
            let change = self.shared.change.notified();
            if let Some(event) = self.events().into_iter().find(&wanted) {
                return event;
            }
            assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            let _ = tokio::time::timeout(Duration::from_millis(500), change).await;
        }
    }

    /// Waits until that many messages of a room have come.
    ///
    /// # Panics
    /// When they do not within [`PATIENCE`].
    pub async fn has_seen(&self, room: &RoomName, count: usize) -> Vec<MessageFrame> {
        let start = Instant::now();
        loop {
            let change = self.shared.change.notified();
            let messages = self.messages(room);
            if messages.len() >= count {
                return messages;
            }
            assert!(start.elapsed() < PATIENCE, "{} of {count} messages within {PATIENCE:?}", messages.len());
            let _ = tokio::time::timeout(Duration::from_millis(500), change).await;
        }
    }

    /// Waits until that many events of a kind have come.
    ///
    /// # Panics
    /// When they do not within [`PATIENCE`].
    pub async fn count_reaches(&self, what: &str, count: usize, wanted: impl Fn(&Event) -> bool) {
        let start = Instant::now();
        loop {
            let change = self.shared.change.notified();
            let found = self.events().iter().filter(|event| wanted(event)).count();
            if found >= count {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{found} of {count} within {PATIENCE:?}: {what}");
            let _ = tokio::time::timeout(Duration::from_millis(500), change).await;
        }
    }

    /// Stops taking the client's events, so that it stops reading its socket once its queue is full; or goes on.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Whether it was ever told that it cannot go on where it was. The reset that comes before a room's very first
    /// message says nothing of the kind.
    #[must_use]
    pub fn lost_its_place(&self) -> bool {
        self.events().iter().any(|event| match event {
            Event::Joined { recovered, .. } => !recovered,
            Event::Reset { position, .. } => position.seq > Seq::ZERO,
            _ => false,
        })
    }

    /// How often its connection was lost.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Disconnected { .. })).count()
    }

    /// Leaves the service, as far as the verifier is concerned in the middle of its rooms: what follows is none of its
    /// business.
    ///
    /// # Panics
    /// When its events do not come to an end.
    pub async fn depart(self, rooms: &[&RoomName]) {
        for room in rooms {
            self.shared.verifier().handle_left(self.party, room);
        }
        self.client.close().await;
        self.pump.await.expect("the pump does not fail");
    }
}
