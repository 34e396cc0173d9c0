//! Whatever the network does, every node ends with the same gap-free order and each acknowledged message in it once.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]
#![allow(unreachable_pub, reason = "a module of helpers")]

mod world;

use std::collections::HashSet;

use proptest::prelude::*;
use room_core::Rejection;
use world::{Faults, RETENTION, Told, World};

fn faults() -> impl Strategy<Value = Faults> {
    (0..100_u64, 0..60_u64, 0..40_u64, 0..40_u64, any::<bool>()).prop_map(
        |(hint_lost, hint_repeated, answer_lost, refused, ghosts)| Faults {
            hint_lost,
            hint_repeated,
            answer_lost,
            refused,
            ghosts,
        },
    )
}

fn check_final_order(world: &World) {
    world.check_agreement();
    let logged = world.logged();
    let unique: HashSet<_> = logged.iter().collect();
    assert_eq!(unique.len(), logged.len(), "no publish is logged twice");
    for (index, node) in world.nodes.iter().enumerate() {
        let seen: Vec<_> = node
            .told
            .iter()
            .filter_map(|told| match told {
                Told::Message(_, id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(seen, logged[logged.len() - seen.len()..], "node {index} saw the log's tail");
        assert_eq!(node.room.next().get(), logged.len() as u64 + 1, "node {index} is at the head");
    }
    for (token, id) in &world.published {
        let answered = world.acked.contains_key(token) || world.rejected.contains_key(token);
        assert!(answered, "publish {token:?} of {id} was answered");
        if world.acked.contains_key(token) {
            assert!(unique.contains(id), "acknowledged {id} is logged");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_node_ends_with_the_same_gap_free_order(
        seed in any::<u64>(), nodes in 1..5_usize, publishes in 1..80_u64, resend in 0..50_u64, faults in faults()
    ) {
        let mut world = World::new(nodes, seed, faults);
        while !world.nodes[0].room.is_open() {
            world.step();
        }
        for number in 0..publishes {
            let node = world.below(nodes as u64) as usize;
            world.publish(node, &format!("m{number}"), "1");
            // Clients send again what they saw no acknowledgement for, often on another node.
            if world.below(100) < resend {
                let (earlier, node) = (world.below(number + 1), world.below(nodes as u64) as usize);
                world.publish(node, &format!("m{earlier}"), "1");
            }
            for _ in 0..world.below(12) {
                world.step();
            }
        }
        world.heal(120_000);
        // One more message proves that the room goes on.
        let last = world.publish(0, "last", "1");
        world.heal(60_000);
        prop_assert!(world.acked.contains_key(&last));
        check_final_order(&world);
        // The first node was there from the beginning.
        let first: Vec<_> = world.nodes[0].told.iter().filter(|told| matches!(told, Told::Message(..))).collect();
        prop_assert_eq!(first.len(), world.logged().len());
    }

    #[test]
    fn publishes_of_one_sender_on_one_node_keep_their_order(
        seed in any::<u64>(), nodes in 1..4_usize, publishes in 1..60_u64, faults in faults()
    ) {
        let mut world = World::new(nodes, seed, faults);
        let mut tokens = Vec::new();
        for number in 0..publishes {
            tokens.push(world.publish(0, &format!("a{number}"), "1"));
            for node in 1..nodes {
                world.publish(node, &format!("b{node}-{number}"), "1");
            }
            for _ in 0..world.below(6) {
                world.step();
            }
        }
        world.heal(120_000);
        check_final_order(&world);
        let seqs: Vec<_> = tokens.iter().filter_map(|token| world.acked.get(token)).collect();
        prop_assert!(seqs.is_sorted());
    }

    #[test]
    fn epochs_never_let_a_number_mean_two_things(
        seed in any::<u64>(), nodes in 1..4_usize, rounds in 1..6_u64, faults in faults()
    ) {
        let mut world = World::new(nodes, seed, faults);
        let mut number = 0;
        while !world.nodes[0].room.is_open() {
            world.step();
        }
        for _ in 0..rounds {
            for _ in 0..world.below(8) {
                let node = world.below(world.nodes.len() as u64) as usize;
                number += 1;
                world.publish(node, &format!("m{number}"), "1");
                for _ in 0..world.below(10) {
                    world.step();
                }
            }
            // A quiet time: short, nearly the retention, or long past it. TTL deletes what it likes.
            let quiet = [60, RETENTION - 3_000, RETENTION - 600, RETENTION, RETENTION + 3_600, 3 * RETENTION];
            world.land();
            let choice = world.below(quiet.len() as u64) as usize;
            world.wall += quiet[choice];
            let percent = [0, 30, 100][world.below(3) as usize];
            world.sweep(percent);
            if world.below(3) == 0 {
                world.start_node();
            }
        }
        world.heal(300_000);
        let last = world.publish(0, "last", "1");
        world.heal(300_000);
        prop_assert!(world.acked.contains_key(&last), "{:?}", world.rejected.get(&last));
        world.check_agreement();
        let heads: HashSet<_> = world.nodes.iter().map(|node| node.room.position()).collect();
        prop_assert_eq!(heads.len(), 1, "all nodes end at one position");
        let logged = world.logged();
        for stored in world.log.segments.values().filter(|s| s.expires.0 > world.wall) {
            for (seq, message) in stored.segment.messages() {
                let told = world.nodes[0].told.iter().any(|told| matches!(told, Told::Message(_, id) if *id == message.id));
                prop_assert!(told, "{} at {seq} of {:?} was not told; header {:?}", message.id, stored.segment.epoch, world.log.header);
            }
        }
        // A copy that had expired before the other was written is no repeat.
        for (at, id) in logged.iter().enumerate() {
            for earlier in 0..at {
                if logged[earlier] == *id {
                    let copies: Vec<_> = world.log.segments.values()
                        .filter(|s| s.segment.messages().any(|(_, m)| m.id == *id))
                        .map(|s| (s.segment.seq, s.segment.epoch.clone(), s.expires, s.segment.node.clone())).collect();
                    let apart = copies[1].2.0.abs_diff(copies[0].2.0);
                    prop_assert!(apart >= RETENTION, "{} twice: {:?} header {:?}", id, copies, world.log.header);
                }
            }
        }
    }
}

#[test]
fn the_same_publish_on_two_nodes_with_a_lost_race_between_is_logged_once() {
    for seed in 0..300 {
        let faults = Faults { hint_lost: 50, hint_repeated: 20, answer_lost: 30, refused: 10, ghosts: true };
        let mut world = World::new(2, seed, faults);
        world.publish(0, "warm-up", "1");
        world.publish(1, "warm-up-2", "1");
        world.heal(5_000);
        world.faults = faults;
        let first = world.publish(0, "same", "1");
        let second = world.publish(1, "same", "1");
        world.heal(60_000);
        check_final_order(&world);
        if let (Some(a), Some(b)) = (world.acked.get(&first), world.acked.get(&second)) {
            assert_eq!(a, b, "both hear the same number");
        }
    }
}

#[test]
fn the_same_id_with_another_body_is_a_conflict_on_every_node() {
    let faults = Faults { hint_lost: 0, hint_repeated: 0, answer_lost: 0, refused: 0, ghosts: false };
    let mut world = World::new(2, 1, faults);
    world.publish(0, "id", "1");
    world.heal(5_000);
    for node in [0, 1] {
        let token = world.publish(node, "id", "2");
        world.heal(5_000);
        assert_eq!(world.rejected.get(&token), Some(&Rejection::IdConflict), "node {node}");
        let same = world.publish(node, "id", "1");
        world.heal(5_000);
        assert_eq!(world.acked.get(&same).map(|seq| seq.get()), Some(1));
    }
}

#[test]
fn a_lost_last_message_is_found_by_audit_alone() {
    let faults = Faults { hint_lost: 100, hint_repeated: 0, answer_lost: 0, refused: 0, ghosts: false };
    let mut world = World::new(2, 7, faults);
    let steps = |world: &mut World, until: u64| {
        while world.now < until {
            world.step();
        }
    };
    steps(&mut world, 1_000);
    world.publish(0, "only", "1");
    steps(&mut world, 40_000);
    assert_eq!(world.nodes[1].room.next().get(), 2);
}

#[test]
fn group_commit_gathers_what_comes_while_a_write_is_under_way() {
    let faults = Faults { hint_lost: 0, hint_repeated: 0, answer_lost: 0, refused: 0, ghosts: false };
    let mut world = World::new(1, 3, faults);
    for number in 0..1_000 {
        world.publish(0, &format!("m{number}"), "1");
    }
    world.heal(10_000);
    assert_eq!(world.acked.len(), 1_000);
    assert!(world.commits <= 6, "{} writes", world.commits);
}

#[test]
fn without_faults_one_writer_never_tries_twice() {
    let faults = Faults { hint_lost: 0, hint_repeated: 0, answer_lost: 0, refused: 0, ghosts: false };
    let mut world = World::new(3, 4, faults);
    for number in 0..50 {
        world.publish(1, &format!("m{number}"), "1");
        for _ in 0..20 {
            world.step();
        }
    }
    world.heal(10_000);
    check_final_order(&world);
    assert_eq!(world.attempts, world.commits);
}
