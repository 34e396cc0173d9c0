//! Rooms against a log in memory, without sockets: what sessions are told.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Envelope, HistoryRange, JoinFrom, NodeId, Position, ServerFrame};
use tokio::time::timeout;

use super::Rooms;
use super::testing::{Client, PATIENCE, joined, limits, mailboxes, no_peers, seqs};
use crate::backplane::EnvelopeSink;
use crate::config::Limits;
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;

fn node(log: &Arc<dyn MessageLog>, number: u64, limits: &Limits) -> Rooms {
    Rooms::start(&NodeId::from_random(number), log, no_peers(), limits, &mailboxes())
}

fn memory_log() -> Arc<dyn MessageLog> {
    Arc::new(MemoryLog::default())
}

#[tokio::test]
async fn the_first_message_of_a_room_begins_its_first_epoch() {
    let rooms = node(&memory_log(), 1, &limits(&[]));
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    assert_eq!(joined(&ada.receive(1).await), (Position::start(), true, 0));
    ada.publish("m1", "1").await;
    let frames = ada.receive(3).await;
    let [ServerFrame::Reset(reset), ServerFrame::Message(message), ServerFrame::Ack(ack)] = frames.as_slice() else {
        panic!("{frames:?}")
    };
    assert_eq!((reset.position.seq.get(), message.seq.get(), ack.seq.get()), (0, 1, 1));
    assert_eq!(reset.position.epoch.generation(), 1);
}

#[tokio::test]
async fn a_session_from_before_the_first_message_resumes_with_all_of_them() {
    let log = memory_log();
    let rooms = node(&log, 1, &limits(&[]));
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=3).await;
    let bob = Client::new(&node(&log, 2, &limits(&[])), 2, 1 << 20);
    bob.join(JoinFrom::After(Position::start())).await;
    let frames = bob.receive(4).await;
    assert_eq!((joined(&frames).1, joined(&frames).2, seqs(&frames)), (true, 3, vec![1, 2, 3]));
}

#[tokio::test]
async fn a_replay_longer_than_memory_and_outbox_comes_whole_and_then_live() {
    let log = memory_log();
    let rooms = node(&log, 1, &limits(&[]));
    let ada = Client::new(&rooms, 1, 8 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=1_500).await;
    for (number, from) in [(2, &rooms), (3, &node(&log, 2, &limits(&[])))] {
        let bob = Client::new(from, number, 128 * 1024);
        let position = Position { epoch: epoch_of(&ada).await, seq: protocol::Seq::new(5).unwrap() };
        bob.join(JoinFrom::After(position)).await;
        let frames = bob.receive_until(|frames| seqs(frames).len() >= 1_495).await;
        assert_eq!((joined(&frames).1, joined(&frames).2), (true, 1_495));
        assert!(seqs(&frames).into_iter().eq(6..=1_500));
    }
    // Somebody who reads back while others speak gets everything in order all the same.
    let late = Client::new(&rooms, 4, 128 * 1024);
    let position = Position { epoch: epoch_of(&ada).await, seq: protocol::Seq::ZERO };
    late.join(JoinFrom::After(position)).await;
    ada.publish_all(1_501..=1_700).await;
    let frames = late.receive_until(|frames| seqs(frames).len() >= 1_700).await;
    assert!(seqs(&frames).into_iter().eq(1..=1_700));
}

async fn epoch_of(client: &Client) -> protocol::Epoch {
    client.join(JoinFrom::Head).await;
    let frames = client.receive_until(|frames| frames.iter().any(|f| matches!(f, ServerFrame::Joined(_)))).await;
    joined(&frames).0.epoch
}

#[tokio::test]
async fn a_position_that_the_log_contradicts_is_reset() {
    let rooms = node(&memory_log(), 1, &limits(&[]));
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=2).await;
    let epoch = epoch_of(&ada).await;
    let ahead = Position { epoch: epoch.clone(), seq: protocol::Seq::new(9).unwrap() };
    let foreign = Position { epoch: protocol::Epoch::birth(7), seq: protocol::Seq::FIRST };
    for (number, position) in [(2, ahead), (3, foreign)] {
        let bob = Client::new(&rooms, number, 1 << 20);
        bob.join(JoinFrom::After(position)).await;
        let frames = bob.receive(2).await;
        assert_eq!((joined(&frames).1, joined(&frames).2), (false, 0));
        assert!(matches!(&frames[1], ServerFrame::Reset(reset) if reset.position.seq.get() == 2));
    }
}

