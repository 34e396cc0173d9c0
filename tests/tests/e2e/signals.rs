use client::session::Event;
use client::{ClientOptions, EventQueue, JoinFrom};
use protocol::{RoomName, SignalKey};
use tests::crowd::{options, room, text_body};
use tests::{Crowd, Guest, Stack, StackOptions};

async fn signal(guest: &Guest, room: &RoomName, key: Option<&str>, text: &str) {
    let key = key.map(|key| SignalKey::new(key).unwrap());
    guest.client.signal(room, key, text_body(text)).await.unwrap();
}

/// What was signalled to somebody, in the order in which it came.
fn heard(guest: &Guest) -> Vec<String> {
    let signals = guest.events().into_iter().filter_map(|event| match event {
        Event::Signal { signal } => Some(format!("{} {}", signal.from, signal.body.as_str())),
        _ => None,
    });
    signals.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_others_and_not_the_session_that_sent_it() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(0), &lobby).await);
    let elsewhere = crowd.member(&stack.ws(0), &room("elsewhere")).await;
    signal(&ada, &lobby, None, "one").await;
    signal(&ada, &lobby, Some("k"), "two").await;
    // Each hears of the message after the signals, if of them at all.
    ada.say(&lobby, "three").await;
    elsewhere.say(&room("elsewhere"), "four").await;
    crowd.settled().await;
    let expected = ["one", "two"].map(|text| format!("{} \"{text}\"", ada.client.user()));
    assert_eq!((heard(&ben), heard(&ada), heard(&elsewhere)), (expected.to_vec(), vec![], vec![]));
    crowd.verified().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_later_gets_the_current_value_of_a_key_behind_the_history() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&stack.ws(0), &lobby).await;
    for number in 1..=20 {
        ada.shout(&lobby, &format!("message {number}")).await;
    }
    for (key, text) in [(Some("partial"), "Good mor"), (None, "gone"), (Some("partial"), "Good morning, ev")] {
        signal(&ada, &lobby, key, text).await;
    }
    ada.say(&lobby, "message 21").await;
    let ben = crowd.guest(&[stack.ws(0)]).await;
    ben.join(&lobby, JoinFrom::Recent(10)).await;
    ben.until("the current value", |event| matches!(event, Event::Signal { .. })).await;
    assert_eq!(ben.seqs(&lobby), (12..=21).collect::<Vec<_>>(), "all of the history comes before it");
    ada.say(&lobby, "message 22").await;
    ben.has_seen(&lobby, 11).await;
    assert_eq!(heard(&ben), [format!("{} \"Good morning, ev\"", ada.client.user())]);
    crowd.verified().await;
    stack.stop().await;
}

/// Somebody who reads nothing while 20 MB of signals and a few messages go through the room is not closed for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_loses_signals_and_neither_messages_nor_its_connection() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let slow = ClientOptions { events: EventQueue::Bounded(4), ..options(&[stack.ws(0)]) };
    let slow = crowd.guest_with(slow).await;
    slow.join(&lobby, JoinFrom::Head).await;
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(0), &lobby).await);
    // The verifier has to know that it is there before it falls silent.
    slow.until("its own joining", |event| matches!(event, Event::Joined { .. })).await;
    slow.pause(true);
    for number in 0..2_000 {
        let key = (number % 2 == 0).then(|| format!("key {number}"));
        signal(&ada, &lobby, key.as_deref(), &format!("{number} {}", "x".repeat(10_000))).await;
        if number % 50 == 49 {
            ada.say(&lobby, &format!("message {number}")).await;
        }
    }
    ben.has_seen(&lobby, 40).await;
    slow.pause(false);
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (40, 3 * 40), "{report}");
    assert_eq!(slow.losses(), 0, "signals close nobody");
    let count = heard(&slow).len();
    assert!((1..1_900).contains(&count), "{count} of 2000: it was not slow, or got none");
    stack.stop().await;
}
