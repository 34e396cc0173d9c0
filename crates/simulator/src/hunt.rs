//! The search for a seed that breaks a promise.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::plan::Plan;
use crate::run;

/// A seed that breaks a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// What it breaks.
    pub sentence: String,
}

impl fmt::Display for Catch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.sentence)?;
        write!(f, "replay: cargo run --profile dist -p simulator -- --seed {} --trace", self.seed)
    }
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Things that happened in them.
    pub steps: u64,
    /// Acknowledgements by nodes.
    pub acked: u64,
    /// What broke a promise.
    pub catches: Vec<Catch>,
}

impl Summary {
    /// The summary as one line, given how long it took.
    #[must_use]
    pub fn line(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(0.001);
        let Self { seeds, steps, acked, catches } = self;
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let rate = *seeds as f64 / seconds;
        let broken = catches.len();
        format!(
            "{seeds} seeds in {seconds:.1} s ({rate:.0}/s), {steps} steps, {acked} acknowledgements, {broken} violations"
        )
    }
}

/// Runs what each of these seeds stands for, and stops after so many catches. A panic of a machine is a broken promise
/// too.
pub fn hunt(
    seeds: impl IntoIterator<Item = u64>,
    plan: impl Fn(u64) -> Plan,
    most_catches: usize,
    mut progress: impl FnMut(&Summary),
) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        let caught = match catch_unwind(AssertUnwindSafe(|| run(plan(seed), false))) {
            Ok(outcome) => {
                summary.steps += outcome.steps;
                summary.acked += outcome.acked;
                outcome.violation.map(|violation| violation.sentence)
            }
            Err(_) => Some("a machine panics".to_owned()),
        };
        summary.seeds += 1;
        summary.catches.extend(caught.map(|sentence| Catch { seed, sentence }));
        if summary.catches.len() >= most_catches {
            break;
        }
        progress(&summary);
    }
    summary
}
