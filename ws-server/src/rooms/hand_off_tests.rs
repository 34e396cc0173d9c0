//! Nodes that write one room and hand their batches to each other, over a way that may be broken.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::{
    Content, Decline, Envelope, Epoch, HandOff, HandOffAnswer, HandedOutcome, JoinFrom, NodeId, Segment, Seq,
    ServerFrame, Signal,
};
use tokio::time::timeout;

use super::Rooms;
use super::slow_log::SlowLog;
use super::testing::{Client, PATIENCE, limits, mailboxes, room, seqs};
use crate::backplane::EnvelopeSink;
use crate::link::{HandOffSink, HandOverOutcome, Peers};
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;

/// The way between the nodes of a test.
#[derive(Clone, Default)]
struct Way {
    nodes: Arc<Mutex<HashMap<NodeId, Rooms>>>,
    /// Every second answer is lost.
    lossy: Arc<AtomicBool>,
    handed: Arc<AtomicUsize>,
}

struct From(NodeId, Way);

impl Peers for From {
    fn push_segment(&self, segment: &Arc<Segment>) {
        for (node, rooms) in self.1.nodes.lock().unwrap().iter() {
            if *node != self.0 {
                let segments = vec![Segment::clone(segment)];
                rooms.deliver(Envelope { segments, signals: Vec::new(), unreadable: 0 }).unwrap();
            }
        }
    }

    fn push_signal(&self, _signal: Signal) {}

    fn hand_over(&self, to: NodeId, hand_off: HandOff) -> BoxFuture<'static, HandOverOutcome> {
        let number = self.1.handed.fetch_add(1, Ordering::SeqCst);
        let lost = self.1.lossy.load(Ordering::SeqCst) && number.is_multiple_of(2);
        let target = self.1.nodes.lock().unwrap().get(&to).cloned();
        Box::pin(async move {
            let Some(target) = target else { return HandOverOutcome::NotSent };
            let answer = target.take_hand_off(hand_off);
            if lost {
                // The batch is on its way all the same.
                tokio::spawn(answer);
                return HandOverOutcome::Unknown;
            }
            HandOverOutcome::Answered(answer.await)
        })
    }
}

fn start(way: &Way, log: &Arc<dyn MessageLog>, number: u64) -> Rooms {
    let id = NodeId::from_random(number);
    let rooms = Rooms::start(&id, log, Arc::new(From(id.clone(), way.clone())), &limits(&[]), &mailboxes());
    way.nodes.lock().unwrap().insert(id, rooms.clone());
    rooms
}

const EACH: u64 = 300;

