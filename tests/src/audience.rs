//! What clients of several nodes see of what is published: verified, counted and timed, by one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::verifier::Party;
use client::{Client, ClientOptions, Event, JoinFrom, Report, Verifier};
use protocol::{Body, MessageFrame, MessageId, NodeId, RoomName, UserId};
use serde_json::json;

use crate::latencies::Latencies;

/// Where a client sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The verifier's name for it.
    pub party: Party,
    /// Which of the URLs it is connected to.
    pub node: usize,
    /// It is there to watch: its sightings are timed, and it must see everything.
    pub viewer: bool,
}

/// A message that is about to be published.
#[derive(Debug)]
pub struct Publish<'a> {
    /// Its place among all messages, from 0 without holes.
    pub number: usize,
    /// Its room.
    pub room: &'a RoomName,
    /// What is said.
    pub text: &'a str,
    /// When it should be published: latencies count from here, however late the publish is.
    pub due: Instant,
}

/// Collects what happens to all clients of a run.
#[derive(Default)]
pub struct Audience {
    state: Mutex<State>,
    /// Messages that others than viewers got.
    others: AtomicU64,
    /// Messages with smaller numbers are verified, but not timed.
    timed_from: usize,
}

#[derive(Default)]
struct State {
    verifier: Verifier,
    sent: BTreeMap<usize, Sent>,
    outcome: Outcome,
    chapter: usize,
}

struct Sent {
    chapter: usize,
    due: Instant,
    node: usize,
    bytes: usize,
    timed: bool,
    acked: Option<Instant>,
    /// Viewers on other nodes who saw it before its publisher had the acknowledgement.
    seen_before: u32,
}

/// What a run came to.
#[derive(Clone, Default)]
pub struct Outcome {
    /// What the verifier found.
    pub report: Report,
    /// From due to the acknowledgement.
    pub acks: Latencies,
    /// How many messages each node acknowledged: a node that always loses the race for a room has few.
    pub acked_on: BTreeMap<usize, usize>,
    /// From due to a viewer on the publisher's node.
    pub same_node: Latencies,
    /// From due to a viewer on another node.
    pub cross_node: Latencies,
    /// From the publisher's acknowledgement to a viewer on another node; nothing for one who saw it before.
    pub after_ack: Latencies,
    /// From due to the call that publishes: how far the load itself was behind.
    pub late: Latencies,
    /// The times of each chapter's messages; a run that was never divided has one.
    pub chapters: Vec<Times>,
    /// How many messages each viewer saw in each room.
    pub seen: BTreeMap<(Party, RoomName), usize>,
    /// Messages whose text had another size for a viewer than for its publisher.
    pub wrong_sizes: usize,
    /// Publishes that the service asked to send again later.
    pub delayed: usize,
    /// Connections that were lost, by their close codes; `None` is an end without one.
    pub disconnects: BTreeMap<Option<u16>, usize>,
    /// Errors that answered nothing.
    pub server_errors: usize,
    /// Messages that others than viewers got: authors are in the room too.
    pub others: u64,
    /// The nodes that greeted.
    pub nodes: BTreeSet<NodeId>,
}

/// How long the messages of one chapter took, from due on.
#[derive(Clone, Default)]
pub struct Times {
    /// To the acknowledgement.
    pub acks: Latencies,
    /// To viewers on the publisher's node.
    pub same_node: Latencies,
    /// To viewers on other nodes.
    pub cross_node: Latencies,
}

impl Audience {
    /// Nobody is there yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nobody is there yet, and messages with smaller numbers than this are not to be timed: the service warms up.
    #[must_use]
    pub fn timing_from(number: usize) -> Self {
        Self { timed_from: number, ..Self::default() }
    }

