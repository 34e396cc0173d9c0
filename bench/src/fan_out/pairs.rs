//! Two commits beside each other: what a change costs or gains at each point that a goal depends on.

use std::fmt;

use super::measure::Metrics;
use super::results::Results;
use super::server::Kind;

/// Numbers of which more is better.
const MORE: [&str; 4] = ["deliveries/s", "deliveries/s meanwhile", "connects/s of a core's time", "connects/s"];
/// Numbers of which less is better.
const LESS: [&str; 6] = [
    "server cpu us/delivery",
    "p50 ms",
    "p99 ms",
    "rss bytes/connection",
    "newcomer longest ms",
    "server cpu us/publish",
];

/// One number of both commits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    point: String,
    metric: &'static str,
    /// This commit's number as a multiple of the other's: of each repetition, in ascending order.
    ratios: Vec<f64>,
    more_is_better: bool,
}

/// Everything that both were measured in.
pub(super) fn pairs(results: &Results) -> Vec<Pair> {
    let [this, other] = Kind::PAIR.map(Kind::name);
    let metrics = MORE.map(|metric| (metric, true)).into_iter().chain(LESS.map(|metric| (metric, false)));
    let metrics: Vec<_> = metrics.collect();
    let mut pairs = Vec::new();
    for point in results.points() {
        // An open loop sends as many as it is told to.
        for &(metric, more_is_better) in metrics.iter().filter(|(metric, _)| !point.ends_with(metric)) {
            let ratio = |(run, other): (&Metrics, &Metrics)| Some(run.get(metric)? / other.get(metric)?);
            let mut ratios: Vec<f64> =
                results.runs(point, this).iter().zip(results.runs(point, other)).filter_map(ratio).collect();
            ratios.retain(|ratio| ratio.is_finite());
            ratios.sort_by(f64::total_cmp);
            if !ratios.is_empty() {
                pairs.push(Pair { point: point.to_owned(), metric, ratios, more_is_better });
            }
        }
    }
    pairs
}

impl Pair {
    /// Between which ratios the true median lies, with 95 % certainty or more where there are nine pairs: they leave out the
    /// lowest and the highest. Fewer pairs leave out none.
    fn interval(&self) -> (f64, f64) {
        let left_out = usize::from(self.ratios.len() >= 9);
        (self.ratios[left_out], self.ratios[self.ratios.len() - 1 - left_out])
    }

    /// Whether all of the interval is on the bad side.
    fn is_worse(&self) -> bool {
        let (low, high) = self.interval();
        if self.more_is_better { high < 1.0 } else { low > 1.0 }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, metric, ratios, more_is_better } = self;
        let (low, high) = self.interval();
        let median = ratios[(ratios.len() - 1) / 2];
        let better = if *more_is_better { "more" } else { "less" };
        let word = if self.is_worse() { "WORSE" } else { "no worse" };
        write!(
            f,
            "{word}: {point}: {metric} ({better} is better): {median:.3} ({low:.3} to {high:.3}), {} pairs",
            ratios.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ratios: &[f64], metric: &str) -> Pair {
        let mut results = Results::new("make bench-pairs".to_owned());
        for ratio in ratios {
            results.add("p", Kind::Roomcast.name(), Metrics::from([(metric.to_owned(), 10.0 * ratio)]));
            results.add("p", Kind::Before.name(), Metrics::from([(metric.to_owned(), 10.0)]));
        }
        pairs(&results).remove(0)
    }

    #[test]
    fn a_row_is_worse_only_if_its_whole_interval_is() {
        let nine = [0.5, 1.02, 1.1, 1.03, 1.04, 1.05, 1.06, 1.07, 9.0];
        let pair = measured(&nine, "p50 ms");
        assert_eq!((pair.interval(), pair.is_worse()), ((1.02, 1.1), true));
        assert_eq!(pair.to_string(), "WORSE: p: p50 ms (less is better): 1.050 (1.020 to 1.100), 9 pairs");
        assert!(!measured(&nine, "deliveries/s").is_worse());
        assert!(!measured(&nine.map(|ratio| ratio - 0.03), "p50 ms").is_worse());
        assert!(measured(&nine.map(|ratio| 2.0 - ratio), "deliveries/s").is_worse());
        assert_eq!(measured(&[1.2, 0.9], "p50 ms").interval(), (0.9, 1.2), "two pairs leave out none");
    }

    #[test]
    fn the_deliveries_of_an_open_loop_are_not_compared() {
        let mut results = Results::new("make bench-pairs".to_owned());
        for point in ["10 clients, 1 room, 1 in flight", "10 clients, 1 room, 100 deliveries/s"] {
            for repetition in 0..9 {
                let metrics = |deliveries: f64, p50: f64| {
                    Metrics::from([("deliveries/s".to_owned(), deliveries), ("p50 ms".to_owned(), p50)])
                };
                results.add(point, Kind::PAIR[0].name(), metrics(90.0 + f64::from(repetition), 1.0));
                results.add(point, Kind::PAIR[1].name(), metrics(100.0, if repetition == 0 { 2.0 } else { 1.0 }));
            }
        }
        let told: Vec<(String, bool)> =
            pairs(&results).iter().map(|pair| (format!("{}: {}", pair.point, pair.metric), pair.is_worse())).collect();
        let expected = [
            ("10 clients, 1 room, 1 in flight: deliveries/s", true),
            ("10 clients, 1 room, 1 in flight: p50 ms", false),
            ("10 clients, 1 room, 100 deliveries/s: p50 ms", false),
        ];
        let mut told: Vec<(&str, bool)> = told.iter().map(|(what, worse)| (what.as_str(), *worse)).collect();
        told.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
}
