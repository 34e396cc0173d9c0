//! Counterexamples that came up while the design was made, each as the smallest cluster that shows it.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use simulator::{Limits, Plan, Rates, Saying, Transition, run};

const DAY: u64 = 24 * 3600;

/// Runs a plan under many seeds; none may break a promise. Returns all that was noted.
fn traces(seeds: u64, plan: impl Fn(u64) -> Plan) -> Vec<Vec<String>> {
    let traces = (0..seeds).map(|seed| {
        let outcome = run(plan(seed), true);
        assert_eq!(outcome.violation, None, "seed {seed}:\n{}", outcome.trace.join("\n"));
        outcome.trace
    });
    traces.collect()
}

/// In how many traces there is a line with all these words.
fn shown(traces: &[Vec<String>], words: &[&str]) -> usize {
    let shows = |trace: &&Vec<String>| trace.iter().any(|line| words.iter().all(|word| line.contains(word)));
    traces.iter().filter(shows).count()
}

/// The beginning of the time at which a message expires that is kept so long, in the first quarter of an hour of a run.
fn until(secs: u64) -> String {
    format!("until {}", (1_900_000_000 + secs) / 1_000)
}

fn publish(client: usize, count: u64) -> Transition {
    Transition::Publish { client, room: 0, count, saying: Saying::New }
}

#[test]
fn a_batch_does_not_grow_between_retries_under_one_nonce() {
    let traces = traces(100, |seed| {
        let mut plan = Plan::calm(seed, 1, 1);
        // Many answers are lost; more is published while the outcome of the first batch is unknown.
        plan.rates = Rates { log_silent: 60, ..Rates::default() };
        plan.script = (0..30).map(|_| (300, publish(0, 2))).collect();
        plan
    });
    let taken = shown(&traces, &[": taken ["]);
    assert!(taken > 30, "{taken} times an attempt whose answer was lost had succeeded");
}

#[test]
fn one_publish_on_two_nodes_with_a_lost_race_between_is_one_message() {
    let traces = traces(200, |seed| {
        let mut plan = Plan::calm(seed, 2, 4);
        plan.users = vec![0, 0, 1, 1];
        let twins = |client| Transition::Twins { client, room: 0, same: true };
        let round = [(0, publish(2, 1)), (0, publish(3, 1)), (0, twins(0)), (1, twins(2)), (40, publish(1, 1))];
        plan.script = vec![(300, publish(0, 1))];
        plan.script.extend(round.iter().copied().cycle().take(40));
        plan
    });
    assert!(shown(&traces, &[": taken ["]) > 50, "races are lost");
    assert!(shown(&traces, &["hands"]) > 50, "and batches handed over");
}

#[test]
fn one_id_with_two_bodies_on_two_nodes_is_one_message() {
    let traces = traces(200, |seed| {
        let mut plan = Plan::calm(seed, 2, 2);
        plan.users = vec![0, 0];
        let twins = (30, Transition::Twins { client: 0, room: 0, same: false });
        plan.script = vec![(300, publish(0, 1)), twins, twins, twins];
        plan
    });
    assert!(shown(&traces, &["PublishFailed", "IdConflict"]) > 100);
}

/// A client says something, then the same again in this way, over and over, while others write on another node.
fn repeats(seed: u64, saying: Saying) -> Plan {
    let mut plan = Plan::calm(seed, 2, 3);
    plan.users = vec![0, 0, 1];
    // In half of the runs the messages are in memory.
    plan.limits.recent_messages = [1, 1_000][(seed % 2) as usize];
    let again = |client| Transition::Publish { client, room: 0, count: 1, saying };
    let round = [(300, publish(0, 2)), (0, publish(2, 2)), (400, again(0)), (300, again(1))];
    plan.script = round.iter().copied().cycle().take(40).collect();
    plan
}

#[test]
fn a_repeat_that_is_spelled_otherwise_is_acknowledged_and_no_conflict() {
    let traces = traces(150, |seed| repeats(seed, Saying::Respelled));
    assert_eq!(shown(&traces, &["PublishFailed"]), 0);
    let (read, unread) = (shown(&traces, &["asks r0: message"]), traces.len());
    assert!(read > 60 && read < unread, "{read} runs of {unread} read messages, the others have them in memory");
}

