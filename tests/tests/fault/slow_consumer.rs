//! A client that does not read while its room is at full speed.

use std::sync::Arc;
use std::time::Duration;

use client::{RawSocket, encode};
use protocol::{ClientFrame, Epoch, JoinFrom, Position, RoomName, Seq, ServerFrame};
use tests::crowd::room;
use tests::{Node, eventually_within};
use tokio::task::JoinSet;

use super::cluster::{BOUND, Cluster};
use super::load::{Load, LoadOptions};
use super::scale::scale;

const SLOW: usize = 4;
const BODY: usize = 15_000;
/// The node may hold so much more than before the slow ones came. Their outboxes hold 1 MiB each, and the same messages.
const MORE_MEMORY: u64 = 20 << 20;

/// Somebody who entered the room and has not read since.
struct Slow {
    socket: RawSocket,
    session: String,
    epoch: Epoch,
    seq: u64,
}

/// Enters a room; where it is, and how many messages come first.
async fn enter(node: &Node, room: &RoomName, from: JoinFrom) -> (Slow, u64) {
    let mut socket = RawSocket::connect(&format!("{}/ws", node.ws()), &[]).await.expect("the node is there");
    let ServerFrame::Welcome(welcome) = socket.recv_frame(BOUND).await.expect("the node greets") else { panic!() };
    let join = ClientFrame::Join { room: room.clone(), from, reference: None };
    socket.send_text(encode(&join)).await.expect("the node listens");
    let ServerFrame::Joined(joined) = socket.recv_frame(BOUND).await.expect("the node answers") else { panic!() };
    assert!(joined.recovered, "its place is still there");
    let Position { epoch, seq } = joined.position;
    let slow = Slow { socket, session: welcome.session.to_string(), epoch, seq: seq.get() - joined.replayed };
    (slow, joined.replayed)
}

impl Slow {
    /// Reads messages in their order up to this number, or to the end of the connection; the close code then.
    async fn read(&mut self, up_to: u64) -> Option<u16> {
        while self.seq < up_to {
            match self.socket.recv_frame(BOUND).await {
                Ok(ServerFrame::Message(message)) => {
                    self.seq += 1;
                    assert_eq!(message.seq.get(), self.seq, "no number is skipped, none comes twice");
                }
                Ok(_) => {}
                Err(client::RawError::NotAFrame(client::Frame::Closed(close))) => return close.code,
                Err(error) => panic!("{error}"),
            }
        }
        None
    }

    fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), seq: Seq::new(self.seq).expect("a number of a message") }
    }
}

/// Reads again as soon as the node has given it up.
async fn read_when_given_up(mut slow: Slow, stderr: impl Fn() -> String) -> (Slow, Option<u16>) {
    let closing = |line: &str| line.contains("closing") && line.contains(&slow.session);
    eventually_within(BOUND, "the node gives a slow consumer up", || async { stderr().lines().any(closing) }).await;
    let code = slow.read(u64::MAX).await;
    (slow, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_at_full_speed_are_closed_with_4008_cost_no_memory_and_resume_without_loss() {
    let cluster = Cluster::start(2, &["--log", "warn,ws_server::connection=debug"]).await;
    let node = &cluster.nodes[0];
    let full_speed = LoadOptions {
        publishers: 1,
        pause: Duration::ZERO,
        in_flight: 8,
        bytes: BODY,
        ..LoadOptions::chat(cluster.homes())
    };
    let mut load = Load::start(full_speed).await;
    load.lasts(scale().calm).await;
    load.chapter("slow consumers");
    let before = node.process().resident_bytes();
    let mut given_up = JoinSet::new();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(enter(node, load.room(), JoinFrom::Head).await.0);
    }
    let unread = load.acked() + scale().unread as u64;
    let stderr = Arc::new(node.process().stderr_reader());
    for slow in slow {
        let stderr = Arc::clone(&stderr);
        given_up.spawn(read_when_given_up(slow, move || stderr()));
    }
    let mut most = before;
    while load.acked() < unread {
        load.advances(10).await;
        most = most.max(node.process().resident_bytes());
    }
    let given_up = given_up.join_all().await;
    let done = load.done(&cluster.stack).await;
    assert!(done.outcome.disconnects.is_empty(), "those who read stay: {}", done.outcome.setbacks());
    let mut told = 0;
    let head = done.logs[0].len() as u64;
    for (node, (slow, code)) in cluster.nodes.iter().cycle().zip(given_up) {
        // The code reaches whoever reads again within a second; after that the connection is cut.
        assert!(matches!(code, Some(4008) | None), "{code:?}");
        told += usize::from(code.is_some());
        assert!(slow.seq < head, "it has missed something");
        let (mut back, replayed) = enter(node, &room("room-0"), JoinFrom::After(slow.position())).await;
        assert_eq!((back.seq, replayed), (slow.seq, head - slow.seq), "it goes on where it was");
        assert_eq!(back.read(head).await, None, "and gets all of it");
    }
    assert!(told > 0, "nobody was told to resume");
    let grown = most - before;
    assert!((scale().unread * BODY) as u64 > MORE_MEMORY, "what was not read would be seen");
    assert!(grown < MORE_MEMORY, "{} MiB more for {SLOW} slow consumers", grown >> 20);
    eprintln!("fault slow-consumer: the node held {} MiB, at most {} MiB more", before >> 20, grown >> 20);
    done.print("slow-consumer");
    cluster.stop().await;
}
