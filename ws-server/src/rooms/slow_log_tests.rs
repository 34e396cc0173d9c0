//! Rooms whose log is slow: answers that come late, many who ask at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{
    Body, Content, DisplayName, Epoch, ErrorCode, HistoryRange, JoinFrom, Message, MessageId, NodeId, Nonce, Position,
    RoomName, Segment, Seq, ServerFrame, UserId,
};
use room_core::log::{RoomHeader, StoredSegment, WallSecs};
use tokio::time::timeout;

use super::slow_log::SlowLog;
use super::testing::{Client, PATIENCE, limits, limits_with, mailboxes, no_peers, parsed, room, seqs};
use super::{Command, Rooms};
use crate::connection::Outbound;
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;

pub(super) fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

pub(super) fn message(id: u64, len: usize) -> Message {
    Message {
        id: MessageId::new(&format!("m{id}")).unwrap(),
        from: UserId::new("ada").unwrap(),
        name: DisplayName::new("Ada").unwrap(),
        at: 1,
        body: Body::parse(&format!("\"{}\"", "x".repeat(len))).unwrap(),
    }
}

pub(super) fn epoch() -> Epoch {
    Epoch::birth(7)
}

/// One message a segment, numbered so.
pub(super) async fn fill(log: &MemoryLog, numbers: std::ops::RangeInclusive<u64>, len: usize) {
    let header = RoomHeader { epoch: epoch(), first: Seq::FIRST, since: WallSecs(1) };
    log.put_header(&room(), &header, None).await.unwrap();
    for number in numbers {
        let segment = Segment {
            room: room(),
            seq: seq(number),
            epoch: epoch(),
            node: NodeId::from_random(9),
            expires: WallSecs(u64::from(u32::MAX)),
            content: Content::Messages(vec![message(number, len)]),
        };
        let nonce = Nonce::from_random(u128::from(number));
        log.plant(&StoredSegment { segment: Arc::new(segment), nonce });
    }
}

pub(super) fn after(number: u64) -> JoinFrom {
    JoinFrom::After(Position { epoch: epoch(), seq: seq(number) })
}

async fn slow_node(extra: &[&str]) -> (Arc<SlowLog>, Rooms) {
    let log = SlowLog::new();
    fill(&log.log, 1..=300, 100).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(extra), &mailboxes());
    (log, rooms)
}

