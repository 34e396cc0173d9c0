//! Joins and leaves that overtake each other: each with a `ref` is answered, and a second join disturbs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{ErrorCode, JoinFrom, NodeId, Ref, ServerFrame};

use super::slow_log::SlowLog;
use super::slow_log_tests::{after, epoch, fill, seq};
use super::testing::{Client, joined, limits, mailboxes, no_peers, room, seqs, signals};
use super::{Command, Rooms};
use crate::message_log::MessageLog;

/// A room of 300 messages on a node that has not opened it, and whose log answers nothing until it is permitted to.
async fn closed_room() -> (Arc<SlowLog>, Rooms) {
    let log = SlowLog::new();
    fill(&log.log, 1..=300, 100).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(&[]), &mailboxes());
    log.held.store(true, Ordering::SeqCst);
    (log, rooms)
}

fn release(log: &SlowLog) {
    log.held.store(false, Ordering::SeqCst);
    log.permits.add_permits(1_000);
}

impl Client {
    async fn join_as(&self, number: u64, from: JoinFrom) {
        let (room, session, reference) = (room(), Arc::clone(&self.session), Some(Ref::number(number)));
        self.rooms.send(Command::Join { room, session, from, reference }).await;
    }

    async fn leave_as(&self, number: u64) {
        let (room, session, reference) = (room(), Arc::clone(&self.session), Some(Ref::number(number)));
        self.rooms.send(Command::Leave { room, session, reference }).await;
    }
}

/// The answers to joins and leaves: the `ref`, and what it got.
fn answers(frames: &[ServerFrame]) -> Vec<(String, &'static str)> {
    let answer = |frame: &ServerFrame| {
        let (reference, what) = match frame {
            ServerFrame::Joined(joined) => (joined.reference.clone(), "joined"),
            ServerFrame::Left(left) => (left.reference.clone(), "left"),
            ServerFrame::Error(error) => {
                assert_eq!(error.retry, error.code.retry());
                assert_eq!(error.room, Some(room()));
                (error.reference.clone(), error.code.as_str())
            }
            _ => return None,
        };
        Some((reference.map_or_else(String::new, |reference| reference.as_str().to_owned()), what))
    };
    frames.iter().filter_map(answer).collect()
}

fn expected(answers: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    answers.iter().map(|(reference, what)| ((*reference).to_owned(), *what)).collect()
}

#[tokio::test]
async fn a_join_that_a_leave_overtakes_is_answered_before_the_leave() {
    let (log, rooms) = closed_room().await;
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join_as(1, JoinFrom::Head).await;
    ada.leave_as(2).await;
    release(&log);
    let frames = ada.receive_until(|frames| frames.iter().any(|f| matches!(f, ServerFrame::Left(_)))).await;
    assert_eq!(answers(&frames), expected(&[("1", "superseded"), ("2", "left")]));
    assert!(!ErrorCode::Superseded.retry());
}