    /// Lets a viewer join a room at its head. It is watched until it is closed.
    ///
    /// # Panics
    /// When it cannot connect or join.
    pub async fn seat_viewer(self: &Arc<Self>, seat: Seat, url: &str, room: &RoomName) -> Client {
        let client = Client::connect(ClientOptions::to(url)).await.expect("the service greets viewers");
        let (audience, watched) = (Arc::clone(self), client.clone());
        tokio::spawn(async move {
            while let Some(event) = watched.next_event().await {
                audience.handle_event(seat, &event);
            }
        });
        client.join(room, JoinFrom::Head).await.expect("the room takes viewers");
        self.expect_viewer(seat, room);
        client
    }

    /// A viewer is there from the room's first message on.
    pub fn expect_viewer(&self, seat: Seat, room: &RoomName) {
        self.state().outcome.seen.entry((seat.party, room.clone())).or_default();
    }

    /// A new chapter begins: messages that are published from now on are timed apart from those before.
    pub fn begin_chapter(&self) {
        self.state().chapter += 1;
    }

    /// A client is about to publish; the id and body that it must use.
    pub fn handle_publish(&self, seat: Seat, user: &UserId, publish: &Publish<'_>) -> (MessageId, Body) {
        let id = MessageId::new(&format!("m{}", publish.number)).expect("a short word");
        let body = Body::parse(&json!({ "text": publish.text }).to_string()).expect("made by a JSON writer");
        let timed = publish.number >= self.timed_from;
        let (due, node, bytes) = (publish.due, seat.node, publish.text.len());
        let mut state = self.state();
        let sent = Sent { chapter: state.chapter, due, node, bytes, timed, acked: None, seen_before: 0 };
        state.sent.insert(publish.number, sent);
        if timed {
            state.outcome.late.record(publish.due.elapsed());
        }
        state.verifier.handle_publish(seat.party, user, publish.room, &id, &body);
        (id, body)
    }

    /// Something happened to a client; has to be told of each client in its order. What others than viewers see of
    /// rooms is checked by their clients, which tell when it breaks the protocol, and not again here: in a busy room
    /// everybody sees everything.
    pub fn handle_event(&self, seat: Seat, event: &Event) {
        if matches!(event, Event::Message { .. }) && !seat.viewer {
            return self.handle_other_sighting();
        }
        let now = Instant::now();
        let mut state = self.state();
        state.verifier.handle_event(seat.party, event);
        let State { outcome, sent, .. } = &mut *state;
        match event {
            Event::Connected(welcome) => drop(outcome.nodes.insert(welcome.node.clone())),
            Event::Disconnected { close, .. } if *close != Some(1000) => {
                *outcome.disconnects.entry(*close).or_default() += 1;
            }
            Event::PublishDelayed { .. } => outcome.delayed += 1,
            Event::ServerError(_) => outcome.server_errors += 1,
            Event::Acked { id, .. } => {
                if let Some(sent) = find(sent, id) {
                    outcome.handle_ack(sent, now);
                }
            }
            Event::Message { message, .. } if seat.viewer => outcome.handle_sighting(seat, message, sent, now),
            _ => {}
        }
    }

    /// Somebody who is no viewer got a message.
    pub fn handle_other_sighting(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// A client's connection is closed: it is in no room any more.
    pub fn handle_gone(&self, seat: Seat, rooms: &[RoomName]) {
        let mut state = self.state();
        rooms.iter().for_each(|room| state.verifier.handle_left(seat.party, room));
    }

    /// Nothing more is to be awaited.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.state().verifier.settled()
    }

