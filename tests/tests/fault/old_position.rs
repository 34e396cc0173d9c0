//! A session comes back with a position that is old, or hardly.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use client::JoinFrom;
use protocol::{Position, Seq};
use tests::crowd::room;
use tests::latencies::Latencies;
use tests::{Crowd, Guest, Node, eventually_within};

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions};
use super::scale::scale;

/// Segments that a node reads at a time.
const PAGE: usize = 100;
/// Sessions that come back at the same time.
const RETURNING: usize = 20;
const MORE_MEMORY: u64 = 64 << 20;

/// Waits until a guest has been given the message of this number.
async fn has_come_to(guest: &Guest, seq: u64) {
    eventually_within(BOUND, "the replay comes to its end", || async {
        let last = guest.messages(&room("room-0")).pop();
        last.is_some_and(|last| last.seq.get() == seq)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_thousands_of_messages_old_is_replayed_from_the_log_page_by_page_by_a_node_that_never_saw_them() {
    let mut cluster = Cluster::start(2, &[]).await;
    // Few messages under way: small segments, many pages.
    let options =
        LoadOptions { pause: Duration::ZERO, in_flight: 2, bytes: 1_000, ..LoadOptions::chat(cluster.homes()) };
    let load = Load::start(options).await;
    load.advances(scale().missed as u64).await;
    let done = load.done(&cluster.stack).await;
    let log = &done.logs[0];
    let segments = log.iter().map(|message| message.segment).collect::<HashSet<_>>().len();

    let node = Node::start(&cluster.stack, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("room-0"));
    let scout = crowd.member(&node.ws(), &lobby).await;
    let epoch = scout.client.position(&lobby).await.unwrap().unwrap().epoch;
    let after = Position { epoch, seq: Seq::new(5).unwrap() };
    let missed = log.len() - 5;
    let before = (cluster.counted("log", "queries").await, node.process().resident_bytes());
    let mut times = Latencies::default();
    let mut guests = Vec::new();
    for number in 0..RETURNING {
        let start = Instant::now();
        let guest = crowd.guest(&[node.ws()]).await;
        let joined = guest.join(&lobby, JoinFrom::After(after.clone())).await;
        assert_eq!((joined.recovered, joined.replayed), (true, missed as u64));
        if number == 0 {
            has_come_to(&guest, log.len() as u64).await;
            times.record(start.elapsed());
        }
        guests.push(guest);
    }
    let pages = cluster.counted("log", "queries").await - before.0;
    for guest in &guests {
        has_come_to(guest, log.len() as u64).await;
        let seen = guest.messages(&lobby);
        let seen = seen.iter().map(|message| (message.seq.get(), message.from.as_str(), message.id.as_str()));
        assert!(seen.eq(log[5..].iter().map(|message| (message.seq, message.from.as_str(), message.id.as_str()))));
    }
    assert!(segments > 2 * PAGE && pages as usize >= segments / PAGE, "{pages} pages of {segments} segments");
    let grown = node.process().resident_bytes().saturating_sub(before.1);
    assert!(grown < MORE_MEMORY, "{} MiB more for {RETURNING} sessions", grown >> 20);
    eprintln!(
        "fault old-position: {missed} messages in {segments} segments to one session {times}; {RETURNING} sessions took \
         {} MiB",
        grown >> 20
    );
    cluster.nodes.push(node);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recent_position_is_replayed_from_memory_on_any_node_that_has_the_room_open() {
    let cluster = Cluster::start(2, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let mut members = Vec::new();
    for node in &cluster.nodes {
        members.push(crowd.member(&node.ws(), &lobby).await);
    }
    for number in 0..500 {
        members[number % 2].shout(&lobby, &format!("message {number}")).await;
    }
    crowd.settled().await;
    let head = members[0].client.position(&lobby).await.unwrap().unwrap();
    let after = Position { seq: head.seq.minus(400), ..head.clone() };
    let before = cluster.counted("log", "queries").await;
    for node in &cluster.nodes {
        let guest = crowd.guest(&[node.ws()]).await;
        let joined = guest.join(&lobby, JoinFrom::After(after.clone())).await;
        assert_eq!((joined.recovered, joined.replayed, &joined.position), (true, 400, &head));
        guest.has_seen(&lobby, 400).await;
        assert_eq!(guest.seqs(&lobby), (101..=500).collect::<Vec<_>>());
    }
    assert_eq!(cluster.counted("log", "queries").await, before, "the log is not read");
    crowd.verified().await;
    cluster.stop().await;
}
