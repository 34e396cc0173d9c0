use std::time::Duration;

use client::JoinFrom;
use client::session::Event;
use protocol::SignalKey;
use tests::crowd::{room, text_body};
use tests::{Crowd, Guest, Node, Stack, StackOptions, eventually};

fn is_signal(event: &Event, text: &str) -> bool {
    matches!(event, Event::Signal { signal } if signal.body == text_body(text))
}

/// Both nodes know of each other only a few seconds after their start, and what was signalled before is lost.
async fn signal_until_heard(sender: &Guest, listener: &Guest, key: Option<&str>, text: &str) {
    let signalling = async {
        loop {
            let key = key.map(|key| SignalKey::new(key).unwrap());
            sender.client.signal(&room("lobby"), key, text_body(text)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = signalling => {}
        _ = listener.until("a signal across", |event| is_signal(event, text)) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_members_on_the_other_node() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    signal_until_heard(&ada, &ben, None, "are you there?").await;
    // Now that they know each other a signal arrives within seconds, once.
    ada.client.signal(&lobby, None, text_body("once")).await.unwrap();
    let arrival = ben.until("the second signal", |event| is_signal(event, "once"));
    tokio::time::timeout(Duration::from_secs(3), arrival).await.expect("within seconds");
    ada.client.signal(&lobby, None, text_body("last")).await.unwrap();
    ben.until("the last signal", |event| is_signal(event, "last")).await;
    let repeats = ben.events().into_iter().filter(|event| is_signal(event, "once")).count();
    assert_eq!(repeats, 1);
    assert!(!ada.events().iter().any(|event| matches!(event, Event::Signal { .. })), "none comes back to its sender");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_later_on_the_other_node_gets_the_current_value() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    signal_until_heard(&ada, &ben, Some("partial"), "Good mor").await;
    signal_until_heard(&ada, &ben, Some("partial"), "Good morning, ev").await;
    let late = crowd.guest(&[stack.ws(1)]).await;
    late.join(&lobby, JoinFrom::Head).await;
    late.until("the current value", |event| matches!(event, Event::Signal { .. })).await;
    let heard: Vec<_> = late.events().into_iter().filter(|event| matches!(event, Event::Signal { .. })).collect();
    assert!(heard.iter().all(|event| is_signal(event, "Good morning, ev")), "{heard:?}");
    stack.stop().await;
}

/// Where nodes do not push, and where they have no link at all.
#[tokio::test(flavor = "multi_thread")]
async fn without_hints_of_their_own_nodes_send_signals_through_sns() {
    for flags in [&["--peer-hints", "off"][..], &["--stand-alone"]] {
        let stack = Stack::start(StackOptions::nodes(0)).await;
        let start = || async {
            match flags {
                ["--stand-alone"] => Node::start_without_key(&stack, flags).await,
                _ => Node::start(&stack, flags).await,
            }
        };
        let nodes = [start().await, start().await];
        let (crowd, lobby) = (Crowd::new(), room("lobby"));
        let (ada, ben) = (crowd.member(&nodes[0].ws(), &lobby).await, crowd.member(&nodes[1].ws(), &lobby).await);
        signal_until_heard(&ada, &ben, None, "are you there?").await;
        // What is heard counts as published only when SNS has answered.
        eventually("it counts", || async { nodes[0].counter("link_signals_published").await > 0 }).await;
        assert_eq!(nodes[1].counter("link_signals_received").await, 0, "{flags:?}: nobody pushes");
        ada.say(&lobby, "a message").await;
        crowd.verified().await;
        for node in nodes {
            node.stop().await;
        }
        stack.stop().await;
    }
}