#[test]
fn a_conflict_names_the_message_that_has_the_id() {
    let traces = traces(150, |seed| repeats(seed, Saying::Clash));
    assert!(shown(&traces, &["PublishFailed", "IdConflict", "seq: Some("]) > 140);
}

#[test]
fn a_repeat_that_cannot_be_compared_is_sent_again_until_it_can() {
    let traces = traces(150, |seed| {
        let mut plan = repeats(seed - seed % 2, Saying::Respelled);
        plan.seed = seed;
        plan.rates = Rates { log_silent: 25, ..Rates::default() };
        plan
    });
    let unanswered =
        shown(&traces, &["asks r0: message", ", lost"]) + shown(&traces, &["asks r0: message", ", no answer"]);
    assert!(unanswered > 60, "{unanswered} times");
    assert_eq!(shown(&traces, &["PublishFailed"]), 0, "its outcome is open, and known in the end");
}

#[test]
fn a_hand_off_whose_answer_is_lost_is_not_logged_again_when_the_id_window_has_moved_on() {
    let traces = traces(20, |seed| {
        let mut plan = Plan::calm(seed, 3, 3);
        plan.rates = Rates { link_lost: 40, link_repeated: 30, ..Rates::default() };
        let round = [(0, publish(0, 20)), (1, publish(1, 20)), (100, publish(2, 20))];
        plan.script = round.iter().copied().cycle().take(240).collect();
        plan
    });
    let handed = shown(&traces, &["hands"]);
    assert!(handed > 10, "in {handed} runs batches are handed over");
    let far = traces.iter().filter(|trace| trace.iter().any(|line| line.contains(": 40") && line.contains("..")));
    assert!(far.count() > 8, "four thousand messages are logged");
}

#[test]
fn a_session_that_returns_ahead_of_the_node_loses_nothing_and_is_not_reset() {
    let traces = traces(150, |seed| {
        let mut plan = Plan::calm(seed, 3, 4);
        // Without hints a node is behind until its next audit.
        (plan.sns, plan.peer_hints) = (false, false);
        let cut = |client| Transition::Cut { client, noticed_ms: 20 };
        let round = [(30, publish(0, 3)), (0, cut(0)), (700, publish(1, 1)), (20, cut(1)), (900, publish(2, 1))];
        plan.script = round.iter().copied().cycle().take(25).collect();
        plan
    });
    assert!(shown(&traces, &["Joined", "resumed: true"]) > 100, "sessions come back");
    assert_eq!(shown(&traces, &["recovered: false"]), 0, "and all of them can go on");
}

#[test]
fn a_position_inside_a_segment_is_continued_inside_it() {
    let traces = traces(150, |seed| {
        let mut plan = Plan::calm(seed, 2, 3);
        // Few messages fit a portion, none is kept in memory for long: most connections break inside a segment.
        plan.limits = Limits { recent_messages: 1, portion_bytes: 400, ..Limits::small() };
        let cut = |client| Transition::Cut { client, noticed_ms: 5 };
        let round = [(9, publish(0, 8)), (2, cut(1)), (3, cut(2)), (800, publish(1, 3))];
        plan.script = round.iter().copied().cycle().take(32).collect();
        plan
    });
    assert!(shown(&traces, &["Joined", "resumed: true"]) > 100, "sessions come back");
    assert_eq!(shown(&traces, &["recovered: false"]), 0, "and all of them can go on");
}

