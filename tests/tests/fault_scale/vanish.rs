use std::time::{Duration, Instant};

use tests::eventually;
use tests::load::{Cluster, Load};
use tokio::time::sleep;

use crate::graph::{longest, samples, told, unix_ms};
use crate::scale::scale;

/// Longest time in which somebody must get in, whatever else happens: no measure of speed, but of being stuck.
const STUCK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_get_in_and_viewers_lose_nothing_while_a_crowd_vanishes_at_once() {
    let (vanishing, calm) = (scale().vanishing, scale().calm);
    let cluster = Cluster::start(2, &[]).await;
    let newcomers = scale().newcomers.to_string();
    let shared = ["--rooms", "10", "--rooms-named", "vanish", "--seconds", "600"];
    let watching = ["churn", "--clients", "40", "--newcomers", &newcomers, "--rate", "5"];
    let mut watching = Load::start(&cluster, &[&watching[..], &shared].concat());
    watching.ready().await;
    // Two processes, because one may have no more than 20,000 open files on many a machine.
    let half = (vanishing / 2).to_string();
    let idle = [&["idle", "--clients", &half][..], &shared].concat();
    let mut crowd = [Load::start(&cluster, &idle), Load::start(&cluster, &idle)];
    for part in &mut crowd {
        part.ready().await;
    }
    assert!(open(&cluster).await >= vanishing, "they are all there");

    let before = unix_ms();
    sleep(calm).await; // what the time after is compared with
    let (vanished, at) = (Instant::now(), unix_ms());
    crowd.iter().for_each(|part| part.process().signal("KILL"));
    eventually("the nodes have let go of them", || async { open(&cluster).await < vanishing / 10 }).await;
    let took = vanished.elapsed();
    // A sample is half a second wide.
    let cleaned = unix_ms().max(at + 1_000);
    sleep(calm + Duration::from_secs(1)).await;

    let report = watching.end().await;
    eprintln!("{vanishing} connections vanished at once; the nodes had let go of them after {took:.1?}");
    let ages = [("before", before, at), ("cleaning up", at, cleaned), ("after", cleaned, u64::MAX)];
    for (age, from, to) in ages {
        let samples = samples(&report, from, to);
        eprintln!("{age:<12} connect {}; join {}", told(&samples, "connect"), told(&samples, "join"));
        for kind in ["connect", "join"] {
            let longest = longest(&samples, kind).unwrap_or_else(|| panic!("{age}: nobody came"));
            assert!(longest < STUCK, "{age}: {kind} took {longest:?}");
        }
    }
    assert_eq!(report["delivered_percent"], 100.0);
    assert_eq!((&report["failed_attempts"], &report["newcomers_skipped"]), (&0.into(), &0.into()));
    assert_eq!(report["closes"], serde_json::json!({}), "nobody else was closed");
    cluster.stop().await;
}

/// Open connections of all nodes.
async fn open(cluster: &Cluster) -> usize {
    let mut open = 0;
    for node in &cluster.nodes {
        open += node.sessions().await;
    }
    open
}
