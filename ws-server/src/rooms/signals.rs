//! Signals: what members say in passing. Never logged, delivered at most once, and whatever is in their way, they lose.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::{Body, NodeId, RoomName, ServerFrame, SessionId, Signal, SignalFrame, SignalKey, UserId};
use room_core::Time;

use super::fanout;
use super::hosted::{Hosted, Scene};
use super::members::Session;
use super::signal_budget::SHARE;
use crate::backplane::count;
use crate::config::Limits;
use crate::connection::{EncodedSignal, Frame, Slot};
use crate::link::Peers;

/// A signal of a room, wherever it was taken in.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) from: UserId,
    pub(crate) key: Option<SignalKey>,
    pub(crate) body: Body,
    /// The session that said it, if it is one of this node's.
    pub(crate) sender: Option<SessionId>,
}

impl Hosted {
    /// Gives a signal to all live members but its sender. Who reads back gets none; they get the current values when
    /// they are at the head.
    pub(crate) fn handle_signal(&mut self, said: Said, scene: &Scene<'_>) {
        let Said { from, key, body, sender } = said;
        let room = &self.name;
        let slot = key.clone().map(|key| Arc::new(Slot { room: room.clone(), key }));
        let frame = SignalFrame { room: room.clone(), from: from.clone(), key, body };
        let signal = EncodedSignal { frame: Frame::new(&ServerFrame::Signal(frame).encode()), slot };
        let told = self.signal_budget.admits(&from, self.live.len(), scene);
        if told {
            fanout::fan_out_signal(&signal, sender.as_ref(), &self.live);
        } else {
            count(&scene.work.queues().stats.signals_shed);
        }
        let expires = scene.now.plus_ms(scene.limits.signal_ms);
        self.values.set(Value { signal, from, sender, expires, is_owed: !told }, scene.limits);
    }

    /// Tells the values that could not be told when they were set.
    pub(super) fn tell_owed(&mut self, scene: &Scene<'_>) {
        let Self { values, signal_budget, live, .. } = self;
        if !std::mem::take(&mut values.are_owed) {
            return;
        }
        for value in values.values.iter_mut().filter(|value| value.is_owed) {
            value.is_owed = !signal_budget.admits(&value.from, live.len(), scene);
            if value.is_owed {
                values.are_owed = true;
            } else {
                fanout::fan_out_signal(&value.signal, value.sender.as_ref(), live);
            }
        }
    }

    /// When a value that is owed may be told, if there is any.
    pub(super) fn owed_due(&self) -> Option<Time> {
        if !self.values.are_owed {
            return None;
        }
        let owed = self.values.values.iter().filter(|value| value.is_owed);
        owed.map(|value| self.signal_budget.due(&value.from)).min()
    }

    /// Makes a session a live member: it gets the current values, and from now on all that comes.
    pub(super) fn admit(&mut self, session: Arc<Session>) {
        self.tell_current(&session);
        self.live.insert(session);
    }

    /// Tells a session the current values that others have set.
    pub(super) fn tell_current(&self, session: &Session) {
        if !self.values.is_empty() {
            session.outbox.push_current(self.values.of_others(&session.id));
        }
    }
}

/// The newest value of each key of a room, for those who come later.
#[derive(Debug, Default)]
pub(crate) struct CurrentValues {
    /// The oldest first. All live equally long, so the first expires first.
    values: VecDeque<Value>,
    bytes: usize,
    /// Some of them may not have been told.
    are_owed: bool,
}

#[derive(Debug)]
struct Value {
    signal: EncodedSignal,
    from: UserId,
    sender: Option<SessionId>,
    expires: Time,
    /// The room had told too many, or too many of this user, when it was set.
    is_owed: bool,
}

