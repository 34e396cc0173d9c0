//! A few thousand clusters, each from its seed. `cargo run --profile dist -p simulator -- --hunt 100000` looks harder.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use simulator::{Fault, Plan, Transition, hunt, run};

/// Runs these plans, fails with the first broken promise, and returns how many publishes were acknowledged.
fn clean(seeds: std::ops::Range<u64>, plan: impl Fn(u64) -> Plan) -> u64 {
    let summary = hunt(seeds, plan, 1, |_| {});
    if let Some(caught) = summary.catches.first() {
        panic!("{caught}");
    }
    summary.acked
}

#[test]
fn whatever_happens_the_promises_hold() {
    let acked = clean(0..5_000, Plan::of);
    assert!(acked > 100_000, "{acked} publishes were acknowledged");
}

#[test]
fn each_fault_alone_costs_no_promise() {
    for fault in Fault::ALL {
        let acked = clean(0..40, |seed| Plan::with_faults(seed, &[fault]));
        assert!(acked > 400, "{fault:?}: {acked} publishes were acknowledged");
    }
}

#[test]
fn all_faults_together_cost_no_promise() {
    let most: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| *fault != Fault::NoHints).collect();
    let acked = clean(0..150, |seed| Plan::with_faults(seed, &most));
    assert!(acked > 1_000, "{acked} publishes were acknowledged");
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_letter() {
    for seed in [1, 17, 42, 99, 1_234, 5_678] {
        let (one, other) = (run(Plan::of(seed), true), run(Plan::of(seed), true));
        assert!(one.trace.len() > 10);
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!((one.steps, one.acked), (other.steps, other.acked));
    }
}

#[test]
fn seeds_stand_for_calm_and_for_stormy_clusters() {
    let plans: Vec<Plan> = (0..500).map(Plan::of).collect();
    let count = |is: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count();
    let with = |wanted: &dyn Fn(&Transition) -> bool| {
        count(&|plan: &Plan| plan.script.iter().any(|(_, transition)| wanted(transition)))
    };
    assert!(count(&|plan| plan.rates == simulator::Rates::default()) > 50, "many know no faulty network");
    assert!(count(&|plan| plan.rates.log_silent > 0 && plan.rates.sns_lost > 0 && plan.rates.link_lost > 0) > 30);
    assert!(with(&|transition| matches!(transition, Transition::Crash { .. })) > 30);
    assert!(with(&|transition| matches!(transition, Transition::Drain { .. })) > 30);
    assert!(with(&|transition| matches!(transition, Transition::Quiet { .. })) > 20);
    assert!(with(&|transition| matches!(transition, Transition::NewerSegment { .. })) > 30);
    assert!(with(&|transition| matches!(transition, Transition::Twins { .. })) > 20);
}
