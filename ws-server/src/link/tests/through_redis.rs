//! What nodes tell each other through Redis, and what they do without it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use protocol::Envelope;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::redis_hub::Hub;
use super::world::{Asking, Rooms, Served, segment, until, view_of};
use crate::backplane::certificate::TrustRoots;
use crate::config::PeerHints;
use crate::link::accelerator::{AcceleratorSettings, RedisAddress, Target};
use crate::link::queue::Hint;
use crate::link::testing::{alone, keys, node, signal};
use crate::link::{Accelerator, ClusterKeys, LinkCounts, LinkStats, Peers};

const CHANNEL: &str = "roomcast:test";

/// A node at a hub: what it hears, and what it counts.
struct Ear {
    accelerator: Arc<Accelerator>,
    rooms: Arc<Rooms>,
    stats: Arc<LinkStats>,
    _running: AbortOnDropHandle<()>,
}

impl Ear {
    fn start(name: &str, keys: ClusterKeys, port: u16, behind: Duration) -> Self {
        let (rooms, stats) = (Arc::<Rooms>::default(), Arc::<LinkStats>::default());
        let accelerator = accelerator(name, keys, port, behind, Arc::clone(&stats));
        let running = tokio::spawn(Arc::clone(&accelerator).run(Arc::clone(&rooms) as _));
        Self { accelerator, rooms, stats, _running: AbortOnDropHandle::new(running) }
    }

    async fn connected(name: &str, hub: &Hub) -> Self {
        let ear = Self::start(name, keys(), hub.port, Duration::ZERO);
        until(|| ear.accelerator.is_connected()).await;
        ear
    }

    fn segments(&self) -> Vec<u64> {
        let envelopes = self.rooms.envelopes.lock().unwrap();
        envelopes.iter().flat_map(|envelope| &envelope.segments).map(|segment| segment.seq.get()).collect()
    }

    fn counts(&self) -> LinkCounts {
        self.stats.counts()
    }
}

fn accelerator(name: &str, keys: ClusterKeys, port: u16, behind: Duration, stats: Arc<LinkStats>) -> Arc<Accelerator> {
    let address = RedisAddress::parse(&format!("redis://127.0.0.1:{port}"), None).unwrap();
    Accelerator::new(AcceleratorSettings {
        node: node(name),
        target: Target::new(address, &TrustRoots::mozilla()).unwrap(),
        channel: CHANNEL.to_owned(),
        keys,
        clock: Arc::new(move || SystemTime::now() - behind),
        directory: alone(),
        stats,
    })
}

/// A node that asks others, and tells them through a hub.
async fn asking(hub: &Hub, hints: PeerHints, others: &[&Served]) -> (Asking, Ear) {
    let ear = Ear::connected("a", hub).await;
    (Asking::with_accelerator("a", keys(), hints, view_of(others), Some(Arc::clone(&ear.accelerator))), ear)
}

// Through Redis.

#[tokio::test]
async fn what_one_node_says_all_others_hear_in_order_and_it_does_not_hear_itself() {
    let (hub, b) = (Hub::start().await, Served::start("b", keys()).await);
    let (a, own) = asking(&hub, PeerHints::Auto, &[&b]).await;
    let ears = [Ear::connected("b", &hub).await, Ear::connected("c", &hub).await];
    for number in 1..=100 {
        a.link.push_segment(&segment(number));
        a.link.push_signal(signal("a", None, number, 1));
    }
    for ear in &ears {
        until(|| ear.counts().redis_signals_received == 100 && ear.segments().len() == 100).await;
        assert_eq!(ear.segments(), (1..=100).collect::<Vec<_>>());
    }
    until(|| own.counts().redis_segments_published == 100).await;
    let counts = own.counts();
    assert_eq!((counts.redis_signals_published, counts.redis_dropped, counts.redis_lost), (100, 0, 0));
    assert!(counts.redis_publishes < 200, "what gathers goes together: {} publishes", counts.redis_publishes);
    assert_eq!((own.segments().len(), counts.redis_forged), (0, 0));
    assert_eq!((b.segments().len(), a.stats.counts().hint_requests), (0, 0), "nobody is told twice");
    assert!(a.topic.published.lock().unwrap().is_empty(), "signals go one way");
}

#[tokio::test]
async fn peers_are_told_too_when_that_is_asked_for() {
    let (hub, b) = (Hub::start().await, Served::start("b", keys()).await);
    let (a, _own) = asking(&hub, PeerHints::On, &[&b]).await;
    let ear = Ear::connected("c", &hub).await;
    a.link.push_segment(&segment(1));
    until(|| ear.segments() == [1] && b.segments() == [1]).await;
}

#[tokio::test]
async fn nothing_is_said_while_there_is_nobody_to_hear_it() {
    let hub = Hub::start().await;
    let (a, _own) = asking(&hub, PeerHints::Off, &[]).await;
    a.link.push_segment(&segment(1));
    a.link.push_signal(signal("a", None, 1, 1));
    let b = Served::start("b", keys()).await;
    a.directory.send_replace(view_of(&[&b]));
    until(|| {
        a.link.push_segment(&segment(2));
        !hub.payloads().is_empty()
    })
    .await;
    let said = String::from_utf8(hub.payloads().remove(0)).unwrap();
    let envelope = Envelope::parse(said.rsplit('\n').next().unwrap()).unwrap();
    assert!(envelope.segments.iter().all(|segment| segment.seq.get() == 2), "{envelope:?}");
    assert!(envelope.signals.is_empty());
}

// Without Redis.

