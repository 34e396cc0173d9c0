use super::*;
use crate::link::NoPeers;
use crate::message_log::DynamoLog;
use crate::message_log::memory::MemoryLog;
use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
use crate::tables::ensure_tables;

#[derive(Default)]
struct Sink(Mutex<Vec<Segment>>);

impl EnvelopeSink for Sink {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        self.0.lock().unwrap().extend(envelope.segments);
        Ok(())
    }
}

#[derive(Default)]
struct Listener(Mutex<Vec<bool>>);

impl ChainListener for Listener {
    fn chain_broken(&self, broken: bool) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().push(broken);
        Box::pin(std::future::ready(()))
    }
}

fn clock() -> WallClock {
    Arc::new(SystemTime::now)
}

fn node() -> NodeId {
    NodeId::from_random(7)
}

fn envelope(segment: &Segment) -> Envelope {
    Envelope { segments: vec![segment.clone()], signals: Vec::new(), unreadable: 0 }
}

#[test]
fn every_topic_has_a_room_for_pulses() {
    for topics in 1..20 {
        for topic in 0..topics {
            assert_eq!(topic_shard(&pulse_room(topic, topics), topics), topic);
        }
    }
    assert_eq!(pulse_room(0, 1).as_str(), "$pulse");
}

#[tokio::test]
async fn a_pulse_can_be_written_and_travels_as_a_segment_that_rooms_never_see() {
    let chain = Chain::new(node(), 1);
    let pulse = chain.pulse(0, SystemTime::now());
    let log = MemoryLog::default();
    assert_eq!(log.append(&pulse).await, AppendOutcome::Committed);
    let text = serde_json::to_string(pulse.segment.as_ref()).unwrap();
    let parsed = Envelope::parse(&Envelope::join([text.as_str()])).unwrap();
    assert_eq!((parsed.segments.len(), parsed.unreadable), (1, 0));
    let sink = Arc::new(Sink::default());
    chain.watch_deliveries(sink.clone()).deliver(parsed).unwrap();
    assert!(sink.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn own_segments_that_come_back_are_counted_with_their_time() {
    let chain = Chain::new(node(), 1);
    let peers = chain.watch_commits(Arc::new(NoPeers));
    let sink = Arc::new(Sink::default());
    let watched = chain.watch_deliveries(sink.clone());
    let mut segment = Segment::clone(&chain.pulse(0, SystemTime::now()).segment);
    segment.room = RoomName::new("room").unwrap();
    peers.push_segment(&Arc::new(segment.clone()));
    for _ in 0..2 {
        watched.deliver(envelope(&segment)).unwrap();
    }
    segment.node = NodeId::from_random(8);
    watched.deliver(envelope(&segment)).unwrap();
    assert_eq!(chain.stats().own_segments.load(Ordering::Relaxed), 1);
    assert_eq!(sink.0.lock().unwrap().len(), 3, "everything is handed on");
}

#[tokio::test]
async fn pulses_of_the_same_millisecond_are_no_failure_and_no_message() {
    let (dynamo, names) = (EmbeddedDynamo::start().await, fresh_names());
    ensure_tables(&dynamo.client, &names, true).await.unwrap();
    let log = DynamoLog::new(&dynamo.client, names.messages);
    let millisecond = SystemTime::now();
    let clock: WallClock = Arc::new(move || millisecond);
    for number in [7, 8] {
        let chain = Chain::new(NodeId::from_random(number), 1);
        chain.act_on(0, Some(Finding::Pulse), &log, &clock).await;
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((counted(&chain.stats().pulses), counted(&chain.stats().pulses_failed)), (1, 0), "node {number}");
    }
    assert_eq!(log.corrupt_items(), 0);
}

const LOOK: Duration = Duration::from_millis(5);

#[tokio::test]
async fn silence_is_answered_with_a_pulse_and_the_rooms_are_told_when_it_does_not_come() {
    let chain = Chain::new(node(), 1);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    *chain.watches() = vec![Watch::new(long_ago, 0.5)];
    let log = Arc::new(MemoryLog::default());
    let (listener, stop) = (Arc::new(Listener::default()), CancellationToken::new());
    let settings =
        ChainSettings { log: log.clone(), listener: listener.clone(), clock: clock(), look: LOOK, stop: stop.clone() };
    let task = tokio::spawn(Arc::clone(&chain).run(settings));
    let room = RoomName::of_service("pulse").unwrap();
    while log.read_back(&room, None, 1).await.unwrap().is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(chain.stats().pulses.load(Ordering::Relaxed), 1);
    assert!(listener.0.lock().unwrap().is_empty(), "its time has not passed");
    *chain.watches() = vec![{
        let mut watch = Watch::new(long_ago, 0.5);
        assert_eq!(watch.poll(long_ago + Duration::from_secs(31), 0.5), Some(Finding::Pulse));
        watch
    }];
    while listener.0.lock().unwrap().is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(chain.broken().len(), 1);
    let segment = chain.pulse(0, SystemTime::now()).segment;
    chain.watch_deliveries(Arc::new(Sink::default())).deliver(envelope(&segment)).unwrap();
    while listener.0.lock().unwrap().len() < 2 {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(*listener.0.lock().unwrap(), [true, false]);
    assert!(chain.broken().is_empty());
    stop.cancel();
    task.await.unwrap();
}
