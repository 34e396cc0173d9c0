//! Repairs that bring a live member more than its outbox holds.

use std::sync::Arc;
use std::time::Duration;

use protocol::{CloseCode, Content, Envelope, JoinFrom, NodeId, Segment};
use tokio::time::{Instant, sleep, timeout};

use super::slow_log_tests::{epoch, fill, message, seq};
use super::testing::{Client, PATIENCE, joined, limits, limits_with, mailboxes, no_peers, parsed, room, seqs};
use super::{Command, Rooms};
use crate::backplane::EnvelopeSink;
use crate::config::Limits;
use crate::connection::Outbound;
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;

/// Bytes of a message: 70 of them, a page of the log, are more than an outbox.
const LEN: usize = 15_000;
const OUTBOX: usize = 1 << 20;

/// A node that has missed the messages from 11 on, and somebody who is live there at 10.
async fn behind(limits: &Limits, last: u64) -> (Rooms, Client) {
    let log = Arc::new(MemoryLog::default());
    fill(&log, 1..=10, LEN).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), limits, &mailboxes());
    let bob = Client::new(&rooms, 1, OUTBOX);
    bob.join(JoinFrom::Head).await;
    assert_eq!(joined(&bob.receive(1).await).0.seq, seq(10));
    fill(&log, 11..=last, LEN).await;
    (rooms, bob)
}

/// The node hears of the newest message, and reads what is missing before it.
fn hear_of(rooms: &Rooms, last: u64) {
    rooms.deliver(post([segment(last, LEN)])).unwrap();
}

fn segment(number: u64, length: usize) -> Segment {
    let content = Content::Messages(vec![message(number, length)]);
    let (node, expires) = (NodeId::from_random(9), protocol::WallSecs(u64::from(u32::MAX)));
    Segment { room: room(), seq: seq(number), epoch: epoch(), node, expires, content }
}

fn post(segments: impl IntoIterator<Item = Segment>) -> Envelope {
    Envelope { segments: segments.into_iter().collect(), signals: Vec::new(), unreadable: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_any_size_come_whole_and_in_order_whatever_they_are_mixed_with() {
    let (rooms, bob) = behind(&limits(&[]), 10).await;
    let elsewhere = |number: u64| {
        let room = protocol::RoomName::new(&format!("other-{}", number % 7)).unwrap();
        Segment { room, ..segment(number, 20) }
    };
    let mut next = 11;
    // Around what a shard takes at once, and much more; nobody is in the other rooms.
    for count in [1, 63, 64, 65, 1, 128, 129, 500, 2] {
        let here = (next..next + count).map(|number| segment(number, 20));
        rooms.deliver(post(here.flat_map(|segment| [elsewhere(segment.seq.get()), segment]))).unwrap();
        next += count;
    }
    let count = (next - 11) as usize;
    let frames = bob.receive_until(|frames| seqs(frames).len() >= count).await;
    assert!(seqs(&frames).into_iter().eq(11..next), "the log has none of it: hints alone, and all of them");
}

async fn go_on(rooms: &Rooms, bob: &Client, waiting: Vec<protocol::RoomName>) {
    for room in waiting {
        rooms.send(Command::Drained { room, session: bob.session.id.clone() }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_reads_is_not_closed_by_a_repair_of_any_length() {
    let (rooms, bob) = behind(&limits(&[]), 500).await;
    hear_of(&rooms, 500);
    let mut got = Vec::new();
    while got.len() < 490 {
        let outbound = timeout(PATIENCE, bob.session.outbox.next(64 * 1024)).await;
        let Ok(Outbound::Frames(more, waiting)) = outbound else { panic!("{outbound:?} after {} messages", got.len()) };
        // A socket that takes some 30 MB a second.
        sleep(Duration::from_millis(2)).await;
        got.extend(seqs(&parsed(&more)));
        go_on(&rooms, &bob, waiting).await;
    }
    assert!(got.into_iter().eq(11..=500), "7 MB through an outbox of 1 MB, in order");
    // It is live again: what is said next comes without being asked for.
    let ada = Client::new(&rooms, 2, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.publish("news", "1").await;
    assert_eq!(seqs(&bob.receive(1).await), [501]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_read_is_closed_in_bounded_time_and_memory() {
    let limits = limits_with(|limits| limits.catch_up_ms = 200);
    let (rooms, bob) = behind(&limits, 200).await;
    hear_of(&rooms, 200);
    let start = Instant::now();
    while !bob.session.outbox.is_closing() {
        assert!(bob.session.outbox.bytes() <= OUTBOX);
        assert!(start.elapsed() < PATIENCE, "nothing is read, and nobody minds");
        sleep(Duration::from_millis(5)).await;
    }
    let outbound = timeout(PATIENCE, bob.session.outbox.next(64 * 1024)).await;
    assert!(matches!(outbound, Ok(Outbound::Close(CloseCode::SlowConsumer))), "{outbound:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_slow_before_the_repair_is_closed_by_it() {
    let (rooms, bob) = behind(&limits(&[]), 200).await;
    // More than half of its outbox waits, unread.
    let backlog = "x".repeat(OUTBOX * 3 / 5);
    assert!(bob.session.outbox.push(crate::connection::Frame::new(&backlog)));
    hear_of(&rooms, 200);
    let start = Instant::now();
    while !bob.session.outbox.is_closing() {
        assert!(start.elapsed() < PATIENCE, "it was slow and is kept");
        sleep(Duration::from_millis(5)).await;
    }
}
