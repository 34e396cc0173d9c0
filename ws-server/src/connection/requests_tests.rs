//! How often a session may say something.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use protocol::{DisplayName, ErrorCode, ErrorFrame, NodeId, RoomName, ServerFrame, SessionId, UserId, topic_shard};
use tokio::time::timeout;

use super::outbox::Outbound;
use super::requests::Requests;
use super::{Act, Connections, Frame, Mailboxes, Outbox};
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
        let (user, name) = (UserId::new("ada").unwrap(), DisplayName::new("Ada").unwrap());
        let allowance = connections.limiter.session(&user, None);
        let (id, outbox) = (SessionId::from_random(1), Outbox::of_nobody(1 << 20));
        let session = Arc::new(Session::new(id, user, name, outbox, allowance));
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
    async fn frames(&mut self, least: usize) -> Vec<ServerFrame> {
        let mut frames = Vec::new();
        while frames.len() < least {
            let next = timeout(PATIENCE, self.session.outbox.next(usize::MAX)).await.expect("there is something");
            let Outbound::Frames(more, rooms) = next else { panic!("it is closed") };
            frames.extend(more.iter().flat_map(Frame::texts).map(|text| ServerFrame::parse(text).unwrap()));
            rooms.into_iter().for_each(|room| self.requests.go_on(room));
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
    assert_eq!(world.connections.limiter.stats.refused(Act::Publish), 4);
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
    let dropped = world.connections.limiter.stats.refused(Act::Signal);
    assert!((50..=90).contains(&dropped), "{dropped}");
}

/// Frames until `count` of them are of a kind.
async fn until(world: &mut World, count: usize, is_it: impl Fn(&ServerFrame) -> bool) -> Vec<ServerFrame> {
    let mut frames = Vec::new();
    while frames.iter().filter(|frame| is_it(frame)).count() < count {
        frames.extend(world.frames(1).await);
    }
    frames
}

#[tokio::test]
async fn joins_beyond_the_rate_are_refused_each_by_its_ref_and_leaves_never_are() {
    let mut world = World::joined(&["--joins-per-second", "1", "--rooms-per-session", "5"]).await;
    for number in 0..10 {
        world.says(&format!(r#"{{"type":"join","room":"r","ref":{number}}}"#)).await;
    }
    world.says(r#"{"type":"leave","room":"r","ref":"end"}"#).await;
    let frames = until(&mut world, 1, |frame| matches!(frame, ServerFrame::Left(_))).await;
    let refused = errors(&frames);
    // Five at once, of which the world has used one. A busy machine may take long enough for a few more to pass.
    assert!((3..=6).contains(&refused.len()), "{refused:?}");
    for error in &refused {
        assert!(error.code == ErrorCode::RateLimited && error.retry && error.reference.is_some());
    }
    let joined = frames.iter().filter(|frame| matches!(frame, ServerFrame::Joined(_))).count();
    assert_eq!(joined + refused.len(), 10, "each is answered");
    assert_eq!(world.connections.limiter.stats.refused(Act::Join), refused.len() as u64);
}

#[tokio::test]
async fn a_room_whose_join_was_refused_is_not_counted_among_the_sessions() {
    // A burst of four joins, of which the first was that of `r`.
    let mut world = World::joined(&["--joins-per-second", "1", "--rooms-per-session", "2"]).await;
    for _ in 0..3 {
        world.says(r#"{"type":"join","room":"s"}"#).await;
        world.says(r#"{"type":"leave","room":"s"}"#).await;
    }
    world.says(r#"{"type":"join","room":"t","ref":3}"#).await;
    world.says(r#"{"type":"publish","room":"t","id":"m","body":1}"#).await;
    let frames = until(&mut world, 2, |frame| matches!(frame, ServerFrame::Error(_))).await;
    let codes: Vec<ErrorCode> = errors(&frames).iter().map(|error| error.code).collect();
    assert_eq!(codes, [ErrorCode::RateLimited, ErrorCode::NotJoined]);
}

#[tokio::test]
async fn rooms_that_the_node_refuses_take_no_place_among_the_sessions() {
    let mut world = World::joined(&["--rooms", "2", "--rooms-per-session", "3", "--joins-per-second", "100"]).await;
    for number in 0..20 {
        world.says(&format!(r#"{{"type":"join","room":"other-{number}","ref":{number}}}"#)).await;
        let frames = world.frames(1).await;
        let codes: Vec<ErrorCode> = errors(&frames).iter().map(|error| error.code).collect();
        // The second room of the node is the session's, too.
        let expected: &[ErrorCode] = if number == 0 { &[] } else { &[ErrorCode::Overloaded] };
        assert_eq!(codes, expected, "{number}: {frames:?}");
    }
    // Both rooms that it is in still count.
    world.says(r#"{"type":"join","room":"r","ref":1}"#).await;
    world.says(r#"{"type":"join","room":"other-0","ref":2}"#).await;
    assert!(errors(&world.frames(2).await).is_empty());
}

#[tokio::test]
async fn a_room_that_is_entered_after_a_refusal_is_the_sessions() {
    let mut world = World::joined(&["--rooms", "1", "--rooms-per-session", "2", "--joins-per-second", "100"]).await;
    // Rooms of the shard that has the node's only room: they get its place when the session has left it.
    let shards = std::thread::available_parallelism().map_or(2, usize::from);
    let shard = |name: &str| topic_shard(&RoomName::new(name).unwrap(), shards);
    let mut names = (0..).map(|number| format!("x{number}")).filter(|name| shard(name) == shard("r"));
    let mut next = || names.next().unwrap();
    let (first, others) = (next(), [next(), next(), next()]);
    for (kind, name, refused) in [("join", &*first, true), ("leave", "r", false), ("join", &*first, false)] {
        world.says(&format!(r#"{{"type":"{kind}","room":"{name}"}}"#)).await;
        let frames = world.frames(1).await;
        assert_eq!(errors(&frames).len(), usize::from(refused), "{kind} {name}: {frames:?}");
    }
    for name in &others {
        world.says(&format!(r#"{{"type":"join","room":"{name}"}}"#)).await;
        assert_eq!(errors(&world.frames(1).await)[0].code, ErrorCode::Overloaded);
    }
    world.says(&format!(r#"{{"type":"publish","room":"{first}","id":"m","body":1}}"#)).await;
    assert!(errors(&world.frames(2).await).is_empty());
}

#[tokio::test]
async fn histories_beyond_the_rate_are_refused_each_by_its_ref() {
    let mut world = World::joined(&["--histories-per-second", "2"]).await;
    for number in 0..10 {
        world.says(&format!(r#"{{"type":"history","room":"r","ref":{number}}}"#)).await;
    }
    let answer = |frame: &ServerFrame| matches!(frame, ServerFrame::History(_) | ServerFrame::Error(_));
    let frames = until(&mut world, 10, answer).await;
    let refused = errors(&frames);
    assert!((4..=6).contains(&refused.len()), "{refused:?}");
    let limited = |error: &&ErrorFrame| error.code == ErrorCode::RateLimited && error.retry;
    assert!(refused.iter().all(limited) && refused.iter().all(|error| error.reference.is_some()));
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
