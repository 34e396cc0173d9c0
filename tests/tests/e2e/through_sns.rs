use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;
use tests::crowd::room;
use tests::sns::Listener;
use tests::{Crowd, Node, Stack, StackOptions};

const MESSAGES: u64 = 20;

/// The numbers that a notification brings for a room.
fn numbers(notification: &Value, room: &str) -> Vec<u64> {
    let envelope: Value = serde_json::from_str(notification["Message"].as_str().unwrap()).unwrap();
    let segments = envelope["segments"].as_array().unwrap().iter().filter(|segment| segment["room"] == room);
    let ranges = segments.map(|segment| (segment["seq"].as_u64().unwrap(), segment["count"].as_u64().unwrap()));
    ranges.flat_map(|(first, count)| first..first + count).collect()
}

/// Nodes that push nothing to each other, with next to nothing to audit from: stream, Lambda and topic carry it all.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_commits_comes_to_every_subscriber_through_the_stream_the_lambda_and_the_topic() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let flags = ["--peer-hints", "off", "--audit-units", "1"];
    let nodes = [Node::start(&stack, &flags).await, Node::start(&stack, &flags).await];
    let mut listener = Listener::subscribe(&stack, stack.announced("topic_arn")).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&nodes[0].ws(), &lobby).await;
    let ben = crowd.member(&nodes[1].ws(), &lobby).await;
    let mut late = Vec::new();
    for number in 1..=MESSAGES {
        ada.say(&lobby, &format!("message {number}")).await;
        let acknowledged = Instant::now();
        ben.has_seen(&lobby, usize::try_from(number).unwrap()).await;
        late.push(acknowledged.elapsed());
    }
    late.sort_unstable();
    eprintln!("from ack to the other node: median {:?}, longest {:?}", late[late.len() / 2], late[late.len() - 1]);

    let mut heard = BTreeSet::new();
    while heard.len() < usize::try_from(MESSAGES).unwrap() {
        heard.extend(numbers(&listener.next("Notification").await, lobby.as_str()));
    }
    assert_eq!(heard, (1..=MESSAGES).collect());
    for node in &nodes {
        assert!(node.counter("sns_accepted").await > 0, "SNS delivers to each node");
        assert_eq!(node.counter("link_segments_received").await, 0, "nobody pushes");
        assert_eq!(node.counter("sns_unreadable_segments").await, 0);
    }
    assert!(nodes[0].counter("chain_own_segments").await > 0, "the writer hears of its own commits");
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (MESSAGES, 2 * MESSAGES), "{report}");
    for node in nodes {
        node.stop().await;
    }
    stack.stop().await;
}
