//! The same publish again, spelled otherwise: what its publisher is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::{ErrorCode, HandOff, HandOffAnswer, HandedOutcome, JoinFrom, NodeId, Seq, ServerFrame};

use super::Rooms;
use super::slow_log::SlowLog;
use super::testing::{Client, limits_with, mailboxes, no_peers, room};
use crate::link::HandOffSink;
use crate::message_log::MessageLog;

fn node(log: &Arc<SlowLog>, number: u64, recent_messages: usize) -> Rooms {
    let log = Arc::clone(log) as Arc<dyn MessageLog>;
    let limits = limits_with(|limits| limits.recent_messages = recent_messages);
    Rooms::start(&NodeId::from_random(number), &log, no_peers(), &limits, &mailboxes())
}

/// Publishes, and returns the number in the answer: of an ack, or of a conflict.
async fn answer(client: &Client, id: &str, body: &str) -> Result<u64, (ErrorCode, Option<u64>)> {
    client.publish(id, body).await;
    let settles = |frame: &ServerFrame| matches!(frame, ServerFrame::Ack(_) | ServerFrame::Error(_));
    let frames = client.receive_until(|frames| frames.iter().any(settles)).await;
    match frames.iter().find(|frame| settles(frame)).unwrap() {
        ServerFrame::Ack(ack) => Ok(ack.seq.get()),
        ServerFrame::Error(error) => {
            assert_eq!(error.id.as_ref().map(ToString::to_string).as_deref(), Some(id));
            Err((error.code, error.seq.map(Seq::get)))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_publish_that_is_spelled_otherwise_is_the_same_publish() {
    let log = SlowLog::new();
    // One node has the message in memory, the other keeps none, a third reads the ids of what others wrote.
    let (first, forgetful) = (node(&log, 1, 1_000), node(&log, 2, 0));
    let ada = Client::new(&first, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.receive(1).await;
    assert_eq!(answer(&ada, "a", r#"{"a":1,"b":"\u00e9"}"#).await, Ok(1));
    let reads = log.reads.load(Ordering::SeqCst);
    assert_eq!(answer(&ada, "a", r#"{ "b":"é", "a":1.0 }"#).await, Ok(1));
    assert_eq!(answer(&ada, "a", r#"{"a":2,"b":"é"}"#).await, Err((ErrorCode::IdConflict, Some(1))));
    assert_eq!(log.reads.load(Ordering::SeqCst), reads, "the message is in memory");
    let there = Client { rooms: forgetful, ..Client::new(&first, 1, 1 << 20).another_tab(2) };
    there.join(JoinFrom::Head).await;
    there.receive(1).await;
    assert_eq!(answer(&there, "a", r#"{"b":"\u00E9","a":10e-1}"#).await, Ok(1));
    assert_eq!(answer(&there, "a", r#"{"a":1}"#).await, Err((ErrorCode::IdConflict, Some(1))));
    assert_eq!(log.reads.load(Ordering::SeqCst), reads + 2, "the message was read");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_leaves_the_outcome_open() {
    let log = SlowLog::new();
    let rooms = node(&log, 1, 0);
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.receive(1).await;
    assert_eq!(answer(&ada, "a", "1").await, Ok(1));
    log.failing_reads.store(true, Ordering::SeqCst);
    assert_eq!(answer(&ada, "a", "1.0").await, Err((ErrorCode::Unavailable, None)));
    assert_eq!(answer(&ada, "a", "1").await, Ok(1), "the same text needs no look");
    log.failing_reads.store(false, Ordering::SeqCst);
    assert_eq!(answer(&ada, "a", "1.0").await, Ok(1));
}

#[tokio::test]
async fn a_batch_of_another_node_is_answered_alike() {
    let log = SlowLog::new();
    let rooms = node(&log, 1, 1_000);
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.receive(1).await;
    assert_eq!(answer(&ada, "a", r#"{"x":[1]}"#).await, Ok(1));
    let epoch = log.header(&room()).await.unwrap().unwrap().epoch;
    let messages =
        vec![ada.message("a", r#"{"x":[1.0]}"#), ada.message("a", "2"), ada.message("b", "3"), ada.message("b", "3e0")];
    let hand_off = HandOff { room: room(), epoch, checked: Seq::FIRST, stream: 1, index: 1, messages };
    let HandOffAnswer::Settled { outcomes, .. } = rooms.take_hand_off(hand_off).await else { panic!("declined") };
    let (first, second) = (Seq::FIRST, Seq::FIRST.next());
    let expected = [
        HandedOutcome::Acked(first),
        HandedOutcome::Conflict(first),
        HandedOutcome::Acked(second),
        HandedOutcome::Acked(second),
    ];
    assert_eq!(outcomes, expected);
}
