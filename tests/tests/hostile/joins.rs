//! Joins and leaves that overtake each other: each that has a `ref` gets an answer.

use std::collections::BTreeMap;

use load_generator::attack::frames;
use serde_json::Value;

use crate::arena::Arena;
use crate::guest::Guest;

fn join(room: &str, reference: usize, extra: &str) -> String {
    format!(r#"{{"type":"join","room":"{room}","ref":{reference}{extra}}}"#)
}

fn leave(room: &str, reference: usize) -> String {
    format!(r#"{{"type":"leave","room":"{room}","ref":{reference}}}"#)
}

/// Sends all in one write; the answers by their `ref`, each once.
fn answers(guest: &mut Guest, requests: &[String]) -> BTreeMap<u64, Value> {
    let bytes: Vec<u8> = requests.iter().flat_map(|text| frames::text(text)).collect();
    guest.connection.send(&bytes).unwrap();
    let mut answers = BTreeMap::new();
    while answers.len() < requests.len() {
        let answer = guest.hear_until("an answer", |frame| frame["ref"].is_u64());
        let before = answers.insert(answer["ref"].as_u64().unwrap(), answer.clone());
        assert!(before.is_none(), "answered twice: {answer}");
    }
    guest.goes_on();
    answers
}

fn kind(answer: &Value) -> &str {
    answer["code"].as_str().or(answer["type"].as_str()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_join_and_leave_in_one_write_is_answered_though_the_room_has_to_be_opened() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    for number in 0..5 {
        let room = format!("opened-{number}");
        let told = answers(&mut guest, &[join(&room, 1, ""), leave(&room, 2)]);
        assert!(["superseded", "joined"].contains(&kind(&told[&1])), "{told:?}");
        assert_eq!(kind(&told[&2]), "left", "{told:?}");
        let room = format!("twice-{number}");
        let told = answers(&mut guest, &[join(&room, 1, ""), join(&room, 2, "")]);
        // The earlier one goes on while the room is still opening; a join of a room that one is in changes nothing.
        assert_eq!(kind(&told[&1]), "joined", "{told:?}");
        assert!(["superseded", "joined"].contains(&kind(&told[&2])), "{told:?}");
        let room = format!("anew-{number}");
        let told = answers(&mut guest, &[join(&room, 1, ""), join(&room, 2, r#","history":5"#)]);
        assert!(["superseded", "joined"].contains(&kind(&told[&1])), "{told:?}");
        assert_eq!(kind(&told[&2]), "joined", "{told:?}");
        let room = format!("back-{number}");
        let told = answers(&mut guest, &[join(&room, 1, ""), leave(&room, 2), join(&room, 3, ""), leave(&room, 4)]);
        assert_eq!((kind(&told[&2]), kind(&told[&4])), ("left", "left"), "{told:?}");
        for told in told.values().filter(|told| told["code"] == "superseded") {
            assert_eq!(told["retry"], false, "{told}");
        }
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_overtaken_and_has_no_ref_is_not_spoken_of() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    let requests = [r#"{"type":"join","room":"silent"}"#.to_owned(), leave("silent", 7)];
    let bytes: Vec<u8> = requests.iter().flat_map(|text| frames::text(text)).collect();
    guest.connection.send(&bytes).unwrap();
    loop {
        let frame = guest.hear();
        assert_ne!(frame["type"], "error", "{frame}");
        if frame["type"] == "left" {
            break;
        }
    }
    guest.goes_on();
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_of_a_room_that_one_is_in_changes_nothing_in_its_stream() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    guest.join("steady");
    for number in 1..=5 {
        guest.publish("steady", &format!("m{number}"), "1");
    }
    // All five have come; a sixth is on its way while the join is.
    guest.say(&crate::guest::publish("steady", "m6", "6"));
    guest.say(&join("steady", 9, ""));
    let (mut joined, mut seen) = (None, 5);
    while joined.is_none() || seen < 6 {
        let frame = guest.hear();
        match frame["type"].as_str().unwrap() {
            "joined" => {
                assert_eq!((&frame["ref"], &frame["replayed"]), (&9.into(), &0.into()), "{frame}");
                assert_eq!(frame["position"]["seq"], seen, "the last message before it: {frame}");
                joined = Some(frame);
            }
            "message" => {
                seen += 1;
                assert_eq!(frame["seq"], seen, "each message once: {frame}");
            }
            "ack" => {}
            _ => panic!("{frame}"),
        }
    }
    guest.goes_on();
    arena.close().await;
}
