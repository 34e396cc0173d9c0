//! What a node tells others, and what it makes of their silence.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use protocol::{Decline, Envelope, HandOffAnswer, HandedOutcome, Seq};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::world::{Asking, Served, declined, hand_off, segment, until, view_of};
use crate::config::PeerHints;
use crate::link::peer::HAND_OFFS;
use crate::link::testing::{keys, node, signal, view};
use crate::link::{ClusterKeys, HandOverOutcome, Peers};

/// An address that refuses connections.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

// Hints.

#[tokio::test]
async fn a_segment_and_its_signals_reach_every_other_node_in_order() {
    let (b, c) = (Served::start("b", keys()).await, Served::start("c", keys()).await);
    let a = Asking::of(&[&b, &c]);
    for number in 1..=100 {
        a.link.push_segment(&segment(number));
        a.link.push_signal(signal("a", None, number, 1));
    }
    let all: Vec<u64> = (1..=100).collect();
    for served in [&b, &c] {
        until(|| served.segments().len() == 100 && served.signals().len() == 100).await;
        assert_eq!((served.segments(), served.signals()), (all.clone(), all.clone()));
        let counts = served.stats.counts();
        assert_eq!((counts.segments_received, counts.signals_received), (100, 100));
    }
    until(|| a.stats.counts().segments_pushed == 200).await;
    let counts = a.stats.counts();
    assert_eq!((counts.signals_pushed, counts.hints_dropped, counts.hints_failed), (200, 0, 0));
    assert!(counts.hint_requests < 200, "what gathers goes together: {} requests", counts.hint_requests);
    assert!(a.topic.published.lock().unwrap().is_empty(), "signals go one way");
}

#[tokio::test]
async fn beyond_32_nodes_segments_stay_away_and_signals_go_through_sns_unless_told_otherwise() {
    let b = Served::start("b", keys()).await;
    let names: Vec<String> = (0..31).map(|number| format!("other-{number}")).collect();
    let crowd = |size: usize| {
        let others = names.iter().take(size).map(|name| (name.as_str(), None));
        view(&others.chain([("b", Some(b.address.as_str()))]).collect::<Vec<_>>())
    };
    let a = Asking::start("a", keys(), PeerHints::Auto, crowd(30));
    a.link.push_segment(&segment(1));
    a.link.push_signal(signal("a", None, 1, 1));
    until(|| b.segments() == [1] && b.signals() == [1]).await;
    a.directory.send_replace(crowd(31));
    until(|| {
        a.link.push_signal(signal("a", Some("k"), 2, 1));
        !a.topic.published.lock().unwrap().is_empty()
    })
    .await;
    a.link.push_segment(&segment(2));
    let outcome = a.link.hand_over(node("b"), hand_off(1)).await;
    assert!(matches!(outcome, HandOverOutcome::Answered(_)), "batches are handed over all the same: {outcome:?}");
    let published = Envelope::parse(&a.topic.published.lock().unwrap()[0]).unwrap();
    assert_eq!(published.signals[0].number, 2);

    let told = Asking::start("t", keys(), PeerHints::On, crowd(31));
    told.link.push_segment(&segment(3));
    until(|| b.segments().contains(&3)).await;
    assert_eq!(b.segments(), [1, 3]);

    let quiet = Asking::start("q", keys(), PeerHints::Off, view_of(&[&b]));
    quiet.link.push_segment(&segment(4));
    quiet.link.push_signal(signal("a", None, 4, 1));
    until(|| quiet.stats.counts().signals_published == 1).await;
    assert_eq!((quiet.stats.counts().hint_requests, b.segments()), (0, vec![1, 3]));
}

#[tokio::test]
async fn a_node_without_others_tells_nobody() {
    let a = Asking::of(&[]);
    a.link.push_segment(&segment(1));
    a.link.push_signal(signal("a", None, 1, 1));
    // One that takes no requests is there to be told through SNS.
    a.directory.send_replace(view(&[("deaf", None)]));
    until(|| {
        a.link.push_signal(signal("a", Some("k"), 2, 1));
        !a.topic.published.lock().unwrap().is_empty()
    })
    .await;
    let published = Envelope::parse(&a.topic.published.lock().unwrap()[0]).unwrap();
    let numbers: Vec<u64> = published.signals.iter().map(|signal| signal.number).collect();
    assert_eq!((numbers, a.stats.counts().hint_requests), (vec![2], 0));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_left_alone_and_found_when_it_comes() {
    let address = nowhere().await;
    let a = Asking::start("a", keys(), PeerHints::Auto, view(&[("b", Some(&address))]));
    a.link.push_segment(&segment(1));
    until(|| a.stats.counts().hints_failed == 1).await;
    until(|| {
        a.link.push_segment(&segment(2));
        a.stats.counts().hints_dropped > 0
    })
    .await;
    assert_eq!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::NotSent);
    let b = Served::start("b", keys()).await;
    a.directory.send_replace(view_of(&[&b]));
    until(|| {
        a.link.push_segment(&segment(3));
        b.segments().contains(&3)
    })
    .await;
    assert!(!b.segments().contains(&2));
}

