//! A session comes back with a position that nothing can be continued from.

use client::JoinFrom;
use client::session::Event;
use protocol::{Position, Seq};
use tests::crowd::room;
use tests::room_log::{items, number};
use tests::{Crowd, Guest, Node};

use super::cluster::Cluster;

const MESSAGES: u64 = 30;
/// In seconds since 1970.
const LONG_AGO: u64 = 1;

/// A room with so many messages, each in a segment of its own: a member on each node, and the position of the last.
async fn filled(cluster: &Cluster, crowd: &Crowd) -> (Vec<Guest>, Position) {
    let lobby = room("lobby");
    let mut members = Vec::new();
    for node in &cluster.nodes {
        members.push(crowd.member(&node.ws(), &lobby).await);
    }
    for number in 0..MESSAGES {
        members[0].say(&lobby, &format!("message {number}")).await;
    }
    crowd.settled().await;
    let head = members[0].client.position(&lobby).await.unwrap().unwrap();
    (members, head)
}

/// The segments before this number have outlived their retention.
async fn expire_before(cluster: &Cluster, end: u64) {
    for item in items(&cluster.stack, &room("lobby")).await {
        let seq = number(&item, "seq");
        if seq < end {
            cluster.update("lobby", seq, "SET expires = :value", LONG_AGO).await;
        }
    }
}

fn at(head: &Position, seq: u64) -> Position {
    Position { seq: Seq::new(seq).unwrap(), ..head.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_older_than_retention_is_reset_and_one_that_is_not_goes_on() {
    let mut cluster = Cluster::start(1, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (members, head) = filled(&cluster, &crowd).await;
    expire_before(&cluster, 21).await;
    // It knows the room from the log alone.
    let node = Node::start(&cluster.stack, &[]).await;

    let kept = crowd.guest(&[node.ws()]).await;
    let joined = kept.join(&lobby, JoinFrom::After(at(&head, 20))).await;
    assert_eq!((joined.recovered, joined.replayed), (true, 10));
    let too_late = crowd.guest(&[node.ws()]).await;
    let joined = too_late.join(&lobby, JoinFrom::After(at(&head, 5))).await;
    assert_eq!((joined.recovered, joined.replayed), (false, 0));
    let reset = too_late.until("a reset", |event| matches!(event, Event::Reset { .. })).await;
    assert_eq!(reset, Event::Reset { room: lobby.clone(), position: head.clone() });

    members[0].say(&lobby, "for all").await;
    crowd.verified().await;
    assert_eq!(kept.seqs(&lobby), (21..=MESSAGES + 1).collect::<Vec<_>>());
    assert_eq!(too_late.seqs(&lobby), [MESSAGES + 1]);
    cluster.nodes.push(node);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_has_outlived_its_retention_begins_a_new_epoch_and_all_sessions_are_told() {
    let mut cluster = Cluster::start(2, &[]).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (members, head) = filled(&cluster, &crowd).await;
    expire_before(&cluster, u64::MAX).await;
    let node = Node::start(&cluster.stack, &[]).await;

    let newcomer = crowd.member(&node.ws(), &lobby).await;
    newcomer.say(&lobby, "the first of its epoch").await;
    let position = newcomer.client.position(&lobby).await.unwrap().unwrap();
    assert_eq!(position.epoch.generation(), head.epoch.generation() + 1);
    for member in &members {
        let reset = |event: &Event| matches!(event, Event::Reset { position: to, .. } if to.epoch == position.epoch);
        member.until("a reset to the new epoch", reset).await;
        member.has_seen(&lobby, MESSAGES as usize + 1).await;
    }
    for url in [node.ws(), cluster.nodes[0].ws()] {
        let back = crowd.guest(&[url]).await;
        let joined = back.join(&lobby, JoinFrom::After(at(&head, MESSAGES - 3))).await;
        assert_eq!((joined.recovered, joined.replayed), (false, 0), "its number means something else now");
        let reset = back.until("a reset", |event| matches!(event, Event::Reset { .. })).await;
        assert_eq!(reset, Event::Reset { room: lobby.clone(), position: position.clone() });
    }
    members[1].say(&lobby, "for all").await;
    crowd.verified().await;
    cluster.nodes.push(node);
    cluster.stop().await;
}
