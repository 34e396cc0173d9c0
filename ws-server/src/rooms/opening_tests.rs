//! Rooms that sessions have opened: fair among sessions, given up when all have left, never more than may be.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{DisplayName, ErrorCode, JoinFrom, NodeId, Ref, RoomName, ServerFrame, SessionId, UserId};
use tokio::time::{Instant, sleep, timeout};

use super::slow_log::SlowLog;
use super::slow_log_tests::{after, fill};
use super::testing::{Client, PATIENCE, limits, limits_with, mailboxes, no_peers};
use super::{Command, Rooms, Session};
use crate::config::Limits;
use crate::connection::{Limiter, Outbox};
use crate::message_log::MessageLog;

fn node(log: &Arc<SlowLog>, limits: &Limits) -> Rooms {
    let port: Arc<dyn MessageLog> = log.clone();
    Rooms::start(&NodeId::from_random(1), &port, no_peers(), limits, &mailboxes())
}

/// A log that answers to nothing until it is released.
fn held_log() -> Arc<SlowLog> {
    let log = SlowLog::new();
    log.held.store(true, Ordering::SeqCst);
    log
}

fn release(log: &SlowLog) {
    log.held.store(false, Ordering::SeqCst);
    log.permits.add_permits(100_000);
}

fn named(number: u64) -> RoomName {
    RoomName::new(&format!("room-{number}")).unwrap()
}

impl Client {
    async fn join_rooms(&self, rooms: Range<u64>) {
        for number in rooms {
            let (room, session, reference) = (named(number), Arc::clone(&self.session), Some(Ref::number(number)));
            self.rooms.send(Command::Join { room, session, from: JoinFrom::Head, reference }).await;
        }
    }

    async fn leave_rooms(&self, rooms: Range<u64>) {
        for number in rooms {
            let (room, session) = (named(number), Arc::clone(&self.session));
            self.rooms.send(Command::Leave { room, session, reference: None }).await;
        }
    }
}

fn count_joined(frames: &[ServerFrame]) -> usize {
    frames.iter().filter(|frame| matches!(frame, ServerFrame::Joined(_))).count()
}

fn errors(frames: &[ServerFrame]) -> HashMap<ErrorCode, usize> {
    let mut errors = HashMap::new();
    for frame in frames {
        if let ServerFrame::Error(error) = frame {
            assert!(error.reference.is_some() && error.room.is_some(), "{error:?}");
            *errors.entry(error.code).or_default() += 1;
        }
    }
    errors
}

/// Waits until something is as it should be.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_joins_of_one_session_do_not_make_those_of_another_wait() {
    let log = held_log();
    let rooms = node(&log, &limits(&["--opens-in-flight", "1"]));
    let (eve, ada) = (Client::new(&rooms, 1, 8 << 20), Client::new(&rooms, 2, 1 << 20));
    eve.join_rooms(0..5_000).await;
    ada.join_rooms(10_000..10_003).await;
    until("all wait", || rooms.counts().waiting == 5_002).await;
    assert_eq!(rooms.counts().waiting_for, 2);
    // Each opening reads the header: Ada's three rooms take three turns, and Eve's as many.
    log.permits.add_permits(7);
    let frames = timeout(PATIENCE, ada.receive(3)).await.unwrap();
    assert_eq!(count_joined(&frames), 3);
    release(&log);
    eve.receive_until(|frames| count_joined(frames) == 5_000).await;
}

#[tokio::test]
async fn a_room_that_waits_behind_others_of_its_session_is_opened_in_the_turn_of_one_with_fewer() {
    let log = held_log();
    let rooms = node(&log, &limits(&["--opens-in-flight", "1"]));
    let (eve, ada) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    eve.join_rooms(0..50).await;
    ada.join_rooms(40..42).await;
    until("all wait", || rooms.counts().waiting == 49).await;
    until("both have a turn", || rooms.counts().waiting_for == 2).await;
    // One is under way; then Eve and Ada take turns.
    log.permits.add_permits(5);
    assert_eq!(count_joined(&ada.receive(2).await), 2);
    release(&log);
    eve.receive_until(|frames| count_joined(frames) == 50).await;
    assert_eq!((rooms.counts().waiting, rooms.counts().waiting_for), (0, 0));
}

