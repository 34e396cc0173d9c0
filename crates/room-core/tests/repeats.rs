//! The same publish again, spelled otherwise, and the same id with another body.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]
#![allow(unreachable_pub, dead_code, reason = "a module of helpers")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Body, Content, DisplayName, Epoch, Message, MessageId, NodeId, Nonce, RoomName, Segment, Seq, UserId};
use room_core::log::{AppendOutcome, RoomHeader, StoredSegment, WallSecs};
use room_core::{Action, Event, Found, Publish, Rejection, Room, RoomLimits, Ticket, Time, Token, Turn};
use world::{Faults, World};

const SPELLINGS: [&str; 4] = ["1", "1.0", "10e-1", "0.1E+1"];

#[test]
fn a_publish_that_is_spelled_otherwise_is_acknowledged_on_every_node() {
    let mut world = World::new(2, 1, Faults::NONE);
    world.publish(0, "id", "1");
    world.heal(5_000);
    for node in [0, 1] {
        for spelling in SPELLINGS {
            let token = world.publish(node, "id", spelling);
            world.heal(1_000);
            assert_eq!(world.acked.get(&token), Some(&Seq::FIRST), "node {node}: {spelling}");
        }
    }
    assert_eq!(world.logged().len(), 1);
}

#[test]
fn spellings_of_one_publish_that_come_at_once_are_one_message_whatever_becomes_of_answers() {
    for seed in 0..300 {
        let faults =
            Faults { hint_lost: 50, answer_lost: 20, refused: 10, link_lost: 20, link_repeated: 20, ..Faults::NONE };
        let mut world = World::new(3, seed, faults);
        for node in 0..3 {
            world.publish(node, &format!("warm-up-{node}"), "1");
        }
        world.heal(5_000);
        world.faults = faults;
        let tokens: Vec<Token> =
            (0..9).map(|index| world.publish(index % 3, "same", SPELLINGS[index % SPELLINGS.len()])).collect();
        world.heal(60_000);
        world.check_agreement();
        let logged = world.logged().into_iter().filter(|id| id.as_str() == "same").count();
        assert_eq!(logged, 1, "seed {seed}");
        let mut seqs: Vec<&Seq> = tokens.iter().filter_map(|token| world.acked.get(token)).collect();
        seqs.dedup();
        assert_eq!(seqs.len(), 1, "seed {seed}: all hear the same number");
        let others = tokens.iter().filter_map(|token| world.rejected.get(token));
        assert!(others.into_iter().all(|reason| *reason == Rejection::Unavailable), "seed {seed}: no conflict");
    }
}

#[test]
fn a_conflict_names_the_message_that_has_the_id_if_it_is_logged() {
    let mut world = World::new(1, 1, Faults::NONE);
    world.heal(1_000);
    let first = world.publish(0, "id", "1");
    let early = world.publish(0, "id", "2");
    assert_eq!(world.rejected.get(&early), Some(&Rejection::IdConflict(None)), "it is on its way");
    world.heal(5_000);
    assert_eq!(world.acked.get(&first), Some(&Seq::FIRST));
    let late = world.publish(0, "id", "\"1\"");
    world.heal(5_000);
    assert_eq!(world.rejected.get(&late), Some(&Rejection::IdConflict(Some(Seq::FIRST))));
}

/// The user who has published message `m1`, `m2`, …: users take turns.
fn user(seq: u64, users: u64) -> String {
    format!("u{}", seq % users)
}

fn message(from: &str, id: &str, body: &str) -> Message {
    Message {
        id: MessageId::new(id).unwrap(),
        from: UserId::new(from).unwrap(),
        name: DisplayName::new("u").unwrap(),
        at: 1,
        body: Body::parse(body).unwrap(),
    }
}

/// A room that is open, with a log of messages `m1`, `m2`, … whose bodies are `1`, and what it says.
struct Open {
    room: Room,
    now: u64,
    /// Between how many users the messages are shared.
    users: u64,
    log: Vec<StoredSegment>,
    tokens: u64,
    acked: BTreeMap<Token, Seq>,
    rejected: BTreeMap<Token, Rejection>,
    /// What it has asked, and when.
    asked: Vec<(u64, Ticket, Seq)>,
}