#[test]
fn when_the_retention_is_lowered_no_message_expires_before_those_before_it() {
    let traces = traces(150, |seed| {
        let mut plan = Plan::calm(seed, 2, 3);
        plan.retention_secs = 3 * DAY;
        // What a node knows of another's segments, it knows from SNS, from its peers, or from the log alone.
        (plan.sns, plan.peer_hints) = [(true, false), (true, true), (false, false)][(seed % 3) as usize];
        plan.script = vec![
            (0, Transition::Retention { secs: DAY }),
            (500, Transition::Crash { place: 1, down_ms: 1 }),
            (3_000, publish(0, 2)),
            (3_000, publish(1, 2)),
            (3_000, publish(2, 2)),
            (3_000, publish(0, 2)),
            (3_000, publish(1, 2)),
            (1_000, Transition::Quiet { secs: DAY + 7_200 }),
            (0, Transition::Sweep { percent: [60, 100][(seed % 2) as usize] }),
            (0, Transition::Crash { place: 0, down_ms: 100 }),
            (5_000, Transition::Crash { place: 1, down_ms: 100 }),
            (5_000, publish(1, 1)),
        ];
        plan
    });
    let (long, short) = (until(3 * DAY), until(DAY));
    assert!(shown(&traces, &[&long, "committed"]) > 100, "nodes write that keep messages for three days");
    let shorter = shown(&traces, &[&short, "committed"]);
    assert!(shorter > 10 && shorter < 100, "and after them only such: {shorter}");
}

#[test]
fn a_quiet_room_that_outlives_its_retention_gets_an_epoch_though_a_viewer_still_looks_on() {
    let traces = traces(150, |seed| {
        let mut plan = Plan::calm(seed, 2, 3);
        plan.script = vec![
            (500, publish(0, 5)),
            (500, publish(1, 3)),
            (50, Transition::Cut { client: 1, noticed_ms: 0 }),
            (2_000, Transition::Leave { client: 2, room: 0 }),
            // One client looks on all the time; its node knows numbers that the log no longer shows.
            (1_000, Transition::Quiet { secs: 2 * DAY }),
            (0, Transition::Sweep { percent: [0, 40, 100][(seed % 3) as usize] }),
            (100, Transition::Crash { place: (seed % 2) as usize, down_ms: 50 }),
            (100, publish(1, 2)),
            (300, Transition::Join { client: 2, room: 0, recent: 50 }),
            (2_000, publish(0, 2)),
        ];
        plan
    });
    assert_eq!(shown(&traces, &["epoch 2."]), 150, "the second epoch begins");
    assert_eq!(shown(&traces, &["Reset", "epoch: \"2."]), 150, "and whoever was there is told");
}

#[test]
fn messages_that_come_while_a_node_reads_back_for_a_join_are_no_mistake() {
    let traces = traces(150, |seed| {
        let mut plan = Plan::calm(seed, 2, 2);
        plan.limits.recent_messages = 1;
        plan.rates = Rates { log_slow: 80, ..Rates::default() };
        plan.script = vec![(6_000, publish(0, 9)), (500, Transition::Leave { client: 1, room: 0 })];
        plan.script.push((0, Transition::Join { client: 1, room: 0, recent: 5 }));
        plan.script.extend((0..20).map(|_| (60, publish(0, 1))));
        plan
    });
    let longer = (6..40).map(|count| format!("replayed: {count}, resumed: false"));
    let longer: usize = longer.map(|words| shown(&traces, &["Joined", &words])).sum();
    assert!(longer > 50, "{longer} joins got more than the five messages that they asked for");
}

#[test]
fn a_node_that_has_not_heard_of_an_epoch_replays_none_of_its_messages_as_its_own() {
    let traces = traces(300, |seed| {
        let mut plan = Plan::calm(seed, 2, 4);
        // Only its audits tell a node of the other's epoch; it keeps few messages, so that returning clients need the log.
        (plan.sns, plan.peer_hints) = (false, false);
        plan.limits.recent_messages = 1;
        plan.script = vec![(9_000, publish(0, 9)), (100, Transition::Leave { client: 1, room: 0 })];
        plan.script.push((0, Transition::Quiet { secs: DAY + 3_600 }));
        plan.script.extend([(4_000, Transition::Sweep { percent: 100 }), (40, publish(0, 9))]);
        plan.script.push((3_000, Transition::Join { client: 1, room: 0, recent: 6 }));
        plan
    });
    assert_eq!(shown(&traces, &["epoch 2."]), 300);
    let late = shown(&traces, &["client 1: Joined", "epoch: \"1.", "resumed: false"]);
    assert!(late > 30, "{late} joins come to a node that has not heard of the second epoch");
}
