//! `roomcast-load`: drives and verifies any deployment from outside, by URL.
//!
//! Two engines bring the clients. The **sessions** are the client crate's session machine on a lean socket, a task each:
//! they come back after a drop, resume and re-send as real clients do. The **herd** ([`herd`]) is thousands of bare
//! sockets on one loop a thread: it never comes back, and compares every byte. Either way every client notices by itself what is missing, repeated or out of its place, and what all of them
//! say is held together; a run in which a promise was broken ends with an exit code other than 0.
//!
//! This crate refuses to contain anything of the server: of our crates it imports the client and the protocol.

pub mod attack;
mod chronicle;
mod churn;
mod cli;
mod crowd;
pub mod herd;
pub mod latencies;
pub mod open_files;
mod participant;
mod plan;
mod publisher;
mod report;
mod run;
mod seats;
pub mod server_process;
mod stamp;
mod stats;
mod timeline;
pub mod trace;
mod wire;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use attack::AttackPlan;
use cli::Cli;

/// The whole program, from its command line to its exit code: 0 when every promise was kept, 1 when one was broken, 2
/// when there was no run.
#[must_use]
pub fn program() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.attack() {
        Some(plan) => plan.and_then(|plan| attack(&cli, plan)),
        None => load(&cli),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("roomcast-load: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether the judge has no objection.
fn attack(cli: &Cli, plan: AttackPlan) -> Result<bool, String> {
    open_files::enough_for(plan.attackers).map_err(|error| error.to_string())?;
    eprintln!("roomcast-load: attacking {}; whoever uses it will notice", plan.url);
    let judged = plan.run().map_err(|error| error.to_string())?;
    finish(cli, &judged.json(), &judged)?;
    Ok(judged.objections.is_empty())
}

/// Returns whether every promise was kept.
fn load(cli: &Cli) -> Result<bool, String> {
    let plan = cli.plan()?;
    open_files::enough_for(plan.connections()).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
    let report = runtime.block_on(run::run(plan)).map_err(|error| error.to_string())?;
    // Thousands of sockets: nobody waits for their tasks to end one by one.
    runtime.shutdown_background();
    finish(cli, &report.json(), &report)?;
    Ok(report.broken.is_empty())
}

/// Writes the report for programs and for people.
fn finish(cli: &Cli, json: &Value, report: &impl Display) -> Result<(), String> {
    if let Some(path) = &cli.target.json {
        let text = format!("{json:#}\n");
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    // Who closed the output does not read it.
    let _ = write!(std::io::stdout().lock(), "{report}");
    Ok(())
}