#[tokio::test]
async fn a_page_for_an_earlier_join_must_not_reset_the_second() {
    let (log, rooms) = slow_node(&[]).await;
    let client = Client::new(&rooms, 1, 1 << 20);
    log.held.store(true, Ordering::SeqCst);
    client.join(after(5)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The same room again, from further on: say, the page was reloaded within one connection.
    client.join(after(200)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    log.permits.add_permits(1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    log.permits.add_permits(100);
    let frames = client.all().await;
    let resets = frames.iter().filter(|frame| matches!(frame, ServerFrame::Reset(_))).count();
    assert_eq!((resets, seqs(&frames)), (0, (201..=300).collect()));
}

#[tokio::test]
async fn a_page_for_an_earlier_join_must_not_end_the_second_replay() {
    let (log, rooms) = slow_node(&[]).await;
    // Fill the recent messages: 200 more, through the room.
    let ada = Client::new(&rooms, 2, 8 << 20);
    ada.join(JoinFrom::Head).await;
    for id in 301..=500 {
        ada.publish(&format!("m{id}"), &format!("\"{}\"", "x".repeat(1_000))).await;
    }
    ada.all().await;
    let client = Client::new(&rooms, 1, 128 * 1024);
    log.held.store(true, Ordering::SeqCst);
    client.join(after(5)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Leaves, and comes back from further on: memory has it all, but the outbox takes only half now.
    client.leave().await;
    client.join(after(301)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    log.permits.add_permits(100);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let frames = client.all().await;
    ada.publish("last", "1").await;
    let mut got = seqs(&frames);
    got.extend(seqs(&client.all().await));
    assert_eq!(got, (302..=501).collect::<Vec<_>>(), "the session is a member and gets what is said");
}

#[tokio::test]
async fn after_left_no_history_follows() {
    let (log, rooms) = slow_node(&[]).await;
    let client = Client::new(&rooms, 1, 1 << 20);
    client.join(JoinFrom::Head).await;
    client.all().await;
    log.held.store(true, Ordering::SeqCst);
    client.history(HistoryRange::Latest, 10).await;
    client.leave().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    log.permits.add_permits(100);
    let frames = client.all().await;
    assert!(matches!(frames.last(), Some(ServerFrame::Left(_))), "left is the last: {:?}", frames.last());
}

#[tokio::test]
async fn history_of_large_messages_must_not_close_the_connection() {
    let log = MemoryLog::default();
    fill(&log, 1..=100, 15_000).await;
    let port: Arc<dyn MessageLog> = Arc::new(log);
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(&[]), &mailboxes());
    let client = Client::new(&rooms, 1, 1 << 20);
    client.join(JoinFrom::Head).await;
    client.all().await;
    client.history(HistoryRange::Latest, 100).await;
    let frames = client.all().await;
    assert!(matches!(frames.last(), Some(ServerFrame::History(history)) if !history.messages.is_empty()));
}

#[tokio::test]
async fn history_after_an_expired_position_goes_on() {
    let log = MemoryLog::default();
    fill(&log, 501..=700, 10).await;
    let port: Arc<dyn MessageLog> = Arc::new(log);
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(&[]), &mailboxes());
    let client = Client::new(&rooms, 1, 1 << 20);
    client.join(JoinFrom::Head).await;
    client.all().await;
    client.history(HistoryRange::After(seq(0)), 100).await;
    let frames = client.all().await;
    let Some(ServerFrame::History(history)) = frames.last() else { panic!("{frames:?}") };
    assert!(history.more || !history.messages.is_empty(), "200 messages follow, none is given, and no more promised");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reads_a_page_when_there_is_space_for_it() {
    let log = SlowLog::new();
    fill(&log.log, 1..=600, 10_000).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(&[]), &mailboxes());
    let client = Client::new(&rooms, 1, 1 << 20);
    client.join(after(1)).await;
    let mut got = Vec::new();
    while got.len() < 599 {
        let outbound = timeout(Duration::from_secs(5), client.session.outbox.next(64 * 1024)).await;
        let Ok(Outbound::Frames(more, waiting)) = outbound else { panic!("{outbound:?}") };
        // A socket that takes some 30 MB a second.
        tokio::time::sleep(Duration::from_millis(2)).await;
        got.extend(seqs(&parsed(&more)));
        for room in waiting {
            rooms.send(Command::Drained { room, session: client.session.id.clone() }).await;
        }
    }
    let reads = log.reads.load(Ordering::SeqCst);
    assert!(reads <= 16, "{reads} reads of a page of 1 MB for 6 MB");
}

#[tokio::test]
async fn a_room_that_all_come_back_to_is_read_a_few_times_not_once_a_session() {
    let (log, rooms) = slow_node(&[]).await;
    let clients: Vec<_> = (0..500).map(|number| Client::new(&rooms, number, 1 << 20)).collect();
    for client in &clients {
        client.join(after(290)).await;
    }
    for client in &clients {
        let _ = timeout(Duration::from_secs(5), client.session.outbox.next(64 * 1024)).await.unwrap();
    }
    let reads = log.reads.load(Ordering::SeqCst);
    assert!(reads < 50, "{reads} reads of the same ten messages");
}

#[tokio::test]
async fn sessions_that_read_back_take_turns_and_no_other_work_waits_for_them() {
    let (log, rooms) = slow_node(&[]).await;
    let readers: Vec<_> = (0..50).map(|number| Client::new(&rooms, number, 1 << 20)).collect();
    for reader in &readers {
        reader.join(JoinFrom::Head).await;
        reader.receive(1).await;
    }
    log.held_back.store(true, Ordering::SeqCst);
    // The first asks for more than all others together.
    for _ in 0..200 {
        readers[0].history(HistoryRange::Latest, 10).await;
    }
    for reader in &readers[1..] {
        reader.history(HistoryRange::Latest, 10).await;
        reader.history(HistoryRange::Latest, 10).await;
    }
    // A replay from the log, a room that is opened, and a publish elsewhere.
    let ada = Client::new(&rooms, 100, 1 << 20);
    ada.join(after(5)).await;
    assert_eq!(seqs(&ada.receive_until(|frames| seqs(frames).len() == 295).await).len(), 295);
    let elsewhere = RoomName::new("elsewhere").unwrap();
    let (room, session) = (elsewhere.clone(), Arc::clone(&ada.session));
    rooms.send(Command::Join { room, session, from: JoinFrom::Head, reference: None }).await;
    ada.receive(1).await;
    let (room, session, message) = (elsewhere, Arc::clone(&ada.session), ada.message("m", "1"));
    rooms.send(Command::Publish { room, session, message }).await;
    ada.receive_until(|frames| frames.iter().any(|frame| matches!(frame, ServerFrame::Ack(_)))).await;
    assert_eq!(log.back_most.load(Ordering::SeqCst), 32, "as many as may read back at a time");
    // Those that came first are under way; then each session has one answer before any has its next.
    log.permits.add_permits(32 + 50);
    for reader in &readers[1..] {
        reader.receive(1).await;
    }
    log.permits.add_permits(1_000);
    readers[0].receive(200).await;
    assert_eq!(log.back_most.load(Ordering::SeqCst), 32);
}

#[tokio::test]
async fn what_a_session_asked_for_before_it_went_is_not_read_and_keeps_no_place() {
    for leaves in [false, true] {
        let log = SlowLog::new();
        fill(&log.log, 1..=300, 100).await;
        let port: Arc<dyn MessageLog> = log.clone();
        let limits = limits_with(|limits| (limits.history_reads_in_flight, limits.history_in_flight) = (1, 5));
        let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits, &mailboxes());
        let (eve, ada) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
        for client in [&eve, &ada] {
            client.join(JoinFrom::Head).await;
            client.receive(1).await;
        }
        let before = log.reads_back.load(Ordering::SeqCst);
        log.held_back.store(true, Ordering::SeqCst);
        for _ in 0..5 {
            eve.history(HistoryRange::Latest, 10).await;
        }
        if leaves {
            eve.leave().await;
        } else {
            rooms.send(Command::Gone { room: room(), session: eve.session.id.clone() }).await;
        }
        ada.history(HistoryRange::Latest, 10).await;
        log.permits.add_permits(100);
        let frames = ada.receive(1).await;
        assert!(matches!(frames[0], ServerFrame::History(_)), "{frames:?}");
        let reads = log.reads_back.load(Ordering::SeqCst) - before;
        assert!(reads <= 2, "{reads} reads: one was under way, and one is Ada's");
    }
}

#[tokio::test]
async fn a_log_that_panics_is_a_log_that_does_not_answer() {
    let (log, rooms) = slow_node(&[]).await;
    let client = Client::new(&rooms, 1, 1 << 20);
    log.panics.store(1, Ordering::SeqCst);
    client.join(JoinFrom::Head).await;
    let frames = client.receive(1).await;
    assert!(matches!(frames[0], ServerFrame::Joined(_)), "the room is compared again: {frames:?}");
    log.panics.store(1, Ordering::SeqCst);
    client.history(HistoryRange::Latest, 10).await;
    let frames = timeout(PATIENCE, client.receive(1)).await.unwrap();
    assert!(matches!(&frames[0], ServerFrame::Error(error) if error.code == ErrorCode::Unavailable), "{frames:?}");
    client.history(HistoryRange::Latest, 10).await;
    assert!(matches!(client.receive(1).await[0], ServerFrame::History(_)));
}
