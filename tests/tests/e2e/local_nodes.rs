//! The nodes inside a local stack: they have the limits of shipped nodes, and are ended and started while it runs.

use client::session::Event;
use client::{JoinFrom, RawSocket};
use protocol::{ErrorCode, ServerFrame};
use tests::crowd::room;
use tests::{Crowd, PATIENCE, Stack, StackOptions, eventually, http};

/// What a metric of a node says, such as `roomcast_nodes`; `None` while the node does not answer.
async fn metric(url: &str, name: &str) -> Option<u64> {
    let text = http::get(&format!("{url}/metrics")).await.ok()?.text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

async fn is_ready(url: &str) -> bool {
    http::get(&format!("{url}/readyz")).await.is_ok_and(|answer| answer.status == 200)
}

/// What one session publishes at once: five times what may come at once.
const PUBLISHES: usize = 1_000;

/// How many of those were refused.
async fn refused_publishes(stack: &Stack) -> usize {
    let mut socket = RawSocket::connect(&format!("{}/ws", stack.ws(0)), &[]).await.unwrap();
    socket.send_text(r#"{"type":"join","room":"lobby"}"#).await.unwrap();
    for number in 0..PUBLISHES {
        let publish = format!(r#"{{"type":"publish","room":"lobby","id":"p{number}","body":{number}}}"#);
        socket.send_text(&publish).await.unwrap();
    }
    let (mut answers, mut refused) = (0, 0);
    while answers < PUBLISHES {
        match socket.recv_frame(PATIENCE).await.unwrap() {
            ServerFrame::Ack(_) => answers += 1,
            ServerFrame::Error(error) => {
                assert_eq!(error.code, ErrorCode::RateLimited, "{error:?}");
                (answers, refused) = (answers + 1, refused + 1);
            }
            _ => {}
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_have_the_rates_that_they_are_shipped_with_unless_told_otherwise() {
    let shipped = Stack::start(StackOptions { node_flags: Vec::new(), ..StackOptions::nodes(1) }).await;
    let refused = refused_publishes(&shipped).await;
    shipped.stop().await;
    assert!((1..=PUBLISHES - 200).contains(&refused), "{refused} refused; 200 may come at once");

    let unlimited = Stack::start(StackOptions::nodes(1)).await;
    assert_eq!(refused_publishes(&unlimited).await, 0);
    unlimited.stop().await;
}

/// Behind proxies, which have to learn the new node's id.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_is_started_again_at_its_old_ports_and_nothing_is_lost() {
    let faults = Some("link.proxy=1".to_owned());
    let stack = Stack::start(StackOptions { faults, commit_delay_ms: 2, ..StackOptions::default() }).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.guest(&[stack.ws(1)]).await);
    ben.join(&lobby, JoinFrom::Head).await;
    for number in 0..10 {
        ada.say(&lobby, &format!("before {number}")).await;
        ben.say(&lobby, &format!("too {number}")).await;
    }

    stack.order("kill", 2).await;
    ben.until("its node is gone", |event| matches!(event, Event::Disconnected { .. })).await;
    ada.say(&lobby, "meanwhile").await;
    assert!(!is_ready(&stack.nodes()[1]).await);
    stack.order("start", 2).await;
    ben.say(&lobby, "back").await;
    eventually("it is as before", || is_ready(&stack.nodes()[1])).await;
    eventually("nodes know each other", || async {
        metric(&stack.nodes()[0], "roomcast_nodes").await >= Some(2)
            && metric(&stack.nodes()[1], "roomcast_nodes").await >= Some(2)
    })
    .await;
    let heard = || metric(&stack.nodes()[1], "roomcast_link_segments_received_total");
    eventually("the new node hears of the other one through the link", || async {
        ada.say(&lobby, "do you hear me").await;
        heard().await > Some(0)
    })
    .await;

    // The other way: it drains, and its sessions are told.
    stack.order("stop", 2).await;
    ben.until("it is sent away", |event| matches!(event, Event::Disconnected { close: Some(1012), .. })).await;
    stack.order("start", 2).await;
    ben.say(&lobby, "back again").await;
    stack.cut_links(&[(1, 2)]).await;
    let hung = || async { stack.counted("link").await["hung"].as_u64().unwrap() };
    eventually("a node is parted under the id that it has now", || async {
        ben.say(&lobby, "is there anybody").await;
        hung().await > 0
    })
    .await;
    stack.cut_links(&[]).await;
    crowd.verified().await;
    assert!(!ada.lost_its_place() && !ben.lost_its_place());
    assert_eq!(ada.losses(), 0, "the other node never noticed");
    let finished = stack.stop().await;
    assert!(!finished.stderr.contains("by itself"), "{}", finished.stderr);
}
