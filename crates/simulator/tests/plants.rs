//! The checkers can fail: mistakes that are planted into the model are found, and told apart.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use simulator::{Fault, Plan, Plant, hunt, run};

/// Hunts with a mistake in the model. Returns what is found in how many seeds.
fn found(plant: Plant, faults: &[Fault]) -> (String, u64) {
    let planted = |seed| Plan { plant: Some(plant), ..Plan::with_faults(seed, faults) };
    let summary = hunt(0..2_000, planted, 1, |_| {});
    let caught = summary.catches.first().unwrap_or_else(|| panic!("{plant:?} is not found"));
    let clean = run(Plan::with_faults(caught.seed, faults), false);
    assert_eq!(clean.violation, None, "without the mistake the same run is clean");
    (caught.sentence.clone(), summary.seeds)
}

#[test]
fn an_acknowledgement_before_the_commit_is_found_at_once() {
    let (sentence, seeds) = found(Plant::AckBeforeCommit, &[]);
    assert!(sentence.contains("which the log does not hold"), "{sentence}");
    assert!(seeds <= 3, "in {seeds} seeds");
}

#[test]
fn a_forgotten_repeat_check_is_found() {
    let (sentence, seeds) = found(Plant::NoRepeatCheck, &[Fault::Repeats, Fault::Crashes]);
    assert!(sentence.contains("is logged as") && sentence.contains("and again as"), "{sentence}");
    assert!(seeds <= 500, "in {seeds} seeds");
}

#[test]
fn a_forgotten_audit_of_the_head_is_found() {
    let (sentence, seeds) = found(Plant::NoHeadAudit, &[Fault::NoHints]);
    assert!(sentence.contains("after healing") && sentence.contains("whose head is"), "{sentence}");
    assert!(seeds <= 20, "in {seeds} seeds");
}

#[test]
fn a_reset_that_nobody_is_told_of_is_found() {
    let (sentence, seeds) = found(Plant::SilentReset, &[]);
    assert!(sentence.contains("came before the reset"), "{sentence}");
    assert!(seeds <= 50, "in {seeds} seeds");
}

#[test]
fn a_comparison_that_takes_any_body_for_the_same_is_found() {
    let (sentence, seeds) = found(Plant::AnyBodyIsTheSame, &[Fault::Repeats]);
    assert!(sentence.contains("is acknowledged as") && sentence.contains("which the log does not hold"), "{sentence}");
    assert!(seeds <= 100, "in {seeds} seeds");
}

#[test]
fn a_second_join_that_is_told_the_head_during_a_replay_is_found() {
    let (sentence, seeds) = found(Plant::SecondJoinAtHead, &[Fault::SmallLimits, Fault::SlowConsumers]);
    assert!(sentence.contains("a second join is told"), "{sentence}");
    assert!(seeds <= 1_000, "in {seeds} seeds");
}
