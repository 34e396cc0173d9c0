//! A batch is handed over, and its sender never hears what became of it, or too late.

use std::time::Duration;

use tests::eventually_within;
use tests::wire::Condition;

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions, Places};
use super::scale::scale;

/// Longer than any node waits for the answer to a batch.
const PATIENCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_handed_over_and_whose_answer_is_lost_is_logged_once() {
    hand_over_while("answers lost", Condition::AnswersLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_comes_later_than_it_is_waited_for_is_logged_once() {
    hand_over_while("later than patience", Condition::Late(PATIENCE + Duration::from_millis(200))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_comes_much_later_is_logged_once() {
    hand_over_while("much later", Condition::Late(3 * PATIENCE)).await;
}

/// A cluster of its own for each: a node that did not answer gets no batches for up to a minute, so a second fault might
/// meet none.
async fn hand_over_while(chapter: &'static str, condition: Condition) {
    // Without hints: one that loses its answer first would have the node left alone before any batch meets the fault.
    let cluster = Cluster::start(2, &["--peer-hints", "off"]).await;
    let options = LoadOptions {
        // Such a node is left alone in each room by itself: many rooms meet the fault often.
        places: Places::AllRooms(10),
        pause: Duration::from_millis(5),
        ..LoadOptions::chat(cluster.homes())
    };
    let mut load = Load::start(options).await;
    load.lasts(scale().calm).await;
    eventually_within(BOUND, "batches are handed over", || async { cluster.sum("link_hand_offs_answered").await > 0 })
        .await;
    load.chapter(chapter);
    let before = cluster.sum("link_hand_offs_unknown").await;
    cluster.links_are(condition);
    load.lasts(scale().fault).await;
    eventually_within(BOUND, chapter, || async { cluster.sum("link_hand_offs_unknown").await > before }).await;
    load.chapter("calm again");
    cluster.links_are(Condition::Well);
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    done.print("hand-off");
    cluster.stop().await;
}
