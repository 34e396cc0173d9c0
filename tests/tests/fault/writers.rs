//! Two nodes write one room as fast as they can.

use std::time::Duration;

use tests::wire::Condition;

use super::cluster::Cluster;
use super::load::{Load, LoadOptions};
use super::scale::scale;

/// Every publisher always has eight messages under way.
fn full_speed(cluster: &Cluster) -> LoadOptions {
    LoadOptions { pause: Duration::ZERO, in_flight: 8, ..LoadOptions::chat(cluster.homes()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_at_full_speed_in_one_room_acknowledge_everything_once_while_their_link_is_cut_and_mended() {
    let cluster = Cluster::start(2, &[]).await;
    let mut load = Load::start(full_speed(&cluster)).await;
    load.lasts(scale().fault).await;
    let answered = cluster.sum("link_hand_offs_answered").await;
    assert!(answered > 0, "one node writes for both");

    load.chapter("link cut");
    cluster.links_are(Condition::Cut);
    let conflicts = cluster.counted("log", "conflicts").await;
    load.lasts(scale().fault).await;
    assert!(cluster.counted("log", "conflicts").await > conflicts, "both nodes write");

    load.chapter("link mended");
    cluster.links_are(Condition::Well);
    load.lasts(scale().fault).await;
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    assert_eq!(done.outcome.acked_on.len(), 2, "publishers of both nodes get through: {}", done.outcome.shares());
    done.print("two-writers");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_never_talk_to_each_other_acknowledge_everything_once() {
    let cluster = Cluster::stand_alone(2).await;
    let load = Load::start(full_speed(&cluster)).await;
    load.lasts(scale().fault).await;
    assert!(cluster.counted("log", "conflicts").await > 0, "both nodes write");
    assert_eq!(cluster.sum("link_hand_offs_answered").await + cluster.sum("link_segments_pushed").await, 0);
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    assert_eq!(done.outcome.acked_on.len(), 2, "publishers of both nodes get through: {}", done.outcome.shares());
    done.print("two-writers-stand-alone");
    cluster.stop().await;
}
