//! What is hoped for, and whether it was reached.

use super::point::WHOLE_PATH;
use super::results::Results;
use super::run::{CONNECTS, ONE_CORE, SWEEP_ONE, SWEEP_TWO, TWO_CORES, VANISH, idle, log};

/// One goal, held against what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// Where, and what.
    pub(super) what: String,
    /// Roomcast's number.
    pub(super) measured: Option<f64>,
    /// What it is held against, by its name.
    pub(super) beside: Option<(&'static str, f64)>,
    /// The number or the ratio that is judged.
    pub(super) judged: Option<f64>,
    pub(super) goal: Goal,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Verdict {
    /// `None`: it was not measured.
    #[must_use]
    pub(super) fn met(&self) -> Option<bool> {
        self.judged.map(|judged| match self.goal {
            Goal::AtLeast(least) => judged >= least,
            Goal::AtMost(most) => judged <= most,
        })
    }

    /// The goal in words.
    #[must_use]
    pub(super) fn goal(&self) -> String {
        let (word, number) = match self.goal {
            Goal::AtLeast(least) => ("at least", least),
            Goal::AtMost(most) => ("at most", most),
        };
        let unit = if self.beside.is_some() { " times" } else { "" };
        format!("{word} {number}{unit}")
    }
}

const ROOMCAST: &str = "roomcast";

/// Every goal.
#[must_use]
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    let ratio = |point: &str, metric: &str, peer: &'static str, goal| {
        let measured = results.median(point, ROOMCAST, metric);
        let beside = results.median(point, peer, metric);
        let judged = results.ratio((point, ROOMCAST), (point, peer), metric);
        let what = format!("{point}: {metric}");
        Verdict { what, measured, beside: Some((peer, beside.unwrap_or(f64::NAN))), judged, goal }
    };
    let number = |point: &str, metric: &str, goal| {
        let measured = results.median(point, ROOMCAST, metric);
        Verdict { what: format!("{point}: {metric}"), measured, beside: None, judged: measured, goal }
    };
    let published = |point: &str, metric: &str, peer: &'static str, goal| {
        ratio(&format!("{WHOLE_PATH}{point}"), metric, peer, goal)
    };
    let (one, cpu) = ("1000 clients, 1 room, 1 in flight", "server cpu us/delivery");
    let two_cores = {
        let at = |point| results.median(point, ROOMCAST, "deliveries/s meanwhile");
        let judged = results.ratio((SWEEP_TWO, ROOMCAST), (SWEEP_ONE, ROOMCAST), "deliveries/s meanwhile");
        let beside = Some(("one core", at(SWEEP_ONE).unwrap_or(f64::NAN)));
        let what = format!("{SWEEP_TWO}: deliveries/s meanwhile");
        Verdict { what, measured: at(SWEEP_TWO), beside, judged, goal: Goal::AtLeast(1.7) }
    };
    let two_cores_time = {
        let at = |point| results.median(point, ROOMCAST, "server cpu us/delivery");
        let judged = results.ratio((ONE_CORE, ROOMCAST), (TWO_CORES, ROOMCAST), "server cpu us/delivery");
        let judged = judged.map(|one_to_two| 2.0 * one_to_two);
        let beside = Some(("one core", at(ONE_CORE).unwrap_or(f64::NAN)));
        let what = format!("{TWO_CORES}: server cpu us/delivery, as deliveries of two cores' time");
        Verdict { what, measured: at(TWO_CORES), beside, judged, goal: Goal::AtLeast(1.7) }
    };
    let batched = {
        let at = |publishers: usize| results.median(&log(publishers), ROOMCAST, "server cpu us/publish");
        let judged = results.ratio((&log(20), ROOMCAST), (&log(1), ROOMCAST), "server cpu us/publish");
        let beside = Some(("1 publisher", at(1).unwrap_or(f64::NAN)));
        let what = format!("{}: server cpu us/publish", log(20));
        Verdict { what, measured: at(20), beside, judged, goal: Goal::AtMost(1.0) }
    };
    vec![
        ratio("1000 clients, 1 room, 16 in flight", "deliveries/s", "raw-coalesce", Goal::AtLeast(0.95)),
        ratio("5000 clients, 1 room, 16 in flight", "deliveries/s", "raw-coalesce", Goal::AtLeast(0.95)),
        ratio(one, cpu, "raw-write", Goal::AtMost(1.1)),
        ratio("1000 clients, 1 room, 25000 deliveries/s", "p50 ms", "raw-write", Goal::AtMost(1.1)),
        ratio("1000 clients, 1 room, 100000 deliveries/s", "p50 ms", "raw-write", Goal::AtMost(1.1)),
        ratio("10000 clients, 1000 rooms, 1 in flight", "deliveries/s", "raw-write", Goal::AtLeast(0.95)),
        published("1000 clients, 1 room, 1 in flight", cpu, "raw-write", Goal::AtMost(1.1)),
        published("1000 clients, 1 room, 16 in flight", cpu, "raw-coalesce", Goal::AtMost(1.15)),
        published("5000 clients, 1 room, 16 in flight", cpu, "raw-coalesce", Goal::AtMost(1.1)),
        published("1000 clients, 1 room, 100000 deliveries/s", "p50 ms", "raw-write", Goal::AtMost(1.15)),
        number(&log(1), "server cpu us/publish", Goal::AtMost(100.0)),
        number(&idle(10_000), "rss bytes/connection", Goal::AtMost(600.0)),
        number(&idle(50_000), "rss bytes/connection", Goal::AtMost(2_048.0)),
        number(CONNECTS, "connects/s", Goal::AtLeast(15_000.0)),
        number(CONNECTS, "connects/s of a core's time", Goal::AtLeast(15_000.0)),
        number(VANISH, "newcomer longest ms", Goal::AtMost(100.0)),
        two_cores,
        two_cores_time,
        batched,
    ]
}
