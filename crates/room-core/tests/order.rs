//! Whatever the network does, every node ends with the same gap-free order and each acknowledged message in it once.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]
#![allow(unreachable_pub, reason = "a module of helpers")]

mod world;

use std::collections::HashSet;

use proptest::prelude::*;
use protocol::{HandOff, Seq};
use room_core::Rejection;
use world::{Faults, RETENTION, Told, World};

fn faults() -> impl Strategy<Value = Faults> {
    (0..100_u64, 0..60_u64, 0..40_u64, 0..40_u64, any::<bool>(), 0..100_u64, 0..60_u64).prop_map(
        |(hint_lost, hint_repeated, answer_lost, refused, ghosts, link_lost, link_repeated)| Faults {
            hint_lost,
            hint_repeated,
            answer_lost,
            refused,
            ghosts,
            link_lost,
            link_repeated,
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
            // Clients send again what they saw no acknowledgement for, often on another node and spelled otherwise.
            if world.below(100) < resend {
                let (earlier, node) = (world.below(number + 1), world.below(nodes as u64) as usize);
                let spelling = ["1", "1.0", "10e-1"][world.below(3) as usize];
                world.publish(node, &format!("m{earlier}"), spelling);
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
    fn nodes_that_die_with_batches_in_their_hands_cost_nothing(
        seed in any::<u64>(), nodes in 2..5_usize, publishes in 1..80_u64, deaths in 1..20_u64, faults in faults()
    ) {
        let mut world = World::new(nodes, seed, faults);
        let mut on_node = vec![Vec::new(); nodes];
        for number in 0..publishes {
            let node = world.below(nodes as u64) as usize;
            world.publish(node, &format!("m{number}"), "1");
            on_node[node].push(number);
            for _ in 0..world.below(12) {
                world.step();
            }
            if world.below(100) < deaths {
                let dead = world.below(nodes as u64) as usize;
                world.replace_node(dead);
                // Its clients come back elsewhere and send again what they heard nothing of, or what was too late.
                let other = (dead + 1) % nodes;
                for number in std::mem::take(&mut on_node[dead]) {
                    world.publish(other, &format!("m{number}"), "1");
                    on_node[other].push(number);
                }
            }
        }
        world.heal(120_000);
        for number in 0..publishes {
            world.publish(0, &format!("m{number}"), "1");
        }
        world.heal(120_000);
        check_final_order(&world);
        prop_assert_eq!(world.logged().len() as u64, publishes, "everything is logged in the end");
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
        let alive: Vec<_> = world.log.segments.values().filter(|s| s.segment.expires.0 > world.wall).collect();
        let ids = alive.iter().flat_map(|stored| stored.segment.messages().map(|(_, message)| &message.id));
        let mut seen = HashSet::new();
        for id in ids {
            // A copy that had expired before the other was written is no repeat.
            prop_assert!(seen.insert(id), "{} is logged twice", id);
            let told = world.nodes[0].told.iter().any(|told| matches!(told, Told::Message(_, other) if other == id));
            prop_assert!(told, "{} was not told", id);
        }
    }
}

#[test]
fn the_same_publish_on_two_nodes_with_a_lost_race_between_is_logged_once() {
    for seed in 0..300 {
        let faults = Faults {
            hint_lost: 50,
            hint_repeated: 20,
            answer_lost: 30,
            refused: 10,
            ghosts: true,
            link_lost: 30,
            link_repeated: 30,
        };
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
    let faults = Faults::NONE;
    let mut world = World::new(2, 1, faults);
    world.publish(0, "id", "1");
    world.heal(5_000);
    for node in [0, 1] {
        let token = world.publish(node, "id", "2");
        world.heal(5_000);
        assert_eq!(world.rejected.get(&token), Some(&Rejection::IdConflict(Some(Seq::FIRST))), "node {node}");
        let same = world.publish(node, "id", "1");
        world.heal(5_000);
        assert_eq!(world.acked.get(&same).map(|seq| seq.get()), Some(1));
    }
}

#[test]
fn a_lost_last_message_is_found_by_audit_alone() {
    let faults = Faults { hint_lost: 100, ..Faults::NONE };
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
    let faults = Faults::NONE;
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
    let faults = Faults::NONE;
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

#[test]
fn a_contended_room_is_written_by_one_node_that_the_others_hand_their_batches_to() {
    let (mut attempts, mut commits, mut handed_over) = (0, 0, 0);
    for seed in 0..20 {
        let mut world = World::new(4, seed, Faults::NONE);
        world.heal(1_000);
        for number in 0..400 {
            let node = world.below(4) as usize;
            world.publish(node, &format!("m{number}"), "1");
            for _ in 0..world.below(12) {
                world.step();
            }
        }
        world.heal(60_000);
        check_final_order(&world);
        assert_eq!(world.rejected.len(), 0);
        (attempts, commits) = (attempts + world.attempts, commits + world.commits);
        handed_over += world.handed_over;
    }
    assert!(attempts * 10 < commits * 12, "{attempts} attempts for {commits} commits");
    assert!(handed_over > commits / 4, "{handed_over} batches for {commits} commits");
}

#[test]
fn without_a_way_between_nodes_nothing_is_handed_over() {
    let mut world = World::new(0, 5, Faults::NONE);
    world.hand_off = false;
    for _ in 0..3 {
        world.start_node();
    }
    world.heal(1_000);
    for number in 0..200 {
        let node = world.below(3) as usize;
        world.publish(node, &format!("m{number}"), "1");
        world.step();
    }
    world.heal(60_000);
    check_final_order(&world);
    assert_eq!(world.handed_over, 0);
    assert_eq!(world.logged().len(), 200);
}

#[test]
fn a_batch_that_arrives_after_the_id_window_has_moved_on_is_declined() {
    let mut world = World::new(1, 8, Faults::NONE);
    for number in 0..2_500 {
        world.publish(0, &format!("m{number}"), "1");
        if number % 100 == 99 {
            world.heal(1_000);
        }
    }
    world.heal(5_000);
    let before = world.logged();
    // What is said to be checked up to a number may have been logged at any number from there on.
    for (stream, (checked, id, taken)) in (1..).zip([(1, "m0", false), (1_400, "m1450", false), (1_600, "m1700", true)])
    {
        let (room, epoch) = (world::room(), world.nodes[0].room.position().epoch);
        let (checked, messages) = (Seq::new(checked).unwrap(), vec![world.message(id, "1")]);
        let hand_off = HandOff { room, epoch, checked, stream, index: 1, messages };
        assert_eq!(world.hand_to(0, hand_off), taken, "checked up to {checked}");
        world.heal(1_000);
        assert_eq!(world.logged(), before, "{id} is not logged again");
    }
}

#[test]
fn a_quiet_room_is_audited_as_often_as_a_busy_one_while_the_backplane_is_broken() {
    let faults = Faults { hint_lost: 100, ..Faults::NONE };
    let mut world = World::new(2, 7, faults);
    let until = |world: &mut World, end: u64| {
        while world.now < end {
            world.step();
        }
    };
    // So quiet that audits are half a minute apart.
    until(&mut world, 120_000);
    world.with_room(1, |room, turn| room.handle_backplane(true, turn));
    until(&mut world, 123_000);
    world.publish(0, "only", "1");
    let said = world.now;
    until(&mut world, said + 3_000);
    assert_eq!(world.nodes[1].room.next().get(), 2, "found within a busy room's interval");
}
