//! A session without a socket, and what it was told.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use protocol::{
    Body, DisplayName, HistoryRange, JoinFrom, Message, MessageId, Position, Ref, RoomName, ServerFrame, SessionId,
    SignalKey, UserId,
};
use tokio::time::timeout;

use super::{AnswerSpace, Command, Rooms, Session};
use crate::config::{Config, Limits};
use crate::connection::{Frame, Mailboxes, Outbound, Outbox};
use crate::link::{NoPeers, Peers};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn limits(extra: &[&str]) -> Limits {
    let needed = ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
    let config = Config::try_parse_from(needed.iter().chain(extra)).unwrap();
    config.limits.limits().unwrap()
}

pub(super) fn limits_with(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = limits(&[]);
    change(&mut limits);
    limits
}

/// Nobody's: what sessions are told is taken out of their outboxes by hand.
pub(super) fn mailboxes() -> Mailboxes {
    Mailboxes::new(1)
}

pub(super) fn no_peers() -> Arc<dyn Peers> {
    Arc::new(NoPeers)
}

pub(super) fn room() -> RoomName {
    RoomName::new("room").unwrap()
}

pub(super) struct Client {
    pub(super) rooms: Rooms,
    pub(super) session: Arc<Session>,
}

impl Client {
    pub(super) fn new(rooms: &Rooms, number: u64, outbox: usize) -> Self {
        let user = format!("user-{number}");
        let session = Session {
            id: SessionId::from_random(number),
            user: UserId::new(&user).unwrap(),
            name: DisplayName::new(&user).unwrap(),
            outbox: Outbox::of_nobody(outbox),
        };
        Self { rooms: rooms.clone(), session: Arc::new(session) }
    }

    /// Another session of the same user.
    pub(super) fn another_tab(&self, number: u64) -> Self {
        let Session { user, name, .. } = &*self.session;
        let (id, outbox) = (SessionId::from_random(number), Outbox::of_nobody(1 << 20));
        let session = Session { id, user: user.clone(), name: name.clone(), outbox };
        Self { rooms: self.rooms.clone(), session: Arc::new(session) }
    }

    pub(super) async fn join(&self, from: JoinFrom) {
        let (room, session, reference) = (room(), Arc::clone(&self.session), Some(Ref::number(1)));
        self.rooms.send(Command::Join { room, session, from, reference }).await;
    }

    pub(super) async fn leave(&self) {
        let (room, session) = (room(), Arc::clone(&self.session));
        self.rooms.send(Command::Leave { room, session, reference: None }).await;
    }

    pub(super) fn message(&self, id: &str, body: &str) -> Message {
        let (from, name) = (self.session.user.clone(), self.session.name.clone());
        let (id, body) = (MessageId::new(id).unwrap(), Body::parse(body).unwrap());
        Message { id, from, name, at: 1, body }
    }

    pub(super) async fn publish(&self, id: &str, body: &str) {
        let message = self.message(id, body);
        self.rooms.send(Command::Publish { room: room(), session: Arc::clone(&self.session), message }).await;
    }

    pub(super) async fn signal(&self, key: Option<&str>, body: &str) {
        let (room, session) = (room(), Arc::clone(&self.session));
        let (key, body) = (key.map(|key| SignalKey::new(key).unwrap()), Body::parse(body).unwrap());
        self.rooms.send(Command::Signal { room, session, key, body }).await;
    }

    pub(super) async fn history(&self, range: HistoryRange, limit: u32) {
        let (room, session) = (room(), Arc::clone(&self.session));
        let space = AnswerSpace::of(&session);
        self.rooms.send(Command::History { room, session, range, limit, reference: None, space }).await;
    }

    /// Everything that comes, portion by portion as a connection's task takes it, until `enough`.
    pub(super) async fn receive_until(&self, enough: impl Fn(&[ServerFrame]) -> bool) -> Vec<ServerFrame> {
        let mut frames = Vec::new();
        while !enough(&frames) {
            let outbound = timeout(PATIENCE, self.session.outbox.next(10_000)).await;
            let Ok(Outbound::Frames(more, waiting)) = outbound else { panic!("{outbound:?} after {frames:?}") };
            frames.extend(parsed(&more));
            for room in waiting {
                self.rooms.send(Command::Drained { room, session: self.session.id.clone() }).await;
            }
        }
        frames
    }

    /// Everything that comes until nothing has come for a second.
    pub(super) async fn all(&self) -> Vec<ServerFrame> {
        let mut frames = Vec::new();
        while let Ok(outbound) = timeout(Duration::from_secs(1), self.session.outbox.next(64 * 1024)).await {
            let Outbound::Frames(more, waiting) = outbound else {
                panic!("{outbound:?} after {} frames", frames.len())
            };
            frames.extend(parsed(&more));
            for room in waiting {
                self.rooms.send(Command::Drained { room, session: self.session.id.clone() }).await;
            }
        }
        frames
    }

    pub(super) async fn receive(&self, count: usize) -> Vec<ServerFrame> {
        self.receive_until(|frames| frames.len() >= count).await
    }

    /// Publishes and waits until all are acknowledged.
    pub(super) async fn publish_all(&self, ids: std::ops::RangeInclusive<u64>) {
        let count = ids.clone().count();
        for id in ids {
            self.publish(&format!("m{id}"), &format!("\"{}\"", "x".repeat(200))).await;
        }
        let acks = |frames: &[ServerFrame]| frames.iter().filter(|f| matches!(f, ServerFrame::Ack(_))).count();
        self.receive_until(|frames| acks(frames) >= count).await;
    }
}

pub(super) fn parsed(frames: &[Frame]) -> Vec<ServerFrame> {
    frames.iter().flat_map(Frame::texts).map(|text| ServerFrame::parse(text).unwrap()).collect()
}

pub(super) fn seqs(frames: &[ServerFrame]) -> Vec<u64> {
    let messages = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Message(message) => Some(message.seq.get()),
        _ => None,
    });
    messages.collect()
}

/// Who signalled what.
pub(super) fn signals(frames: &[ServerFrame]) -> Vec<String> {
    let signals = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Signal(signal) => {
            let key = signal.key.as_ref().map_or("-", SignalKey::as_str);
            Some(format!("{} {key} {}", signal.from, signal.body.as_str()))
        }
        _ => None,
    });
    signals.collect()
}

pub(super) fn joined(frames: &[ServerFrame]) -> (Position, bool, u64) {
    let joined = frames.iter().find_map(|frame| match frame {
        ServerFrame::Joined(joined) => Some((joined.position.clone(), joined.recovered, joined.replayed)),
        _ => None,
    });
    joined.unwrap_or_else(|| panic!("no joined in {frames:?}"))
}
