use std::time::{Duration, Instant};

use serde_json::json;
use tests::crowd::room;
use tests::{Crowd, Node, Stack, StackOptions, eventually, http, ports, sns};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Beats in milliseconds: a dead node's subscription goes after some twelve of them, its row some three later.
const FAST: [&str; 2] = ["--beat-ms", "200"];
/// By then it must have gone. Three looks of at most 1.2 * 3 beats find that a beat stands still, one more removes, one
/// more removes the row; all else is the patience that slow machines need.
const BOUND: Duration = Duration::from_secs(20);

async fn rows(stack: &Stack) -> usize {
    let answer = stack.dynamodb("Scan", &json!({ "TableName": stack.announced("nodes_table") })).await;
    answer["Items"].as_array().expect("a scan has items").len()
}

async fn endpoints(stack: &Stack) -> Vec<String> {
    sns::subscriptions(stack).await.into_iter().map(|one| one.endpoint).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_leaves_at_sns_and_in_the_table_is_removed_by_another() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let first = Node::start(&stack, &FAST).await;
    let second = Node::start(&stack, &FAST).await;
    // Somebody else's, of the same topic and of the form of a relayed node's.
    let mut listener = sns::Listener::subscribe(&stack, stack.announced("topic_arn")).await;
    let foreign = "http://127.0.0.1:9/sns/aa103e961a87/127.0.0.1:9/00112233445566778899aabbccddeeff";
    sns::subscribe(&stack, stack.announced("topic_arn"), foreign).await;
    let dead = sns::endpoint_of(&stack, &second.url()).await;
    assert_eq!((endpoints(&stack).await.len(), rows(&stack).await), (4, 2));

    let (killed, port) = (Instant::now(), second.port());
    second.kill();
    eventually("its subscription is removed", || async { !endpoints(&stack).await.contains(&dead) }).await;
    eventually("its row is removed", || async { rows(&stack).await == 1 }).await;
    assert!(killed.elapsed() < BOUND, "after {:?}", killed.elapsed());
    let left = endpoints(&stack).await;
    assert!(left.len() == 3 && left.contains(&foreign.to_owned()), "{left:?}");
    eventually("it is counted", || async { first.counter("reaper_rows_removed").await == 1 }).await;
    assert_eq!(first.counter("reaper_subscriptions_removed").await, 1);

    // Whoever listens there now hears nothing of SNS any more.
    let successor = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&first.ws(), &lobby).await;
    ada.say(&lobby, "is anybody there").await;
    listener.next("Notification").await;
    assert!(timeout(Duration::from_millis(500), successor.accept()).await.is_err(), "SNS still posts to it");
    crowd.verified().await;
    first.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayed_subscription_whose_row_is_gone_too_is_known_by_its_path() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let public = ports::free(1);
    let endpoint = format!("http://127.0.0.1:{public}");
    let relayed = [&FAST[..], &["--sns-relay", "--sns-endpoint", &endpoint]].concat();
    let first = Node::start_at(&stack, public, &relayed).await;
    let before = endpoints(&stack).await;
    let second = Node::start(&stack, &relayed).await;
    let all = endpoints(&stack).await;
    let [dead] = all.iter().filter(|url| !before.contains(url)).collect::<Vec<_>>()[..] else { panic!("{all:?}") };
    second.kill();
    // What TTL does to rows when nobody is there to remove them.
    let node = dead.split('/').nth(4).expect("a relayed path names its node");
    let key = json!({ "TableName": stack.announced("nodes_table"), "Key": { "node": { "S": node } } });
    stack.dynamodb("DeleteItem", &key).await;
    let gone = || async { http::post(dead, &[], b"{}").await.unwrap().status == 410 };
    eventually("a node without a row is no more", gone).await;
    // The list is asked for by itself only now and then: another death is the occasion.
    let third = Node::start(&stack, &relayed).await;
    third.kill();
    eventually("nobody's subscription is left but the first node's", || async { endpoints(&stack).await == before })
        .await;
    eventually("nor any row", || async { rows(&stack).await == 1 }).await;
    first.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_only_stopped_for_a_while_subscribes_again_and_loses_nothing() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    // Only SNS and the log carry messages from one to the other.
    let flags = [&FAST[..], &["--peer-hints", "off"]].concat();
    let first = Node::start(&stack, &flags).await;
    let second = Node::start(&stack, &flags).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&first.ws(), &lobby).await;
    let bob = crowd.member(&second.ws(), &lobby).await;
    ada.say(&lobby, "before").await;
    bob.has_seen(&lobby, 1).await;
    let url = sns::endpoint_of(&stack, &second.url()).await;
    let old = sns::subscriptions(&stack).await.into_iter().find(|one| one.endpoint == url).expect("it is there");

    second.process().signal("STOP");
    eventually("it is taken for dead", || async { !endpoints(&stack).await.contains(&url) }).await;
    eventually("altogether", || async { rows(&stack).await == 1 }).await;
    for number in 0..20 {
        ada.say(&lobby, &format!("meanwhile {number}")).await;
    }
    second.process().signal("CONT");
    eventually("it is subscribed again", || async {
        let all = sns::subscriptions(&stack).await;
        all.iter().any(|one| one.endpoint == url && one.arn.starts_with("arn:") && one.arn != old.arn)
    })
    .await;
    eventually("its row is back", || async { rows(&stack).await == 2 }).await;
    bob.has_seen(&lobby, 21).await;
    let accepted = second.counter("sns_accepted").await;
    ada.say(&lobby, "after").await;
    bob.has_seen(&lobby, 22).await;
    eventually("SNS delivers to it", || async { second.counter("sns_accepted").await > accepted }).await;
    let report = crowd.verified().await;
    assert_eq!(report.messages, 22, "{report}");
    assert_eq!(bob.losses(), 0, "it kept its connection");
    first.stop().await;
    second.stop().await;
    stack.stop().await;
}