#[tokio::test]
async fn a_plain_join_behind_one_that_waits_is_superseded_and_the_first_goes_on() {
    let (log, rooms) = closed_room().await;
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join_as(1, after(290)).await;
    ada.join_as(2, JoinFrom::Head).await;
    release(&log);
    let frames = ada.receive_until(|frames| seqs(frames).len() == 10).await;
    assert_eq!(answers(&frames), expected(&[("2", "superseded"), ("1", "joined")]));
    assert_eq!(seqs(&frames), (291..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_join_from_a_position_takes_the_place_of_one_that_waits() {
    let (log, rooms) = closed_room().await;
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join_as(1, JoinFrom::Head).await;
    ada.join_as(2, after(298)).await;
    release(&log);
    let frames = ada.receive_until(|frames| seqs(frames).len() == 2).await;
    assert_eq!(answers(&frames), expected(&[("1", "superseded"), ("2", "joined")]));
}

#[tokio::test]
async fn a_join_that_reads_its_first_page_waits_as_well() {
    let (log, rooms) = closed_room().await;
    release(&log);
    let (ada, ben) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    ben.join_as(1, JoinFrom::Head).await;
    ben.receive(1).await;
    log.permits.forget_permits(10_000);
    log.held.store(true, Ordering::SeqCst);
    ada.join_as(1, after(10)).await;
    ada.join_as(2, JoinFrom::Head).await;
    ada.join_as(3, after(290)).await;
    ada.leave_as(4).await;
    ada.join_as(5, after(295)).await;
    release(&log);
    let frames = ada.receive_until(|frames| seqs(frames).len() == 5).await;
    let told = [("2", "superseded"), ("1", "superseded"), ("3", "superseded"), ("4", "left"), ("5", "joined")];
    assert_eq!(answers(&frames), expected(&told));
    assert_eq!(seqs(&frames), (296..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_join_without_a_ref_is_overtaken_in_silence() {
    let (log, rooms) = closed_room().await;
    let ada = Client::new(&rooms, 1, 1 << 20);
    let (room, session) = (room(), Arc::clone(&ada.session));
    rooms.send(Command::Join { room, session, from: JoinFrom::Head, reference: None }).await;
    ada.leave_as(2).await;
    release(&log);
    assert_eq!(answers(&ada.receive(1).await), expected(&[("2", "left")]));
}

#[tokio::test]
async fn a_second_join_of_a_live_member_tells_where_it_is_and_changes_nothing() {
    let (log, rooms) = closed_room().await;
    release(&log);
    let (ada, ben) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    ada.join_as(1, JoinFrom::Head).await;
    ben.join_as(1, JoinFrom::Head).await;
    ada.receive(1).await;
    ben.receive(1).await;
    ben.signal(Some("typing"), "true").await;
    assert_eq!(signals(&ada.receive(1).await).len(), 1);
    ben.publish("m1", "1").await;
    ada.receive_until(|frames| seqs(frames) == [301]).await;
    ada.join_as(7, JoinFrom::Head).await;
    let frames = ada.receive(2).await;
    let (position, recovered, replayed) = joined(&frames);
    assert_eq!((position.epoch, position.seq, recovered, replayed), (epoch(), seq(301), true, 0));
    assert_eq!(answers(&frames), expected(&[("7", "joined")]));
    assert_eq!(signals(&frames), ["user-2 typing true"], "keyed signals are told again");
    ben.publish("m2", "1").await;
    assert_eq!(seqs(&ada.receive(1).await), [302], "once");
}

#[tokio::test]
async fn a_second_join_tells_exactly_what_is_queued_before_it_whatever_is_said_meanwhile() {
    let (log, rooms) = closed_room().await;
    release(&log);
    let (ada, ben) = (Client::new(&rooms, 1, 1 << 20), Client::new(&rooms, 2, 1 << 20));
    ada.join_as(0, JoinFrom::Head).await;
    ben.join_as(0, JoinFrom::Head).await;
    let entered = ada.receive(1).await;
    assert_eq!(joined(&entered).0.seq, seq(300));
    for number in 1..=200 {
        ben.publish(&format!("m{number}"), "1").await;
        ada.join_as(number, JoinFrom::Head).await;
    }
    let frames = ada.receive_until(|frames| seqs(frames).len() == 200 && answers(frames).len() == 200).await;
    let mut last = seq(300);
    for frame in &frames {
        match frame {
            ServerFrame::Message(message) => last = message.seq,
            ServerFrame::Joined(joined) => assert_eq!((joined.position.seq, joined.replayed), (last, 0)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(last, seq(500));
}

#[tokio::test]
async fn a_second_join_during_a_replay_tells_the_replays_place_and_never_the_head() {
    let log = SlowLog::new();
    fill(&log.log, 1..=300, 5_000).await;
    let port: Arc<dyn MessageLog> = log.clone();
    let rooms = Rooms::start(&NodeId::from_random(1), &port, no_peers(), &limits(&[]), &mailboxes());
    let ada = Client::new(&rooms, 1, 400 * 1024);
    ada.join_as(1, after(0)).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        // Half of an outbox holds some 40 of them: the replay waits for its reader.
        while ada.session.outbox.replay_space() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    ada.join_as(2, JoinFrom::Head).await;
    let frames = ada.receive_until(|frames| seqs(frames).len() == 300).await;
    assert_eq!(answers(&frames), expected(&[("1", "joined"), ("2", "joined")]));
    assert_eq!(seqs(&frames), (1..=300).collect::<Vec<_>>(), "the replay goes on, once");
    let place = frames.iter().rposition(|frame| matches!(frame, ServerFrame::Joined(_))).unwrap();
    let ServerFrame::Joined(second) = &frames[place] else { panic!() };
    let before = seqs(&frames[..place]).pop().unwrap();
    assert_eq!((second.position.seq, second.recovered, second.replayed), (seq(before), true, 0));
    assert!(before < 300);
}

#[tokio::test]
async fn a_second_join_with_history_is_leave_and_join() {
    let (log, rooms) = closed_room().await;
    release(&log);
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join_as(1, JoinFrom::Head).await;
    ada.receive(1).await;
    ada.join_as(2, JoinFrom::Recent(3)).await;
    let frames = ada.receive_until(|frames| seqs(frames).len() == 3).await;
    assert_eq!((joined(&frames).2, seqs(&frames)), (3, vec![298, 299, 300]));
}
