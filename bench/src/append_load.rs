//! How many publishes into one room the log takes: publishers on every node, each with so many in flight.
//!
//! Closed loop: a publisher sends its next message when one of those in flight is acknowledged. So this tells what the
//! service can do, not how long people wait; for that see [`tests::replay`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::verifier::Party;
use client::{Client, ClientOptions, Event, JoinFrom};
use protocol::RoomName;
use tokio::task::JoinSet;

use ::tests::audience::{Audience, Outcome, Publish, Seat};
use ::tests::chat_text::chat_text;

/// What the load is to be.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The nodes, as `ws://host:port`; publishers spread over them.
    pub urls: Vec<String>,
    /// Publishers.
    pub publishers: usize,
    /// Messages of each that wait for their acknowledgement.
    pub in_flight: usize,
    /// How long a publisher pauses before each message, on average; evenly distributed between nothing and twice that.
    pub pause: Duration,
    /// Bytes of text in each message.
    pub bytes: usize,
    /// For how long messages are sent.
    pub time: Duration,
    /// Most messages, all publishers together.
    pub most: usize,
    /// How long to wait for what is missing afterwards.
    pub patience: Duration,
}

/// What the load came to.
pub struct Loaded {
    /// What all clients saw.
    pub outcome: Outcome,
    /// The room.
    pub room: RoomName,
    /// How many messages were published.
    pub published: usize,
    /// From the first publish to the last acknowledgement.
    pub took: Duration,
}

impl Loaded {
    /// Every promise that was broken.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.outcome.problems(&[(self.room.clone(), self.published)])
    }
}

/// What every publisher needs.
struct Load {
    options: LoadOptions,
    room: RoomName,
    audience: Arc<Audience>,
    numbers: AtomicUsize,
    end: Instant,
}

/// Publishes into a room of its own, with one viewer on each node.
///
/// # Panics
/// When a client cannot connect or join.
pub async fn append_load(options: LoadOptions) -> Loaded {
    let room = RoomName::new(&format!("load-{:012x}", fastrand::u64(..1 << 48))).expect("a plain name");
    let audience = Arc::new(Audience::new());
    let mut viewers = Vec::new();
    for (node, url) in options.urls.iter().enumerate() {
        viewers.push(audience.seat_viewer(Seat { party: party(node), node, viewer: true }, url, &room).await);
    }
    let mut publishers = Vec::new();
    for index in 0..options.publishers {
        let node = index % options.urls.len();
        let seat = Seat { party: party(viewers.len() + index), node, viewer: false };
        let client = Client::connect(ClientOptions::to(&options.urls[node])).await.expect("the service greets");
        client.join(&room, JoinFrom::Head).await.expect("the room takes publishers");
        publishers.push((seat, client));
    }
    let start = Instant::now();
    let deadline = start + options.time + options.patience;
    let load = Load { end: start + options.time, options, room, audience, numbers: AtomicUsize::new(0) };
    let load = Arc::new(load);
    let mut under_way = JoinSet::new();
    for (seat, client) in publishers {
        under_way.spawn(Arc::clone(&load).publisher(seat, client));
    }
    let all = async { while under_way.join_next().await.is_some_and(|ended| ended.is_ok()) {} };
    // Whoever does not end in time is broken off: the verifier tells what is owed.
    let _ = tokio::time::timeout_at(deadline.into(), all).await;
    let took = start.elapsed();
    while !load.audience.settled() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let outcome = load.audience.outcome();
    for viewer in viewers {
        viewer.close().await;
    }
    Loaded { outcome, room: load.room.clone(), published: load.numbers.load(Ordering::Relaxed), took }
}

fn party(number: usize) -> Party {
    Party(u32::try_from(number).expect("fewer than 2^32 clients"))
}

impl Load {
    /// Keeps its messages in flight until the end, then waits for the last outcome.
    async fn publisher(self: Arc<Self>, seat: Seat, client: Client) {
        let mut in_flight = 0;
        loop {
            while in_flight < self.options.in_flight && self.publish_after_pause(seat, &client).await {
                in_flight += 1;
            }
            if in_flight == 0 {
                break;
            }
            let Some(event) = client.next_event().await else { return };
            self.audience.handle_event(seat, &event);
            if matches!(event, Event::Acked { .. } | Event::PublishFailed { .. }) {
                in_flight -= 1;
            }
        }
        self.audience.handle_gone(seat, std::slice::from_ref(&self.room));
        client.close().await;
    }

    async fn publish_after_pause(&self, seat: Seat, client: &Client) -> bool {
        if !self.options.pause.is_zero() {
            tokio::time::sleep(self.options.pause.mul_f64(2.0 * fastrand::f64())).await;
        }
        self.publish(seat, client).await
    }

    /// Publishes one more message, unless it is time to end.
    async fn publish(&self, seat: Seat, client: &Client) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        let most = self.options.most;
        let number = self
            .numbers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1));
        let Ok(number) = number else { return false };
        let text = chat_text(number as u64, self.options.bytes);
        let publish = Publish { number, room: &self.room, text: &text, due: Instant::now() };
        let (id, body) = self.audience.handle_publish(seat, client.user(), &publish);
        client.publish_nowait(&self.room, id, body).await.is_ok()
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, took, .. } = self;
        let rate = outcome.report.acked as f64 / took.as_secs_f64();
        writeln!(f, "acknowledged     {} in {:.1} s: {rate:.0} a second", outcome.report.acked, took.as_secs_f64())?;
        writeln!(f, "acknowledgement  {}", outcome.acks)?;
        writeln!(f, "same node        {}", outcome.same_node)?;
        writeln!(f, "cross node       {}", outcome.cross_node)?;
        writeln!(f, "by node          {}", outcome.shares())?;
        writeln!(f, "set back         {}", outcome.setbacks())?;
        let problems = self.problems();
        write!(f, "broken promises  {}", if problems.is_empty() { "none" } else { "" })?;
        problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
