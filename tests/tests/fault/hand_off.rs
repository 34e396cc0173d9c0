//! A batch is handed over, and its sender never hears what became of it, or too late.

use std::time::Duration;

use tests::wire::Condition;

use super::cluster::{Cluster, eventually};
use super::load::{Load, LoadOptions, Places};
use super::scale::scale;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_handed_over_and_whose_answer_is_lost_or_late_is_logged_once() {
    let cluster = Cluster::start(2, &[]).await;
    // A node that does not answer is left alone for a while, in each room by itself: many rooms meet the fault often.
    let options = LoadOptions {
        places: Places::AllRooms(10),
        pause: Duration::from_millis(5),
        ..LoadOptions::chat(cluster.homes())
    };
    let mut load = Load::start(options).await;
    load.lasts(scale().calm).await;
    let answered = cluster.sum("link_hand_offs_answered").await;
    assert!(answered > 0, "batches are handed over");
    let patience = Duration::from_secs(1);
    for (chapter, condition) in [
        ("answers lost", Condition::AnswersLost),
        ("later than patience", Condition::Late(patience + Duration::from_millis(200))),
        ("much later", Condition::Late(3 * patience)),
    ] {
        load.chapter(chapter);
        let before = cluster.sum("link_hand_offs_unknown").await;
        cluster.links_are(condition);
        load.lasts(scale().fault).await;
        eventually(chapter, || async { cluster.sum("link_hand_offs_unknown").await > before }).await;
        load.chapter("calm between");
        cluster.links_are(Condition::Well);
        let before = cluster.sum("link_hand_offs_answered").await;
        eventually("batches are handed over again", || async { cluster.sum("link_hand_offs_answered").await > before })
            .await;
    }
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "{}", done.outcome.setbacks());
    done.print("hand-off");
    cluster.stop().await;
}
