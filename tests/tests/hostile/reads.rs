//! Requests that make the node read the log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load_generator::attack::{Flood, FloodPlan, Kind, Phase, VictimPlan, frames};
use serde_json::Value;

use crate::arena::{Arena, beside, unharmed};
use crate::flags::{HISTORIES_PER_SECOND, PUBLISHES_PER_SECOND};
use crate::guest::Guest;

/// Messages of a room, and how many of them a node keeps in memory: what is before those is read from the log.
const MESSAGES: usize = 1_200;
const BODY: usize = 1_000;
/// How many of those that were not kept are asked for at a time.
const ASKED: usize = 199;
const ATTACKERS: usize = 4;
const TIME: Duration = Duration::from_secs(3);

/// A room with more messages than fit into memory.
fn deep_room(address: SocketAddr) -> (Guest, Value) {
    let mut guest = Guest::arrive(address);
    guest.join("deep");
    guest.say(&crate::guest::publish("deep", "first", "1"));
    let first = guest.hear_until("the first message", |frame| frame["type"] == "reset");
    guest.fill("deep", MESSAGES, BODY);
    (guest, first["position"]["epoch"].clone())
}

/// A request that is answered from the log.
fn behind_memory(reference: u64) -> String {
    format!(r#"{{"type":"history","room":"deep","before":200,"limit":{ASKED},"ref":{reference}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reads_the_log_no_faster_than_its_rate_and_is_told() {
    const RATE: u64 = 4;
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0", HISTORIES_PER_SECOND, "4"]).await;
    let (mut guest, _) = deep_room(arena.address());
    let reads = arena.node.counter("log_reads").await;
    let (began, mut number, mut limited, mut got) = (Instant::now(), 0, 0, 0);
    while began.elapsed() < TIME {
        number += 1;
        guest.say(&behind_memory(number));
        let answer = guest.hear_until("its answer", |frame| frame["ref"] == number);
        match (answer["type"].as_str(), answer["code"].as_str()) {
            (Some("history"), _) => {
                assert_eq!(answer["messages"].as_array().unwrap().len(), ASKED);
                got += 1;
            }
            (_, Some("rate_limited")) => limited += 1,
            _ => panic!("{answer}"),
        }
    }
    let (reads, seconds) = (arena.node.counter("log_reads").await - reads, began.elapsed().as_secs() + 1);
    eprintln!("{got} answers, {limited} refused, {reads} reads in {seconds} s");
    // Twice the rate at once, then the rate; a page of segments may take more than one read.
    let most = RATE * (2 + seconds);
    assert!(got >= RATE && got <= most, "{got} answers in {seconds} s");
    assert!(reads <= 4 * most + 10, "{reads} reads for {got} answers");
    assert!(limited > 0, "what is beyond is refused");
    guest.goes_on();
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_ask_for_history_without_waiting_delay_no_other_rooms_publishes() {
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0"]).await;
    let (_guest, _) = deep_room(arena.address());
    let victim = VictimPlan { publish: Some(Duration::from_millis(50)), ..arena.victim() };
    let plan = FloodPlan {
        first: frames::text(r#"{"type":"join","room":"deep"}"#),
        // 300 requests a second each.
        rate: Some(300 * frames::text(&behind_memory(1)).len() as u64),
        ..FloodPlan::of(arena.address(), ATTACKERS, frames::text(&behind_memory(1)))
    };
    let reads = arena.node.counter("log_reads").await;
    let (watched, seen) = beside(&victim, || {
        let flood = Flood::start(&plan);
        std::thread::sleep(TIME);
        flood.stop()
    });
    eprintln!("{seen:?}, {} reads", arena.node.counter("log_reads").await - reads);
    assert!(seen.texts > 10 && seen.sent > 10_000, "{seen:?}");
    unharmed(&watched, &[Kind::Pong, Kind::Ack], Duration::from_millis(1_500));
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_gets_what_it_missed_beside_sessions_that_ask_for_history() {
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0"]).await;
    let (_guest, epoch) = deep_room(arena.address());
    let after = format!(r#"{{"type":"join","room":"deep","after":{{"epoch":{epoch},"seq":1}},"ref":"back"}}"#);
    let come_back = |address| {
        let mut guest = Guest::arrive(address);
        let began = Instant::now();
        guest.say(&after);
        let joined = guest.answer_to("back");
        assert_eq!((&joined["type"], &joined["recovered"]), (&"joined".into(), &true.into()), "{joined}");
        let replayed = joined["replayed"].as_u64().unwrap();
        assert_eq!(replayed, MESSAGES as u64);
        for seq in 2..2 + replayed {
            let message = guest.hear_until("the next message", |frame| frame["type"] == "message");
            assert_eq!(message["seq"], seq, "in order, none missing");
        }
        began.elapsed()
    };
    let before = come_back(arena.address());
    let plan = FloodPlan {
        first: frames::text(r#"{"type":"join","room":"deep"}"#),
        rate: Some(300 * frames::text(&behind_memory(1)).len() as u64),
        ..FloodPlan::of(arena.address(), ATTACKERS, frames::text(&behind_memory(1)))
    };
    let (watched, during) = beside(&arena.victim(), || {
        let flood = Flood::start(&plan);
        std::thread::sleep(Duration::from_secs(1));
        let during = come_back(arena.address());
        flood.stop();
        during
    });
    eprintln!("back in {before:?}, beside the attack in {during:?}; {}", watched.of(Phase::During, Kind::Pong));
    assert!(during < (before * 10).max(Duration::from_secs(3)), "{before:?} before, {during:?} beside the attack");
    arena.close().await;
}
