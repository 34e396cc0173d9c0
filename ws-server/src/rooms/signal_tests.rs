//! What members say in passing, without sockets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::BoxFuture;
use protocol::{Body, Envelope, ErrorCode, HandOff, JoinFrom, NodeId, RoomName, Segment, ServerFrame, Signal};
use protocol::{SignalKey, UserId};
use room_core::log::WallSecs;
use room_core::{Room, Time};
use tokio::sync::mpsc;

use super::Rooms;
use super::hosted::{Hosted, Hosting, Scene};
use super::io::Work;
use super::signals::{Arrivals, Said};
use super::slow_log::SlowLog;
use super::slow_log_tests::{after, fill};
use super::testing::{Client, limits, limits_with, mailboxes, no_peers, room, seqs, signals};
use crate::backplane::EnvelopeSink;
use crate::config::Limits;
use crate::link::{HandOverOutcome, Peers};
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;

/// Keeps what the other nodes would hear.
#[derive(Default)]
struct Ears(Mutex<Vec<Signal>>);

impl Peers for Ears {
    fn push_segment(&self, _segment: &Arc<Segment>) {}

    fn push_signal(&self, signal: Signal) {
        self.0.lock().unwrap().push(signal);
    }

    fn hand_over(&self, _to: NodeId, _hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        Box::pin(std::future::ready(HandOverOutcome::NotSent))
    }
}

fn here() -> NodeId {
    NodeId::from_random(1)
}

fn node_with(peers: Arc<dyn Peers>, limits: &Limits) -> Rooms {
    let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
    Rooms::start(&here(), &log, peers, limits, &mailboxes())
}

fn node(limits: &Limits) -> Rooms {
    node_with(no_peers(), limits)
}

async fn member(rooms: &Rooms, number: u64) -> Client {
    let client = Client::new(rooms, number, 1 << 20);
    client.join(JoinFrom::Head).await;
    client.receive(1).await;
    client
}

fn from_node(node: u64, number: u64, body: u64) -> Signal {
    let (from, key) = (UserId::new("eve").unwrap(), Some(SignalKey::new("k").unwrap()));
    let body = Body::parse(&body.to_string()).unwrap();
    Signal { room: room(), from, key, body, node: NodeId::from_random(node), number }
}

fn key(text: &str) -> SignalKey {
    SignalKey::new(text).unwrap()
}

fn hear(rooms: &Rooms, signals: impl IntoIterator<Item = Signal>) {
    let envelope = Envelope { segments: Vec::new(), signals: signals.into_iter().collect(), unreadable: 0 };
    assert_eq!(rooms.deliver(envelope), Ok(()), "signals are never an error");
}

// --- from a member

