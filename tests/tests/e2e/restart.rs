use std::path::Path;

use client::JoinFrom;
use protocol::{HistoryRange, MessageId, Seq};
use tests::crowd::{fresh_id, room, text_body};
use tests::{Crowd, Stack, StackOptions};

fn kept_in(data: &Path) -> StackOptions {
    StackOptions { data: Some(data.to_owned()), ..StackOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_is_started_again_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let (crowd, lobby) = (Crowd::new(), room("lobby"));

    let stack = Stack::start(kept_in(data.path())).await;
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    for number in 1..=20 {
        ada.say(&lobby, &format!("message {number}")).await;
    }
    crowd.settled().await;
    let position = ben.client.position(&lobby).await.unwrap().unwrap();
    assert_eq!(position.seq.get(), 20);
    ada.depart(&[&lobby]).await;
    ben.depart(&[&lobby]).await;
    stack.stop().await;

    let stack = Stack::start(kept_in(data.path())).await;
    let viewer = crowd.guest(&[stack.ws(1)]).await;
    let from_the_middle = protocol::Position { seq: Seq::new(5).unwrap(), ..position.clone() };
    let joined = viewer.join(&lobby, JoinFrom::After(from_the_middle)).await;
    assert_eq!((joined.recovered, joined.replayed, &joined.position), (true, 15, &position));
    let ada = crowd.guest(&[stack.ws(0)]).await;
    assert_eq!(ada.join(&lobby, JoinFrom::After(position)).await.replayed, 0);
    assert_eq!(ada.say(&lobby, "message 21").await.get(), 21);
    assert_eq!(viewer.say(&lobby, "message 22").await.get(), 22);
    let page = ada.client.history(&lobby, HistoryRange::Before(Seq::new(21).unwrap()), 1_000).await.unwrap();
    assert_eq!(page.messages.len(), 20);
    let report = crowd.verified().await;
    assert_eq!(report.messages, 22);
    stack.stop().await;
}

/// Everything dies at once, in the middle of publishing: what was acknowledged is there afterwards, under its number.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_stack_that_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let stack = Stack::start(kept_in(data.path())).await;
    let mut acked: Vec<(MessageId, Seq)> = Vec::new();
    let publishing = {
        let (url, lobby) = (stack.ws(0), lobby.clone());
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let crowd = Crowd::new();
            let guest = crowd.member(&url, &lobby).await;
            loop {
                let id = fresh_id();
                let Ok(ack) = guest.client.publish(&lobby, id.clone(), text_body("kept")).await else { return };
                if sender.send((id, ack.seq)).is_err() {
                    return;
                }
            }
        });
        receiver
    };
    let mut publishing = publishing;
    while acked.len() < 50 {
        acked.push(publishing.recv().await.expect("publishing goes on"));
    }
    stack.kill();
    while let Ok(more) = publishing.try_recv() {
        acked.push(more);
    }

    let stack = Stack::start(kept_in(data.path())).await;
    let crowd = Crowd::new();
    let reader = crowd.member(&stack.ws(1), &lobby).await;
    let page = reader.client.history(&lobby, HistoryRange::Latest, 1_000).await.unwrap();
    let logged: Vec<(MessageId, Seq)> = page.messages.into_iter().map(|message| (message.id, message.seq)).collect();
    for message in &acked {
        assert!(logged.contains(message), "acknowledged and lost: {message:?}");
    }
    let next = reader.say(&lobby, "after").await;
    assert_eq!(next.get(), logged.len() as u64 + 1, "numbers go on without a hole");
    stack.stop().await;
}
