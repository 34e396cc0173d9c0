//! The client's side of the protocol as a state machine: no I/O, no clock, no tokio.
//!
//! `handle_*` takes in what happened, `poll_*` gives out what to do, in this order after every `handle_*`:
//! [`Session::poll_transmit`] until `None` (send each text), [`Session::poll_event`] until `None`, then
//! [`Session::poll_timeout`] (call [`Session::handle_timeout`] at that time). Times are durations since any one moment
//! of the caller's choice.
//!
//! Per room the session keeps its position, which moves only by messages in order and by resets, and the publishes
//! that are not acknowledged, which it sends again, in their order, after the room was joined again and its replay has
//! come. Every queue is bounded by [`Limits`], given that the caller polls as told.

mod event;
mod on_frame;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};
use std::time::Duration;

use protocol::{Body, ClientFrame, HistoryRange, JoinFrom, MessageId, Position, Ref, RoomName, SignalKey, UserId};

pub use event::{Event, Proof, PublishFailure, Refusal, Violation};

use crate::backoff::Backoff;
use crate::encode::encode;
use room::Room;

/// What bounds a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most rooms.
    pub rooms: usize,
    /// Most unacknowledged publishes a room. Above [`protocol::ID_WINDOW`] a re-send could outlive the window in which
    /// the server recognises it.
    pub unacknowledged: usize,
    /// Most history requests and pings that wait for an answer.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rooms: 1_000, unacknowledged: 500, requests: 1_000 }
    }
}

const _: () = assert!(500 <= protocol::ID_WINDOW, "re-sends stay inside the window in which they are recognised");

/// What a session decides at random and what it says.
struct Outbox {
    frames: VecDeque<String>,
    events: VecDeque<Event>,
    rng: fastrand::Rng,
    backoff: Backoff,
    last_reference: u64,
}

impl Outbox {
    fn send(&mut self, frame: &ClientFrame) {
        self.frames.push_back(encode(frame));
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn violation(&mut self, violation: Violation) {
        self.event(Event::ProtocolViolation(violation));
    }

    fn delay(&mut self, attempt: u32) -> Duration {
        self.backoff.delay(attempt, self.rng.u64(..))
    }

    fn reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    /// Connected; the server's `welcome` is due.
    Greeting,
    Open,
}

/// A client's conversation with the service, across connections.
pub struct Session {
    limits: Limits,
    link: Link,
    /// Who the server takes us for; kept across connections.
    user: Option<UserId>,
    /// Ordered, so that the same inputs give the same outputs.
    rooms: BTreeMap<RoomName, Room>,
    /// History requests and pings without an answer.
    requests: BTreeSet<u64>,
    out: Outbox,
}

impl Session {
    /// A session that is not connected. `seed` decides its jitter.
    #[must_use]
    pub fn new(limits: Limits, backoff: Backoff, seed: u64) -> Self {
        Self {
            limits,
            link: Link::Down,
            user: None,
            rooms: BTreeMap::new(),
            requests: BTreeSet::new(),
            out: Outbox {
                frames: VecDeque::new(),
                events: VecDeque::new(),
                rng: fastrand::Rng::with_seed(seed),
                backoff,
                last_reference: 0,
            },
        }
    }

    /// Who the server takes the client for, once it has said so.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Where the session is in a room: what a join after a reconnect names. `None` while that is not known.
    #[must_use]
    pub fn position(&self, room: &RoomName) -> Option<&Position> {
        self.rooms.get(room).and_then(Room::position)
    }

    /// How many publishes to a room wait for their acknowledgement.
    #[must_use]
    pub fn unacknowledged(&self, room: &RoomName) -> usize {
        self.rooms.get(room).map_or(0, Room::unacknowledged)
    }

    /// Enters a room, now or as soon as there is a connection. In a room already: leaves it and enters it again.
    ///
    /// # Errors
    /// [`Refusal::TooManyRooms`].
    pub fn handle_join(&mut self, room: RoomName, from: JoinFrom) -> Result<(), Refusal> {
        if !self.rooms.contains_key(&room) && self.rooms.len() >= self.limits.rooms {
            return Err(Refusal::TooManyRooms);
        }
        let room = match self.rooms.entry(room) {
            Entry::Vacant(entry) => {
                let name = entry.key().clone();
                entry.insert(Room::new(name, from))
            }
            Entry::Occupied(entry) => {
                let room = entry.into_mut();
                room.want(from);
                room
            }
        };
        if self.link == Link::Open {
            room.join(&mut self.out);
        }
        Ok(())
    }

