use std::time::Duration;

use client::session::Event;
use client::{JoinFrom, RawSocket};
use protocol::{ErrorCode, ServerFrame};
use tests::crowd::room;
use tests::{Crowd, Node, PATIENCE, Stack, StackOptions, eventually, http};

/// Every part of AWS stands still for longer than a publish is waited for, and goes on again.
#[tokio::test(flavor = "multi_thread")]
async fn while_aws_stands_still_sessions_stay_and_publishes_wait_and_nothing_needs_a_restart() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let nodes = [Node::start(&stack, &[]).await, Node::start(&stack, &[]).await];
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let members = [crowd.member(&nodes[0].ws(), &lobby).await, crowd.member(&nodes[1].ws(), &lobby).await];
    members[0].say(&lobby, "before").await;
    crowd.settled().await;

    stack.process().signal("STOP");
    for number in 0..20 {
        for member in &members {
            member.shout(&lobby, &format!("during {number}")).await;
        }
    }
    let newcomer = crowd.guest(&[nodes[1].ws()]).await;
    let plaza = room("plaza");
    let joining = newcomer.join(&plaza, JoinFrom::Head);
    let outage = async {
        for member in &members {
            let unknown =
                |event: &Event| matches!(event, Event::PublishDelayed { code, .. } if *code == ErrorCode::Unavailable);
            member.until("a publish whose outcome is unknown", unknown).await;
            member.client.ping().await.expect("the session goes on");
        }
        for node in &nodes {
            let answer = http::get(&format!("{}/healthz", node.url())).await.unwrap();
            assert_eq!(answer.status, 200, "no load balancer may kill the node");
        }
        stack.process().signal("CONT");
    };
    let (joined, ()) = tokio::join!(joining, outage);
    assert_eq!(joined.replayed, 0);
    newcomer.say(&plaza, "after").await;
    let report = crowd.verified().await;
    assert_eq!((report.published, report.messages), (42, 42), "{report}");
    for guest in members.iter().chain([&newcomer]) {
        assert_eq!(guest.losses(), 0, "a session was lost");
        assert!(!guest.lost_its_place());
    }
    for node in nodes {
        node.stop().await;
    }
    stack.stop().await;
}

/// A node that stands still, as on a machine that is being moved, finds out by itself what it has missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_frozen_catches_up() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let node = Node::start(&stack, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let frozen = crowd.member(&node.ws(), &lobby).await;
    let speaker = crowd.member(&stack.ws(0), &lobby).await;
    frozen.say(&lobby, "before").await;
    node.process().signal("STOP");
    for number in 0..50 {
        speaker.say(&lobby, &format!("during {number}")).await;
        frozen.shout(&lobby, &format!("to a frozen node {number}")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.process().signal("CONT");
    let report = crowd.verified().await;
    assert_eq!(report.messages, 101, "{report}");
    assert!(!frozen.lost_its_place());
    node.stop().await;
    stack.stop().await;
}

/// The parts of AWS are gone for good: the node still ends in time, with what it has told nobody as its only loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_aws_still_ends_in_time() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let node = Node::start(&stack, &[]).await;
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
    socket.send_text(r#"{"type":"join","room":"lobby"}"#).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Joined(_)));
    stack.process().signal("STOP");
    socket.send_text(r#"{"type":"publish","room":"lobby","id":"1","body":"unheard"}"#).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.process().signal("TERM");
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Draining(_)));
    assert_eq!(socket.recv_close(PATIENCE).await.unwrap().code, Some(1012));
    assert!(node.stop_requested().await.status.success());
    stack.process().signal("CONT");
    eventually("the stack is itself again", || async { http::get(stack.announced("dynamodb")).await.is_ok() }).await;
    stack.stop().await;
}
