//! Replays the recorded chat against a local stack of its own, or against any nodes: see the library's `replay`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::replay::{ReplayOptions, Service, Summary, replay};
use tests::stack_counts::StackCounts;
use tests::trace::{LIVE_CHAT, Trace};
use tests::{Stack, StackOptions};

/// Replays a recorded live chat and verifies what viewers on every node saw.
#[derive(Parser)]
#[command(name = "replay", version)]
struct Cli {
    /// How many times faster than it was recorded
    #[arg(long, default_value_t = 60.0, value_name = "FACTOR")]
    speed: f64,
    /// How much of it, from the beginning
    #[arg(long, default_value_t = 36, value_name = "MINUTES")]
    minutes: u64,
    /// Viewers in each room on each node
    #[arg(long, default_value_t = 3, value_name = "N")]
    viewers: usize,
    /// Most authors connected at a time
    #[arg(long, default_value_t = 200, value_name = "N")]
    connections: usize,
    /// Nodes of the local stack
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,
    /// A node, as ws://host:port; once for each. Without any, a local stack is started beside this program
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The local stack's time between polls of the stream; Lambda takes 250 ms
    #[arg(long, default_value_t = 250, value_name = "MS")]
    stream_poll_ms: u64,
    /// What the local stack breaks, as its own --fault takes it
    #[arg(long, value_name = "FAULTS")]
    fault: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let trace = Trace::parse(LIVE_CHAT).expect("the trace that comes along is good");
    let trace = trace.until(Duration::from_secs(60 * cli.minutes));
    let (speed, viewers, connections) = (cli.speed, cli.viewers, cli.connections);
    let options = |urls| ReplayOptions { speed, viewers, connections, ..ReplayOptions::to(urls) };
    let (replayed, service) = if cli.urls.is_empty() {
        let stack_options =
            StackOptions { stream_poll_ms: cli.stream_poll_ms, faults: cli.fault, ..StackOptions::nodes(cli.nodes) };
        let stack = Stack::start(stack_options.clone()).await;
        let before = StackCounts::of(&stack).await;
        let replayed = replay(&trace, options(stack.ws_urls())).await;
        let service = Service::of(&stack, &stack_options, before, &replayed).await;
        stack.stop().await;
        (replayed, Some(service))
    } else {
        (replay(&trace, options(cli.urls)).await, None)
    };
    let summary = Summary { replayed: &replayed, service };
    // Who closed the output does not read it.
    let _ = writeln!(std::io::stdout().lock(), "{summary}");
    if replayed.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