impl Open {
    fn new(messages: u64) -> Self {
        Self::of_users(messages, 1)
    }

    fn of_users(messages: u64, users: u64) -> Self {
        let room = Room::new(RoomName::new("room").unwrap(), NodeId::from_random(2), RoomLimits::default());
        let epoch = Epoch::birth(1);
        let log: Vec<StoredSegment> = (1..=messages)
            .map(|seq| stored(seq, &epoch, message(&user(seq, users), &format!("m{seq}"), "1")))
            .collect();
        let (acked, rejected) = (BTreeMap::new(), BTreeMap::new());
        let mut open = Self { room, now: 0, users, log, tokens: 0, acked, rejected, asked: Vec::new() };
        let header = RoomHeader { epoch, first: Seq::FIRST, since: WallSecs(999_999_000) };
        let actions = open.act(|_, _| {});
        let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
        let checked = Some((Some(header), open.log.last().cloned()));
        open.act(|room, turn| room.handle_checked(*ticket, checked, turn));
        open
    }

    fn act(&mut self, act: impl FnOnce(&mut Room, &mut Turn<'_>)) -> Vec<Action> {
        let mut random = || 7;
        let mut turn = Turn { now: Time(self.now), wall: WallSecs(1_000_000_000), random: &mut random };
        act(&mut self.room, &mut turn);
        let mut actions = Vec::new();
        loop {
            while let Some(event) = self.room.poll_event() {
                match event {
                    Event::Acked { token, seq } => assert!(self.acked.insert(token, seq).is_none()),
                    Event::Rejected { token, reason } => assert!(self.rejected.insert(token, reason).is_none()),
                    _ => {}
                }
            }
            let Some(action) = self.room.poll_action(&mut turn) else { return actions };
            if let Action::ReadMessage { ticket, seq } = action {
                self.asked.push((self.now, ticket, seq));
            }
            actions.push(action);
        }
    }

    /// Publishes message `m{seq}` with this body; the id window is read if that is asked for.
    fn repeat(&mut self, seq: u64, body: &str) -> Token {
        self.publish(&user(seq, self.users), &format!("m{seq}"), body)
    }

    fn publish(&mut self, from: &str, id: &str, body: &str) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let publish = Publish { token, message: message(from, id, body) };
        let actions = self.act(|room, turn| room.handle_publish(publish, turn));
        self.answer(actions);
        token
    }

    /// Reads ids and writes, if that is asked for.
    fn answer(&mut self, mut actions: Vec<Action>) {
        while let Some(action) = actions.pop() {
            let log = self.log.clone();
            actions.extend(match action {
                Action::ReadIds { ticket, .. } => self.act(|room, turn| room.handle_ids(ticket, Some(&log), turn)),
                Action::Append { ticket, segment } => {
                    self.log.push(StoredSegment::clone(&segment));
                    self.act(|room, turn| room.handle_appended(ticket, AppendOutcome::Committed, turn))
                }
                _ => Vec::new(),
            });
        }
    }

