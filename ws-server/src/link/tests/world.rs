//! Nodes with a link and nothing behind it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use protocol::{
    Content, Decline, DisplayName, Envelope, Epoch, HandOff, HandOffAnswer, HandedOutcome, Message, MessageId,
    RoomName, Segment, Seq, UserId,
};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backplane::{EnvelopeSink, Overloaded, PostSink, WallClock};
use crate::config::PeerHints;
use crate::link::client::LinkClient;
use crate::link::directory::{Directory, View};
use crate::link::gate::Gate;
use crate::link::listener::LinkBounds;
use crate::link::routes::LinkDuties;
use crate::link::sns_signals::{PublishSignals, SnsSignals};
use crate::link::testing::{alone, keys, no_table, node};
use crate::link::{Accelerator, ClusterKeys, HandOffSink, Link, LinkStats, routes, serve};

/// How long these nodes wait for a body.
pub(super) const BODY_WITHIN: Duration = Duration::from_millis(300);

/// What a node's rooms were given, and how they behave.
#[derive(Default)]
pub(super) struct Rooms {
    pub(super) envelopes: Mutex<Vec<Envelope>>,
    pub(super) posts: Mutex<Vec<Vec<u8>>>,
    pub(super) full: AtomicBool,
    /// Batches are answered only when this is notified.
    pub(super) held: Mutex<Option<Arc<Notify>>>,
}

impl EnvelopeSink for Rooms {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Overloaded);
        }
        self.envelopes.lock().unwrap().push(envelope);
        Ok(())
    }
}

impl HandOffSink for Rooms {
    fn take_hand_off(&self, hand_off: HandOff) -> BoxFuture<'static, HandOffAnswer> {
        let held = self.held.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(held) = held {
                held.notified().await;
            }
            let outcomes = (1..=hand_off.messages.len() as u64).map(|seq| HandedOutcome::Acked(Seq::new(seq).unwrap()));
            HandOffAnswer::Settled { outcomes: outcomes.collect(), leader: None }
        })
    }
}

impl PostSink for Rooms {
    fn receive_post<'a>(&'a self, body: &'a [u8]) -> BoxFuture<'a, StatusCode> {
        self.posts.lock().unwrap().push(body.to_owned());
        Box::pin(std::future::ready(StatusCode::IM_A_TEAPOT))
    }
}

#[derive(Default)]
pub(super) struct Topic {
    pub(super) published: Mutex<Vec<String>>,
}

impl PublishSignals for Topic {
    fn topics(&self) -> usize {
        1
    }

    fn publish(&self, _topic: usize, message: String) -> BoxFuture<'_, Result<(), String>> {
        self.published.lock().unwrap().push(message);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A node whose port is served.
pub(super) struct Served {
    pub(super) name: &'static str,
    pub(super) address: String,
    pub(super) rooms: Arc<Rooms>,
    pub(super) stats: Arc<LinkStats>,
    pub(super) draining: CancellationToken,
    /// Milliseconds by which its clock is ahead.
    pub(super) ahead: Arc<AtomicI64>,
    pub(super) stop: CancellationToken,
    pub(super) known: Arc<Directory>,
}

impl Served {
    pub(super) async fn start(name: &'static str, keys: ClusterKeys) -> Self {
        Self::start_bounded(name, keys, LinkBounds::default()).await
    }

    pub(super) async fn start_bounded(name: &'static str, keys: ClusterKeys, bounds: LinkBounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (served, routes) = Self::unbound(name, keys, address);
        tokio::spawn(serve(listener, routes, bounds, Arc::clone(&served.stats), served.stop.clone()));
        served
    }

    /// The routes alone.
    pub(super) fn unbound(name: &'static str, keys: ClusterKeys, address: SocketAddr) -> (Self, Router) {
        let (rooms, stats, ahead) = (Arc::<Rooms>::default(), Arc::<LinkStats>::default(), Arc::<AtomicI64>::default());
        let (draining, known) = (CancellationToken::new(), alone());
        let duties = LinkDuties {
            gate: Gate::new(node(name), keys, clock(&ahead), Arc::clone(&stats)).patient(BODY_WITHIN),
            directory: Arc::clone(&known),
            hints: Arc::clone(&rooms) as _,
            hand_offs: Arc::clone(&rooms) as _,
            posts: Arc::clone(&rooms) as _,
            draining: draining.clone(),
            stats: Arc::clone(&stats),
        };
        let (address, stop) = (address.to_string(), CancellationToken::new());
        (Self { name, address, rooms, stats, draining, ahead, stop, known }, routes(duties))
    }

