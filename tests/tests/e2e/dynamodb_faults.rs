use std::time::Duration;

use tests::crowd::room;
use tests::stack_counts::StackCounts;
use tests::{Crowd, Stack, StackOptions};

/// Two nodes write one room while the log fails as asked; every promise is kept, and the log really did fail.
async fn chat_goes_on(faults: &str) {
    let options = StackOptions { seed: Some(7), commit_delay_ms: 2, ..StackOptions::faults(faults) };
    let stack = Stack::start(options).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speakers = [crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await];
    for number in 0..100 {
        for speaker in &speakers {
            speaker.shout(&lobby, &format!("message {number}")).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (200, 400), "{report}");
    assert!(speakers.iter().all(|speaker| !speaker.lost_its_place()));
    let log = StackCounts::of(&stack).await.log.expect("with a commit delay commits are counted");
    assert!(log.others > 0, "{log:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_throttles_costs_latency_only() {
    chat_goes_on("dynamodb.throttle=0.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_before_or_after_it_has_written_repeats_and_loses_nothing() {
    chat_goes_on("dynamodb.fail=0.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stands_still_for_a_while_costs_latency_only() {
    let stack = Stack::start(StackOptions::faults("dynamodb.down=3..6")).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    let viewer = crowd.member(&stack.ws(1), &lobby).await;
    for number in 0..70 {
        speaker.shout(&lobby, &format!("message {number}")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = crowd.verified().await;
    assert_eq!(report.messages, 70, "{report}");
    assert!(!viewer.lost_its_place());
    stack.stop().await;
}