    /// What it came to so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let state = self.state();
        let others = self.others.load(Ordering::Relaxed);
        Outcome { report: state.verifier.report(), others, ..state.outcome.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    /// What did not go straight on, on one line.
    #[must_use]
    pub fn setbacks(&self) -> String {
        let Self { delayed, server_errors, disconnects, report, .. } = self;
        let lost: usize = disconnects.values().sum();
        let mut line =
            format!("{delayed} delayed, {} failed, {server_errors} errors, {lost} disconnects", report.failed);
        for (code, count) in disconnects {
            let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            line += &format!(" ({code}: {count})");
        }
        line
    }

    /// How many messages each node acknowledged, on one line.
    #[must_use]
    pub fn shares(&self) -> String {
        self.acked_on.values().map(usize::to_string).collect::<Vec<_>>().join(" + ")
    }

    fn handle_ack(&mut self, sent: &mut Sent, now: Instant) {
        *self.acked_on.entry(sent.node).or_default() += 1;
        sent.acked = Some(now);
        if sent.timed {
            let took = now.saturating_duration_since(sent.due);
            self.acks.record(took);
            self.times(sent.chapter).acks.record(took);
            (0..sent.seen_before).for_each(|_| self.after_ack.record(Duration::ZERO));
        }
    }

    fn handle_sighting(&mut self, seat: Seat, message: &MessageFrame, sent: &mut BTreeMap<usize, Sent>, now: Instant) {
        *self.seen.entry((seat.party, message.room.clone())).or_default() += 1;
        // A message that nobody published is the verifier's affair.
        let Some(sent) = find(sent, &message.id) else { return };
        self.wrong_sizes += usize::from(text_bytes(&message.body) != Some(sent.bytes));
        if !sent.timed {
            return;
        }
        let late = now.saturating_duration_since(sent.due);
        if sent.node == seat.node {
            self.times(sent.chapter).same_node.record(late);
            return self.same_node.record(late);
        }
        self.times(sent.chapter).cross_node.record(late);
        self.cross_node.record(late);
        match sent.acked {
            Some(acked) => self.after_ack.record(now.saturating_duration_since(acked)),
            None => sent.seen_before += 1,
        }
    }

    fn times(&mut self, chapter: usize) -> &mut Times {
        if self.chapters.len() <= chapter {
            self.chapters.resize(chapter + 1, Times::default());
        }
        &mut self.chapters[chapter]
    }

    /// Every promise that was broken, if so many messages should have been published in each room; one line each, but
    /// for the verifier's report.
    #[must_use]
    pub fn problems(&self, expected: &[(RoomName, usize)]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |kept: bool, problem: String| {
            if !kept {
                problems.push(problem);
            }
        };
        let (report, all) = (&self.report, expected.iter().map(|(_, count)| *count as u64).sum::<u64>());
        must(report.is_clean(), report.to_string());
        must(report.published == all, format!("{} of {all} messages were published", report.published));
        must(report.acked == all, format!("{} of {all} messages were acknowledged", report.acked));
        must(report.unwatched == 0, format!("{} acknowledged messages were watched by nobody", report.unwatched));
        must(self.wrong_sizes == 0, format!("{} texts had another size on arrival", self.wrong_sizes));
        // By count as well: a viewer that was sent on to another position would miss messages by the book.
        for (room, count) in expected {
            let seen: Vec<_> = self.seen.iter().filter(|((_, of), _)| of == room).collect();
            must(!seen.is_empty(), format!("{room} has no viewer"));
            for ((party, _), seen) in seen {
                must(seen == count, format!("{party} in {room}: saw {seen} of {count} messages"));
            }
        }
        problems
    }
}

fn find<'a>(sent: &'a mut BTreeMap<usize, Sent>, id: &MessageId) -> Option<&'a mut Sent> {
    sent.get_mut(&id.as_str().strip_prefix('m')?.parse().ok()?)
}

/// Bytes of what was said, escapes undone.
fn text_bytes(body: &Body) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_str(body.as_str()).ok()?;
    value["text"].as_str().map(str::len)
}

#[cfg(test)]
mod tests {
    use client::session::Proof;
    use protocol::{DisplayName, Epoch, Position, Seq, SessionId, Welcome};

    use super::*;

    const AUTHOR: Seat = Seat { party: Party(1), node: 0, viewer: false };
    const NEAR: Seat = Seat { party: Party(2), node: 0, viewer: true };
    const FAR: Seat = Seat { party: Party(3), node: 1, viewer: true };

