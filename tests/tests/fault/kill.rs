//! A node is killed while it commits.

use std::time::Duration;

use client::RawSocket;
use protocol::ServerFrame;
use tests::Node;
use tests::room_log::items;

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions};
use super::scale::scale;

const NODES: usize = 3;

/// The node's own name for itself.
async fn id(node: &Node) -> String {
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.expect("the node is there");
    match socket.recv_frame(BOUND).await.expect("the node greets") {
        ServerFrame::Welcome(welcome) => welcome.node.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Again and again the node that the others hand their batches to is killed, with commits under way and batches of
/// others in its hands, and replaced. Its clients go to other nodes and send again what was not acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_it_commits_costs_its_clients_a_reconnect_and_nobody_a_message() {
    let mut cluster = Cluster::with_commits_of(20, NODES, &[]).await;
    let options = LoadOptions { pause: Duration::from_millis(30), ..LoadOptions::chat(cluster.homes()) };
    let mut load = Load::start(options).await;
    load.lasts(scale().calm).await;
    load.chapter("kills");
    let mut ids = Vec::new();
    for node in &cluster.nodes {
        ids.push(id(node).await);
    }
    let mut handed = 0;
    for _ in 0..scale().kills {
        load.advances(100).await;
        let newest = items(&cluster.stack, load.room()).await.pop().expect("the room has messages");
        let winner = newest["node"]["S"].as_str().expect("a segment names its node");
        let place = ids.iter().position(|id| id == winner).expect("who wrote last lives");
        let node = cluster.nodes.remove(place);
        handed += node.counter("link_hand_offs_received").await;
        let node = node.kill_and_replace(&cluster.stack, &[]).await;
        ids[place] = id(&node).await;
        cluster.nodes.insert(place, node);
    }
    load.chapter("calm again");
    load.lasts(scale().calm).await;
    let done = load.done(&cluster.stack).await;
    let lost: usize = done.outcome.disconnects.values().sum();
    assert!(lost >= scale().kills, "clients of killed nodes lose their connections: {}", done.outcome.setbacks());
    assert!(handed > 0, "winners had batches of others");
    done.print("node-killed");
    cluster.stop().await;
}
