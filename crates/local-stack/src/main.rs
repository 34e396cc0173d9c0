//! `cargo run`: Roomcast on this machine.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use local_stack::cli::Cli;
use local_stack::servers::instructions;
use local_stack::stack::{Stack, StackOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use ws_server::config::{Config, Given};
use ws_server::telemetry;

mod production;

/// The nodes and the AWS parts allocate all the time, from several threads; the system's allocator would cost a quarter of
/// the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As clap's own errors of use.
const USAGE: u8 = 2;
/// What is logged unless RUST_LOG says otherwise.
const LOG: &str = "warn,dynoxide=error";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(word) if word == production::NODE => return production::node(arguments),
        Some(word) if word == production::SUPERVISED_NODE => return production::supervised_node(arguments),
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error, &Given::to_process::<Cli>(), ""),
    };
    let options = match cli.options() {
        Ok(options) => options,
        Err(error) => return complain(&error, USAGE),
    };
    let line = production::checked_line(&options.node_flags);
    let given = Given::to_line::<Config>(line.clone());
    if let Err(error) = Config::try_parse_from(line) {
        return misused(&error, &given, "for nodes: ");
    }
    let log = start_logs();
    // Once, and not by every node.
    for warning in given.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, 1),
    };
    match runtime.block_on(run(options, log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(error.as_ref(), 1),
    }
}

/// Starts logging; what the nodes are to log.
fn start_logs() -> String {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let (log, filter) = asked
        .and_then(|text| EnvFilter::try_new(&text).ok().map(|filter| (text, filter)))
        .unwrap_or_else(|| (LOG.to_owned(), EnvFilter::new(LOG)));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    logs.with_ansi(telemetry::colours()).init();
    log
}

fn misused(error: &clap::Error, given: &Given, place: &str) -> ExitCode {
    match given.complaint(error) {
        None => error.exit(),
        Some(complaint) => {
            eprintln!("roomcast-local: {place}{complaint}");
            ExitCode::from(USAGE)
        }
    }
}

fn complain(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("roomcast-local: {error}");
    ExitCode::from(code)
}

async fn run(options: StackOptions, log: String) -> Result<(), Box<dyn std::error::Error>> {
    let mut stop = StopSignals::listen()?;
    let servers = Arc::new(production::servers(log)?);
    let stack = tokio::select! {
        started = Box::pin(Stack::start(options.clone(), production::publisher, servers)) => started?,
        () = stop.next() => return Ok(()),
    };
    if !options.host.is_loopback() {
        eprintln!("{}", exposed(&options));
    }
    // Standard output may be closed (`roomcast-local | head -1`): the stack runs on.
    if let Err(error) = welcome(&stack, &options) {
        tracing::debug!(%error, "standard output is closed");
    }
    stop.next().await;
    tokio::select! {
        () = stack.stop() => {}
        () = insisted() => eprintln!("roomcast-local: stopped without waiting"),
    }
    Ok(())
}

struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

/// Ends at the next signal. What comes within a second belongs to the first request: `timeout`, for one,
/// signals its child and then its child's process group.
async fn insisted() {
    tokio::time::sleep(Duration::from_secs(1)).await;
    match StopSignals::listen() {
        Ok(mut again) => again.next().await,
        Err(_) => std::future::pending().await,
    }
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What an operator should know who lets other machines in.
fn exposed(options: &StackOptions) -> String {
    let StackOptions { host, port, nodes, .. } = options;
    let machine = if host.is_unspecified() { "this machine".to_owned() } else { host.to_string() };
    let ports = if *nodes > 1 { format!("ports {port} to {}", port + nodes - 1) } else { format!("port {port}") };
    format!(
        "roomcast-local: warning: --host {host}: everyone who reaches {machine} at {ports} may use the nodes; DynamoDB, \
         SNS and the certificate server stay on 127.0.0.1"
    )
}

/// The line that scripts wait for, then a few for people.
fn welcome(stack: &Stack, options: &StackOptions) -> io::Result<()> {
    let at = stack.announcement();
    let urls: Vec<&str> = at.nodes.iter().map(|node| &*node.url).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", [&["ready"], &*urls].concat().join(" "))?;
    writeln!(out)?;
    if urls.is_empty() {
        writeln!(out, "A node by hand, in another terminal; a second one needs another port in both flags:")?;
        writeln!(out, "\n{}", instructions(&std::env::current_exe()?, stack.node_settings()))?;
    } else {
        let together = if urls.len() > 1 { ": they are one service" } else { "" };
        writeln!(out, "Open {} in a browser{together}.", urls.join(" and "))?;
    }
    if options.host.is_unspecified() && !urls.is_empty() {
        writeln!(out, "Nodes     listen at all addresses of this machine ({})", options.host)?;
    }
    writeln!(out, "DynamoDB  {}\nSNS       {}   topic {}", at.dynamodb, at.sns, at.topic_arn)?;
    let kept = if options.memory { "nothing is kept" } else { "messages are kept" };
    writeln!(
        out,
        "Data      {} ({kept}; stack.json tells other programs where everything is)",
        options.data.display()
    )?;
    if options.faults != local_stack::faults::Faults::default() {
        writeln!(out, "Faults    {:?}\n          the same again: --seed {}", options.faults, options.seed)?;
    }
    writeln!(out, "Ctrl-C stops it.")?;
    out.flush()
}