    pub(super) fn segments(&self) -> Vec<u64> {
        let envelopes = self.rooms.envelopes.lock().unwrap();
        envelopes.iter().flat_map(|envelope| &envelope.segments).map(|segment| segment.seq.get()).collect()
    }

    pub(super) fn signals(&self) -> Vec<u64> {
        let envelopes = self.rooms.envelopes.lock().unwrap();
        envelopes.iter().flat_map(|envelope| &envelope.signals).map(|signal| signal.number).collect()
    }
}

fn clock(ahead: &Arc<AtomicI64>) -> WallClock {
    let ahead = Arc::clone(ahead);
    Arc::new(move || {
        let ahead = ahead.load(Ordering::SeqCst);
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    })
}

/// A node that asks.
pub(super) struct Asking {
    pub(super) link: Link,
    pub(super) stats: Arc<LinkStats>,
    pub(super) topic: Arc<Topic>,
    pub(super) directory: watch::Sender<Arc<View>>,
    pub(super) known: Arc<Directory>,
}

impl Asking {
    pub(super) fn start(name: &str, keys: ClusterKeys, hints: PeerHints, view: Arc<View>) -> Self {
        Self::with_accelerator(name, keys, hints, view, None)
    }

    pub(super) fn with_accelerator(
        name: &str,
        keys: ClusterKeys,
        hints: PeerHints,
        view: Arc<View>,
        accelerator: Option<Arc<Accelerator>>,
    ) -> Self {
        let (directory, changes) = watch::channel(view);
        let known = Arc::new(Directory::told(no_table(), changes));
        let (stats, topic) = (Arc::<LinkStats>::default(), Arc::<Topic>::default());
        let client = Arc::new(LinkClient::new(node(name), keys, Arc::new(SystemTime::now)));
        let signals = SnsSignals::start(Arc::clone(&topic) as _, Arc::clone(&known), Arc::clone(&stats));
        let link = Link::start(client, Arc::clone(&known), hints, accelerator, signals, Arc::clone(&stats));
        Self { link, stats, topic, directory, known }
    }

    /// One that knows these nodes.
    pub(super) fn of(others: &[&Served]) -> Self {
        Self::start("a", keys(), PeerHints::Auto, view_of(others))
    }
}

pub(super) fn view_of(others: &[&Served]) -> Arc<View> {
    let nodes: Vec<_> = others.iter().map(|served| (served.name, Some(served.address.as_str()))).collect();
    crate::link::testing::view(&nodes)
}

fn message(number: u64) -> Message {
    Message {
        id: MessageId::new(&format!("m{number}")).unwrap(),
        from: UserId::new("u").unwrap(),
        name: DisplayName::new("U").unwrap(),
        at: 1,
        body: protocol::Body::parse("1").unwrap(),
    }
}

pub(super) fn segment(seq: u64) -> Arc<Segment> {
    Arc::new(Segment {
        room: RoomName::new("a").unwrap(),
        seq: Seq::new(seq).unwrap(),
        epoch: Epoch::parse("1.0").unwrap(),
        node: node("a"),
        expires: protocol::WallSecs(2_000_000_000),
        content: Content::Messages(vec![message(seq)]),
    })
}

pub(super) fn hand_off(messages: u64) -> HandOff {
    HandOff {
        room: RoomName::new("a").unwrap(),
        epoch: Epoch::parse("1.0").unwrap(),
        checked: Seq::FIRST,
        stream: 7,
        index: 1,
        messages: (0..messages).map(message).collect(),
    }
}

pub(super) fn declined(reason: Decline) -> HandOffAnswer {
    HandOffAnswer::Declined { reason, leader: None }
}

pub(super) async fn until(wanted: impl Fn() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.expect("it happens in time");
}