impl CurrentValues {
    /// Takes the newest value of a key. When there is no space the oldest values go; when a user takes more than a quarter of
    /// it, the oldest of that user. Signals without a key have none.
    fn set(&mut self, value: Value, limits: &Limits) {
        let Some(slot) = &value.signal.slot else { return };
        if let Some(index) = self.values.iter().position(|value| value.signal.slot.as_ref() == Some(slot)) {
            self.forget(index);
        }
        let (from, is_owed) = (value.from.clone(), value.is_owed);
        self.bytes += value.signal.frame.len();
        self.values.push_back(value);
        self.are_owed |= is_owed;
        self.forget_beyond_share(&from, limits);
        while self.values.len() > limits.signal_keys || self.bytes > limits.signal_bytes {
            self.forget(0);
        }
    }

    /// Leaves a user a quarter of the space, and one value in any case: the newest.
    fn forget_beyond_share(&mut self, user: &UserId, limits: &Limits) {
        let own = self.values.iter().filter(|value| value.from == *user);
        let (mut count, mut bytes) = own.fold((0, 0), |(n, bytes), value| (n + 1, bytes + value.signal.frame.len()));
        let mut index = 0;
        while count > 1 && (count > limits.signal_keys / SHARE || bytes > limits.signal_bytes / SHARE) {
            if self.values[index].from == *user {
                count -= 1;
                bytes -= self.forget(index);
            } else {
                index += 1;
            }
        }
    }

    /// Forgets what is too old to be given to anybody.
    pub(super) fn expire(&mut self, now: Time) {
        while self.deadline().is_some_and(|due| due <= now) {
            self.forget(0);
        }
        if self.values.is_empty() && self.values.capacity() > 0 {
            self.values = VecDeque::new();
        }
    }

    /// When the next value expires.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.values.front().map(|value| value.expires)
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values that somebody else has set, the oldest first.
    fn of_others(&self, session: &SessionId) -> impl Iterator<Item = &EncodedSignal> {
        self.values.iter().filter(move |value| value.sender.as_ref() != Some(session)).map(|value| &value.signal)
    }

    /// Forgets the value at a place; returns its bytes.
    fn forget(&mut self, index: usize) -> usize {
        let bytes = self.values.remove(index).map_or(0, |value| value.signal.frame.len());
        self.bytes -= bytes;
        bytes
    }
}

/// The way of this node's signals to the other nodes.
#[derive(Debug)]
pub(crate) struct Departures {
    node: NodeId,
    /// The number of the last one.
    last: Mutex<u64>,
}

impl Departures {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, last: Mutex::new(0) }
    }

    /// Gives a signal its number and tells the others, under one lock: a number that left after a higher one would be
    /// late everywhere.
    pub(crate) fn send(&self, room: RoomName, from: UserId, key: Option<SignalKey>, body: Body, peers: &dyn Peers) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        peers.push_signal(Signal { room, from, key, body, node: self.node.clone(), number: *last });
    }
}

/// What a shard has heard of other nodes' signals. Each node's come in the order of their numbers; whatever comes by a
/// second way, or later than a newer one, is dropped.
#[derive(Debug)]
pub(crate) struct Arrivals {
    node: NodeId,
    /// Per node its highest number, and when it was last heard of.
    origins: HashMap<NodeId, (u64, u64)>,
    most: usize,
    heard: u64,
}

impl Arrivals {
    pub(crate) fn new(node: NodeId, limits: &Limits) -> Self {
        Self { node, origins: HashMap::new(), most: limits.signal_origins, heard: 0 }
    }

    /// Whether a signal is to be delivered here.
    pub(crate) fn is_news(&mut self, signal: &Signal) -> bool {
        if signal.node == self.node {
            return false;
        }
        self.heard += 1;
        if !self.origins.contains_key(&signal.node) && self.origins.len() >= self.most {
            self.forget_oldest();
        }
        let origin = self.origins.entry(signal.node.clone()).or_default();
        origin.1 = self.heard;
        let news = signal.number > origin.0;
        origin.0 = origin.0.max(signal.number);
        news
    }

    /// Forgets the node that has been silent the longest. It has most likely gone.
    fn forget_oldest(&mut self) {
        let oldest = self.origins.iter().min_by_key(|(_, (_, heard))| *heard).map(|(node, _)| node.clone());
        if let Some(node) = oldest {
            self.origins.remove(&node);
        }
    }
}
