//! Requests whose answers are much longer than they are. A client that reads gets all of them; it is no slow consumer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use load_generator::attack::frames;
use serde_json::Value;

use crate::arena::Arena;
use crate::flags::PUBLISHES_PER_SECOND;
use crate::guest::Guest;

const TIME: Duration = Duration::from_secs(20);

fn history(room: &str, reference: &str) -> Vec<u8> {
    frames::text(&format!(r#"{{"type":"history","room":"{room}","limit":1000,"ref":"{reference}"}}"#))
}

/// Sends all requests in one write, and again after a pause those that came too fast, until each has its answer.
fn ask_all(guest: &mut Guest, requests: &[(String, Vec<u8>)]) -> usize {
    let mut missing: BTreeSet<&str> = requests.iter().map(|(reference, _)| reference.as_str()).collect();
    let (began, mut messages) = (Instant::now(), 0);
    while !missing.is_empty() {
        assert!(began.elapsed() < TIME, "never answered: {missing:?}");
        let due = requests.iter().filter(|(reference, _)| missing.contains(reference.as_str()));
        let bytes: Vec<u8> = due.flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        guest.connection.send(&bytes).unwrap();
        for _ in 0..missing.len() {
            let answer = guest.hear_until("an answer", |frame| frame["ref"].is_string());
            if answer["code"] == "rate_limited" {
                assert_eq!(answer["retry"], true, "{answer}");
                continue;
            }
            assert_eq!(answer["type"], "history", "{answer}");
            messages += answer["messages"].as_array().unwrap().len();
            assert!(missing.remove(answer["ref"].as_str().unwrap()), "answered twice: {}", answer["ref"]);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn long_histories_in_one_write_are_all_answered() {
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0"]).await;
    let mut guest = Guest::arrive(arena.address());
    guest.join("long");
    guest.fill("long", 1_000, 1_000);
    // Each answer is a quarter of an outbox, so five are more than one, and twenty more than the kernel takes, too.
    for count in [5, 20] {
        let references = (0..count).map(|number| number.to_string());
        let requests: Vec<_> = references.map(|r| (r.clone(), history("long", &r))).collect();
        assert!(ask_all(&mut guest, &requests) >= count * 150, "each answer is a quarter of an outbox");
        guest.goes_on();
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_each_of_twenty_rooms_in_one_write_is_answered() {
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "0"]).await;
    let mut guest = Guest::arrive(arena.address());
    let rooms: Vec<String> = (0..20).map(|number| format!("one-of-many-{number}")).collect();
    for room in &rooms {
        guest.join(room);
        guest.fill(room, 18, 15_000);
    }
    let requests: Vec<_> = rooms.iter().map(|room| (room.clone(), history(room, room))).collect();
    assert!(ask_all(&mut guest, &requests) >= 20 * 15, "each answer is a quarter of an outbox");
    guest.goes_on();
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_pings_in_one_write_are_answered_in_their_order_to_a_client_that_reads() {
    const PINGS: usize = 20_000;
    let arena = Arena::open(&[]).await;
    let bytes: Vec<u8> =
        (0..PINGS).flat_map(|number| frames::text(&format!(r#"{{"type":"ping","ref":{number}}}"#))).collect();
    for _ in 0..3 {
        let mut guest = Guest::arrive(arena.address());
        let mut writer = guest.connection.writer().unwrap();
        let bytes = bytes.clone();
        let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes));
        for number in 0..PINGS {
            let pong: Value = guest.hear();
            assert_eq!((&pong["type"], &pong["ref"]), (&"pong".into(), &number.into()), "{pong}");
        }
        writing.join().unwrap().unwrap();
        guest.goes_on();
    }
    arena.close().await;
}