/// Two publishers on each of three nodes; returns what each node's viewer saw.
async fn contend(way: &Way) -> Vec<Vec<u64>> {
    let log: Arc<dyn MessageLog> = SlowLog::with_writes(500..3_000);
    let nodes: Vec<Rooms> = (1..=3).map(|number| start(way, &log, number)).collect();
    let mut publishers = Vec::new();
    let mut viewers = Vec::new();
    for (number, rooms) in nodes.iter().enumerate() {
        let viewer = Client::new(rooms, 100 + number as u64, 64 << 20);
        viewer.join(JoinFrom::Head).await;
        viewer.receive(1).await;
        viewers.push(viewer);
        for half in 0..2 {
            publishers.push(Client::new(rooms, 2 * number as u64 + half, 64 << 20));
        }
    }
    let publishing = publishers.into_iter().map(|publisher| async move {
        publisher.join(JoinFrom::Head).await;
        for number in 1..=EACH {
            publisher.publish(&format!("m{number}"), "1").await;
            if number % 5 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let done = |frames: &[ServerFrame]| frames.iter().filter(|f| matches!(f, ServerFrame::Ack(_))).count();
        let frames = publisher.receive_until(|frames| done(frames) as u64 >= EACH).await;
        let errors = frames.iter().filter(|frame| matches!(frame, ServerFrame::Error(_))).count();
        assert_eq!(errors, 0, "everything is taken");
        // Acknowledgements may overtake each other, messages may not.
        let acked: BTreeMap<u64, u64> = frames.iter().filter_map(acked).collect();
        assert!(acked.values().is_sorted(), "a publisher's messages keep their order");
        acked.into_values().collect::<Vec<u64>>()
    });
    let acked: Vec<u64> = futures_util::future::join_all(publishing).await.concat();
    let unique: HashSet<u64> = acked.iter().copied().collect();
    assert_eq!(unique.len() as u64, 6 * EACH, "every publish has a number of its own");
    let mut seen = Vec::new();
    for viewer in viewers {
        let messages = |frames: &[ServerFrame]| frames.iter().filter(|f| matches!(f, ServerFrame::Message(_))).count();
        seen.push(seqs(&viewer.receive_until(|frames| messages(frames) as u64 >= 6 * EACH).await));
    }
    seen
}

/// Which of its publisher's messages got which number.
fn acked(frame: &ServerFrame) -> Option<(u64, u64)> {
    match frame {
        ServerFrame::Ack(ack) => Some((ack.id.as_str()[1..].parse().unwrap(), ack.seq.get())),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_contend_for_a_room_hand_their_batches_over_and_lose_nothing() {
    let way = Way::default();
    let all: Vec<u64> = (1..=6 * EACH).collect();
    for seen in timeout(3 * PATIENCE, contend(&way)).await.unwrap() {
        assert_eq!(seen, all);
    }
    assert!(way.handed.load(Ordering::SeqCst) > 10, "batches were handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_cost_time_and_nothing_else() {
    let way = Way::default();
    way.lossy.store(true, Ordering::SeqCst);
    let all: Vec<u64> = (1..=6 * EACH).collect();
    for seen in timeout(3 * PATIENCE, contend(&way)).await.unwrap() {
        assert_eq!(seen, all);
    }
    assert!(way.handed.load(Ordering::SeqCst) > 2, "batches were handed over");
}

fn batch(epoch: &Epoch, ids: &[&str]) -> HandOff {
    let source =
        Client::new(&start(&Way::default(), &(Arc::new(MemoryLog::default()) as Arc<dyn MessageLog>), 9), 1, 1);
    let messages = ids.iter().map(|id| source.message(id, "1")).collect();
    let stream = fastrand::u64(..);
    HandOff { room: room(), epoch: epoch.clone(), checked: Seq::FIRST, stream, index: 1, messages }
}

#[tokio::test]
async fn a_batch_is_taken_only_where_its_room_is_open_and_written() {
    let log: Arc<dyn MessageLog> = Arc::new(MemoryLog::default());
    let rooms = start(&Way::default(), &log, 1);
    let declined = HandOffAnswer::Declined { reason: Decline::NotReady, leader: None };
    assert_eq!(rooms.take_hand_off(batch(&Epoch::none(), &["a"])).await, declined, "nobody is in the room");
    let ada = Client::new(&rooms, 1, 1 << 20);
    ada.join(JoinFrom::Head).await;
    ada.receive(1).await;
    assert_eq!(rooms.take_hand_off(batch(&Epoch::none(), &["a"])).await, declined, "nobody has written here");
    ada.publish_all(1..=3).await;
    assert_eq!(rooms.take_hand_off(batch(&Epoch::none(), &["a"])).await, declined, "another epoch");
    let epoch = log.header(&room()).await.unwrap().unwrap().epoch;
    assert_eq!(rooms.take_hand_off(batch(&epoch, &[])).await, declined, "nothing is no batch");
    let answer = rooms.take_hand_off(batch(&epoch, &["a", "b", "m2"])).await;
    let acked = |seq| HandedOutcome::Acked(Seq::new(seq).unwrap());
    let HandOffAnswer::Settled { outcomes, leader: None } = answer else { panic!("{answer:?}") };
    // The body of `m2` is another one.
    assert_eq!(outcomes[..2], [acked(4), acked(5)]);
    assert_eq!(outcomes[2], HandedOutcome::Conflict(Seq::new(2).unwrap()));
    let again = rooms.take_hand_off(batch(&epoch, &["b", "a"])).await;
    assert_eq!(again, HandOffAnswer::Settled { outcomes: vec![acked(5), acked(4)], leader: None }, "a repeat");
    let logged = log.read(&room(), Seq::FIRST, 100).await.unwrap();
    let count: usize = logged.iter().map(|stored| stored.segment.messages().len()).sum();
    assert_eq!(count, 5);
    assert!(logged.iter().all(|stored| matches!(stored.segment.content, Content::Messages(_))));
}
