//! A message that DynamoDB refuses, and a segment that this version cannot read.

use client::session::PublishFailure;
use client::{Client, ClientOptions, Event, EventQueue, JoinFrom, RequestError};
use protocol::{ErrorCode, Position, Seq};
use serde_json::json;
use tests::Crowd;
use tests::crowd::{fresh_id, options, room, text_body};
use tests::room_log::{items, number};

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions};
use super::scale::scale;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_dynamodb_refuses_fails_alone_and_its_room_goes_on() {
    let cluster = Cluster::start(2, &[]).await;
    let mut load = Load::start(LoadOptions::chat(cluster.homes())).await;
    load.lasts(scale().calm).await;
    load.chapter("refused");
    cluster.stack.break_now("dynamodb.refuse=zzpoison").await;
    let mut offenders = Vec::new();
    for home in cluster.homes() {
        let options = ClientOptions { events: EventQueue::Discard, ..options(&home) };
        let client = Client::connect(options).await.expect("the service greets");
        client.join(load.room(), JoinFrom::Head).await.expect("the room takes everybody");
        offenders.push(client);
    }
    for _ in 0..scale().refused {
        for offender in &offenders {
            let publish = offender.publish(load.room(), fresh_id(), text_body("zzpoison"));
            match tokio::time::timeout(BOUND, publish).await.expect("it is answered") {
                Err(RequestError::Publish(PublishFailure::Refused { code: ErrorCode::BadFrame, .. })) => {}
                other => panic!("{other:?}"),
            }
        }
        load.advances(5).await;
    }
    for offender in &offenders {
        offender.ping().await.expect("whoever published it may go on");
    }
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty() && done.outcome.delayed == 0, "{}", done.outcome.setbacks());
    done.print("refused-message");
    cluster.stop().await;
}

/// As in the middle of a deploy: a newer node writes what an older one cannot read.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_of_a_newer_version_is_passed_over_with_a_reset_and_its_room_goes_on() {
    let cluster = Cluster::start(2, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let mut members = Vec::new();
    for node in &cluster.nodes {
        members.push(crowd.member(&node.ws(), &lobby).await);
    }
    members[0].say(&lobby, "before").await;
    crowd.settled().await;
    let mut item = items(&cluster.stack, &lobby).await.pop().expect("there is a message");
    let version = number(&item, "v");
    for (name, value) in [("seq", 2), ("count", 3), ("v", version + 1)] {
        item[name] = json!({ "N": value.to_string() });
    }
    item["messages"] = json!({ "S": "said in a way that nobody here knows" });
    let put = json!({ "TableName": cluster.stack.announced("messages_table"), "Item": item });
    cluster.stack.dynamodb("PutItem", &put).await;
    let epoch = members[0].client.position(&lobby).await.unwrap().unwrap().epoch;
    let after = Position { epoch, seq: Seq::new(4).unwrap() };
    for member in &members {
        let reset = |event: &Event| matches!(event, Event::Reset { position, .. } if *position == after);
        member.until("a reset to what follows", reset).await;
    }
    assert_eq!(members[1].say(&lobby, "after").await.get(), 5);
    for member in &members {
        member.has_seen(&lobby, 2).await;
        assert_eq!(member.seqs(&lobby), [1, 5]);
    }
    crowd.verified().await;
    cluster.stop().await;
}
