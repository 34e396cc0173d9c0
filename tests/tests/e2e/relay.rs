use tests::crowd::room;
use tests::{Crowd, Node, Stack, StackOptions, http, ports};

async fn counter(node: &Node, name: &str) -> u64 {
    let text = http::get(&format!("{}/metrics", node.url())).await.expect("the node answers").text();
    let line = text.lines().find(|line| line.starts_with(&format!("roomcast_{name}_total ")));
    let value = line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next();
    value.and_then(|value| value.parse().ok()).expect("a number")
}

/// SNS reaches one address only, as it does when a load balancer stands before nodes without public addresses.
#[tokio::test(flavor = "multi_thread")]
async fn posts_of_sns_reach_the_node_they_are_for_whichever_node_takes_them() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let public = ports::free(1);
    let endpoint = format!("http://127.0.0.1:{public}");
    let relayed = ["--sns-relay", "--peer-hints", "off", "--sns-endpoint", &endpoint];
    let first = Node::start_at(&stack, public, &relayed).await;
    // A node is ready when SNS delivers to it: this one's confirmation has come through the first.
    let second = Node::start(&stack, &relayed).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&first.ws(), &lobby).await;
    let bob = crowd.member(&second.ws(), &lobby).await;
    for number in 0..10 {
        ada.say(&lobby, &format!("to the other node {number}")).await;
    }
    bob.has_seen(&lobby, 10).await;
    crowd.verified().await;
    assert!(counter(&second, "sns_accepted").await > 0, "posts reach the second node");
    assert_eq!(counter(&second, "link_segments_received").await, 0, "nobody pushes");

    // Whoever makes a path up gets nowhere.
    for (path, status) in [
        ("/sns/aa103e961a87/169.254.169.254:80/00000000000000000000000000000000", 403),
        ("/sns/aa103e961a87/127.0.0.1:1/x", 403),
        ("/sns/0123456789abcdef0123456789abcdef", 404),
    ] {
        let answer = http::post(&format!("{}{path}", second.url()), &[], b"{}").await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    second.stop().await;
    first.stop().await;
    stack.stop().await;
}
