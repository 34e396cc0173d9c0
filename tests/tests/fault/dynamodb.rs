//! DynamoDB throttles, fails, and does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::{Node, eventually_within, http};

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions};
use super::scale::scale;

/// Longer than a publish is waited for before its publisher is told that its outcome is unknown.
const TOLD_BY_THEN: Duration = Duration::from_secs(15);

/// Asks again and again whether a node is alive; how often it was asked.
async fn watched(healthz: String, stop: Arc<AtomicBool>) -> usize {
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = http::get(&healthz).await.expect("a node that is alive says so");
        assert_eq!(answer.status, 200, "no load balancer may kill the node");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    asked
}

/// Whether the node, which stays ready, warns that the log does not answer.
async fn misses_the_log(node: &Node) -> bool {
    let answer = http::get(&format!("{}/readyz", node.url())).await.expect("it answers without the log");
    assert_eq!(answer.status, 200, "it stays in service: {}", answer.text());
    answer.text().contains("the message log has not answered for")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_throttles_or_fails_or_is_gone_for_a_while_closes_no_session_and_needs_no_restart() {
    let cluster = Cluster::start(2, &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let health = |node: &Node| tokio::spawn(watched(format!("{}/healthz", node.url()), Arc::clone(&stop)));
    let watchers: Vec<_> = cluster.nodes.iter().map(health).collect();
    let mut load = Load::start(LoadOptions::chat(cluster.homes())).await;
    load.lasts(scale().calm).await;

    for faults in ["dynamodb.throttle=0.3", "dynamodb.fail=0.3"] {
        load.chapter(faults);
        let before = cluster.counted("log", "others").await;
        cluster.stack.break_now(faults).await;
        load.lasts(scale().fault).await;
        assert!(cluster.counted("log", "others").await > before, "{faults}: commits failed");
    }
    load.chapter("calm before it is gone");
    cluster.stack.break_now("").await;
    load.lasts(scale().calm).await;

    load.chapter("gone");
    cluster.stack.break_now("dynamodb.down=0..3600").await;
    let (start, acked) = (Instant::now(), load.acked());
    for node in &cluster.nodes {
        eventually_within(BOUND, "the node tells that it misses the log", || misses_the_log(node)).await;
    }
    tokio::time::sleep_until((start + scale().dynamodb_down).into()).await;
    // Those whose answers were on their way.
    let meanwhile = load.acked() - acked;
    cluster.stack.break_now("").await;
    load.chapter("back");
    for node in &cluster.nodes {
        eventually_within(BOUND, "the node has the log again", || async { !misses_the_log(node).await }).await;
    }
    load.lasts(scale().calm).await;

    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "sessions stay: {}", done.outcome.setbacks());
    let gone = done.times("gone").acks.count();
    assert!(gone > 0 && meanwhile < 100, "nothing was acknowledged while it was gone but {meanwhile}");
    if scale().dynamodb_down > TOLD_BY_THEN {
        assert!(done.outcome.delayed > 0, "publishers are told: {}", done.outcome.setbacks());
    }
    done.print("dynamodb");
    stop.store(true, Ordering::Relaxed);
    for watcher in watchers {
        assert!(watcher.await.expect("nodes are alive all the time") > 20);
    }
    cluster.stop().await;
}
