use tests::crowd::room;
use tests::{Crowd, LinkRequest, Node, Stack, StackOptions};

/// A node's row in the table of nodes: its id and its link address.
async fn nodes(stack: &Stack) -> Vec<(String, String)> {
    let request = serde_json::json!({ "TableName": stack.announced("nodes_table") });
    let scanned = stack.dynamodb("Scan", &request).await;
    let text = |item: &serde_json::Value, name: &str| item[name]["S"].as_str().expect("a text").to_owned();
    let items = scanned["Items"].as_array().expect("a scan has items");
    items.iter().map(|item| (text(item, "node"), text(item, "address"))).collect()
}

/// A message that nobody has published, as a peer would push it.
fn invented(stack_room: &str) -> String {
    format!(
        r#"{{"v":1,"segments":[{{"room":"{stack_room}","seq":2,"count":1,"epoch":"EPOCH","node":"stranger","expires":4000000000,"messages":[{{"id":"forged","from":"eve","name":"Eve","at":1,"body":"forged"}}]}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_replayed_late_oversized_and_foreign_requests_are_refused_and_change_nothing() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let member = crowd.member(&node.ws(), &lobby).await;
    member.say(&lobby, "genuine").await;
    let epoch = stack
        .dynamodb(
            "GetItem",
            &serde_json::json!({
                "TableName": stack.announced("messages_table"),
                "Key": { "room": { "S": "lobby" }, "seq": { "N": "0" } },
            }),
        )
        .await["Item"]["epoch"]["S"]
        .as_str()
        .expect("the room has an epoch")
        .to_owned();
    let [(id, address)] = &nodes(&stack).await[..] else { panic!("there is one node") };
    let key = stack.announced("cluster_key").to_owned();
    let body = invented("lobby").replace("EPOCH", &epoch);
    let request = |number| LinkRequest::new("/link/v1/hints", id, number, &body);

    let wrong_key = request(1).signature(&"w".repeat(64));
    assert_eq!(request(1).send(address, &wrong_key).await.status, 403, "another key");
    let other_body = LinkRequest::new("/link/v1/hints", id, 1, "{}").signature(&key);
    assert_eq!(request(1).send(address, &other_body).await.status, 403, "a signature of another body");
    assert_eq!(request(1).send(address, "").await.status, 403, "no signature");
    assert_eq!(node.counter("link_refused_forged").await, 3);

    let foreign = LinkRequest { receiver: "somebody-else".into(), ..request(1) };
    assert_eq!(foreign.send(address, &foreign.signature(&key)).await.status, 403, "for another node");
    assert_eq!(node.counter("link_refused_foreign").await, 1);

    let late = LinkRequest { time_ms: request(1).time_ms - 60_000, ..request(1) };
    assert_eq!(late.send(address, &late.signature(&key)).await.status, 403, "a minute old");
    assert_eq!(node.counter("link_refused_stale").await, 1);

    let large = LinkRequest { body: vec![b' '; 600 * 1024], ..request(1) };
    assert_eq!(large.send(address, &large.signature(&key)).await.status, 413, "too large");
    assert_eq!(node.counter("link_refused_too_large").await, 1);

    let odd = LinkRequest::new("/link/v1/hand-off", id, 2, "{}");
    assert_eq!(odd.send(address, &odd.signature(&key)).await.status, 400, "authentic, and no batch");
    let genuine = LinkRequest::new("/link/v1/hints", id, 3, r#"{"v":1,"segments":[]}"#);
    assert_eq!(genuine.send(address, &genuine.signature(&key)).await.status, 204, "authentic");
    assert_eq!(genuine.send(address, &genuine.signature(&key)).await.status, 403, "the same again");
    assert_eq!(node.counter("link_refused_replayed").await, 1);

    // The client's port knows nothing of the link.
    let public = node.url().replace("http://", "");
    assert_eq!(genuine.send(&public, &genuine.signature(&key)).await.status, 404);

    member.say(&lobby, "still here").await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (2, 2), "{report}");
    node.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_key_does_not_start_beside_another() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let first = Node::start(&stack, &[]).await;
    let second = Node::launch_without_key(&stack, tests::ports::free(1), &[]);
    let finished = second.finished(tests::PATIENCE).await;
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("--cluster-key") && finished.stderr.contains("--stand-alone"), "{finished:?}");
    first.stop().await;
    stack.stop().await;
}
