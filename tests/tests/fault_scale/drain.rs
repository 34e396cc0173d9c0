use std::time::{Duration, Instant};

use serde_json::Value;
use tests::load::{Cluster, Load};
use tests::sns;

use crate::graph::{samples, unix_ms};
use crate::scale::scale;

/// What stopping may take beside the time for sending clients away: stragglers, commits, unsubscribing, giving up the
/// lease; and a machine that is busy with tests.
const STOP: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_sends_its_clients_away_over_the_drain_time_and_none_of_them_loses_anything() {
    let (draining, drain) = (scale().draining, scale().drain);
    let mut cluster = Cluster::start(2, &["--drain-ms", &drain.as_millis().to_string()]).await;
    let clients = (2 * draining).to_string();
    let profile = ["rooms", "--rooms", "20", "--clients", &clients, "--rate", "20", "--seconds", "600"];
    let mut load = Load::start(&cluster, &profile);
    load.ready().await;
    assert_eq!(sns::subscriptions(&cluster.stack).await.len(), 2);

    let leaving = cluster.nodes.remove(0);
    let (signalled, at) = (Instant::now(), unix_ms());
    leaving.process().signal("TERM");
    let stopped = leaving.process_finished(drain + STOP).await;
    let took = signalled.elapsed();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("cut off"), "{}", stopped.stderr);
    assert_eq!(sns::subscriptions(&cluster.stack).await.len(), 1, "it has unsubscribed");

    let report = load.end().await;
    eprintln!("{draining} clients left over {drain:?}, the process ended after {took:.1?}");
    print_graph(&report, at);
    assert_eq!(report["delivered_percent"], 100.0);
    assert_eq!(report["closes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["1012"]);
    assert!(report["caught_up"].as_u64().unwrap() >= draining as u64, "everybody came back");
    assert_eq!(report["errors"], serde_json::json!({}));
    let half_time = at + u64::try_from(drain.as_millis()).unwrap() / 2;
    let left = left_after(&report, half_time);
    assert!((draining / 10..draining * 9 / 10).contains(&left), "{left} of {draining} were there at half time");
    cluster.stop().await;
}

/// How many the leaving node still had then.
fn left_after(report: &Value, at: u64) -> usize {
    let later = samples(report, at, u64::MAX);
    usize::try_from(later[0]["connected"][0].as_u64().unwrap()).unwrap()
}

fn print_graph(report: &Value, at: u64) {
    eprintln!("{:>8} {:>8} {:>8} {:>10} {:>10}", "s", "left", "back", "p50 ms", "p99 ms");
    for sample in samples(report, at.saturating_sub(500), u64::MAX) {
        let seconds = (sample["at_unix_ms"].as_u64().unwrap() as f64 - at as f64) / 1e3;
        let (left, replay) = (&sample["connected"][0], &sample["replay"]);
        let number = |name: &str| replay[name].as_f64().map_or("-".to_owned(), |number| format!("{number:.0}"));
        let [back, p50, p99] = ["count", "p50_ms", "p99_ms"].map(number);
        eprintln!("{seconds:>8.1} {left:>8} {back:>8} {p50:>10} {p99:>10}");
    }
}
