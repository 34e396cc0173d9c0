use std::time::Duration;

use tests::crowd::room;
use tests::{Crowd, Guest, Stack, StackOptions, eventually};

/// How many requests between nodes met this fate so far.
async fn requests(stack: &Stack, fate: &str) -> u64 {
    let counts = stack.counted("link").await;
    counts[fate].as_u64().unwrap_or_else(|| panic!("{fate} in {counts}"))
}

async fn chat(speakers: &[Guest], messages: usize) {
    let lobby = room("lobby");
    for number in 0..messages {
        for speaker in speakers {
            speaker.shout(&lobby, &format!("message {number}")).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One member on each node of a stack, all in the same room.
async fn members(stack: &Stack, crowd: &Crowd) -> Vec<Guest> {
    let lobby = room("lobby");
    let mut members = Vec::new();
    for url in stack.ws_urls() {
        members.push(crowd.member(&url, &lobby).await);
    }
    members
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_cannot_reach_each_other_lose_nothing_and_go_on_as_before_when_they_can() {
    let options = StackOptions { commit_delay_ms: 2, ..StackOptions::nodes(3) };
    let stack = Stack::start(StackOptions { faults: Some("link.proxy=1".to_owned()), ..options }).await;
    let crowd = Crowd::new();
    let members = members(&stack, &crowd).await;
    chat(&members, 30).await;
    crowd.settled().await;
    assert!(requests(&stack, "arrived").await > 0, "nodes talk to each other");
    assert_eq!(requests(&stack, "hung").await, 0);

    stack.cut_links(&[(1, 2), (2, 3)]).await;
    chat(&members, 100).await;
    crowd.settled().await;
    assert!(requests(&stack, "hung").await > 0, "the second node is alone");

    stack.cut_links(&[]).await;
    let before = requests(&stack, "arrived").await;
    chat(&members, 30).await;
    eventually("nodes talk again", || async { requests(&stack, "arrived").await > before }).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (480, 1_440), "{report}");
    assert!(members.iter().all(|member| !member.lost_its_place()));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_between_nodes_that_are_lost_or_late_cost_latency_only() {
    let faults = "link.drop=0.3,link.delay_ms=0..50";
    let options = StackOptions { seed: Some(7), commit_delay_ms: 2, ..StackOptions::faults(faults) };
    let stack = Stack::start(options).await;
    let crowd = Crowd::new();
    let members = members(&stack, &crowd).await;
    chat(&members, 200).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (400, 800), "{report}");
    assert!(requests(&stack, "lost").await + requests(&stack, "answers_lost").await > 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_fail_at_once_costs_latency_only() {
    let faults = "link.drop=0.2,link.delay_ms=0..30,dynamodb.throttle=0.1,dynamodb.fail=0.1,\
                  sns.drop=0.3,sns.repeat=0.3,sns.delay_ms=0..500,lambda.fail=0.1";
    let options = StackOptions { seed: Some(7), commit_delay_ms: 2, ..StackOptions::faults(faults) };
    let stack = Stack::start(StackOptions { nodes: 3, ..options }).await;
    let crowd = Crowd::new();
    let members = members(&stack, &crowd).await;
    chat(&members, 100).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (300, 900), "{report}");
    stack.stop().await;
}
