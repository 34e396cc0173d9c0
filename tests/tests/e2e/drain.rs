use std::time::{Duration, Instant};

use client::session::Event;
use client::{JoinFrom, RawSocket};
use protocol::ServerFrame;
use serde_json::json;
use tests::crowd::room;
use tests::{Crowd, Node, PATIENCE, Stack, StackOptions, eventually, http, sns};

/// How many nodes the nodes' table has.
async fn leases(stack: &Stack) -> usize {
    let answer = stack.dynamodb("Scan", &json!({ "TableName": stack.announced("nodes_table") })).await;
    answer["Items"].as_array().expect("a scan has items").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_end_sends_its_sessions_away_and_leaves_nothing_behind() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let node = Node::start(&stack, &["--drain-ms", "1000"]).await;
    let endpoint = sns::endpoint_of(&stack, &node.url()).await;
    assert_eq!((sns::subscriptions(&stack).await.len(), leases(&stack).await), (2, 2));

    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let mut guests = Vec::new();
    for _ in 0..5 {
        let guest = crowd.guest(&[node.ws(), stack.ws(0)]).await;
        guest.join(&lobby, JoinFrom::Head).await;
        guests.push(guest);
    }
    let staying = crowd.member(&stack.ws(0), &lobby).await;
    let stopped = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        node.stop().await
    });
    for number in 0..60 {
        for guest in &guests {
            guest.shout(&lobby, &format!("message {number}")).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let finished = stopped.await.expect("the node ends well");
    assert!(!finished.stderr.contains(" ERROR "), "{}", finished.stderr);

    for guest in &guests {
        let events = guest.events();
        let draining = events.iter().position(|event| matches!(event, Event::Draining { .. }));
        let closed = events.iter().position(|event| matches!(event, Event::Disconnected { close: Some(1012), .. }));
        let (draining, closed) = (draining.expect("it is told before"), closed.expect("it is closed with 1012"));
        assert!(draining < closed);
        assert_eq!(guest.losses(), 1, "it is sent away once");
    }
    let report = crowd.verified().await;
    assert_eq!((report.published, report.messages), (300, 300), "{report}");
    assert!(guests.iter().all(|guest| !guest.lost_its_place()));
    assert_eq!(staying.losses(), 0);

    let left: Vec<_> = sns::subscriptions(&stack).await.into_iter().map(|one| one.endpoint).collect();
    assert!(left.len() == 1 && !left.contains(&endpoint), "{left:?}");
    assert_eq!(leases(&stack).await, 1);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_alive_and_not_ready_and_refuses_newcomers_with_1012() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--drain-ms", "4000"]).await;
    let url = node.url();
    assert_eq!(http::get(&format!("{url}/healthz")).await.unwrap().status, 200);
    let ready = json!({ "ready": true, "reasons": [], "warnings": [] });
    assert_eq!(http::get(&format!("{url}/readyz")).await.unwrap().json(), ready);
    // Their times to leave are spread over the drain time: with so many, some are here until near its end.
    let ws = format!("{}/ws", node.ws());
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = RawSocket::connect(&ws, &[]).await.unwrap();
        assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
        sockets.push(socket);
    }
    node.process().signal("TERM");
    let frame = sockets[0].recv_frame(PATIENCE).await.unwrap();
    assert!(matches!(&frame, ServerFrame::Draining(draining) if draining.within_ms == 4_000), "{frame:?}");
    let answer = http::get(&format!("{url}/readyz")).await.unwrap();
    assert_eq!((answer.status, answer.json()["ready"].as_bool()), (503, Some(false)));
    assert_eq!(http::get(&format!("{url}/healthz")).await.unwrap().status, 200);
    let newcomer = RawSocket::connect(&ws, &[]).await.unwrap().recv_close(PATIENCE).await.unwrap();
    assert_eq!(newcomer.code, Some(1012));
    for socket in &mut sockets {
        assert_eq!(socket.recv_close(PATIENCE).await.unwrap().code, Some(1012));
    }
    // The signal was sent above; another one would only be a second wish for the same.
    assert!(node.stop_requested().await.status.success());
    eventually("all leases and subscriptions are gone", || async {
        leases(&stack).await == 0 && sns::subscriptions(&stack).await.is_empty()
    })
    .await;
    stack.stop().await;
}

/// The whole of AWS does not answer any more: nothing can be flushed, removed or given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_in_time_although_neither_dynamodb_nor_sns_answers() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--drain-ms", "500"]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let guest = crowd.member(&node.ws(), &lobby).await;
    guest.say(&lobby, "while all is well").await;
    stack.process().signal("STOP");
    guest.shout(&lobby, "nobody will ever acknowledge this").await;
    let asked = Instant::now();
    node.process().signal("TERM");
    let finished = node.stop_requested().await;
    assert!(finished.status.success(), "{}", finished.stderr);
    // The window, 5 s for the last connections, 15 s for the rest; and the patience of a slow machine.
    assert!(asked.elapsed() < Duration::from_secs(25), "after {:?}", asked.elapsed());
    stack.process().signal("CONT");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_draining_node_at_once_and_it_says_so() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &["--drain-ms", "90000"]).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.unwrap();
        assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
        sockets.push(socket);
    }
    node.process().signal("TERM");
    assert!(matches!(sockets[0].recv_frame(PATIENCE).await.unwrap(), ServerFrame::Draining(_)));
    node.process().signal("TERM");
    let finished = node.stop_requested().await;
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.lines().last().is_some_and(|line| line.contains("a second signal")), "{}", finished.stderr);
    stack.stop().await;
}
