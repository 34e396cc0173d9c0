//! Replays a seed, or hunts for one that breaks a promise.

#![allow(clippy::print_stdout, reason = "what a run came to is this program's output")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulator::{Plan, hunt, run};

/// A whole Roomcast cluster in virtual time, from one seed.
#[derive(Debug, Parser)]
struct Args {
    /// Run this seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Show what happens in it
    #[arg(long, conflicts_with = "hunt")]
    trace: bool,
    /// Run so many seeds instead
    #[arg(long, value_name = "COUNT", conflicts_with = "seed")]
    hunt: Option<u64>,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "hunt")]
    from: u64,
    /// Go on until so many seeds have broken a promise
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "hunt")]
    catches: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.hunt {
        Some(count) => search(&args, count),
        None => replay(&args),
    }
}

fn replay(args: &Args) -> ExitCode {
    let plan = Plan::of(args.seed);
    if args.trace {
        println!("{plan:#?}");
    }
    let outcome = run(plan, args.trace);
    outcome.trace.iter().for_each(|line| println!("{line}"));
    let (seed, steps, acked) = (args.seed, outcome.steps, outcome.acked);
    match outcome.violation {
        None => {
            println!("seed {seed}: {steps} steps, {acked} acknowledgements, no violation");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("seed {seed}: {} (at {} ms)", violation.sentence, violation.at_ms);
            ExitCode::FAILURE
        }
    }
}

fn search(args: &Args, count: u64) -> ExitCode {
    let started = Instant::now();
    let mut shown = 0;
    let seeds = args.from..args.from.saturating_add(count);
    let summary = hunt(seeds, Plan::of, args.catches.max(1), |summary| {
        summary.catches[shown..].iter().for_each(|caught| println!("{caught}"));
        shown = summary.catches.len();
        if summary.seeds.is_multiple_of(10_000) {
            println!("{}", summary.line(started.elapsed()));
        }
    });
    summary.catches[shown..].iter().for_each(|caught| println!("{caught}"));
    println!("{}", summary.line(started.elapsed()));
    if summary.catches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