#[tokio::test]
async fn a_room_that_all_leave_before_it_opens_is_neither_read_nor_kept() {
    let log = held_log();
    let rooms = node(&log, &limits(&["--opens-in-flight", "4"]));
    let eve = Client::new(&rooms, 1, 8 << 20);
    eve.join_rooms(0..20_000).await;
    until("all are hosted", || rooms.counts().rooms == 20_000).await;
    eve.leave_rooms(0..20_000).await;
    until("none is kept", || rooms.counts().rooms == 0).await;
    assert_eq!((rooms.counts().waiting, rooms.counts().given_up), (0, 19_996));
    let before = log.headers.load(Ordering::SeqCst);
    release(&log);
    let ada = Client::new(&rooms, 2, 1 << 20);
    ada.join_rooms(30_000..30_001).await;
    ada.receive(1).await;
    assert_eq!((before, log.headers.load(Ordering::SeqCst)), (4, 5), "and Ada's");
}

#[tokio::test]
async fn a_room_that_another_session_waits_for_is_opened_although_the_first_has_left() {
    let log = held_log();
    let rooms = node(&log, &limits(&["--opens-in-flight", "1"]));
    let (eve, ada) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    eve.join_rooms(0..10).await;
    ada.join_rooms(5..7).await;
    eve.leave_rooms(0..10).await;
    until("two are hosted", || rooms.counts().rooms == 2).await;
    assert_eq!((rooms.counts().waiting, rooms.counts().waiting_for), (2, 1));
    release(&log);
    assert_eq!(count_joined(&ada.receive(2).await), 2);
}

#[tokio::test]
async fn a_node_hosts_exactly_as_many_rooms_as_it_is_told_to() {
    let log = SlowLog::new();
    let rooms = node(&log, &limits(&["--rooms", "50"]));
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join_rooms(0..80).await;
    let frames = ada.receive(80).await;
    assert_eq!((count_joined(&frames), errors(&frames)), (50, HashMap::from([(ErrorCode::Overloaded, 30)])));
    assert_eq!((rooms.counts().rooms, rooms.counts().refused), (50, 30));
}

#[tokio::test]
async fn rooms_that_linger_give_their_places_to_rooms_that_are_wanted() {
    let log = SlowLog::new();
    let rooms = node(&log, &limits(&["--rooms", "40"]));
    let (ada, ben) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    ada.join_rooms(0..40).await;
    ada.receive(40).await;
    ada.leave_rooms(0..38).await;
    ada.receive(38).await;
    assert_eq!(rooms.counts().rooms, 40, "they linger, in case a session comes back");
    // As many of each shard as it has lingering rooms: at least one has half of them.
    ben.join_rooms(100..119).await;
    let frames = ben.receive(19).await;
    let joined = count_joined(&frames);
    assert!(joined > 5 && rooms.counts().rooms == 40, "{joined}");
    // Rooms in use stay.
    let (room, session) = (named(39), Arc::clone(&ada.session));
    let message = ada.message("m", "1");
    rooms.send(Command::Publish { room, session, message }).await;
    ada.receive_until(|frames| frames.iter().any(|frame| matches!(frame, ServerFrame::Ack(_)))).await;
}

#[tokio::test]
async fn a_join_that_a_full_node_refuses_costs_no_opening() {
    let log = SlowLog::new();
    let limits = limits(&["--rooms", "5", "--opens-per-second", "1", "--rooms-per-session", "10"]);
    let rooms = node(&log, &limits);
    let ben = Client::new(&rooms, 1, 1 << 20);
    ben.join_rooms(0..5).await;
    ben.receive(5).await;
    let allowance = Limiter::new(&limits.rates).session(&UserId::new("ada").unwrap(), None);
    let (id, outbox, user) = (SessionId::from_random(2), Outbox::of_nobody(1 << 20), UserId::new("ada").unwrap());
    let session = Session::new(id, user, DisplayName::new("A").unwrap(), outbox, allowance);
    let ada = Client { rooms: rooms.clone(), session: Arc::new(session) };
    ada.join_rooms(100..130).await;
    assert_eq!(errors(&ada.receive(30).await), HashMap::from([(ErrorCode::Overloaded, 30)]));
}

