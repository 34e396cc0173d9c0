//! Rooms that are opened and left again and again: each costs a read of the log, and memory until it is let go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load_generator::attack::{AttackError, Incoming, Kind, VictimPlan};
use serde_json::Value;
use tests::eventually;

use crate::arena::{Arena, beside, unharmed};
use crate::flags::{JOINS_PER_SECOND, OPENS_PER_SECOND, ROOMS};
use crate::guest::Guest;

const ATTACKERS: usize = 4;
/// Joins that an attacker has on their way.
const PIPELINED: usize = 50;
const TIME: Duration = Duration::from_secs(3);
/// Rooms that one session opens in that time at most, whatever it asks for.
const MOST: usize = 700;

/// What an attacker was told.
#[derive(Debug, Default)]
struct Told {
    asked: usize,
    joined: usize,
    limited: usize,
    other: BTreeSet<String>,
}

/// Joins new rooms, many on their way, and leaves each: right behind the join, or when it has been joined.
fn churn(address: SocketAddr, at_once: bool) -> Told {
    let mut guest = Guest::arrive(address);
    let (mut told, mut under_way) = (Told::default(), 0);
    let name = format!("churn-{:x}", fastrand::u64(..));
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        while under_way < PIPELINED {
            let room = format!("{name}-{}", told.asked);
            guest.say(&format!(r#"{{"type":"join","room":"{room}","ref":"join"}}"#));
            if at_once {
                guest.say(&format!(r#"{{"type":"leave","room":"{room}","ref":"leave"}}"#));
            }
            (under_way, told.asked) = (under_way + 1, told.asked + 1);
        }
        let text = match guest.connection.receive(Duration::from_millis(100)) {
            Ok(Incoming::Text(text)) => text,
            // Joins beyond the rate may wait unread.
            Ok(Incoming::Ping(_) | Incoming::Pong(_)) | Err(AttackError::Silent(_)) => continue,
            other => {
                told.other.insert(format!("{other:?}"));
                return told;
            }
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        let (kind, code) = (frame["type"].as_str().unwrap(), frame["code"].as_str().unwrap_or_default());
        // What is left, or was never joined, is done with.
        let leaving = frame["ref"] == "leave";
        under_way -= usize::from(leaving || (!at_once && kind == "error"));
        match (kind, code) {
            ("joined", _) => {
                told.joined += 1;
                if !at_once {
                    guest.say(&format!(r#"{{"type":"leave","room":{},"ref":"leave"}}"#, frame["room"]));
                }
            }
            ("left", _) | ("error", "superseded") => {}
            ("error", "not_joined") if leaving => {}
            ("error", "rate_limited" | "too_many_rooms") => told.limited += 1,
            _ => drop(told.other.insert(text)),
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_open_room_after_room_keep_no_one_else_out_and_leave_nothing_behind() {
    let arena = Arena::open(&[]).await;
    let (before, reads) = (arena.node.process().resident_bytes(), arena.node.counter("log_reads").await);
    let victim = VictimPlan {
        publish: Some(Duration::from_millis(100)),
        join: Some(Duration::from_millis(300)),
        ..arena.victim()
    };
    let address = arena.address();
    let (watched, told) = beside(&victim, || {
        let attackers: Vec<_> =
            (0..ATTACKERS).map(|number| std::thread::spawn(move || churn(address, number % 2 == 0))).collect();
        attackers.into_iter().map(|attacker| attacker.join().unwrap()).collect::<Vec<_>>()
    });
    eprintln!("{told:?}");
    let reads = arena.node.counter("log_reads").await - reads;
    let rooms = arena.node.gauge("rooms").await as usize;
    let grown = arena.node.process().resident_bytes().saturating_sub(before);
    eprintln!("{reads} reads, {rooms} rooms, {} KiB more", grown >> 10);
    unharmed(&watched, &[Kind::Pong, Kind::Ack, Kind::Join], Duration::from_secs(2));
    for told in &told {
        assert!(told.other.is_empty() && told.joined <= MOST, "{told:?}");
    }
    let opened: usize = told.iter().map(|told| told.joined).sum();
    assert!(opened > 0, "a session that joins is served, within its rate");
    assert!(rooms <= opened + 40, "{rooms} rooms for {opened} that were joined");
    assert!(reads <= 4 * (opened as u64 + 40), "{reads} reads for {opened} rooms that were joined");
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_left_before_it_opens_is_not_kept() {
    let arena = Arena::open(&[JOINS_PER_SECOND, "0", OPENS_PER_SECOND, "0"]).await;
    let rooms = arena.node.gauge("rooms").await;
    let mut guest = Guest::arrive(arena.address());
    let mut all = Vec::new();
    for number in 0..200 {
        for kind in ["join", "leave"] {
            let text = format!(r#"{{"type":"{kind}","room":"passing-{number}","ref":"{kind} {number}"}}"#);
            all.extend(load_generator::attack::frames::text(&text));
        }
    }
    guest.connection.send(&all).unwrap();
    let mut answered = BTreeSet::new();
    while answered.len() < 400 {
        let frame = guest.hear();
        assert!(answered.insert(frame["ref"].as_str().unwrap().to_owned()), "answered twice: {frame}");
        let expected = ["joined", "left"].contains(&frame["type"].as_str().unwrap()) || frame["code"] == "superseded";
        assert!(expected, "{frame}");
    }
    eventually("the rooms are let go", || async { arena.node.gauge("rooms").await <= rooms + 20 }).await;
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_opens_as_many_rooms_as_it_is_told_and_not_one_more() {
    const MOST: usize = 150;
    let arena = Arena::open(&[ROOMS, "150"]).await;
    let mut guests: Vec<Guest> = (0..4).map(|_| Guest::arrive(arena.address())).collect();
    let (mut joined, mut refused) = (0, 0);
    for (guest, number) in guests.iter_mut().zip(0..) {
        for room in 0..75 {
            guest.say(&format!(r#"{{"type":"join","room":"many-{number}-{room}","ref":{room}}}"#));
        }
        for _ in 0..75 {
            let answer = guest.hear();
            match answer["type"].as_str().unwrap() {
                "joined" => joined += 1,
                _ => {
                    assert!(answer["type"] == "error" && answer["retry"] == true, "{answer}");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((joined, refused), (MOST, 300 - MOST));
    assert!(arena.node.gauge("rooms").await as usize <= MOST);
    // Rooms that are there are served on, and others may enter them.
    assert_eq!(guests[0].publish("many-0-0", "1", "1")["type"], "ack");
    guests[3].join("many-0-0");
    arena.close().await;
}
