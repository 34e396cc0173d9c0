//! Frames that cost their sender six bytes and the node a decision each.

use std::time::Duration;

use load_generator::attack::{End, Flood, FloodPlan, FloodSeen, Incoming, Kind, frames};
use tests::PATIENCE;

use crate::arena::{Arena, beside, unharmed};
use crate::guest::Guest;

const ATTACKERS: usize = 8;
/// Bytes a second of each attacker that sends pings: two with as many silenced a node for seconds. Others send as much as
/// the node takes.
const PINGS: u64 = 1 << 20;
const TIME: Duration = Duration::from_secs(2);
/// The worst that a victim may wait for beside eight attackers.
const WORST: Duration = Duration::from_secs(1);
/// Bytes of one write.
const WRITE: usize = 16 * 1024;

/// Eight connections that send this, and a victim that must not notice.
fn flood(arena: &Arena, first: &[u8], unit: &[u8], rate: Option<u64>) -> FloodSeen {
    let repeated = frames::repeated(unit, WRITE);
    let plan = FloodPlan { first: first.to_vec(), rate, ..FloodPlan::of(arena.address(), ATTACKERS, repeated) };
    let (watched, seen) = beside(&arena.victim(), || {
        let flood = Flood::start(&plan);
        std::thread::sleep(TIME);
        flood.stop()
    });
    eprintln!("{seen:?}");
    assert!(seen.connects >= ATTACKERS as u64 && seen.sent > 1 << 20, "there was an attack: {seen:?}");
    unharmed(&watched, &[Kind::Pong], WORST);
    seen
}

/// Every attacker that was closed was told so.
fn closed_for_too_much(seen: &FloodSeen) -> u64 {
    let told = |end: &End| matches!(end, End::Close(4029, reason) if !reason.is_empty());
    // A connection that is closed while it sends may lose the close frame to a reset.
    let other: Vec<&End> = seen.ends.keys().filter(|end| !told(end) && **end != End::Reset).collect();
    assert!(other.is_empty(), "{seen:?}");
    seen.ends.iter().filter(|(end, _)| told(end)).map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_full_of_empty_pings_are_closed_with_4029_and_slow_no_other_client() {
    let arena = Arena::open(&[]).await;
    let seen = flood(&arena, b"", &frames::frame(frames::PING, b""), Some(PINGS));
    assert!(closed_for_too_much(&seen) > 0, "{seen:?}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_full_of_empty_pongs_slow_no_other_client() {
    let arena = Arena::open(&[]).await;
    let seen = flood(&arena, b"", &frames::frame(frames::PONG, b""), None);
    closed_for_too_much(&seen);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_endless_empty_continuation_frames_slow_no_other_client() {
    let arena = Arena::open(&[]).await;
    let first = frames::unfinished(frames::TEXT, b"");
    let seen = flood(&arena, &first, &frames::unfinished(frames::CONTINUATION, b""), None);
    closed_for_too_much(&seen);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_full_of_json_pings_slow_no_other_client() {
    let arena = Arena::open(&[]).await;
    let seen = flood(&arena, b"", &frames::text(r#"{"type":"ping"}"#), None);
    closed_for_too_much(&seen);
    assert!(seen.texts > 1_000, "those that read are answered: {seen:?}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_make_no_sense_slow_no_other_client_however_many_they_are() {
    let arena = Arena::open(&[]).await;
    let seen = flood(&arena, b"", &frames::text("{"), None);
    closed_for_too_much(&seen);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pings_now_and_then_stays_and_the_last_ping_of_a_write_is_answered() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    for round in 0..10_u8 {
        let pings: Vec<u8> = (0..3_u8).flat_map(|number| frames::frame(frames::PING, &[round, number])).collect();
        guest.connection.send(&pings).unwrap();
        let answered = |came: &Incoming| matches!(came, Incoming::Pong(payload) if payload == &[round, 2]);
        while !answered(&guest.connection.receive(PATIENCE).unwrap()) {}
        std::thread::sleep(Duration::from_millis(50));
    }
    guest.goes_on();
    arena.close().await;
}