    /// Leaves a room. Answered by [`Event::Left`] with the number that this returns.
    ///
    /// # Errors
    /// [`Refusal::NotJoined`].
    pub fn handle_leave(&mut self, room: &RoomName) -> Result<u64, Refusal> {
        let Some(state) = self.rooms.get_mut(room).filter(|state| state.leaving().is_none()) else {
            return Err(Refusal::NotJoined);
        };
        let reference = self.out.reference();
        if self.link == Link::Open && state.known_to_server() {
            state.leave(reference, &mut self.out);
        } else {
            self.drop_room(room, Some(reference));
        }
        Ok(reference)
    }

    /// Publishes, now or as soon as the room is joined. Answered by [`Event::Acked`] or [`Event::PublishFailed`].
    ///
    /// # Errors
    /// [`Refusal`] when nothing was taken in.
    pub fn handle_publish(&mut self, room: &RoomName, id: MessageId, body: Body) -> Result<(), Refusal> {
        let Some(state) = self.rooms.get_mut(room).filter(|state| state.leaving().is_none()) else {
            return Err(Refusal::NotJoined);
        };
        if state.has_pending(&id) {
            return Err(Refusal::DuplicateId);
        }
        if state.unacknowledged() >= self.limits.unacknowledged {
            return Err(Refusal::TooManyUnacknowledged);
        }
        state.publish(id, body, &mut self.out);
        Ok(())
    }

    /// Says something in passing, now or not at all: nothing answers, and nothing is kept for a later connection.
    ///
    /// # Errors
    /// [`Refusal::NotJoined`]; [`Refusal::NotConnected`] while the room has not been joined on this connection.
    pub fn handle_signal(&mut self, room: &RoomName, key: Option<SignalKey>, body: Body) -> Result<(), Refusal> {
        let Some(state) = self.rooms.get(room).filter(|state| state.leaving().is_none()) else {
            return Err(Refusal::NotJoined);
        };
        if self.link != Link::Open || !state.known_to_server() {
            return Err(Refusal::NotConnected);
        }
        self.out.send(&ClientFrame::Signal { room: room.clone(), key, body });
        Ok(())
    }

    /// Asks for messages of the past. Answered by [`Event::History`] or [`Event::RequestFailed`] with the number that
    /// this returns.
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], [`Refusal::TooManyRequests`].
    pub fn handle_history(&mut self, room: RoomName, range: HistoryRange, limit: u32) -> Result<u64, Refusal> {
        self.request(|reference| ClientFrame::History { room, range, limit, reference })
    }

    /// Asks for a sign of life. Answered by [`Event::Pong`] or [`Event::RequestFailed`] with the number that this
    /// returns.
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], [`Refusal::TooManyRequests`].
    pub fn handle_ping(&mut self) -> Result<u64, Refusal> {
        self.request(|reference| ClientFrame::Ping { reference })
    }

    fn request(&mut self, frame: impl FnOnce(Option<Ref>) -> ClientFrame) -> Result<u64, Refusal> {
        if self.link != Link::Open {
            return Err(Refusal::NotConnected);
        }
        if self.requests.len() >= self.limits.requests {
            return Err(Refusal::TooManyRequests);
        }
        let reference = self.out.reference();
        self.requests.insert(reference);
        self.out.send(&frame(Some(Ref::number(reference))));
        Ok(reference)
    }

    /// The connection stands; the server will greet.
    pub fn handle_connected(&mut self) {
        self.link = Link::Greeting;
    }

    /// The connection is gone. `close` is the server's close code, if it sent one; `retry_in` is when the caller will
    /// try again (see [`crate::Reconnect`]).
    pub fn handle_disconnected(&mut self, close: Option<u16>, retry_in: Option<Duration>) {
        self.link = Link::Down;
        self.out.frames.clear();
        let left: Vec<(RoomName, u64)> =
            self.rooms.iter().filter_map(|(name, room)| Some((name.clone(), room.leaving()?))).collect();
        for (name, reference) in left {
            self.drop_room(&name, Some(reference));
        }
        for room in self.rooms.values_mut() {
            room.on_disconnected(&mut self.out);
        }
        for reference in std::mem::take(&mut self.requests) {
            self.out.event(Event::RequestFailed { reference, error: None });
        }
        self.out.event(Event::Disconnected { close, retry_in });
    }

    /// The time that [`Session::poll_timeout`] named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.link != Link::Open {
            return;
        }
        for room in self.rooms.values_mut() {
            room.handle_timeout(now, &mut self.out);
        }
    }

    /// The next text to send. Nothing while there is no connection.
    pub fn poll_transmit(&mut self) -> Option<String> {
        self.out.frames.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// When [`Session::handle_timeout`] is due. `None` while there is no connection.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.link != Link::Open {
            return None;
        }
        self.rooms.values().filter_map(Room::poll_timeout).min()
    }

    fn drop_room(&mut self, room: &RoomName, left: Option<u64>) {
        let Some(state) = self.rooms.remove(room) else { return };
        state.give_up(&mut self.out);
        if let Some(reference) = left {
            self.out.event(Event::Left { room: room.clone(), reference });
        }
    }
}