#[tokio::test]
async fn a_signal_reaches_everybody_but_the_session_that_sent_it() {
    let rooms = node(&limits(&[]));
    let (ada, bob) = (member(&rooms, 1).await, member(&rooms, 2).await);
    let tab = ada.another_tab(3);
    tab.join(JoinFrom::Head).await;
    tab.receive(1).await;
    ada.signal(None, r#"{"x":1}"#).await;
    ada.signal(Some("cursor"), "[2, 3]").await;
    ada.publish("m1", "4").await;
    let expected = [r#"user-1 - {"x":1}"#, "user-1 cursor [2, 3]"];
    assert_eq!(signals(&bob.receive_until(|frames| seqs(frames) == [1]).await), expected);
    assert_eq!(
        signals(&tab.receive_until(|frames| seqs(frames) == [1]).await),
        expected,
        "another tab, another session"
    );
    let own = ada.receive_until(|frames| frames.iter().any(|frame| matches!(frame, ServerFrame::Ack(_)))).await;
    assert!(signals(&own).is_empty(), "{own:?}");
}

#[tokio::test]
async fn whoever_is_not_in_the_room_is_told_so() {
    let rooms = node(&limits(&[]));
    let (ada, bob) = (member(&rooms, 1).await, Client::new(&rooms, 2, 1 << 20));
    bob.signal(Some("k"), "1").await;
    let frames = bob.receive(1).await;
    let [ServerFrame::Error(error)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!((error.code, error.room.clone(), error.id.clone()), (ErrorCode::NotJoined, Some(room()), None));
    ada.publish("m1", "1").await;
    let seen = ada.receive_until(|frames| seqs(frames) == [1]).await;
    assert!(signals(&seen).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_nodes_hear_every_signal_once_in_the_order_of_its_number() {
    let ears = Arc::new(Ears::default());
    let rooms = node_with(ears.clone(), &limits(&[]));
    let (ada, bob) = (member(&rooms, 1).await, member(&rooms, 2).await);
    for number in 0..50 {
        ada.signal(Some("k"), &number.to_string()).await;
        bob.signal(None, &number.to_string()).await;
    }
    ada.publish("m1", "1").await;
    bob.receive_until(|frames| seqs(frames) == [1]).await;
    let heard = ears.0.lock().unwrap().clone();
    assert!(heard.iter().map(|signal| signal.number).eq(1..=100));
    assert!(heard.iter().all(|signal| signal.node == here() && signal.room == room()));
    assert_eq!((heard[0].from.as_str(), heard[0].key.as_ref().unwrap().as_str()), ("user-1", "k"));
}

// --- from another node

/// A link that hands every signal to all nodes, its own too, and twice.
#[derive(Default)]
struct Echo(OnceLock<Vec<Rooms>>);

impl Peers for Echo {
    fn push_segment(&self, _segment: &Arc<Segment>) {}

    fn push_signal(&self, signal: Signal) {
        for rooms in self.0.get().unwrap() {
            hear(rooms, [signal.clone(), signal.clone()]);
        }
    }

    fn hand_over(&self, _to: NodeId, _hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        Box::pin(std::future::ready(HandOverOutcome::NotSent))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_other_node_once_and_those_who_come_there_later() {
    let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
    let echo = Arc::new(Echo::default());
    let start = |number| Rooms::start(&NodeId::from_random(number), &log, echo.clone(), &limits(&[]), &mailboxes());
    let (one, two) = (start(1), start(2));
    assert!(echo.0.set(vec![one.clone(), two.clone()]).is_ok());
    let (ada, bob) = (member(&one, 1).await, member(&two, 2).await);
    let tab = ada.another_tab(3);
    tab.join(JoinFrom::Head).await;
    tab.receive(1).await;
    for number in 0..50 {
        ada.signal(None, &number.to_string()).await;
    }
    ada.signal(Some("k"), "50").await;
    for client in [&tab, &bob] {
        let frames = client.receive_until(|frames| signals(frames).len() >= 51).await;
        let bodies =
            signals(&frames).into_iter().map(|signal| signal.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        assert!(bodies.eq(0..=50), "each once, in order");
    }
    let late = Client::new(&two, 4, 1 << 20);
    late.join(JoinFrom::Head).await;
    assert_eq!(signals(&late.receive(2).await), ["user-1 k 50"]);
    ada.publish("m1", "1").await;
    let own = ada.receive_until(|frames| seqs(frames) == [1]).await;
    assert!(signals(&own).is_empty(), "what comes back is dropped");
}

#[tokio::test]
async fn other_nodes_signals_are_delivered_once_and_late_ones_never() {
    let rooms = node(&limits(&[]));
    let bob = member(&rooms, 1).await;
    let own = Signal { node: here(), ..from_node(9, 100, 0) };
    hear(&rooms, [from_node(7, 5, 1), from_node(7, 5, 1), from_node(7, 4, 2), own, from_node(8, 1, 3)]);
    hear(&rooms, [from_node(7, 6, 4), from_node(8, 0, 5)]);
    bob.publish("m1", "1").await;
    let frames = bob.receive_until(|frames| seqs(frames) == [1]).await;
    assert_eq!(signals(&frames), ["eve k 4"], "one key, so only the newest value waits: number 4, late, is not it");
    hear(&rooms, [from_node(7, 6, 6), from_node(7, 7, 7)]);
    bob.publish("m2", "1").await;
    assert_eq!(signals(&bob.receive_until(|frames| seqs(frames) == [2]).await), ["eve k 7"]);
}

#[tokio::test]
async fn a_flood_of_signals_leaves_room_for_messages() {
    let rooms = node(&limits(&[]));
    // Nothing runs beside this test: the shard takes nothing out of its queue meanwhile.
    hear(&rooms, (1..=20_000).map(|number| from_node(7, number, number)));
    let text = r#"{"v":1,"segments":[{"room":"room","seq":1,"count":1,"epoch":"1.0","node":"n","expires":2000000000,"messages":[{"id":"i","from":"u","name":"U","at":1,"body":1}]}]}"#;
    assert_eq!(rooms.deliver(Envelope::parse(text).unwrap()), Ok(()));
}

#[test]
fn only_so_many_nodes_are_remembered() {
    let mut arrivals = Arrivals::new(here(), &limits_with(|limits| limits.signal_origins = 2));
    let mut news = |node, number| arrivals.is_news(&from_node(node, number, 0));
    assert!(news(7, 5) && news(8, 5));
    assert!(!news(7, 5), "and node 7 was heard of last");
    assert!(news(9, 5), "takes the place of node 8");
    assert!(!news(7, 4) && !news(9, 4));
    assert!(news(8, 1), "forgotten, so it begins anew");
}

// --- current values

#[tokio::test]
async fn whoever_comes_later_gets_the_current_values_of_others_after_joined() {
    let rooms = node(&limits(&[]));
    let ada = member(&rooms, 1).await;
    for (key, body) in [(Some("a"), "1"), (Some("b"), "2"), (None, "3"), (Some("a"), "4")] {
        ada.signal(key, body).await;
    }
    hear(&rooms, [from_node(7, 1, 5)]);
    let bob = Client::new(&rooms, 2, 1 << 20);
    bob.join(JoinFrom::Head).await;
    let frames = bob.receive(4).await;
    assert!(matches!(frames[0], ServerFrame::Joined(_)), "{frames:?}");
    assert_eq!(signals(&frames), ["user-1 b 2", "user-1 a 4", "eve k 5"]);
    // The one who set them comes in again, in the same session.
    ada.join(JoinFrom::Head).await;
    let frames = ada.receive_until(|frames| signals(frames).len() == 2).await;
    assert_eq!(signals(&frames), ["eve k 5", "eve k 5"], "once as it came, once when it joined again");
}

#[tokio::test]
async fn who_reads_back_gets_no_signals_before_the_end_of_its_replay() {
    let log = SlowLog::new();
    fill(&log.log, 1..=300, 100).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&here(), &port, no_peers(), &limits(&[]), &mailboxes());
    let ada = member(&rooms, 1).await;
    log.held.store(true, Ordering::SeqCst);
    let bob = Client::new(&rooms, 2, 1 << 20);
    bob.join(after(5)).await;
    for (key, body) in [(Some("a"), "1"), (None, "2"), (Some("a"), "3")] {
        ada.signal(key, body).await;
    }
    log.permits.add_permits(100);
    let frames = bob.receive_until(|frames| !signals(frames).is_empty()).await;
    assert!(seqs(&frames).into_iter().eq(6..=300));
    assert_eq!(signals(&frames), ["user-1 a 3"]);
    assert!(matches!(frames.last(), Some(ServerFrame::Signal(_))), "it comes last");
}

#[tokio::test]
async fn a_room_keeps_a_bounded_number_of_values_and_bytes() {
    for (limits, expected) in [
        (limits_with(|limits| limits.signal_keys = 3), vec!["k2", "k3", "k4"]),
        (limits_with(|limits| limits.signal_bytes = 2 * 80), vec!["k3", "k4"]),
        (limits_with(|limits| limits.signal_bytes = 10), vec![]),
    ] {
        let rooms = node(&limits);
        for number in 0..5 {
            member(&rooms, number).await.signal(Some(&format!("k{number}")), "1").await;
        }
        let bob = Client::new(&rooms, 9, 1 << 20);
        bob.join(JoinFrom::Head).await;
        bob.publish("m1", "1").await;
        let frames = bob.receive_until(|frames| seqs(frames) == [1]).await;
        let expected: Vec<String> = expected.into_iter().map(|key| format!("user-{} {key} 1", &key[1..])).collect();
        assert_eq!(signals(&frames), expected);
    }
}

#[tokio::test]
async fn one_user_sets_at_most_a_quarter_of_a_rooms_values_and_bytes() {
    for limits in [
        limits_with(|limits| limits.signal_keys = 8),
        // A frame has 73 bytes or 74.
        limits_with(|limits| limits.signal_bytes = 8 * 80),
    ] {
        let rooms = node(&limits);
        let (ada, ben) = (member(&rooms, 1).await, member(&rooms, 2).await);
        let tab = ada.another_tab(3);
        tab.join(JoinFrom::Head).await;
        ben.signal(Some("b"), "1").await;
        for number in 0..20 {
            let session = if number % 2 == 0 { &ada } else { &tab };
            session.signal(Some(&format!("k{number}")), "1").await;
        }
        // A flood from another node comes in the same way.
        hear(
            &rooms,
            (1..=20).map(|number| Signal { key: Some(key(&format!("e{number}"))), ..from_node(7, number, 1) }),
        );
        let late = Client::new(&rooms, 4, 1 << 20);
        late.join(JoinFrom::Head).await;
        late.publish("m1", "1").await;
        let frames = late.receive_until(|frames| seqs(frames) == [1]).await;
        assert_eq!(signals(&frames), ["user-2 b 1", "user-1 k18 1", "user-1 k19 1", "eve e19 1", "eve e20 1"]);
    }
}

#[tokio::test]
async fn values_leave_memory_by_time_are_then_given_to_nobody_and_keep_no_room_open() {
    let limits = limits(&[]);
    let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
    let work = Work::new(here(), Arc::clone(&log), no_peers(), &limits, mpsc::channel(1).0);
    let (answers, _answered) = mpsc::channel(1);
    let name = RoomName::new("r").unwrap();
    let place = work.queues().stats.admit(1).unwrap();
    let hosting = Hosting { number: 1, key: mailboxes().new_room(), place };
    let mut hosted = Hosted::new(name.clone(), hosting, Room::new(name, here(), limits.room()), &limits);
    let say = |hosted: &mut Hosted, key: &str, now: Time| {
        let scene = Scene { now, wall: WallSecs(1), work: &work, answers: &answers, limits: &limits };
        let key = Some(SignalKey::new(key).unwrap());
        hosted.begin_turn(now);
        let (from, body) = (UserId::new("eve").unwrap(), Body::parse("1").unwrap());
        hosted.handle_signal(Said { from, key, body, sender: None }, &scene);
    };
    say(&mut hosted, "a", Time(1_000));
    say(&mut hosted, "b", Time(2_000));
    say(&mut hosted, "a", Time(3_000));
    let end = |since: u64| Time(since + limits.signal_ms);
    assert_eq!(hosted.values.deadline(), Some(end(2_000)));
    assert!(
        hosted.poll_timeout(Time(3_000), &limits).is_some_and(|time| time <= end(2_000)),
        "it comes back by itself"
    );

    let rooms = node(&limits);
    let mut number = 0;
    let mut given = |hosted: &mut Hosted, now: Time| {
        number += 1;
        let client = Client::new(&rooms, number, 1 << 20);
        hosted.begin_turn(now);
        hosted.admit(Arc::clone(&client.session));
        hosted.remove(&client.session.id);
        client.session.outbox.bytes()
    };
    let one = given(&mut hosted, Time(end(2_000).0 - 1)) / 2;
    assert_eq!((given(&mut hosted, end(2_000)), given(&mut hosted, end(3_000))), (one, 0));
    assert!(one > 0);
    assert_eq!(hosted.values.deadline(), None);

    say(&mut hosted, "a", end(3_000));
    assert!(hosted.is_over(end(3_000), &limits), "although a value is left");
}

// --- many members, many signals

#[tokio::test]
async fn a_room_tells_so_many_signals_and_then_the_newest_value_of_each_key() {
    // Ten members and two seconds' worth of 50 deliveries: eleven signals at once, the last of them on credit.
    let rooms = node(&limits(&["--signal-deliveries-per-second", "50"]));
    let mut members = Vec::new();
    for number in 0..10 {
        members.push(member(&rooms, number).await);
    }
    for number in 0..200 {
        members[0].signal(Some("cursor"), &number.to_string()).await;
        members[0].signal(None, &number.to_string()).await;
    }
    let newest = "user-0 cursor 199".to_owned();
    let told = members[1].receive_until(|frames| signals(frames).contains(&newest)).await;
    let told = signals(&told);
    // A busy machine may take long enough for a few more to pass.
    assert!(told.len() <= 40, "{told:?}");
    assert!(rooms.counts().signals_shed >= 360, "{:?}", rooms.counts());
    for member in &members[2..] {
        member.receive_until(|frames| signals(frames).contains(&newest)).await;
    }
}

#[tokio::test]
async fn signals_of_one_user_leave_deliveries_for_those_of_others() {
    // Ten members: eighty-one signals at once, and twenty-one of one user.
    let rooms = node(&limits(&["--signal-deliveries-per-second", "400"]));
    let mut members = Vec::new();
    for number in 0..10 {
        members.push(member(&rooms, number).await);
    }
    for number in 0..200 {
        members[0].signal(None, &number.to_string()).await;
    }
    hear(&rooms, (1..=200).map(|number| Signal { key: None, ..from_node(7, number, number) }));
    for number in 0..20 {
        members[1].signal(None, &number.to_string()).await;
    }
    members[1].signal(Some("end"), "1").await;
    let end = "user-1 end 1".to_owned();
    let told = signals(&members[2].receive_until(|frames| signals(frames).contains(&end)).await);
    let of = |user: &str| told.iter().filter(|signal| signal.starts_with(user)).count();
    assert_eq!(of("user-1 "), 21, "{told:?}");
    // A busy machine may take long enough for a few more to pass.
    assert!((21..=30).contains(&of("user-0 ")) && (21..=30).contains(&of("eve ")), "{told:?}");
}

#[tokio::test]
async fn values_that_wait_for_their_users_deliveries_are_told_when_these_come_back() {
    // Two members: one user has 5 of 20 deliveries a second, and uses ten seconds' worth at once.
    let rooms = node(&limits(&["--signal-deliveries-per-second", "20"]));
    let (ada, ben) = (member(&rooms, 0).await, member(&rooms, 1).await);
    for number in 0..40 {
        ada.signal(Some("a"), &number.to_string()).await;
        ben.signal(Some("b"), &number.to_string()).await;
    }
    let late = member(&rooms, 2).await;
    let is_there = |frames: &[ServerFrame], signal: &str| signals(frames).iter().any(|told| told == signal);
    ben.receive_until(|frames| is_there(frames, "user-0 a 39")).await;
    ada.receive_until(|frames| is_there(frames, "user-1 b 39")).await;
    ada.signal(Some("end"), "1").await;
    late.receive_until(|frames| is_there(frames, "user-0 end 1")).await;
}
