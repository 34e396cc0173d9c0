//! The Lambda function is down, fails after its work, or cannot publish part of it.

use tests::eventually_within;

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions, Places};
use super::scale::scale;

#[tokio::test(flavor = "multi_thread")]
async fn while_lambda_is_down_audits_carry_everything_and_afterwards_sns_does_again() {
    let cluster = Cluster::start(2, &["--peer-hints", "off"]).await;
    let places = Places::RoomOfOwnHome;
    let mut load = Load::start(LoadOptions { places, ..LoadOptions::chat(cluster.homes()) }).await;
    load.lasts(scale().calm).await;

    load.chapter("down");
    let (failures, published) =
        (cluster.counted("mapping", "failures").await, || cluster.counted("mapping", "published"));
    cluster.stack.break_now("lambda.down=0..3600").await;
    // An invocation that was under way may still come to a good end.
    eventually_within(BOUND, "an invocation fails", || async {
        cluster.counted("mapping", "failures").await > failures
    })
    .await;
    let before = published().await;
    load.lasts(scale().lambda_down).await;
    assert_eq!(published().await, before, "nothing at all comes through SNS");

    load.chapter("back");
    cluster.stack.break_now("").await;
    for node in &cluster.nodes {
        let before = node.counter("sns_accepted").await;
        eventually_within(BOUND, "SNS delivers again", || async { node.counter("sns_accepted").await > before }).await;
    }
    load.lasts(scale().calm).await;
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    done.print("lambda-down");
    cluster.stop().await;
}

/// What it had published before it failed comes again; what SNS did not take of a batch is all that comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lambda_that_fails_after_its_work_or_in_the_middle_of_it_costs_latency_only() {
    let cluster = Cluster::start(2, &["--peer-hints", "off"]).await;
    // So many bytes that a batch needs several publishes.
    let places = Places::RoomOfOwnHome;
    let options = LoadOptions { places, bytes: 4_000, ..LoadOptions::chat(cluster.homes()) };
    let mut load = Load::start(options).await;
    load.lasts(scale().calm).await;
    for (chapter, faults) in
        [("fails after its work", "lambda.fail_after=0.5"), ("fails in the middle", "sns.fail=0.7")]
    {
        load.chapter(chapter);
        let before = cluster.counted("mapping", "failures").await;
        cluster.stack.break_now(faults).await;
        load.lasts(scale().fault).await;
        eventually_within(BOUND, chapter, || async { cluster.counted("mapping", "failures").await > before }).await;
    }
    assert!(cluster.counted("sns", "refused").await > 0);
    load.chapter("calm again");
    cluster.stack.break_now("").await;
    load.lasts(scale().calm).await;
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    done.print("lambda-fails");
    cluster.stop().await;
}
