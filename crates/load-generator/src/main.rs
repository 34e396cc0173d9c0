//! `roomcast-load`: drives and verifies any deployment from outside, by URL.
//!
//! One process holds thousands of clients: a task each, on one runtime, with small buffers. Each client is the client
//! crate's session machine on a lean socket, so resuming and re-sending are those of real clients, and every client
//! notices by itself what is missing, repeated or out of its place. What all of them say is held together in
//! [`run`]; a run in which a promise was broken ends with an exit code other than 0.
//!
//! This crate refuses to contain anything of the server: of our crates it imports the client and the protocol.

mod chronicle;
mod churn;
mod cli;
mod crowd;
mod latencies;
mod open_files;
mod participant;
mod plan;
mod publisher;
mod report;
mod run;
mod seats;
mod server_process;
mod stamp;
mod stats;
mod timeline;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

/// Every message allocates, from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match load(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("roomcast-load: {reason}");
            ExitCode::from(2)
        }
    }
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
    if let Some(path) = &cli.target.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    // Who closed the output does not read it.
    let _ = write!(std::io::stdout().lock(), "{report}");
    Ok(report.broken.is_empty())
}
