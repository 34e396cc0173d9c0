use client::session::Event;
use client::{ClientOptions, EventQueue, JoinFrom};
use tests::crowd::{options, room};
use tests::{Crowd, Stack, StackOptions};

/// A client that stops reading while 6 MB go through its room is given up, comes back, and has missed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_is_closed_and_resumes_without_loss_while_others_go_on() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let slow = ClientOptions { events: EventQueue::Bounded(4), ..options(&[stack.ws(0)]) };
    let slow = crowd.guest_with(slow).await;
    slow.join(&lobby, JoinFrom::Head).await;
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    // The verifier has to know that it is there before it falls silent.
    slow.until("its own joining", |event| matches!(event, Event::Joined { .. })).await;
    slow.pause(true);
    for number in 0..400 {
        ada.shout(&lobby, &format!("{number} {}", "x".repeat(16_000))).await;
        // In portions that an outbox holds, so that only who does not read is slow.
        if number % 20 == 19 {
            ben.has_seen(&lobby, number + 1).await;
        }
    }
    // The others have everything although the slow one reads nothing.
    ben.has_seen(&lobby, 400).await;
    ada.has_seen(&lobby, 400).await;
    assert!(slow.messages(&lobby).len() < 390, "it was not slow at all");
    assert_eq!((ada.losses(), ben.losses()), (0, 0));
    slow.pause(false);
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (400, 3 * 400), "{report}");
    assert!(!slow.lost_its_place());
    assert_eq!(slow.seqs(&lobby), (1..=400).collect::<Vec<_>>());
    let closes: Vec<_> = slow
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Disconnected { close, .. } => Some(close),
            _ => None,
        })
        .collect();
    // The code reaches a client that reads again in time; a connection that is stuck for longer is cut.
    assert!(!closes.is_empty() && closes.iter().all(|close| matches!(close, Some(4008) | None)), "{closes:?}");
    stack.stop().await;
}
