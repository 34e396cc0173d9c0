use std::time::{Duration, Instant};

use tests::crowd::room;
use tests::{Crowd, Stack, StackOptions};

/// What one node says in a room reaches the other one although no hint ever comes. Prints how long that took.
async fn heals_by_audit(faults: &str) {
    let stack = Stack::start(StackOptions::faults(faults)).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    let viewer = crowd.member(&stack.ws(1), &lobby).await;
    for number in 1..=20 {
        speaker.say(&lobby, &format!("message {number}")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = Instant::now();
    viewer.has_seen(&lobby, 20).await;
    println!("{faults}: the last message was {:?} late", said.elapsed());
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (20, 40), "{report}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_on_the_other_node_when_sns_drops_everything() {
    heals_by_audit("sns.drop=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_on_the_other_node_when_every_lambda_invocation_fails() {
    heals_by_audit("lambda.fail=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_repeated_reordered_and_failed_deliveries_cost_latency_only() {
    let faults = "sns.drop=0.3,sns.repeat=0.3,sns.delay_ms=0..800,lambda.fail=0.1";
    let stack = Stack::start(StackOptions { seed: Some(7), ..StackOptions::faults(faults) }).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speakers = [crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await];
    for number in 0..250 {
        for speaker in &speakers {
            speaker.shout(&lobby, &format!("message {number}")).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (500, 1_000), "{report}");
    assert!(speakers.iter().all(|speaker| !speaker.lost_its_place()));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lambda_that_publishes_and_then_fails_repeats_nothing_to_clients() {
    let stack = Stack::start(StackOptions { seed: Some(7), ..StackOptions::faults("lambda.fail_after=0.5") }).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    let viewer = crowd.member(&stack.ws(1), &lobby).await;
    for number in 0..100 {
        speaker.say(&lobby, &format!("message {number}")).await;
    }
    crowd.verified().await;
    assert_eq!(viewer.seqs(&lobby), (1..=100).collect::<Vec<_>>());
    stack.stop().await;
}
