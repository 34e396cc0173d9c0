//! One guest with many sessions.

use std::collections::BTreeMap;

use load_generator::attack::frames;

use crate::arena::Arena;
use crate::flags::PUBLISHES_PER_SECOND;
use crate::guest::{Guest, publish};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sessions_of_one_guest_publish_no_twenty_times_the_rate_and_another_guest_is_served() {
    const SESSIONS: usize = 20;
    /// What each session may send at once.
    const BURST: usize = 20;
    let arena = Arena::open(&[PUBLISHES_PER_SECOND, "10"]).await;
    let mut sessions: Vec<Guest> =
        (0..SESSIONS).map(|_| Guest::with_query(arena.address(), "guest=the-same-secret")).collect();
    sessions.iter_mut().for_each(|session| drop(session.join("crowded")));
    for (number, session) in sessions.iter_mut().enumerate() {
        let bytes = (0..BURST).flat_map(|id| frames::text(&publish("crowded", &format!("{number}-{id}"), "1")));
        session.connection.send(&bytes.collect::<Vec<u8>>()).unwrap();
    }
    let mut told = BTreeMap::<String, usize>::new();
    for session in &mut sessions {
        for _ in 0..BURST {
            let answer = session.hear_until("an outcome", |frame| frame["type"] == "ack" || frame["type"] == "error");
            assert!(answer["type"] == "ack" || answer["code"] == "rate_limited", "{answer}");
            *told.entry(answer["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    eprintln!("{told:?}");
    let taken = told["ack"];
    // One session's burst is the least, half of what the sessions asked for the most.
    assert!((BURST..=SESSIONS * BURST / 2).contains(&taken), "{taken} publishes of one guest were taken at once");
    let mut other = Guest::arrive(arena.address());
    other.join("crowded");
    assert_eq!(other.publish("crowded", "mine", "1")["type"], "ack");
    arena.close().await;
}
