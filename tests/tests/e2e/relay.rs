use tests::crowd::room;
use tests::{Crowd, Node, Stack, StackOptions, eventually, http, ports, sns};

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
    assert!(second.counter("sns_accepted").await > 0, "posts reach the second node");
    assert_eq!(second.counter("link_segments_received").await, 0, "nobody pushes");

    // Whoever makes a path up gets nowhere.
    for (path, status) in [
        ("/sns/aa103e961a87/169.254.169.254:80/00000000000000000000000000000000", 403),
        ("/sns/aa103e961a87/127.0.0.1:1/x", 403),
        ("/sns/0123456789abcdef0123456789abcdef", 404),
    ] {
        let answer = http::post(&format!("{}{path}", second.url()), &[], b"{}").await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    // The path of a node that is no more is told from that of one that does not answer: SNS gives up only the first.
    let third = Node::start(&stack, &relayed).await;
    let paths = |all: Vec<sns::Subscription>| -> Vec<String> { all.into_iter().map(|one| one.endpoint).collect() };
    let before = paths(sns::subscriptions(&stack).await);
    third.stop().await;
    let after = paths(sns::subscriptions(&stack).await);
    let [gone] = before.iter().filter(|path| !after.contains(path)).collect::<Vec<_>>()[..] else {
        panic!("{after:?}")
    };
    eventually("its row is gone", || async { http::post(gone, &[], b"{}").await.unwrap().status == 410 }).await;
    second.kill();
    let mut statuses = Vec::new();
    for path in &after {
        statuses.push(http::post(path, &[], b"{}").await.unwrap().status);
    }
    assert!(statuses.contains(&503), "a killed node may come back: {statuses:?}");
    assert!(first.counter("link_relay_unreachable").await > 0);
    first.stop().await;
    stack.stop().await;
}
