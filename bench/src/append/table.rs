//! What all runs came to, on one screen.

use std::fmt;
use std::time::Duration;

use super::measured::Measured;
use super::setting::{Goal, Setting, What};

/// All lines, and what a commit takes.
pub struct Table {
    /// What commits are to take.
    pub commit: Duration,
    /// What they were seen to take, in milliseconds: half of the acknowledgements when nobody is in the way.
    pub seen: Option<f64>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One thing that was measured, in one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The setting's name.
    pub setting: &'static str,
    /// What.
    pub what: What,
    /// Its goal.
    pub goal: Goal,
    /// Its value in each run.
    pub runs: Vec<f64>,
}

impl Line {
    /// The lines of a setting that was run so often.
    #[must_use]
    pub fn of(setting: &Setting, runs: &[Measured]) -> Vec<Self> {
        let line = |row: &super::Row| Self {
            setting: setting.name,
            what: row.what,
            goal: row.goal,
            runs: runs.iter().map(|run| row.what.of(run)).collect(),
        };
        setting.rows.iter().map(line).collect()
    }

    /// Whether the median of the runs is within the goal; `None` without one.
    #[must_use]
    pub fn met(&self, commit: Duration) -> Option<bool> {
        self.goal.most(commit).map(|most| median(&self.runs) <= most)
    }
}

/// The middle one, or the mean of the two in the middle; nothing has none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nominal = self.commit.as_secs_f64() * 1e3;
        let seen = self.seen.map_or_else(|| "not measured".to_owned(), |seen| format!("{seen:.1} ms"));
        writeln!(f, "a commit takes {nominal:.1} ms, as seen by a publisher who is alone: {seen}\n")?;
        let mut rows =
            vec![["setting", "what", "goal", "median", "commit times (seen)", "runs", "met"].map(String::from)];
        rows.extend(self.lines.iter().map(|line| self.row(line)));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl Table {
    fn row(&self, line: &Line) -> [String; 7] {
        let nominal = self.commit.as_secs_f64() * 1e3;
        let middle = median(&line.runs);
        let is_number = line.what == What::AttemptsACommit;
        let value = |value: f64| if is_number { format!("{value:.2}") } else { format!("{value:.1} ms") };
        let times = match (line.what, self.seen) {
            (What::AckP50 | What::AckP99, Some(seen)) => format!("{:.1} ({:.1})", middle / nominal, middle / seen),
            (What::AckP50 | What::AckP99, None) => format!("{:.1}", middle / nominal),
            _ => String::new(),
        };
        let goal = line.goal.most(self.commit).map_or_else(|| "-".to_owned(), |most| format!("<= {}", value(most)));
        let runs = line.runs.iter().map(|run| format!("{run:.2}")).collect::<Vec<_>>().join(" ");
        let met = match line.met(self.commit) {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        [line.setting.to_owned(), line.what.name().to_owned(), goal, value(middle), times, runs, met.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: Duration = Duration::from_millis(4);

    fn line(what: What, goal: Goal, runs: &[f64]) -> Line {
        Line { setting: "s", what, goal, runs: runs.to_vec() }
    }

    #[test]
    fn the_median_of_the_runs_decides() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(line(What::AckP50, Goal::CommitTimes(2.5), &[9.0, 30.0, 10.0]).met(COMMIT), Some(true));
        assert_eq!(line(What::AckP50, Goal::CommitTimes(2.5), &[9.0, 30.0, 10.1]).met(COMMIT), Some(false));
        assert_eq!(line(What::AttemptsACommit, Goal::Number(1.2), &[1.2]).met(COMMIT), Some(true));
        assert_eq!(line(What::AckP50, Goal::None, &[1.2]).met(COMMIT), None);
    }

    #[test]
    fn a_line_tells_goal_median_ratios_and_runs() {
        let lines = vec![
            line(What::AckP99, Goal::CommitTimes(6.0), &[25.0, 20.0, 30.0]),
            line(What::AttemptsACommit, Goal::Number(1.2), &[1.1]),
        ];
        let text = Table { commit: COMMIT, seen: Some(5.0), lines }.to_string();
        assert!(text.contains("a commit takes 4.0 ms, as seen by a publisher who is alone: 5.0 ms"), "{text}");
        let rows: Vec<Vec<_>> = text
            .lines()
            .skip(3)
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(rows[0], ["s", "ack p99", "<= 24.0 ms", "25.0 ms", "6.2 (5.0)", "25.00 20.00 30.00", "MISSED"]);
        assert_eq!(rows[1], ["s", "attempts a commit", "<= 1.20", "1.10", "1.10", "met"]);
    }
}
