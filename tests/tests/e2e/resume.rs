use client::JoinFrom;
use client::session::Event;
use protocol::{Epoch, NodeId, Position, Seq};
use tests::crowd::room;
use tests::{Crowd, Guest, Stack, StackOptions};

/// Publishes 200 messages while the viewer's connection is cut again and again, then checks that it saw each once.
async fn cut_while_others_publish(stack: &Stack, viewer_urls: &[String]) -> Guest {
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let viewer = crowd.guest(viewer_urls).await;
    viewer.join(&lobby, JoinFrom::Head).await;
    let speakers = [crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await];
    for number in 0..100 {
        for speaker in &speakers {
            speaker.shout(&lobby, &format!("message {number}")).await;
        }
        if number % 20 == 10 {
            let seen = viewer.seqs(&lobby).len();
            viewer.client.cut().await;
            // The next cut must meet a connection that has resumed.
            let rejoined = |event: &Event| matches!(event, Event::Joined { resumed: true, .. });
            viewer.count_reaches("resumed joins", number / 20 + 1, rejoined).await;
            viewer.has_seen(&lobby, seen + 1).await;
        }
    }
    let report = crowd.verified().await;
    assert_eq!(report.messages, 200, "{report}");
    assert!(!viewer.lost_its_place());
    assert_eq!(viewer.seqs(&lobby), (1..=200).collect::<Vec<_>>());
    assert_eq!(viewer.losses(), 5);
    viewer
}

fn nodes_of(guest: &Guest) -> Vec<NodeId> {
    let greetings = guest.events().into_iter().filter_map(|event| match event {
        Event::Connected(welcome) => Some(welcome.node),
        _ => None,
    });
    greetings.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_resumes_on_the_same_node_without_loss_or_repeat() {
    let stack = Stack::start(StackOptions::default()).await;
    let viewer = cut_while_others_publish(&stack, &[stack.ws(0)]).await;
    let nodes = nodes_of(&viewer);
    assert!(nodes.len() == 6 && nodes.iter().all(|node| *node == nodes[0]), "{nodes:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_resumes_on_the_other_node_without_loss_or_repeat() {
    let stack = Stack::start(StackOptions::default()).await;
    let viewer = cut_while_others_publish(&stack, &stack.ws_urls()).await;
    let nodes = nodes_of(&viewer);
    assert!(nodes.len() == 6 && nodes.windows(2).all(|pair| pair[0] != pair[1]), "{nodes:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_log_contradicts_is_reset() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    for number in 1..=10 {
        speaker.say(&lobby, &format!("message {number}")).await;
    }
    let epoch = speaker.client.position(&lobby).await.unwrap().unwrap().epoch;
    let ahead = Position { epoch: epoch.clone(), seq: Seq::new(10_000).unwrap() };
    let other = Position { epoch: Epoch::birth(fastrand::u64(..)), seq: Seq::new(3).unwrap() };
    let head = Position { epoch, seq: Seq::new(10).unwrap() };
    let mut lost = Vec::new();
    for (node, position) in [(0, &ahead), (1, &ahead), (0, &other), (1, &other)] {
        let viewer = crowd.guest(&[stack.ws(node)]).await;
        let joined = viewer.join(&lobby, JoinFrom::After(position.clone())).await;
        assert_eq!((joined.recovered, joined.replayed), (false, 0), "{position:?} on node {node}");
        let reset = viewer.until("a reset", |event| matches!(event, Event::Reset { .. })).await;
        assert_eq!(reset, Event::Reset { room: lobby.clone(), position: head.clone() });
        lost.push(viewer);
    }
    speaker.say(&lobby, "message 11").await;
    for viewer in &lost {
        viewer.has_seen(&lobby, 1).await;
        assert_eq!(viewer.seqs(&lobby), [11], "it goes on from the reset");
    }
    crowd.verified().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_itself_is_a_position_with_nothing_to_replay() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    for number in 1..=3 {
        speaker.say(&lobby, &format!("message {number}")).await;
    }
    let head = speaker.client.position(&lobby).await.unwrap().unwrap();
    // The other node has not opened the room yet: it must not take its ignorance for the room's end.
    for node in [1, 0] {
        let viewer = crowd.guest(&[stack.ws(node)]).await;
        let joined = viewer.join(&lobby, JoinFrom::After(head.clone())).await;
        assert_eq!((joined.recovered, joined.replayed, joined.position), (true, 0, head.clone()), "node {node}");
    }
    crowd.verified().await;
    stack.stop().await;
}
