//! The samples of a load's report.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The samples taken in this time, in milliseconds since 1970.
pub(crate) fn samples(report: &Value, from: u64, to: u64) -> Vec<&Value> {
    let samples = report["timeline"].as_array().unwrap().iter();
    samples.filter(|sample| (from..to).contains(&sample["at_unix_ms"].as_u64().unwrap())).collect()
}

/// The longest of a kind of times in some samples; `None`: there were none.
pub(crate) fn longest(samples: &[&Value], kind: &str) -> Option<Duration> {
    let times = samples.iter().filter_map(|sample| sample[kind]["max_ms"].as_f64());
    times.reduce(f64::max).map(|ms| Duration::from_secs_f64(ms / 1e3))
}

/// Count, median of the samples' medians and longest of a kind of times, in words.
pub(crate) fn told(samples: &[&Value], kind: &str) -> String {
    let number = |name: &str| samples.iter().filter_map(move |sample| sample[kind][name].as_f64()).collect::<Vec<_>>();
    let mut medians = number("p50_ms");
    medians.sort_by(f64::total_cmp);
    let count: f64 = number("count").iter().sum();
    match medians.get(medians.len() / 2) {
        None => "none".to_owned(),
        Some(median) => {
            let longest = number("max_ms").into_iter().fold(0.0, f64::max);
            format!("p50 {median:.1} ms, longest {longest:.1} ms ({count})")
        }
    }
}