#[tokio::test]
async fn a_node_whose_queues_are_full_loses_hints_and_is_there_all_the_same() {
    let b = Served::start("b", keys()).await;
    b.rooms.full.store(true, Ordering::SeqCst);
    let a = Asking::of(&[&b]);
    until(|| {
        a.link.push_segment(&segment(1));
        a.stats.counts().hints_failed > 2
    })
    .await;
    assert!(matches!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::Answered(_)));
    b.rooms.full.store(false, Ordering::SeqCst);
    until(|| {
        a.link.push_segment(&segment(2));
        !b.segments().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_slow_node_delays_nobody_else_and_what_is_too_much_for_it_is_dropped() {
    let (silent, b) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Served::start("b", keys()).await);
    let address = silent.local_addr().unwrap().to_string();
    let both = view(&[("s", Some(&address)), ("b", Some(&b.address))]);
    let a = Asking::start("a", keys(), PeerHints::Auto, both);
    let began = Instant::now();
    a.link.push_segment(&segment(1));
    until(|| b.segments().len() == 1).await;
    assert!(began.elapsed() < Duration::from_millis(900), "before the silent one is given up");
    for number in 2..=6_000 {
        a.link.push_segment(&segment(number));
    }
    assert!(a.stats.counts().hints_dropped >= 1_000, "4,096 wait at most");
    until(|| a.stats.counts().hints_failed > 0).await;
}

// Batches.

#[tokio::test]
async fn a_batch_that_is_handed_over_comes_back_with_its_outcomes() {
    let b = Served::start("b", keys()).await;
    let a = Asking::of(&[&b]);
    let outcomes = vec![HandedOutcome::Acked(Seq::FIRST), HandedOutcome::Acked(Seq::FIRST.next())];
    let settled = HandOverOutcome::Answered(HandOffAnswer::Settled { outcomes, leader: None });
    assert_eq!(a.link.hand_over(node("b"), hand_off(2)).await, settled);
    b.draining.cancel();
    let refused = HandOverOutcome::Answered(declined(Decline::Draining));
    assert_eq!(a.link.hand_over(node("b"), hand_off(1)).await, refused);
    let counts = a.stats.counts();
    assert_eq!((counts.hand_offs_answered, b.stats.counts().hand_offs_received), (2, 2));
}

#[tokio::test]
async fn what_never_left_is_told_from_what_may_have_arrived() {
    let b = Served::start("b", keys()).await;
    let (address, stranger) = (nowhere().await, ClusterKeys::parse(&"x".repeat(32)).unwrap());
    let strange = Served::start("s", stranger).await;
    let a = Asking::of(&[&b, &strange]);
    assert!(!a.known.is_asked_to_look());
    assert_eq!(a.link.hand_over(node("z"), hand_off(1)).await, HandOverOutcome::NotSent, "nobody knows it");
    assert!(a.known.is_asked_to_look(), "it may be new");
    assert_eq!(a.link.hand_over(node("s"), hand_off(1)).await, HandOverOutcome::Unknown, "it did not sign");
    let held = Arc::new(Notify::new());
    *b.rooms.held.lock().unwrap() = Some(Arc::clone(&held));
    let began = Instant::now();
    assert_eq!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::Unknown, "it did not answer");
    assert!((1_900..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(b.stats.counts().hand_offs_received, 1);
    let a = Asking::start("a2", keys(), PeerHints::Auto, view(&[("n", Some(&address))]));
    assert_eq!(a.link.hand_over(node("n"), hand_off(1)).await, HandOverOutcome::NotSent, "no connection");
    assert_eq!(a.stats.counts().hand_offs_not_sent, 1);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_u8().await.unwrap();
        }
    });
    let a = Asking::start("a", keys(), PeerHints::Auto, view(&[("b", Some(&address))]));
    assert_eq!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::Unknown);
    assert_eq!(a.stats.counts().hand_offs_unknown, 1);
}

#[tokio::test]
async fn batches_for_one_node_are_bounded() {
    let b = Served::start("b", keys()).await;
    let held = Arc::new(Notify::new());
    *b.rooms.held.lock().unwrap() = Some(Arc::clone(&held));
    let a = Asking::of(&[&b]);
    let waiting: Vec<_> = (0..HAND_OFFS).map(|_| tokio::spawn(a.link.hand_over(node("b"), hand_off(1)))).collect();
    until(|| b.stats.counts().hand_offs_received == HAND_OFFS as u64).await;
    assert_eq!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::NotSent);
    held.notify_waiters();
    for outcome in waiting {
        assert!(matches!(outcome.await.unwrap(), HandOverOutcome::Answered(_)));
    }
    *b.rooms.held.lock().unwrap() = None;
    assert!(matches!(a.link.hand_over(node("b"), hand_off(1)).await, HandOverOutcome::Answered(_)));
}
