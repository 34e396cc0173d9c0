//! The rules of `promtool check metrics`
//! (<https://github.com/prometheus/client_golang/tree/main/prometheus/testutil/promlint>), as far as they concern text that
//! is written by hand.

use std::collections::HashMap;

/// Units that are no base units; each can have a prefix.
const OTHER_UNITS: [&str; 16] = [
    "minutes",
    "hours",
    "days",
    "weeks",
    "bits",
    "kelvin",
    "kelvins",
    "fahrenheit",
    "rankine",
    "inches",
    "yards",
    "miles",
    "calories",
    "pounds",
    "ounces",
    "percent",
];
const BASE_UNITS: [&str; 9] =
    ["amperes", "bytes", "celsius", "grams", "joules", "meters", "metres", "seconds", "volts"];
const PREFIXES: [&str; 17] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga", "gibi",
    "tera", "tebi", "peta",
];
const ABBREVIATIONS: [&str; 18] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d", "millis", "micros", "secs", "mins",
];
const KINDS: [&str; 4] = ["counter", "gauge", "histogram", "summary"];

/// What is wrong with the metrics of an exposition, a line each.
pub(super) fn problems(exposition: &str) -> Vec<String> {
    let described = |what: &str| -> HashMap<String, String> {
        let lines = exposition.lines().filter_map(|line| line.strip_prefix(what)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (helps, kinds) = (described("# HELP "), described("# TYPE "));
    let mut problems = Vec::new();
    for line in exposition.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).expect("a type has a name");
        let help = helps.get(name).map(String::as_str);
        problems.extend(problems_of(name, &kinds[name], help).into_iter().map(|problem| format!("{name} {problem}")));
    }
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let sample = line.split(['{', ' ']).next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample);
        if !kinds.contains_key(sample) && kinds.get(base).is_none_or(|kind| kind != "histogram") {
            problems.push(format!("{sample} has no type"));
        }
    }
    problems
}

fn problems_of(name: &str, kind: &str, help: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    if help.is_none_or(str::is_empty) {
        problems.push("has no help text".to_owned());
    }
    match (kind == "counter", name.ends_with("_total")) {
        (true, false) => problems.push("is a counter and does not end in _total".to_owned()),
        (false, true) => problems.push("is no counter and ends in _total".to_owned()),
        _ => {}
    }
    for end in ["_bucket", "_sum", "_count", "_info"] {
        if name.ends_with(end) {
            problems.push(format!("ends in {end}"));
        }
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        problems.push("is not written in snake_case".to_owned());
    }
    for word in name.split('_') {
        let prefixed = |unit: &str| PREFIXES.iter().any(|prefix| word.strip_prefix(prefix) == Some(unit));
        if BASE_UNITS.iter().any(|unit| prefixed(unit))
            || OTHER_UNITS.iter().any(|unit| word == *unit || prefixed(unit))
        {
            problems.push(format!("has the unit {word}, which is no base unit"));
        }
        if ABBREVIATIONS.contains(&word) {
            problems.push(format!("abbreviates a unit: {word}"));
        }
        if KINDS.contains(&word) {
            problems.push(format!("names its type: {word}"));
        }
    }
    problems
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let of = |name: &str, kind: &str| problems(&format!("# HELP {name} What.\n# TYPE {name} {kind}\n{name} 1\n"));
    for (name, kind) in
        [("a_total", "counter"), ("a_seconds_total", "counter"), ("a_bytes", "gauge"), ("a_b1", "gauge")]
    {
        assert_eq!(of(name, kind), Vec::<String>::new(), "{name}");
    }
    for (name, kind) in [
        ("a", "counter"),
        ("a_total", "gauge"),
        ("a_count", "gauge"),
        ("a_ms_total", "counter"),
        ("a_milliseconds", "gauge"),
        ("a_kilobytes", "gauge"),
        ("a_minutes_total", "counter"),
        ("aB", "gauge"),
        ("a_gauge", "gauge"),
    ] {
        let found = of(name, kind);
        assert!(found.len() == 1 && found[0].starts_with(name), "{name}: {found:?}");
    }
    assert_eq!(problems("# TYPE a gauge\na 1\n"), ["a has no help text"]);
    assert_eq!(problems("a 1\n"), ["a has no type"]);
}