    struct World {
        audience: Audience,
        room: RoomName,
        user: UserId,
        epoch: Epoch,
    }

    fn world() -> World {
        world_of(Audience::new())
    }

    fn world_of(audience: Audience) -> World {
        let (room, user) = (RoomName::new("room").unwrap(), UserId::new("guest:1").unwrap());
        let world = World { audience, room, user, epoch: Epoch::birth(7) };
        for seat in [AUTHOR, NEAR, FAR] {
            let node = NodeId::from_random(seat.node as u64);
            let (session, user) = (SessionId::from_random(1), world.user.clone());
            let welcome = Welcome { session, user, node, heartbeat_ms: 1_000, max_body: 1_000 };
            world.audience.handle_event(seat, &Event::Connected(welcome));
            let (room, position) = (world.room.clone(), Position { epoch: world.epoch.clone(), seq: Seq::ZERO });
            let joined = Event::Joined { room, position, recovered: true, replayed: 0, resumed: false };
            world.audience.handle_event(seat, &joined);
            if seat.viewer {
                world.audience.expect_viewer(seat, &world.room);
            }
        }
        world.audience.handle_gone(AUTHOR, std::slice::from_ref(&world.room));
        world
    }

    impl World {
        fn publish(&self, number: usize, text: &str, ago_ms: u64) -> (MessageId, Body) {
            let due = Instant::now() - Duration::from_millis(ago_ms);
            self.audience.handle_publish(AUTHOR, &self.user, &Publish { number, room: &self.room, text, due })
        }

        fn sees(&self, seat: Seat, seq: u64, id: &MessageId, body: &Body) {
            let message = MessageFrame {
                room: self.room.clone(),
                seq: Seq::ZERO.plus(seq),
                id: id.clone(),
                from: self.user.clone(),
                name: DisplayName::new("a").unwrap(),
                at: 0,
                body: body.clone(),
            };
            self.audience.handle_event(seat, &Event::Message { epoch: self.epoch.clone(), replayed: false, message });
        }

        fn acked(&self, id: &MessageId, seq: u64) {
            let (room, seq) = (self.room.clone(), Seq::ZERO.plus(seq));
            self.audience.handle_event(AUTHOR, &Event::Acked { room, id: id.clone(), seq, by: Proof::Ack });
        }

        fn problems(&self, expected: usize) -> String {
            self.audience.outcome().problems(&[(self.room.clone(), expected)]).join("\n")
        }
    }

    #[test]
    fn a_message_that_all_saw_is_timed_from_when_it_was_due() {
        let world = world();
        let (id, body) = world.publish(0, "größer", 50);
        assert!(!world.audience.settled());
        world.sees(NEAR, 1, &id, &body);
        world.sees(FAR, 1, &id, &body);
        world.acked(&id, 1);
        assert!(world.audience.settled());
        assert_eq!(world.problems(1), "");
        let outcome = world.audience.outcome();
        for latencies in [&outcome.acks, &outcome.same_node, &outcome.cross_node, &outcome.late] {
            assert_eq!(latencies.count(), 1);
            assert!(latencies.quantile(0.5) >= Duration::from_millis(49));
        }
        assert_eq!(outcome.seen.values().collect::<Vec<_>>(), [&1, &1]);
        assert_eq!((outcome.nodes.len(), outcome.shares().as_str()), (2, "1"));
    }

