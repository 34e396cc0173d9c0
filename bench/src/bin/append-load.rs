//! Measures publishes into one room against a local stack of its own, or against any nodes: see the library's
//! `append_load`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use bench::append_load::{LoadOptions, append_load};
use clap::Parser;
use tests::stack_counts::{StackCounts, segments};
use tests::{Stack, StackOptions};

/// Publishes into one room as fast as it is acknowledged, and verifies what a viewer on every node saw.
#[derive(Parser)]
#[command(name = "append-load", version)]
struct Cli {
    /// Publishers, spread over the nodes
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    publishers: u16,
    /// For how long
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Messages of each publisher that wait for their acknowledgement
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    in_flight: u16,
    /// Pause of a publisher before each message, on average
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause_ms: u64,
    /// Bytes of text in each message
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..=8_000))]
    bytes: u16,
    /// Most messages
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    most: usize,
    /// Nodes of the local stack
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,
    /// A node, as ws://host:port; once for each. Without any, a local stack is started beside this program
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The local stack's time between polls of the stream; Lambda takes 250 ms
    #[arg(long, default_value_t = 250, value_name = "MS")]
    stream_poll_ms: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = |urls| LoadOptions {
        urls,
        publishers: cli.publishers.into(),
        in_flight: cli.in_flight.into(),
        pause: Duration::from_millis(cli.pause_ms),
        bytes: cli.bytes.into(),
        time: Duration::from_secs(cli.seconds),
        most: cli.most,
        patience: Duration::from_secs(60),
    };
    let mut out = std::io::stdout().lock();
    let loaded = if cli.urls.is_empty() {
        let stack =
            Stack::start(StackOptions { stream_poll_ms: cli.stream_poll_ms, ..StackOptions::nodes(cli.nodes) }).await;
        let before = StackCounts::of(&stack).await;
        let loaded = append_load(options(stack.ws_urls())).await;
        let counts = StackCounts::of(&stack).await.since(before);
        let segments = segments(&stack, &loaded.room).await;
        stack.stop().await;
        let acked = loaded.outcome.report.acked.max(1) as f64;
        // Who closed the output does not read it; so below.
        let _ = writeln!(
            out,
            "segments         {segments}, {:.1} messages each; {} SNS publishes, {} deliveries",
            acked / segments.max(1) as f64,
            counts.sns_messages,
            counts.sns_delivered
        );
        let cpu = counts.cpu.as_secs_f64();
        let _ = writeln!(out, "processor time   {cpu:.1} s, {:.3} ms a message, the stack alone", 1e3 * cpu / acked);
        loaded
    } else {
        append_load(options(cli.urls)).await
    };
    let _ = writeln!(out, "{loaded}");
    if loaded.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
