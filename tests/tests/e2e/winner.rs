use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{JoinFrom, RawSocket};
use protocol::{RoomName, ServerFrame};
use serde_json::json;
use tests::crowd::room;
use tests::{Crowd, Guest, Node, PATIENCE, Stack, StackOptions, eventually};

const NODES: usize = 3;
const KILLS: usize = 20;

/// The node's own name for itself.
async fn id(node: &Node) -> String {
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.expect("the node is there");
    match socket.recv_frame(PATIENCE).await.expect("the node greets") {
        ServerFrame::Welcome(welcome) => welcome.node.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Who wrote the room's newest segment.
async fn winner(stack: &Stack, room: &RoomName) -> String {
    let request = json!({
        "TableName": stack.announced("messages_table"),
        "KeyConditionExpression": "room = :room",
        "ExpressionAttributeValues": { ":room": { "S": room.as_str() } },
        "ScanIndexForward": false,
        "Limit": 1,
    });
    let page = stack.dynamodb("Query", &request).await;
    page["Items"][0]["node"]["S"].as_str().expect("a segment names its node").to_owned()
}

/// Speaks every few milliseconds, through every loss of its connection, until told to stop.
async fn speak(guest: Arc<Guest>, lobby: RoomName, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        guest.shout(&lobby, &format!("message {number}")).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Three nodes write one room; again and again the one that the others hand their batches to is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_winner_that_is_killed_with_batches_in_its_hands_costs_nothing_twenty_times() {
    let stack = Stack::start(StackOptions { commit_delay_ms: 20, ..StackOptions::nodes(0) }).await;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let node = Node::start(&stack, &[]).await;
        nodes.push((id(&node).await, node));
    }
    let urls: Vec<String> = nodes.iter().map(|(_, node)| node.ws()).collect();
    let (crowd, lobby, stop) = (Crowd::new(), room("lobby"), Arc::new(AtomicBool::new(false)));
    let mut speakers = Vec::new();
    let mut guests = Vec::new();
    for number in 0..2 * NODES {
        // Everybody begins at a node of their own choice and goes to the next one from there.
        let mut urls = urls.clone();
        urls.rotate_left(number % NODES);
        let guest = Arc::new(crowd.guest(&urls).await);
        guest.join(&lobby, JoinFrom::Head).await;
        speakers.push(tokio::spawn(speak(Arc::clone(&guest), lobby.clone(), Arc::clone(&stop))));
        guests.push(guest);
    }
    let mut handed = 0;
    for _ in 0..KILLS {
        let before = crowd.report().acked;
        eventually("the room goes on", || async { crowd.report().acked > before + 50 }).await;
        let winner = winner(&stack, &lobby).await;
        let Some(place) = nodes.iter().position(|(id, _)| *id == winner) else {
            panic!("{winner} wrote last, and was killed before")
        };
        let (_, node) = nodes.swap_remove(place);
        handed += node.counter("link_hand_offs_received").await;
        let node = node.kill_and_replace(&stack, &[]).await;
        nodes.push((id(&node).await, node));
    }
    stop.store(true, Ordering::Relaxed);
    for speaker in speakers {
        speaker.await.expect("nobody falls silent");
    }
    let report = crowd.verified().await;
    assert!(handed > KILLS as u64, "winners had batches of others: {handed}");
    assert!(report.messages > 50 * KILLS as u64, "{report}");
    assert!(guests.iter().all(|guest| !guest.lost_its_place()), "everybody went on where they were");
    for (_, node) in nodes {
        node.stop().await;
    }
    stack.stop().await;
}
