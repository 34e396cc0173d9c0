use client::session::PublishFailure;
use client::{ClientOptions, JoinFrom, RequestError};
use protocol::{ErrorCode, HistoryRange, MessageId, RoomName};
use tests::crowd::{fresh_id, options, room, text_body};
use tests::{Crowd, Guest, Stack, StackOptions};

/// One user, on whatever node.
async fn the_same_user(crowd: &Crowd, url: &str, room: &RoomName) -> Guest {
    let guest = Some("one secret".to_owned());
    let guest = crowd.guest_with(ClientOptions { guest, ..options(&[url.to_owned()]) }).await;
    guest.join(room, JoinFrom::Head).await;
    guest
}

/// The numbers under which the log has a message id.
async fn logged(guest: &Guest, room: &RoomName, id: &MessageId) -> Vec<u64> {
    let page = guest.client.history(room, HistoryRange::Latest, 1_000).await.unwrap();
    assert!(!page.more, "the whole room fits one page");
    page.messages.iter().filter(|message| message.id == *id).map(|message| message.seq.get()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_sent_again_is_one_message_on_either_node() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let here = the_same_user(&crowd, &stack.ws(0), &lobby).await;
    let there = the_same_user(&crowd, &stack.ws(1), &lobby).await;
    assert_eq!(here.client.user(), there.client.user());
    let (id, body) = (fresh_id(), text_body("once"));
    let first = here.publish(&lobby, id.clone(), body.clone()).await;
    here.say(&lobby, "something else").await;
    assert_eq!(here.publish(&lobby, id.clone(), body.clone()).await, first);
    assert_eq!(there.publish(&lobby, id.clone(), body.clone()).await, first);
    assert_eq!(logged(&here, &lobby, &id).await, [first.get()]);
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (2, 4), "{report}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_another_spelling_is_the_same_message_on_either_node() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let here = the_same_user(&crowd, &stack.ws(0), &lobby).await;
    let there = the_same_user(&crowd, &stack.ws(1), &lobby).await;
    let spelled = |text: &str| protocol::Body::parse(text).unwrap();
    let id = fresh_id();
    let first = here.publish(&lobby, id.clone(), spelled(r#"{"a":1,"b":"é"}"#)).await;
    for spelling in [r#"{"b":"é","a":1}"#, r#"{ "a" : 1.0, "b" : "\u00e9" }"#, r#"{"a":2,"a":10e-1,"b":"é"}"#] {
        assert_eq!(here.publish(&lobby, id.clone(), spelled(spelling)).await, first, "{spelling}");
        assert_eq!(there.publish(&lobby, id.clone(), spelled(spelling)).await, first, "{spelling}");
    }
    assert_eq!(logged(&there, &lobby, &id).await, [first.get()]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_sent_to_both_nodes_at_once_is_one_message() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let here = the_same_user(&crowd, &stack.ws(0), &lobby).await;
    let there = the_same_user(&crowd, &stack.ws(1), &lobby).await;
    for round in 0..20 {
        let (id, body) = (fresh_id(), text_body(&format!("round {round}")));
        let (one, other) = tokio::join!(
            here.publish(&lobby, id.clone(), body.clone()),
            there.publish(&lobby, id.clone(), body.clone())
        );
        assert_eq!(one, other, "round {round}");
    }
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (20, 40), "{report}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_another_body_is_a_conflict_on_either_node() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let here = the_same_user(&crowd, &stack.ws(0), &lobby).await;
    let there = the_same_user(&crowd, &stack.ws(1), &lobby).await;
    let id = fresh_id();
    here.publish(&lobby, id.clone(), text_body("the first body")).await;
    // An own message is an acknowledgement to its client: it must not come while the other one waits for its answer.
    here.has_seen(&lobby, 1).await;
    there.has_seen(&lobby, 1).await;
    for guest in [&here, &there] {
        match guest.client.publish(&lobby, id.clone(), text_body("another body")).await {
            Err(RequestError::Publish(PublishFailure::Refused { code: ErrorCode::IdConflict, seq, .. })) => {
                assert_eq!(seq.map(protocol::Seq::get), Some(1), "it names the message that has the id");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(logged(&there, &lobby, &id).await, [1]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_may_use_the_same_id() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&stack.ws(0), &lobby).await, crowd.member(&stack.ws(1), &lobby).await);
    let id = fresh_id();
    let first = ada.publish(&lobby, id.clone(), text_body("ada's")).await;
    let second = ben.publish(&lobby, id.clone(), text_body("ben's")).await;
    assert_ne!(first, second);
    crowd.verified().await;
    stack.stop().await;
}
