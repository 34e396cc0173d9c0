//! SNS drops, repeats, reorders, delays.

use super::cluster::Cluster;
use super::load::{Load, LoadOptions, Places};
use super::scale::scale;

/// Audits alone find what is in the log.
const NOTHING_ARRIVES: &str = "sns.drop=1";

/// Each fault alone, then all at once, then none.
async fn unreliable_sns(row: &str, cluster: Cluster, places: Places) {
    let mut load = Load::start(LoadOptions { places, ..LoadOptions::chat(cluster.homes()) }).await;
    load.lasts(scale().calm).await;
    let (loss, repeats, delays) = ("sns.drop=0.3", "sns.repeat=0.3", "sns.delay_ms=0..5000");
    let all = [loss, repeats, delays].join(",");
    for faults in [loss, repeats, delays, &all, NOTHING_ARRIVES] {
        load.chapter(faults);
        cluster.stack.break_now(faults).await;
        let before = (cluster.counted("sns", "dropped").await, cluster.counted("sns", "repeated").await);
        load.lasts(scale().fault).await;
        let dropped = cluster.counted("sns", "dropped").await - before.0;
        let repeated = cluster.counted("sns", "repeated").await - before.1;
        assert!(dropped > 0 || !faults.contains("drop"), "{faults}: something is lost");
        assert!(repeated > 0 || !faults.contains("repeat"), "{faults}: something comes twice");
    }
    load.chapter("calm again");
    cluster.stack.break_now("").await;
    load.lasts(scale().calm).await;
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    done.print(row);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_loses_repeats_and_delays_costs_latency_only_when_nothing_else_carries_messages_between_nodes() {
    // Nor do hand-offs, which carry messages between nodes that write the same room.
    let cluster = Cluster::start(2, &["--peer-hints", "off"]).await;
    unreliable_sns("sns", cluster, Places::RoomOfOwnHome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_loses_repeats_and_delays_costs_nothing_when_nodes_tell_each_other() {
    unreliable_sns("sns-with-peer-hints", Cluster::start(2, &[]).await, Places::AllRooms(1)).await;
}
