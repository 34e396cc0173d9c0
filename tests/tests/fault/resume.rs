//! A session whose node was killed goes on at another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use client::session::Event;
use client::{JoinFrom, RawSocket, encode};
use protocol::{ClientFrame, ServerFrame};
use tests::chat_text::chat_text;
use tests::crowd::{room, text_body};
use tests::room_log::room_log;
use tests::{Crowd, Node};

use super::cluster::{BOUND, Cluster};

const PUBLISHES: usize = 200;
/// Bytes: so many that they do not fit a single segment, nor five.
const BODY: usize = 4_000;
const ROOMS: usize = 100;
const ROUNDS: usize = 3;

/// The same user on any node, in the lobby.
async fn publisher(node: &Node) -> RawSocket {
    let url = format!("{}/ws?guest=one-secret", node.ws());
    let mut socket = RawSocket::connect(&url, &[]).await.expect("the node is there");
    let join = ClientFrame::Join { room: room("lobby"), from: JoinFrom::Head, reference: None };
    socket.send_text(encode(&join)).await.expect("the node listens");
    while !matches!(socket.recv_frame(BOUND).await.expect("the node answers"), ServerFrame::Joined(_)) {}
    socket
}

/// Sends the same publishes each time that it is called.
async fn send_all(socket: &mut RawSocket) {
    for number in 0..PUBLISHES {
        let id = protocol::MessageId::new(&format!("p{number}")).unwrap();
        let body = text_body(&chat_text(number as u64, BODY));
        socket.send_text(encode(&ClientFrame::Publish { room: room("lobby"), id, body })).await.unwrap();
    }
}

/// The next acknowledgement: the id and the number.
async fn acknowledged(socket: &mut RawSocket) -> (String, u64) {
    loop {
        match socket.recv_frame(BOUND).await.expect("publishes are answered") {
            ServerFrame::Ack(ack) => return (ack.id.to_string(), ack.seq.get()),
            ServerFrame::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_that_a_killed_node_had_written_and_not_acknowledged_are_found_when_they_come_to_another_node() {
    let mut cluster = Cluster::with_commits_of(20, 2, &[]).await;
    let mut socket = publisher(&cluster.nodes[0]).await;
    send_all(&mut socket).await;
    let first = acknowledged(&mut socket).await;
    cluster.nodes.remove(0).kill();
    let written = room_log(&cluster.stack, &room("lobby")).await.len();

    let mut socket = publisher(&cluster.nodes[0]).await;
    send_all(&mut socket).await;
    let mut acks = BTreeMap::new();
    while acks.len() < PUBLISHES {
        let (id, seq) = acknowledged(&mut socket).await;
        assert_eq!(acks.insert(id, seq), None, "each has one answer");
    }
    assert_eq!(acks[&first.0], first.1, "the same number as before");
    let log = room_log(&cluster.stack, &room("lobby")).await;
    let logged: BTreeMap<_, _> = log.into_iter().map(|message| (message.id, message.seq)).collect();
    assert_eq!(logged, acks, "each is there once, under the number that it was acknowledged with");
    assert!(written > 0, "some had been written");
    eprintln!("fault publishes-sent-again: {written} of {PUBLISHES} had been written by the node that was killed");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_a_hundred_rooms_goes_on_in_all_of_them_at_another_node_when_its_own_is_killed() {
    let mut cluster = Cluster::start(2, &[]).await;
    let crowd = Crowd::new();
    let rooms: Vec<_> = (0..ROOMS).map(|number| room(&format!("room-{number}"))).collect();
    let viewer = crowd.guest(&cluster.homes()[0]).await;
    let speaker = crowd.guest(&[cluster.nodes[1].ws()]).await;
    for room in &rooms {
        viewer.join(room, JoinFrom::Head).await;
        speaker.join(room, JoinFrom::Head).await;
    }
    let speak = async |when: &str| {
        for round in 0..ROUNDS {
            for room in &rooms {
                speaker.shout(room, &format!("{when} {round}")).await;
            }
        }
    };
    speak("before").await;
    crowd.settled().await;
    let killed = Instant::now();
    cluster.nodes.remove(0).kill();
    speak("meanwhile").await;
    let resumed = |event: &Event| matches!(event, Event::Joined { resumed: true, .. });
    viewer.count_reaches("rooms that the session is in again", ROOMS, resumed).await;
    let back = killed.elapsed();
    speak("after").await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), ((3 * ROUNDS * ROOMS) as u64, (6 * ROUNDS * ROOMS) as u64));
    assert!(!viewer.lost_its_place());
    let back_in: BTreeSet<_> = viewer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Joined { room, resumed: true, recovered: true, .. } => Some(room),
            _ => None,
        })
        .collect();
    assert_eq!(back_in.len(), ROOMS);
    eprintln!("fault session-in-{ROOMS}-rooms: in all of them again {back:.1?} after the kill");
    cluster.stop().await;
}