#[tokio::test]
async fn a_session_has_so_many_rooms_opened_and_joins_others_as_it_likes() {
    let log = SlowLog::new();
    let limits = limits(&["--opens-per-second", "1", "--rooms-per-session", "10"]);
    let rooms = node(&log, &limits);
    let limiter = Limiter::new(&limits.rates);
    let client = |number: u64| {
        let user = UserId::new(&format!("user-{number}")).unwrap();
        let allowance = limiter.session(&user, None);
        let name = DisplayName::new("A").unwrap();
        let session = Session::new(SessionId::from_random(number), user, name, Outbox::of_nobody(1 << 20), allowance);
        Client { rooms: rooms.clone(), session: Arc::new(session) }
    };
    let (ada, ben) = (client(1), client(2));
    ada.join_rooms(0..30).await;
    let frames = ada.receive(30).await;
    let refused = errors(&frames).remove(&ErrorCode::RateLimited).unwrap_or_default();
    // A busy machine may take long enough for a few more to pass.
    assert!((15..=20).contains(&refused) && count_joined(&frames) == 30 - refused, "{refused}");
    ben.join_rooms(0..5).await;
    ada.join_rooms(0..5).await;
    assert_eq!(count_joined(&ben.receive(5).await), 5);
    assert_eq!(count_joined(&ada.receive(5).await), 5, "these are open");
}

#[tokio::test]
async fn rooms_that_outlive_a_rush_go_on_when_their_shard_has_made_its_tables_smaller() {
    let log = SlowLog::new();
    let rooms = node(&log, &limits_with(|limits| limits.linger_ms = 50));
    let (eve, ada) = (Client::new(&rooms, 1, 64 << 20), Client::new(&rooms, 2, 1 << 20));
    eve.join_rooms(0..20_000).await;
    ada.join_rooms(30_000..30_010).await;
    eve.receive_until(|frames| count_joined(frames) == 20_000).await;
    eve.leave_rooms(0..20_000).await;
    until("ten are left", || rooms.counts().rooms == 10).await;
    // The remaining rooms have other places, and work there.
    ada.receive(10).await;
    for number in 30_000..30_010 {
        let (room, session, message) = (named(number), Arc::clone(&ada.session), ada.message("m", "1"));
        rooms.send(Command::Publish { room, session, message }).await;
    }
    let acks = |frames: &[ServerFrame]| frames.iter().filter(|frame| matches!(frame, ServerFrame::Ack(_))).count();
    ada.receive_until(|frames| acks(frames) == 10).await;
}

/// One in three reads finds no capacity, as when all clients come back to a table that is too small.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_come_back_at_once_get_in_although_the_log_throttles() {
    const CLIENTS: u64 = 5_000;
    let log = SlowLog::new();
    fill(&log.log, 1..=50, 100).await;
    log.throttled_reads.store(30, Ordering::SeqCst);
    let rooms = node(&log, &limits(&[]));
    let clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(&rooms, number, 1 << 20)).collect();
    for (number, client) in clients.iter().enumerate() {
        // Some into a room of their own, some back into one that all know.
        if number % 5 == 0 {
            client.join(after(number as u64 % 50)).await;
        } else {
            client.join_rooms(number as u64..number as u64 + 1).await;
        }
    }
    for client in &clients {
        let frames = timeout(PATIENCE, client.receive(1)).await.unwrap();
        assert_eq!((count_joined(&frames), errors(&frames)), (1, HashMap::new()));
    }
}

#[tokio::test]
async fn a_publish_into_a_room_that_is_reopened_costs_few_reads() {
    const ROOMS: u64 = 20;
    let log = SlowLog::new();
    let rooms = node(&log, &limits_with(|limits| limits.linger_ms = 0));
    let ada = Client::new(&rooms, 1, 8 << 20);
    let publish = async |number: u64, id: u64| {
        let (room, session) = (named(number), Arc::clone(&ada.session));
        let message = ada.message(&format!("m{id}"), "1");
        rooms.send(Command::Publish { room, session, message }).await;
    };
    let acks = |frames: &[ServerFrame]| frames.iter().filter(|frame| matches!(frame, ServerFrame::Ack(_))).count();
    ada.join_rooms(0..ROOMS).await;
    for number in 0..ROOMS {
        for id in 0..300 {
            publish(number, id).await;
        }
    }
    ada.receive_until(|frames| acks(frames) == 300 * ROOMS as usize).await;
    ada.leave_rooms(0..ROOMS).await;
    until("no room is kept", || rooms.counts().rooms == 0).await;
    let before = log.all_reads();
    for number in 0..ROOMS {
        ada.join_rooms(number..number + 1).await;
        publish(number, 1_000).await;
        ada.receive_until(|frames| acks(frames) == 1).await;
        ada.leave_rooms(number..number + 1).await;
    }
    // The header, the newest segment, and the ids before it: the reads of a session are bounded by the rooms that it has opened.
    let reads = log.all_reads() - before;
    assert!(reads <= 4 * ROOMS as usize, "{reads} reads for {ROOMS} publishes");
}
