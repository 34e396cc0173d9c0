//! The page that tells what was measured.

use std::fmt::Write as _;

use super::goals::{Verdict, verdicts};
use super::profile::SHARE;
use super::results::Results;
use super::server::Kind;

/// The metrics that tables show, where a point has them.
const SHOWN: [&str; 20] = [
    "clients",
    "deliveries/s",
    "deliveries/s meanwhile",
    "server cpu us/delivery",
    "server cpu %",
    "load cpu %",
    "p50 ms",
    "p99 ms",
    "last client p50 ms",
    "rss MiB",
    "rss bytes/connection",
    "connects/s",
    "server cpu us/connect",
    "connects/s of a core's time",
    "newcomer longest ms",
    "newcomer longest ms before",
    "publishes/s",
    "server cpu us/publish",
    "messages/commit",
    "ack p50 ms",
];

/// The page, in Markdown. `pictures` are the names of the files beside it.
#[must_use]
pub fn page(results: &Results, pictures: &[&str]) -> String {
    let (date, machine, command) = results.circumstances();
    let repetitions = results.repetitions();
    let mut text = format!(
        "# Performance\n\nMade by `{command}` on {date}. {machine};\nthe server has one core, the load the other, and AWS is \
         emulated beside the load.\nMedians of {repetitions} interleaved runs, of numbers and of each run's ratios; on a shared machine \
         differences below a fifth mean nothing. [How it is measured](load-generator.md#benches).\nEvery message to every client was \
         verified: none missing, repeated, out of its place or altered, but where this page says so.\n\n## Goals\n\n\
         | what | Roomcast | beside | ratio | goal | |\n|---|---|---|---|---|---|\n"
    );
    for verdict in verdicts(results) {
        text.push_str(&goal_row(&verdict));
    }
    for (heading, list) in [
        ("Broken promises", &results.broken),
        ("Not measured", &results.missing),
        ("What peers broke", &results.peers_broke),
    ] {
        if !list.is_empty() {
            let _ = write!(text, "\n## {heading}\n\n");
            list.iter().take(20).for_each(|what| text.push_str(&format!("- {what}\n")));
        }
    }
    if !pictures.is_empty() {
        text.push_str("\n## Pictures\n\n");
        pictures
            .iter()
            .for_each(|name| text.push_str(&format!("![{}](performance/{name})\n", name.replace(".svg", ""))));
    }
    let mut points = results.points();
    points.sort_by_key(|point| natural(point));
    text.push_str(&profiles(results, &points));
    text.push_str("\n## Everything\n");
    for point in points {
        table(&mut text, results, point);
    }
    text
}

fn goal_row(verdict: &Verdict) -> String {
    let measured = verdict.measured.map_or_else(|| "–".to_owned(), number);
    let (beside, ratio) = match verdict.beside {
        Some((name, value)) if value.is_finite() => {
            (format!("{name} {}", number(value)), verdict.judged.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}")))
        }
        _ => ("–".to_owned(), "–".to_owned()),
    };
    let word = verdict.met().map_or("not measured", |met| if met { "met" } else { "missed" });
    format!("| {} | {measured} | {beside} | {ratio} | {} | {word} |\n", verdict.what, verdict.goal())
}

fn table(text: &mut String, results: &Results, point: &str) {
    let has = |metric: &&&str| Kind::ALL.iter().any(|kind| results.median(point, kind.name(), metric).is_some());
    let shown: Vec<&&str> = SHOWN.iter().filter(has).collect();
    let _ = write!(text, "\n**{point}**\n\n| server |");
    shown.iter().for_each(|metric| text.push_str(&format!(" {metric} |")));
    text.push_str("\n|---|");
    shown.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for kind in Kind::ALL {
        let values: Vec<Option<f64>> = shown.iter().map(|metric| results.median(point, kind.name(), metric)).collect();
        if values.iter().any(Option::is_some) {
            let _ = write!(text, "| {} |", kind.name());
            values
                .iter()
                .for_each(|value| text.push_str(&format!(" {} |", value.map_or_else(|| "–".to_owned(), number))));
            text.push('\n');
        }
    }
}

/// Where the processor time goes, where that was looked at.
fn profiles(results: &Results, points: &[&str]) -> String {
    let mut text = String::new();
    for point in points {
        let mut shares = results.medians_of(point, Kind::Roomcast.name(), SHARE);
        if shares.is_empty() {
            continue;
        }
        if text.is_empty() {
            text.push_str(
                "\n## Where the processor time goes\n\nBy the function that ran (`perf`), percent of the node's time. The \
                 AWS SDK's own part is `the AWS SDK` and `signing`;\nwhat it has others do is in `HTTP`, `memory`, \
                 `tokio` and `the kernel: HTTP`.\n",
            );
        }
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let _ = write!(text, "\n**{point}**: ");
        let told: Vec<String> = shares.iter().map(|(part, share)| format!("{part} {share:.0}")).collect();
        let _ = writeln!(text, "{}", told.join(", "));
    }
    text
}

/// Three digits or so, thousands apart.
fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Orders texts by the numbers in them.
fn natural(text: &str) -> (Vec<u64>, String) {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.collect(), text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Metrics;
    use super::*;

    #[test]
    fn numbers_are_told_with_three_digits_or_so() {
        let told: Vec<String> = [0.123, 9.0, 12.34, 999.4, 1_234_567.0].into_iter().map(number).collect();
        assert_eq!(told, ["0.12", "9.00", "12.3", "999", "1,234,567"]);
    }

    #[test]
    fn the_page_holds_what_was_measured_against_the_goals_and_names_what_is_missing() {
        let mut results = Results::new("make bench".to_owned());
        let point = "1000 clients, 1 room, 16 in flight";
        for (server, value) in [("roomcast", 1_000_000.0), ("raw-coalesce", 1_250_000.0)] {
            results.add(point, server, Metrics::from([("deliveries/s".to_owned(), value)]));
        }
        results.missing.push("socketioxide was not measured: why".to_owned());
        let page = page(&results, &["a.svg"]);
        let row = "| 1,000,000 | raw-coalesce 1,250,000 | 0.80 | at least 0.95 times | missed |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("- socketioxide was not measured: why") && page.contains("(performance/a.svg)"));
        assert!(page.contains("| – | – | – | at most 2048 | not measured |"), "{page}");
    }
}
