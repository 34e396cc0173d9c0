//! Clients that do not read. What they leave unread is the node's memory, and that has an end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load_generator::attack::{End, Flood, FloodPlan, Incoming, Kind, RawConnection, Victim, frames};

use crate::arena::{Arena, beside, unharmed};
use crate::flags::{OUTBOX_TOTAL_BYTES, PUBLISHES_PER_SECOND};
use crate::guest::Guest;

/// What may wait for one connection, unless the node is told otherwise.
const OUTBOX: u64 = 1 << 20;
/// What the node may take for other reasons meanwhile: requests' buffers, the allocator's slack.
const SLACK: u64 = 24 << 20;

/// Lets connections send this and never read, until the node takes no more of it, or for some seconds.
fn unread(address: SocketAddr, connections: usize, json: &str) -> Flood {
    let unit = frames::repeated(&frames::text(json), 8 * 1024);
    let flood = Flood::start(&FloodPlan { reads: false, returns: false, ..FloodPlan::of(address, connections, unit) });
    let (began, mut sent, mut still) = (Instant::now(), 0, 0);
    while still < 3 && began.elapsed() < Duration::from_secs(8) {
        std::thread::sleep(Duration::from_millis(300));
        let now = flood.seen().sent;
        still = if now == sent && now > 0 { still + 1 } else { 0 };
        sent = now;
    }
    flood
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_of_a_few_bytes_take_no_more_memory_than_outboxes_may() {
    const CONNECTIONS: usize = 16;
    let arena = Arena::open(&[]).await;
    let before = arena.node.process().resident_bytes();
    let (watched, flood) = beside(&arena.victim(), || unread(arena.address(), CONNECTIONS, r#"{"type":"ping"}"#));
    let grown = arena.node.process().resident_bytes().saturating_sub(before);
    eprintln!("{} MiB more, {:?}", grown >> 20, flood.stop());
    unharmed(&watched, &[Kind::Pong], Duration::from_secs(1));
    let most = CONNECTIONS as u64 * OUTBOX + SLACK;
    assert!(grown < most, "{} MiB more for {CONNECTIONS} outboxes of 1 MiB", grown >> 20);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_outboxes_together_take_no_more_than_the_node_is_told() {
    const CONNECTIONS: usize = 64;
    const TOTAL: u64 = 16 << 20;
    let total = TOTAL.to_string();
    let arena = Arena::open(&[OUTBOX_TOTAL_BYTES, &total]).await;
    let before = arena.node.process().resident_bytes();
    let (watched, flood) = beside(&arena.victim(), || unread(arena.address(), CONNECTIONS, r#"{"type":"ping"}"#));
    let grown = arena.node.process().resident_bytes().saturating_sub(before);
    let open = arena.node.sessions().await;
    eprintln!("{} MiB more, {open} sessions are open, {:?}", grown >> 20, flood.stop());
    unharmed(&watched, &[Kind::Pong], Duration::from_secs(1));
    assert!(grown < TOTAL + SLACK, "{} MiB more, {} are allowed", grown >> 20, TOTAL >> 20);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_never_read_are_given_up_and_told_to_resume_when_they_read_again() {
    const MEMBERS: usize = 30;
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0"]).await;
    let address = arena.address();
    let mut members: Vec<Guest> = (0..MEMBERS)
        .map(|_| Guest::greeted(RawConnection::websocket(address, "/ws", Some(4 * 1024)).unwrap()))
        .collect();
    members.iter_mut().for_each(|member| drop(member.join("loud")));
    let mut publisher = Guest::arrive(address);
    publisher.join("loud");
    let victim = Victim::start(&arena.victim()).unwrap();
    let began = Instant::now();
    // More than an outbox and the kernel's buffers hold.
    for _ in 0..27 {
        publisher.fill("loud", 20, 15_000);
    }
    let mut told = 0;
    for member in &mut members {
        match member.connection.end(Duration::from_secs(10)).unwrap() {
            End::Close(code, reason) => {
                assert_eq!(code, 4008, "{reason}");
                told += 1;
            }
            // It has read too late: docs/protocol.md says that an end without a code means the same.
            End::Eof | End::Reset => {}
        }
    }
    eprintln!("{told} of {MEMBERS} were told, after {:?}", began.elapsed());
    assert!(told * 10 >= MEMBERS * 9, "members that read again soon learn why: {told}");
    let watched = victim.finish();
    assert!(watched.faults.is_empty() && watched.unanswered == 0, "{watched}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_in_the_midst_of_a_message_is_closed_by_its_heartbeat() {
    let arena = Arena::open(&["--heartbeat-ms", "300"]).await;
    let mut guest = Guest::arrive(arena.address());
    let half = frames::text(r#"{"type":"ping","ref":"never whole"}"#);
    guest.connection.send(&half[..half.len() / 2]).unwrap();
    let end = loop {
        if let Incoming::End(end) = guest.connection.receive(Duration::from_secs(10)).unwrap() {
            break end;
        }
    };
    assert!(matches!(end, End::Close(4009, _)), "{end:?}");
    arena.close().await;
}