#[tokio::test]
async fn while_redis_is_away_few_nodes_tell_each_other() {
    let (hub, b) = (Hub::start().await, Served::start("b", keys()).await);
    let port = hub.port;
    let (a, own) = asking(&hub, PeerHints::Auto, &[&b]).await;
    drop(hub);
    until(|| !own.accelerator.is_connected()).await;
    a.link.push_segment(&segment(1));
    a.link.push_signal(signal("a", None, 1, 1));
    until(|| b.segments() == [1] && b.signals() == [1]).await;

    let hub = Hub::start_at(port).await;
    until(|| own.accelerator.is_connected()).await;
    a.link.push_segment(&segment(2));
    until(|| hub.payloads().len() == 1).await;
    assert_eq!(b.segments(), [1]);
    assert!(own.accelerator.away_for().is_none());
}

#[tokio::test]
async fn signals_go_through_sns_where_neither_redis_nor_peers_are_told() {
    let (hub, b) = (Hub::start().await, Served::start("b", keys()).await);
    let (a, own) = asking(&hub, PeerHints::Off, &[&b]).await;
    a.link.push_signal(signal("a", None, 1, 1));
    until(|| hub.payloads().len() == 1).await;
    assert!(a.topic.published.lock().unwrap().is_empty());
    drop(hub);
    until(|| !own.accelerator.is_connected()).await;
    a.link.push_signal(signal("a", None, 2, 1));
    until(|| a.stats.counts().signals_published == 1).await;
    assert_eq!(b.signals().len(), 0);
}

#[tokio::test]
async fn a_redis_that_is_absent_at_the_start_is_found_when_it_comes() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let ear = Ear::start("b", keys(), port, Duration::ZERO);
    until(|| ear.counts().redis_failures >= 2).await;
    assert!(!ear.accelerator.is_connected() && ear.accelerator.away_for().is_some());
    let _hub = Hub::start_at(port).await;
    until(|| ear.accelerator.is_connected()).await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_away_and_what_waits_for_it_is_dropped() {
    let hub = Hub::start().await;
    let ear = Ear::connected("b", &hub).await;
    hub.falls_silent();
    for number in 1..=3 {
        ear.accelerator.push(Hint::Segment("1".into()));
        if number == 1 {
            until(|| ear.counts().redis_publishes == 1).await;
        }
    }
    until(|| !ear.accelerator.is_connected()).await;
    assert_eq!((ear.counts().redis_lost, ear.counts().redis_dropped), (1, 2));
}

#[tokio::test]
async fn a_replica_is_as_good_as_none() {
    let hub = Hub::start().await;
    hub.is_demoted();
    let ear = Ear::start("b", keys(), hub.port, Duration::ZERO);
    until(|| ear.counts().redis_failures >= 2).await;
    assert!(!ear.accelerator.is_connected());
}

#[tokio::test]
async fn what_is_too_much_for_the_queue_is_dropped_and_counted() {
    let stats = Arc::<LinkStats>::default();
    let accelerator = accelerator("a", keys(), 1, Duration::ZERO, Arc::clone(&stats));
    let mebibyte: Arc<str> = "x".repeat(1024 * 1024).into();
    for _ in 0..3 {
        accelerator.push(Hint::Segment(Arc::clone(&mebibyte)));
    }
    assert_eq!(stats.counts().redis_dropped, 2);
}

// What nobody should believe.

#[tokio::test]
async fn forged_payloads_are_refused_and_recorded_ones_count_once() {
    let hub = Hub::start().await;
    let ear = Ear::connected("b", &hub).await;
    let speaker = Ear::connected("a", &hub).await;
    let text = serde_json::to_string(&*segment(1)).unwrap();
    speaker.accelerator.push(Hint::Segment(text.into()));
    until(|| ear.segments() == [1]).await;

    let recorded = hub.payloads().remove(0);
    hub.say(&recorded);
    until(|| ear.counts().redis_replayed == 1).await;
    let mut changed = recorded.clone();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    for forged in [changed, b"hello".to_vec(), br#"{"v":1,"segments":[],"signals":[]}"#.to_vec()] {
        hub.say(&forged);
    }
    until(|| ear.counts().redis_forged == 3).await;
    hub.say(&vec![b'x'; 1024 * 1024]);
    until(|| ear.counts().redis_too_large == 1).await;
    assert_eq!(ear.segments(), [1]);
}

#[tokio::test]
async fn another_key_another_time_and_no_envelope_are_refused() {
    let hub = Hub::start().await;
    let ear = Ear::connected("b", &hub).await;
    let other = ClusterKeys::parse(&"k".repeat(32)).unwrap();
    let stranger = Ear::start("stranger", other, hub.port, Duration::ZERO);
    let late = Ear::start("late", keys(), hub.port, Duration::from_secs(31));
    let odd = Ear::connected("odd", &hub).await;
    for speaker in [&stranger, &late] {
        until(|| speaker.accelerator.is_connected()).await;
        speaker.accelerator.push(Hint::Segment(serde_json::to_string(&*segment(1)).unwrap().into()));
    }
    odd.accelerator.push(Hint::Segment("no JSON".into()));
    until(|| {
        let counts = ear.counts();
        (counts.redis_forged, counts.redis_stale, counts.redis_malformed) == (1, 1, 1)
    })
    .await;
    assert_eq!(ear.segments().len(), 0);
}

#[tokio::test]
async fn rooms_that_are_full_hear_nothing_and_that_is_counted() {
    let hub = Hub::start().await;
    let ear = Ear::connected("b", &hub).await;
    ear.rooms.full.store(true, Ordering::SeqCst);
    let speaker = Ear::connected("a", &hub).await;
    speaker.accelerator.push(Hint::Segment(serde_json::to_string(&*segment(1)).unwrap().into()));
    until(|| ear.counts().redis_overloaded == 1).await;
    assert_eq!(ear.counts().redis_segments_received, 0);
}
