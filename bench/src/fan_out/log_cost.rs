//! What a publish costs a node when it goes through the log.

use std::path::Path;
use std::time::Duration;

use super::measure::{Metrics, Outcome};
use super::profile::Profile;
use crate::append_load::{LoadOptions, append_load};
use ::tests::stack_counts::{cpu_time, segments};
use ::tests::{Node, Stack};

/// Messages of each publisher that wait for their acknowledgement.
const IN_FLIGHT: usize = 4;

/// Publishers into one room of one node, each with some messages in flight.
///
/// # Panics
/// When a client cannot connect or join.
pub(super) async fn log_cost(
    stack: &Stack,
    (cores, program): (&str, &Path),
    publishers: usize,
    time: Duration,
) -> Outcome {
    let node = Node::start_on(cores, program, stack, &[]).await;
    let before = cpu_time(node.process().pid());
    let options = LoadOptions {
        urls: vec![node.ws()],
        publishers,
        in_flight: IN_FLIGHT,
        pause: Duration::ZERO,
        bytes: 128,
        time,
        most: 1_000_000,
        patience: Duration::from_secs(60),
    };
    let profile = Profile::start(node.process().pid());
    let loaded = append_load(options).await;
    let shares = profile.and_then(Profile::stop).unwrap_or_default();
    let cpu = (cpu_time(node.process().pid()) - before).as_secs_f64();
    let acked = loaded.outcome.report.acked.max(1) as f64;
    let written = segments(stack, &loaded.room).await.max(1) as f64;
    let told = [
        ("publishes/s", acked / loaded.took.as_secs_f64()),
        ("server cpu us/publish", cpu * 1e6 / acked),
        ("messages/commit", acked / written),
        ("ack p50 ms", loaded.outcome.acks.quantile_ms(0.5)),
        ("ack p99 ms", loaded.outcome.acks.quantile_ms(0.99)),
    ];
    node.stop().await;
    let told: Metrics = told.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(shares).collect();
    (told, loaded.problems())
}
