//! What was measured, as it is kept: every run of every server at every point, and their medians.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::measure::Metrics;

/// Everything that was measured, and where.
#[derive(Debug, Clone)]
pub struct Results {
    rows: BTreeMap<(String, String), Vec<Metrics>>,
    /// Servers that were not measured, and why.
    pub missing: Vec<String>,
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// Promises that peers broke, which is told and fails nothing.
    pub peers_broke: Vec<String>,
    date: String,
    machine: String,
    command: String,
}

impl Results {
    /// Nothing yet, on this machine at this time.
    #[must_use]
    pub fn new(command: String) -> Self {
        let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
        let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let (rows, missing) = (BTreeMap::new(), Vec::new());
        let (broken, peers_broke) = (Vec::new(), Vec::new());
        Self { rows, missing, broken, peers_broke, date, machine: machine(), command }
    }

    /// One more run.
    pub fn add(&mut self, point: &str, server: &str, metrics: Metrics) {
        self.rows.entry((point.to_owned(), server.to_owned())).or_default().push(metrics);
    }

    /// The median of all runs.
    #[must_use]
    pub fn median(&self, point: &str, server: &str, metric: &str) -> Option<f64> {
        let runs = self.rows.get(&(point.to_owned(), server.to_owned()))?;
        median(runs.iter().filter_map(|run| run.get(metric).copied()).collect())
    }

    /// All runs of a server at a point.
    #[must_use]
    pub fn runs(&self, point: &str, server: &str) -> &[Metrics] {
        self.rows.get(&(point.to_owned(), server.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// How many times the second row's number the first one's is: the median of what it was in each repetition. What comes
    /// and goes on a machine that others use does not count for one of two that were measured at different times.
    #[must_use]
    pub fn ratio(&self, (point, server): (&str, &str), beside: (&str, &str), metric: &str) -> Option<f64> {
        let runs = |point: &str, server: &str| self.rows.get(&(point.to_owned(), server.to_owned()));
        let pairs = runs(point, server)?.iter().zip(runs(beside.0, beside.1)?);
        let ratio = |(run, other): (&Metrics, &Metrics)| Some(run.get(metric)? / other.get(metric)?);
        median(pairs.filter_map(ratio).collect())
    }

    /// The medians of all metrics whose names begin so, without that beginning.
    #[must_use]
    pub fn medians_of(&self, point: &str, server: &str, beginning: &str) -> Vec<(String, f64)> {
        let runs = self.rows.get(&(point.to_owned(), server.to_owned())).map_or(&[][..], Vec::as_slice);
        let names: BTreeSet<&String> = runs.iter().flat_map(BTreeMap::keys).collect();
        let told = names.into_iter().filter_map(|name| {
            let rest = name.strip_prefix(beginning)?;
            Some((rest.to_owned(), self.median(point, server, name)?))
        });
        told.collect()
    }

    /// The points at which anything was measured.
    #[must_use]
    pub fn points(&self) -> Vec<&str> {
        let mut points: Vec<&str> = self.rows.keys().map(|(point, _)| point.as_str()).collect();
        points.dedup();
        points
    }

    /// The most runs that any row has.
    #[must_use]
    pub fn repetitions(&self) -> usize {
        self.rows.values().map(Vec::len).max().unwrap_or_default()
    }

    /// When, where, and by which command.
    #[must_use]
    pub fn circumstances(&self) -> (&str, &str, &str) {
        (&self.date, &self.machine, &self.command)
    }

    /// As it is kept in a file.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows =
            self.rows.iter().map(|((point, server), runs)| json!({"point": point, "server": server, "runs": runs}));
        json!({
            "date": self.date,
            "machine": self.machine,
            "command": self.command,
            "rows": rows.collect::<Vec<_>>(),
            "missing": self.missing,
            "broken": self.broken,
            "peers_broke": self.peers_broke,
        })
    }

    /// What [`Results::json`] wrote, so that page and pictures can be made anew.
    ///
    /// # Errors
    /// What is not in the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let string = |name: &str| value[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name}"));
        let list = |name: &str| -> Result<Vec<String>, String> {
            serde_json::from_value(value[name].clone()).map_err(|error| format!("{name}: {error}"))
        };
        let mut rows = BTreeMap::new();
        for row in value["rows"].as_array().ok_or("no rows")? {
            let name = |name: &str| row[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name}"));
            let runs: Vec<Metrics> = serde_json::from_value(row["runs"].clone()).map_err(|error| error.to_string())?;
            rows.insert((name("point")?, name("server")?), runs);
        }
        let missing = list("missing")?;
        let (broken, peers_broke) = (list("broken")?, list("peers_broke")?);
        let (date, machine, command) = (string("date")?, string("machine")?, string("command")?);
        Ok(Self { rows, missing, broken, peers_broke, date, machine, command })
    }
}

/// Of an even number, the lower one.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// Processor, cores and kernel of this machine.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = info.lines().filter(|line| line.starts_with("processor")).count().max(cores);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let cores = if all == 1 { "1 core".to_owned() } else { format!("{all} cores") };
    format!("{}, {cores}, Linux {kernel}, loopback", model.trim_start_matches([':', ' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_each_repetitions_own() {
        let mut results = Results::new("make bench".to_owned());
        for (server, values) in [("s", [30.0, 1.0, 2.0]), ("t", [20.0, 1.0, 4.0])] {
            for value in values {
                results.add("p", server, Metrics::from([("m".to_owned(), value)]));
            }
        }
        assert_eq!(results.ratio(("p", "s"), ("p", "t"), "m"), Some(1.0));
        assert_eq!(
            (results.ratio(("p", "s"), ("p", "u"), "m"), results.ratio(("p", "s"), ("p", "t"), "n")),
            (None, None)
        );
    }

    #[test]
    fn the_median_counts_and_what_is_written_reads_back() {
        let mut results = Results::new("make bench".to_owned());
        for value in [3.0, 1.0, 2.0] {
            results.add("p", "s", Metrics::from([("m".to_owned(), value)]));
        }
        results.missing.push("x".to_owned());
        assert_eq!((results.median("p", "s", "m"), results.median("p", "s", "n")), (Some(2.0), None));
        let again = Results::parse(&results.json().to_string()).unwrap();
        assert_eq!(again.json(), results.json());
        assert_eq!((again.median("p", "s", "m"), again.repetitions(), again.points()), (Some(2.0), 3, vec!["p"]));
        assert_eq!(Results::parse("{}").unwrap_err(), "no rows");
    }
}
