//! Lets `roomcast-load` loose on nodes of its own, and says how long they took to stop.

use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use tests::load::Cluster;
use tests::process::program;

/// Starts the parts of AWS and some nodes, each a process of its own, and runs a profile of the load generator on them.
#[derive(Parser)]
#[command(name = "bench-load", version)]
struct Cli {
    /// Nodes
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,
    /// The profile and its flags, as `roomcast-load` takes them
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    load: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let cluster = Cluster::start(cli.nodes, &[]).await;
    // Its output is this program's.
    let mut load = Command::new(program("roomcast-load"));
    let status = load.args(&cli.load).args(cluster.flags()).status().expect("the load generator starts");
    let stopping = Instant::now();
    cluster.stop().await;
    eprintln!("stopped within {:.1} s", stopping.elapsed().as_secs_f64());
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