#[tokio::test]
async fn a_position_ahead_of_this_node_is_compared_with_the_log_first() {
    let log = memory_log();
    let (one, two) = (node(&log, 1, &limits(&[])), node(&log, 2, &limits(&[])));
    let (ada, bob) = (Client::new(&one, 1, 1 << 20), Client::new(&two, 2, 1 << 20));
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=2).await;
    bob.join(JoinFrom::Head).await;
    bob.receive(1).await;
    ada.publish_all(3..=4).await;
    // Node two has heard nothing of 3 and 4: there is no backplane here.
    let position = Position { epoch: epoch_of(&ada).await, seq: protocol::Seq::new(4).unwrap() };
    let eve = Client::new(&two, 3, 1 << 20);
    eve.join(JoinFrom::After(position.clone())).await;
    assert_eq!(joined(&eve.receive(1).await), (position, true, 0));
    assert_eq!(seqs(&bob.receive(2).await), [3, 4], "what the log told is news to all members");
}

#[tokio::test]
async fn history_is_read_from_memory_and_from_the_log_alike() {
    let log = memory_log();
    let limits = limits(&[]);
    let ada = Client::new(&node(&log, 1, &limits), 1, 8 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=30).await;
    let fresh = Client::new(&node(&log, 2, &limits), 2, 8 << 20);
    fresh.join(JoinFrom::Head).await;
    fresh.receive(1).await;
    let seq = |number| protocol::Seq::new(number).unwrap();
    let cases = [
        (HistoryRange::Latest, 5, 26..=30, true),
        (HistoryRange::Latest, 100, 1..=30, false),
        (HistoryRange::Before(seq(11)), 10, 1..=10, false),
        (HistoryRange::Before(seq(11)), 9, 2..=10, true),
        (HistoryRange::After(seq(28)), 10, 29..=30, false),
        (HistoryRange::After(seq(0)), 3, 1..=3, true),
    ];
    for client in [&ada, &fresh] {
        for (range, limit, expected, more) in cases.clone() {
            client.history(range, limit).await;
            let frames = client.receive_until(|f| f.iter().any(|f| matches!(f, ServerFrame::History(_)))).await;
            let Some(ServerFrame::History(history)) = frames.last() else { panic!("{frames:?}") };
            let found: Vec<u64> = history.messages.iter().map(|message| message.seq.get()).collect();
            assert_eq!((found, history.more), (expected.collect(), more), "{range:?} {limit}");
        }
    }
}

#[tokio::test]
async fn without_a_backplane_the_audit_brings_everything() {
    let log = memory_log();
    let (one, two) = (node(&log, 1, &limits(&[])), node(&log, 2, &limits(&[])));
    let (ada, bob) = (Client::new(&one, 1, 1 << 20), Client::new(&two, 2, 1 << 20));
    bob.join(JoinFrom::Head).await;
    bob.receive(1).await;
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=5).await;
    assert_eq!(seqs(&bob.receive_until(|frames| seqs(frames).len() == 5).await), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_the_backplane_says_of_rooms_that_nobody_is_in_is_ignored() {
    let rooms = node(&memory_log(), 1, &limits(&[]));
    let text = r#"{"v":1,"segments":[{"room":"nobody","seq":1,"count":1,"epoch":"1.0","node":"n","expires":2000000000,"messages":[{"id":"i","from":"u","name":"U","at":1,"body":1}]}]}"#;
    for _ in 0..3 {
        assert_eq!(rooms.deliver(Envelope::parse(text).unwrap()), Ok(()));
    }
    timeout(PATIENCE, rooms.flush()).await.unwrap();
}

#[tokio::test]
async fn after_left_no_frame_of_the_room_follows() {
    let rooms = node(&memory_log(), 1, &limits(&[]));
    let (ada, bob) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    ada.join(JoinFrom::Head).await;
    bob.join(JoinFrom::Head).await;
    ada.receive(1).await;
    ada.publish("m1", "1").await;
    ada.leave().await;
    let frames = ada.receive_until(|frames| frames.iter().any(|f| matches!(f, ServerFrame::Left(_)))).await;
    let told = frames.iter().any(|f| matches!(f, ServerFrame::Error(error) if error.id.is_some()))
        || frames.iter().any(|f| matches!(f, ServerFrame::Ack(_)));
    assert!(told, "the publish is answered before: {frames:?}");
    bob.publish_all(2..=3).await;
    let more = timeout(Duration::from_millis(50), ada.session.outbox.next(1_000)).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn rooms_beyond_the_memory_budget_read_the_log_instead() {
    let rooms = node(&memory_log(), 1, &limits(&["--recent-bytes", "1024"]));
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish_all(1..=20).await;
    let bob = Client::new(&rooms, 2, 1 << 20);
    bob.join(JoinFrom::Recent(20)).await;
    assert!(seqs(&bob.receive_until(|frames| seqs(frames).len() == 20).await).into_iter().eq(1..=20));
}
