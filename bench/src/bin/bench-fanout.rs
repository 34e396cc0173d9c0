//! Measures fan-out beside other servers, and writes down what came of it: see the library's `fan_out`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bench::fan_out::{Kind, Results, Settings, page, pictures, run};
use clap::Parser;

/// Every message allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures how well a node sends to many, beside other servers. Fails when a promise is broken, not when a goal is missed.
#[derive(Parser)]
#[command(name = "bench-fanout", version)]
struct Cli {
    /// Only what goals depend on, once unless --repeat says more
    #[arg(long)]
    quick: bool,
    /// Runs of everything: 3 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    repeat: Option<u8>,
    /// Another commit's node: both are measured in turn, and nothing else; with --quick and --repeat 9 or more
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    before: Option<PathBuf>,
    /// How long each load is measured
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(200..=600_000))]
    measure_ms: u64,
    /// Only what has this in its name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only this server; may be repeated
    #[arg(long = "server", value_name = "NAME", value_parser = kind)]
    servers: Vec<Kind>,
    /// The server's cores; this program is to be started on another one
    #[arg(long, default_value = "0", value_name = "LIST")]
    server_cores: String,
    /// The node's program; without it, the one beside this program
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,
    /// Where performance.md and the folder performance are written; without it nothing is
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Measure nothing, and write page and pictures anew from --out's numbers
    #[arg(long, requires = "out")]
    draw: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let results = match (&cli.out, cli.draw) {
        (Some(folder), true) => match kept(folder) {
            Ok(results) => results,
            Err(error) => {
                eprintln!("bench-fanout: {}: {error}", folder.display());
                return ExitCode::from(2);
            }
        },
        _ => {
            let settings = settings(&cli);
            let programs = [Some(&settings.node), settings.before.as_ref()];
            if let Some(missing) = programs.into_iter().flatten().find(|program| !program.is_file()) {
                eprintln!("bench-fanout: no program at {}", missing.display());
                return ExitCode::from(2);
            }
            run(&settings).await
        }
    };
    if let Some(folder) = &cli.out
        && let Err(error) = write(folder, &results)
    {
        eprintln!("bench-fanout: {}: {error}", folder.display());
        return ExitCode::from(2);
    }
    results.broken.iter().for_each(|broken| eprintln!("BROKEN {broken}"));
    if results.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn settings(cli: &Cli) -> Settings {
    Settings {
        quick: cli.quick,
        repeat: cli.repeat.map_or(if cli.quick { 1 } else { 3 }, usize::from),
        time: Duration::from_millis(if cli.quick { cli.measure_ms.min(1_000) } else { cli.measure_ms }),
        only: cli.only.clone(),
        servers: cli.servers.clone(),
        server_cores: cli.server_cores.clone(),
        node: cli.node.clone().unwrap_or_else(|| tests::process::program("ws-server")),
        before: cli.before.clone(),
        command: if cli.quick { "make bench-quick" } else { "make bench" }.to_owned(),
    }
}

fn kept(folder: &Path) -> Result<Results, String> {
    let text = std::fs::read_to_string(folder.join("performance/data.json")).map_err(|error| error.to_string())?;
    Results::parse(&text)
}

fn write(folder: &Path, results: &Results) -> std::io::Result<()> {
    let beside = folder.join("performance");
    std::fs::create_dir_all(&beside)?;
    std::fs::write(beside.join("data.json"), format!("{:#}\n", results.json()))?;
    let pictures = pictures(results);
    for (name, svg) in &pictures {
        std::fs::write(beside.join(name), svg)?;
    }
    let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
    std::fs::write(folder.join("performance.md"), page(results, &names))
}

fn kind(name: &str) -> Result<Kind, String> {
    let all = || Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("one of {}", all()))
}
