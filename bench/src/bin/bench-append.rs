//! Measures how well many nodes write the same rooms, against goals: see the library's `append`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use bench::append::{ALONE, Line, Plan, SETTINGS, Table, What, measure, median};
use clap::Parser;

/// Loads local stacks whose commits take as long as DynamoDB's, and holds what comes out against goals.
#[derive(Parser)]
#[command(name = "bench-append", version)]
struct Cli {
    /// How long a commit takes
    #[arg(long, default_value_t = 4, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    commit_delay_ms: u64,
    /// How long each run is measured
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long each run warms up before
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=600))]
    warm_up_seconds: u64,
    /// Runs of each setting, of which the median counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    repeat: u8,
    /// Only settings whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let plan = Plan {
        commit: Duration::from_millis(cli.commit_delay_ms),
        warm_up: Duration::from_secs(cli.warm_up_seconds),
        time: Duration::from_secs(cli.seconds),
        repeat: cli.repeat.into(),
    };
    let wanted = |name: &str| cli.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let mut table = Table { commit: plan.commit, seen: None, lines: Vec::new() };
    let mut kept = true;
    let mut out = std::io::stdout().lock();
    for setting in [ALONE].iter().chain(&SETTINGS).filter(|setting| wanted(setting.name)) {
        let mut runs = Vec::new();
        for number in 1..=plan.repeat {
            let run = measure(setting, &plan).await;
            kept &= run.problems.is_empty();
            // Who closed the output does not read it; so below.
            let _ = writeln!(out, "{}, run {number} of {}\n{run}\n", setting.name, plan.repeat);
            runs.push(run);
        }
        if setting.name == ALONE.name {
            table.seen = Some(median(&runs.iter().map(|run| What::AckP50.of(run)).collect::<Vec<_>>()));
        }
        table.lines.extend(Line::of(setting, &runs));
    }
    let _ = write!(out, "{table}");
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
