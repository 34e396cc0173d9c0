//! `cargo run`: Roomcast on this machine.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use local_stack::cli::Cli;
use local_stack::stack::{Stack, StackOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use ws_server::config::{Config, Given};

mod production;

/// The nodes and the AWS parts allocate all the time, from several threads; the system's allocator would cost a quarter of
/// the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As clap's own errors of use.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => match Given::to_process::<Cli>().complaint(&error) {
            None => error.exit(),
            Some(complaint) => {
                eprintln!("roomcast-local: {complaint}");
                return ExitCode::from(USAGE);
            }
        },
    };
    let options = match cli.options() {
        Ok(options) => options,
        Err(error) => return complain(&error, USAGE),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,dynoxide=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    // Its nodes read variables as all nodes do.
    for warning in Given::to_line::<Config>(Vec::new()).warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, 1),
    };
    match runtime.block_on(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(error.as_ref(), 1),
    }
}

fn complain(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("roomcast-local: {error}");
    ExitCode::from(code)
}

async fn run(options: StackOptions) -> Result<(), Box<dyn std::error::Error>> {
    let mut stop = StopSignals::listen()?;
    let stack = tokio::select! {
        started = Box::pin(Stack::start(options.clone(), production::publisher, &production::Servers)) => started?,
        () = stop.next() => return Ok(()),
    };
    welcome(&stack, &options)?;
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

/// Ends when somebody asks once more. What comes within a second belongs to the first request: `timeout`, for one,
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

/// The line that scripts wait for, then a few for people.
fn welcome(stack: &Stack, options: &StackOptions) -> io::Result<()> {
    let at = stack.announcement();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}",
        ["ready"].into_iter().chain(at.nodes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    )?;
    writeln!(out)?;
    if !at.nodes.is_empty() {
        let together = if at.nodes.len() > 1 { ": they are one service" } else { "" };
        writeln!(out, "Open {} in a browser{together}.", at.nodes.join(" and "))?;
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