    /// Another node has begun an epoch; the log holds these messages of it, from number 1 on.
    fn begin_epoch(&mut self, messages: Vec<Message>) {
        let epoch = self.log[0].segment.epoch.successor(2);
        let header = RoomHeader { epoch: epoch.clone(), first: Seq::FIRST, since: WallSecs(1_000_000_000) };
        self.log = (1..).zip(messages).map(|(seq, message)| stored(seq, &epoch, message)).collect();
        let checked = Some((Some(header), self.log.last().cloned()));
        let actions = self.act(|room, _| assert!(room.sync() > 0));
        let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
        let actions = self.act(|room, turn| room.handle_checked(*ticket, checked, turn));
        let [Action::Read { ticket, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let page = self.log.clone();
        self.act(|room, turn| room.handle_page(*ticket, Some(&page), turn));
        assert_eq!(self.room.position().epoch, epoch);
    }

    fn rejected(&self, reason: Rejection) -> usize {
        self.rejected.values().filter(|rejected| **rejected == reason).count()
    }

    /// Milliseconds pass, one by one; each question is answered after `delay` of them.
    fn pass(&mut self, ms: u64, delay: u64, answer: impl Fn(&[StoredSegment], Seq) -> Found) {
        for _ in 0..ms {
            self.now += 1;
            let actions = self.act(Room::handle_timeout);
            self.answer(actions);
            if let Some((_, ticket, seq)) = self.asked.last().copied().filter(|(at, ..)| at + delay == self.now) {
                let found = answer(&self.log, seq);
                self.act(|room, _| room.handle_found(ticket, &found));
            }
        }
    }
}

fn stored(seq: u64, epoch: &Epoch, message: Message) -> StoredSegment {
    let segment = Segment {
        room: RoomName::new("room").unwrap(),
        seq: Seq::new(seq).unwrap(),
        epoch: epoch.clone(),
        node: NodeId::from_random(1),
        expires: WallSecs(2_000_000_000),
        content: Content::Messages(vec![message]),
    };
    StoredSegment { segment: Arc::new(segment), nonce: Nonce::from_random(u128::from(seq)) }
}

fn in_log(log: &[StoredSegment], seq: Seq) -> Found {
    Found::in_page(Some(log), seq)
}

#[test]
fn a_room_asks_for_one_message_at_a_time_and_not_too_often() {
    let mut open = Open::of_users(500, 100);
    let mut tokens = Vec::new();
    for seq in 1..=500 {
        tokens.push(open.repeat(seq, "1.0"));
        open.pass(4, 2, in_log);
    }
    open.pass(9_000, 2, in_log);
    let most = open.asked.iter().map(|(at, ..)| {
        let within = |(other, ..): &&(u64, Ticket, Seq)| other >= at && *other < at + 1_000;
        open.asked.iter().filter(within).count()
    });
    let most = most.max().unwrap();
    assert!((50..=32 + 50 + 1).contains(&most), "{most}: {:?}", open.asked);
    assert!(open.asked.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 2), "one at a time");
    let overloaded = open.rejected(Rejection::Overloaded);
    assert!(overloaded > 200, "no more than some dozens wait: {overloaded} are told to come again");
    assert_eq!(open.acked.len() + overloaded, 500, "all others are acknowledged");
    assert!(tokens.iter().zip(1..).all(|(token, seq)| open.acked.get(token).is_none_or(|acked| acked.get() == seq)));
}

/// A body of 16 KiB, other than the next one.
fn large(index: u64) -> String {
    format!("\"{index:0>16382}\"")
}

#[test]
fn repeats_that_wait_take_no_place_of_new_publishes() {
    // Eighty users send what they can: in descending order, so that no answer serves two.
    let mut open = Open::of_users(500, 80);
    for round in 0..500 {
        open.repeat(500 - round, &large(round));
    }
    assert!(open.rejected(Rejection::Overloaded) > 200);
    for (index, body) in [large(1), large(2), "3".to_owned()].iter().enumerate() {
        let token = open.publish("another", &format!("new{index}"), body);
        assert_eq!(open.rejected.get(&token), None, "new publish {index}");
        open.pass(50, 60_000, in_log);
        assert_eq!(open.acked.get(&token), Seq::new(501 + index as u64).as_ref());
    }
}

#[test]
fn repeats_of_one_user_leave_places_to_those_of_others() {
    let mut open = Open::of_users(100, 2);
    let of_one: Vec<Token> = (1..=20).map(|index| open.repeat(2 * index, "1.0")).collect();
    let places = of_one.iter().filter(|token| !open.rejected.contains_key(token)).count();
    assert_eq!((places, open.rejected(Rejection::Overloaded)), (8, 12));
    let of_other = open.repeat(1, "1.0");
    open.pass(2_000, 2, in_log);
    assert_eq!(open.acked.get(&of_other), Some(&Seq::FIRST));
    assert_eq!(open.acked.len(), 9);
    let again = open.repeat(40, "1.0");
    open.pass(100, 2, in_log);
    assert_eq!(open.acked.get(&again), Seq::new(40).as_ref(), "places are free again");

    let mut open = Open::of_users(100, 2);
    for index in 1..=20 {
        open.repeat(2 * index, &large(index));
    }
    assert_eq!(open.rejected(Rejection::Overloaded), 16, "64 KiB wait");
}

#[test]
fn repeats_that_wait_are_bounded_by_number_and_bytes() {
    let mut open = Open::of_users(500, 100);
    for seq in 1..=100 {
        open.repeat(seq, "1.0");
    }
    assert_eq!(open.rejected(Rejection::Overloaded), 100 - 64);

    let mut open = Open::of_users(500, 100);
    for seq in 1..=100 {
        open.repeat(seq, &large(seq));
    }
    assert_eq!(open.rejected(Rejection::Overloaded), 100 - 32, "512 KiB wait");
}

#[test]
fn a_turn_compares_no_more_than_sixteen_bodies_and_later_turns_the_rest() {
    let mut open = Open::of_users(64, 8);
    let tokens: Vec<Token> = (1..=64).map(|seq| open.repeat(seq, "1.0")).collect();
    let whole = |log: &[StoredSegment], _: Seq| {
        let messages = log.iter().flat_map(|stored| stored.segment.messages());
        Found::Messages(messages.map(|(seq, message)| (seq, message.clone())).collect())
    };
    let mut before = 0;
    for _ in 0..1_000 {
        open.pass(1, 2, whole);
        let acked = open.acked.len();
        assert!(acked - before <= 16, "{before}, then {acked}");
        before = acked;
    }
    assert!(open.asked.len() <= 8, "one look serves many: {:?}", open.asked);
    assert!(tokens.iter().zip(1..).all(|(token, seq)| open.acked.get(token).map(|acked| acked.get()) == Some(seq)));
}

#[test]
fn repeats_of_one_message_need_one_look_at_it() {
    let mut open = Open::new(3);
    let tokens: Vec<Token> = (0..200).map(|_| open.repeat(2, "1.0")).collect();
    let conflict = open.repeat(2, "2");
    open.pass(50, 10, in_log);
    assert_eq!(open.asked.len(), 1);
    assert!(tokens.iter().all(|token| open.acked.get(token) == Seq::new(2).as_ref()));
    assert_eq!(open.rejected.get(&conflict), Some(&Rejection::IdConflict(Seq::new(2))));
    assert!(open.room.is_idle());
}

#[test]
fn what_cannot_be_read_leaves_the_outcome_open() {
    let mut open = Open::new(3);
    let (one, other) = (open.repeat(1, "1.0"), open.repeat(2, "2"));
    assert!(!open.room.is_idle(), "their publishers wait");
    open.pass(100, 5, |_, _| Found::Unknown);
    for token in [one, other] {
        assert_eq!(open.rejected.get(&token), Some(&Rejection::Unavailable));
    }
    let again = open.repeat(1, "1.0");
    open.pass(100, 5, in_log);
    assert_eq!(open.acked.get(&again), Some(&Seq::FIRST));
}

#[test]
fn a_publisher_does_not_wait_for_ever_for_an_answer_that_does_not_come() {
    let mut open = Open::new(3);
    let token = open.repeat(1, "1.0");
    open.pass(9_999, 60_000, in_log);
    assert_eq!(open.rejected.get(&token), None);
    open.pass(2, 60_000, in_log);
    assert_eq!(open.rejected.get(&token), Some(&Rejection::Unavailable));
    assert!(open.room.is_idle());
}

#[test]
fn a_question_without_an_answer_keeps_no_later_publish_waiting() {
    let mut open = Open::of_users(3, 3);
    let first = open.repeat(1, "1.0");
    open.pass(6_000, 60_000, in_log);
    let second = open.repeat(2, "1.0");
    open.pass(4_000, 60_000, in_log);
    assert_eq!(open.rejected.get(&first), Some(&Rejection::Unavailable));
    assert_eq!(open.asked.len(), 2, "the next one is asked for at once");
    open.pass(50, 5, in_log);
    assert_eq!(open.acked.get(&second), Seq::new(2).as_ref());
    let (_, late, seq) = open.asked[0];
    open.repeat(3, "1.0");
    open.act(|room, _| room.handle_found(late, &Found::Gone));
    open.pass(50, 5, in_log);
    assert_eq!((seq, open.acked.len()), (Seq::FIRST, 2), "the late answer counts for nothing");
}

#[test]
fn an_answer_that_an_epoch_has_overtaken_frees_no_id_of_the_next_epoch() {
    let of_old_epoch = Found::Messages(vec![(Seq::FIRST.next(), message("u0", "m2", "1"))]);
    for stale in [of_old_epoch, Found::Gone, Found::Unknown] {
        let mut open = Open::new(3);
        let old = open.repeat(2, "1.0");
        open.pass(1, 60_000, in_log);
        let (_, ticket, _) = open.asked[0];
        open.begin_epoch(vec![message("u0", "a", "1"), message("u0", "b", "1")]);
        assert_eq!(open.rejected.get(&old), Some(&Rejection::Unavailable));
        let (same, other) = (open.publish("u0", "b", "1.0"), open.publish("u0", "b", "2"));
        open.pass(1, 60_000, in_log);
        open.act(|room, _| room.handle_found(ticket, &stale));
        open.pass(100, 5, in_log);
        let again = open.publish("u0", "b", "1.00");
        open.pass(100, 5, in_log);
        assert_eq!(open.log.len(), 2, "no id is written twice");
        assert_eq!(open.acked, [same, again].map(|token| (token, Seq::FIRST.next())).into());
        assert_eq!(open.rejected.get(&other), Some(&Rejection::IdConflict(Seq::new(2))));
    }
}

#[test]
fn an_id_is_not_free_because_another_message_has_its_number() {
    let mut open = Open::new(3);
    let token = open.repeat(1, "1.0");
    open.pass(1, 60_000, in_log);
    let (_, ticket, seq) = open.asked[0];
    let another = Found::Messages(vec![(seq, message("u0", "another", "1"))]);
    let actions = open.act(|room, _| room.handle_found(ticket, &another));
    assert!(matches!(actions[..], [Action::Check { .. }]), "the log may be in another epoch: {actions:?}");
    assert_eq!(open.rejected.get(&token), Some(&Rejection::Unavailable));
    let again = open.repeat(1, "1.0");
    open.pass(100, 5, in_log);
    assert_eq!(open.acked.get(&again), Some(&Seq::FIRST), "it is compared");
    assert_eq!(open.log.len(), 3);
}

#[test]
fn an_id_whose_message_has_expired_is_free_again() {
    let mut open = Open::new(3);
    let token = open.repeat(1, "1.0");
    open.pass(20, 5, |_, _| Found::Gone);
    assert_eq!(open.rejected.get(&token), Some(&Rejection::Unavailable));
    open.repeat(1, "1.0");
    assert_eq!((open.log.len(), open.asked.len()), (4, 1), "it is written and not compared");
}

#[test]
fn a_page_tells_what_became_of_a_message() {
    let epoch = Epoch::birth(1);
    let page = [stored(4, &epoch, message("u", "m4", "1"))];
    let seq = |number| Seq::new(number).unwrap();
    assert!(matches!(Found::in_page(Some(&page), seq(4)), Found::Messages(messages) if messages.len() == 1));
    assert_eq!(Found::in_page(Some(&page), seq(3)), Found::Gone);
    assert_eq!(Found::in_page(Some(&[]), seq(4)), Found::Gone);
    assert_eq!(Found::in_page(None, seq(4)), Found::Unknown);
    let newer = Segment { content: Content::Unreadable { count: 1 }, ..Segment::clone(&page[0].segment) };
    let newer = [StoredSegment { segment: Arc::new(newer), nonce: page[0].nonce.clone() }];
    assert_eq!(Found::in_page(Some(&newer), seq(4)), Found::Unknown, "a newer version wrote it");
}
