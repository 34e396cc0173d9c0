//! How often a session may say something.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser as _;
use protocol::{DisplayName, ErrorCode, ErrorFrame, NodeId, ServerFrame, SessionId, UserId};
use tokio::time::timeout;

use super::outbox::Outbound;
use super::requests::Requests;
use super::{Connections, Frame, Mailboxes, Outbox};
use crate::config::Config;
use crate::link::NoPeers;
use crate::message_log::MessageLog;
use crate::message_log::memory::MemoryLog;
use crate::rooms::{Rooms, Session};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    requests: Requests,
    session: Arc<Session>,
    connections: Arc<Connections>,
}

impl World {
    /// A session that has joined a room, on a node with these flags.
    async fn joined(flags: &[&str]) -> Self {
        let needed = ["x", "--topic-arn", crate::backplane::testing::TOPIC, "--sns-endpoint", "http://127.0.0.1:1"];
        let limits = Config::try_parse_from(needed.iter().chain(flags)).unwrap().limits.limits().unwrap();
        let (node, log): (_, Arc<dyn MessageLog>) = (NodeId::from_random(1), Arc::new(MemoryLog::default()));
        let rooms = Rooms::start(&node, &log, Arc::new(NoPeers), &limits, &Mailboxes::new(1));
        let connections = Connections::new(node, rooms, limits, &Mailboxes::new(1)).unwrap();
        let session = Arc::new(Session {
            id: SessionId::from_random(1),
            user: UserId::new("ada").unwrap(),
            name: DisplayName::new("Ada").unwrap(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            outbox: Outbox::of_nobody(1 << 20),
        });
        let requests = Requests::new(Arc::clone(&session), Arc::clone(&connections));
        let mut world = Self { requests, session, connections };
        world.says(r#"{"type":"join","room":"r"}"#).await;
        assert!(matches!(world.frames(1).await[0], ServerFrame::Joined(_)));
        world
    }

    async fn says(&mut self, text: &str) {
        self.requests.handle(text).unwrap();
    }

    /// The next frames, so many at least.
    async fn frames(&self, least: usize) -> Vec<ServerFrame> {
        let mut frames = Vec::new();
        while frames.len() < least {
            let next = timeout(PATIENCE, self.session.outbox.next(usize::MAX)).await.expect("there is something");
            let Outbound::Frames(more, _) = next else { panic!("it is closed") };
            frames.extend(more.iter().flat_map(Frame::texts).map(|text| ServerFrame::parse(text).unwrap()));
        }
        frames
    }
}

fn errors(frames: &[ServerFrame]) -> Vec<&ErrorFrame> {
    frames.iter().filter_map(|frame| if let ServerFrame::Error(error) = frame { Some(error) } else { None }).collect()
}

#[tokio::test]
async fn publishes_beyond_the_rate_are_refused_each_by_its_id_and_the_others_are_taken() {
    let mut world = World::joined(&["--publishes-per-second", "3"]).await;
    for number in 0..10 {
        world.says(&format!(r#"{{"type":"publish","room":"r","id":"m{number}","body":{number}}}"#)).await;
    }
    // Six messages, six acknowledgements, four refusals.
    let frames = world.frames(16).await;
    let refused: Vec<_> = errors(&frames).iter().map(|error| error.id.as_ref().unwrap().as_str().to_owned()).collect();
    assert_eq!(refused, ["m6", "m7", "m8", "m9"]);
    assert!(errors(&frames).iter().all(|error| error.code == ErrorCode::RateLimited && error.retry));
    assert_eq!(frames.iter().filter(|frame| matches!(frame, ServerFrame::Ack(_))).count(), 6);
    assert_eq!(world.connections.stats.publishes_limited.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn signals_beyond_the_rate_are_dropped_and_that_is_said_once() {
    let mut world = World::joined(&["--signals-per-second", "5"]).await;
    for _ in 0..100 {
        world.says(r#"{"type":"signal","room":"r","body":1}"#).await;
    }
    world.says(r#"{"type":"ping"}"#).await;
    let mut frames = Vec::new();
    while !frames.iter().any(|frame| matches!(frame, ServerFrame::Pong(_))) {
        frames.extend(world.frames(1).await);
    }
    let told = errors(&frames);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].code == ErrorCode::RateLimited && told[0].room.as_ref().is_some_and(|room| room.as_str() == "r"));
    // A busy machine may take long enough for a few more to pass.
    let dropped = world.connections.stats.signals_limited.load(Ordering::Relaxed);
    assert!((50..=90).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn without_limits_everything_passes() {
    let mut world = World::joined(&["--publishes-per-second", "0", "--signals-per-second", "0"]).await;
    for number in 0..500 {
        world.says(r#"{"type":"signal","room":"r","body":1}"#).await;
        world.says(&format!(r#"{{"type":"publish","room":"r","id":"m{number}","body":1}}"#)).await;
    }
    assert!(errors(&world.frames(1_000).await).is_empty());
}