    #[test]
    fn the_way_to_another_node_counts_from_the_acknowledgement_and_is_never_less_than_nothing() {
        let world = world();
        let (early, body) = world.publish(0, "a", 50);
        world.sees(NEAR, 1, &early, &body);
        world.sees(FAR, 1, &early, &body);
        assert_eq!(world.audience.outcome().after_ack.count(), 0, "nobody knows yet");
        world.acked(&early, 1);
        let (late, body) = world.publish(1, "a", 50);
        world.acked(&late, 2);
        let acked = Instant::now();
        while acked.elapsed() < Duration::from_millis(5) {
            std::thread::yield_now();
        }
        world.sees(NEAR, 2, &late, &body);
        world.sees(FAR, 2, &late, &body);
        let outcome = world.audience.outcome();
        assert_eq!(outcome.after_ack.count(), 2);
        assert!(outcome.after_ack.quantile(0.5) < Duration::from_millis(1));
        assert!(outcome.after_ack.quantile(1.0) >= Duration::from_millis(5));
        assert!(outcome.cross_node.quantile(0.5) >= Duration::from_millis(49), "and that counts from due");
    }

    #[test]
    fn what_comes_while_the_service_warms_up_is_verified_and_not_timed() {
        let world = world_of(Audience::timing_from(1));
        for number in 0..2 {
            let (id, body) = world.publish(number, "a", 50);
            let seq = 1 + number as u64;
            world.sees(NEAR, seq, &id, &body);
            world.sees(FAR, seq, &id, &body);
            world.acked(&id, seq);
        }
        assert_eq!(world.problems(2), "");
        let outcome = world.audience.outcome();
        let all = [&outcome.acks, &outcome.same_node, &outcome.cross_node, &outcome.after_ack, &outcome.late];
        assert_eq!(all.map(Latencies::count), [1; 5]);
        assert_eq!(outcome.shares(), "2");
    }

    #[test]
    fn messages_count_to_the_chapter_in_which_they_were_published() {
        let world = world();
        let (early, body) = world.publish(0, "a", 50);
        world.audience.begin_chapter();
        let (late, _) = world.publish(1, "a", 0);
        for (id, seq) in [(&early, 1), (&late, 2)] {
            world.sees(FAR, seq, id, &body);
        }
        world.acked(&early, 1);
        let chapters = world.audience.outcome().chapters;
        let counts = |times: &Times| [&times.acks, &times.same_node, &times.cross_node].map(Latencies::count);
        assert_eq!(chapters.iter().map(counts).collect::<Vec<_>>(), [[1, 0, 1], [0, 0, 1]]);
        assert!(chapters[0].cross_node.quantile(1.0) >= Duration::from_millis(49));
    }

    #[test]
    fn setbacks_tell_how_connections_ended() {
        let world = world();
        for close in [None, Some(4008), Some(4008), Some(1000)] {
            world.audience.handle_event(FAR, &Event::Disconnected { close, retry_in: None });
        }
        let setbacks = world.audience.outcome().setbacks();
        assert_eq!(setbacks, "0 delayed, 0 failed, 0 errors, 3 disconnects (no code: 1) (4008: 2)");
    }

    #[test]
    fn what_is_missing_is_a_problem() {
        let world = world();
        let (id, body) = world.publish(0, "a", 0);
        assert!(world.problems(1).contains("0 of 1 messages were acknowledged"));
        world.acked(&id, 1);
        world.sees(NEAR, 1, &id, &body);
        assert!(!world.audience.settled());
        assert!(world.problems(1).contains("party 3 in room: has come to 0 of 1"), "{}", world.problems(1));
        assert!(world.problems(1).contains("party 3 in room: saw 0 of 1 messages"), "{}", world.problems(1));
        world.sees(FAR, 1, &id, &body);
        assert!(world.problems(2).contains("1 of 2 messages were published"));
    }

    #[test]
    fn another_text_and_a_repeat_are_problems() {
        let world = world();
        let (id, body) = world.publish(0, "abc", 0);
        world.acked(&id, 1);
        world.sees(NEAR, 1, &id, &body);
        world.sees(NEAR, 1, &id, &body);
        world.sees(FAR, 1, &id, &Body::parse(r#"{"text":"abcd"}"#).unwrap());
        let problems = world.problems(1);
        assert!(problems.contains("repeat: expected 2, got 1"), "{problems}");
        assert!(problems.contains("1 texts had another size"), "{problems}");
    }
}
