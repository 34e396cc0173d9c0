//! What must hold, whatever happens. Two judges: the verifier of `client`, which knows only what clients saw, and a
//! reference model of every room, which is made of the writes that the log accepted.

mod reference;
mod sessions;

use client::session::{PublishFailure, Violation as Broken};
use client::verifier::{Finding, Party};
use client::{Event, Verifier};
use protocol::{Body, Epoch, Message, MessageId, MessageKey, RoomName, Seq, UserId};
use room_core::log::{RoomHeader, StoredSegment};

use crate::log::RoomLog;
use reference::Reference;
use sessions::Sessions;

/// How much two nodes' clocks may differ, in seconds, with some to spare: the one by which a message expires, and the one
/// that judges it.
const CLOCKS_SECS: u64 = 30 * 60;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was broken.
    pub sentence: String,
    /// When, in milliseconds of the run.
    pub at_ms: u64,
}

/// Watches a run.
pub(crate) struct Checker {
    pub(crate) violation: Option<Violation>,
    pub(crate) now: u64,
    /// What the model's own clock shows, in seconds since 1970.
    pub(crate) wall: u64,
    verifier: Verifier,
    rooms: Vec<Reference>,
    sessions: Vec<Sessions>,
    /// Whom each client publishes as.
    users: Vec<UserId>,
    /// Parties that stand for publishes that several clients make.
    shared: u32,
    /// Messages may expire in this run: the verifier, which knows no time, takes that for loss.
    pub(crate) expiry: bool,
    pub(crate) acked: u64,
}

impl Checker {
    pub(crate) fn new(rooms: usize, users: Vec<UserId>, expiry: bool) -> Self {
        Self {
            violation: None,
            now: 0,
            wall: 0,
            verifier: Verifier::new(5),
            rooms: (0..rooms).map(|_| Reference::default()).collect(),
            sessions: (0..rooms).map(|_| Sessions::default()).collect(),
            users,
            shared: 1_000,
            expiry,
            acked: 0,
        }
    }

    /// Notes a broken promise; the first one counts.
    pub(crate) fn violated(&mut self, sentence: String) {
        let at_ms = self.now;
        self.violation.get_or_insert(Violation { sentence, at_ms });
    }

    pub(crate) fn expect(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.violated(sentence());
        }
    }

    /// The log has accepted a segment.
    pub(crate) fn handle_commit(&mut self, room: usize, stored: &StoredSegment, log: &RoomLog) {
        let result = self.rooms[room].handle_commit(stored, log, self.wall);
        self.take(result);
    }

    /// The log has accepted a header.
    pub(crate) fn handle_header(&mut self, room: usize, header: &RoomHeader, log: &RoomLog) {
        let result = self.rooms[room].handle_header(header, log, self.wall);
        self.take(result);
    }

    /// A client's publish has reached a node.
    pub(crate) fn handle_arrival(&mut self, room: usize, message: &Message) {
        self.rooms[room].handle_arrival(message.key());
    }

    /// A node acknowledges a publish, to a client or to another node.
    pub(crate) fn handle_ack(&mut self, room: usize, message: &Message, seq: Seq) {
        self.acked += 1;
        let durable = self.rooms[room].holds(&message.key(), &message.body, seq);
        self.expect(durable, || format!("{} is acknowledged as {seq}, which the log does not hold", message.id));
    }

    /// A client is about to publish. `alone`: nobody else uses the id.
    pub(crate) fn handle_publish(
        &mut self,
        client: usize,
        user: &UserId,
        room: &RoomName,
        (id, body): (&MessageId, &Body),
        alone: bool,
    ) {
        let party = if alone { party(client) } else { Party(self.shared) };
        self.shared += u32::from(!alone);
        self.verifier.handle_publish(party, user, room, id, body);
    }

    /// Something happened to a client. `room`: of the room that the event is about.
    pub(crate) fn handle_event(&mut self, client: usize, event: &Event, about: Option<(usize, &RoomLog)>) {
        self.verifier.handle_event(party(client), event);
        if let Event::ProtocolViolation(violation) = event
            && !self.is_explained(client, violation)
        {
            self.violated(format!("client {client} says: {violation}"));
        }
        if let Some((room, log)) = about {
            let alive_wall = self.wall + CLOCKS_SECS;
            let result = self.sessions[room].handle_event(client, event, &self.rooms[room], log, alive_wall);
            self.take(result);
        }
    }

    /// The room's epoch and the number after its newest message, as the log's writes tell.
    pub(crate) fn head(&self, room: usize) -> Option<(&Epoch, Seq)> {
        self.rooms[room].head()
    }

    /// A client did not take a publish that was announced: it is as good as never made.
    pub(crate) fn handle_not_published(&mut self, client: usize, room: &RoomName, id: &MessageId) {
        let event = Event::PublishFailed { room: room.clone(), id: id.clone(), reason: PublishFailure::Left };
        self.verifier.handle_event(party(client), &event);
    }

    /// Whether a publish is in the log.
    pub(crate) fn is_logged(&self, room: usize, user: &UserId, id: &MessageId) -> bool {
        self.rooms[room].is_logged(&MessageKey::new(user, id))
    }

    /// Whether a publish is in the log under this number.
    pub(crate) fn is_at(&self, room: usize, user: &UserId, id: &MessageId, seq: Seq) -> bool {
        self.rooms[room].is_at_each(&MessageKey::new(user, id), [seq, seq])
    }

    /// Everything has come to rest: what can be checked only then.
    pub(crate) fn finish(&mut self) {
        let report = self.verifier.report();
        let finding = report.findings.iter().find(|finding| !self.expiry || !about_expired(finding));
        if let Some(finding) = finding {
            self.violated(finding.to_string());
        }
    }

    /// A publish that expired before its publisher heard of it is logged again: the client saw both.
    fn is_explained(&self, client: usize, violation: &Broken) -> bool {
        let Broken::AckMismatch { room, id, seen, acked } = violation else { return false };
        let room = self.rooms.get(room.as_str()[1..].parse().unwrap_or(usize::MAX));
        self.expiry
            && room.is_some_and(|room| room.is_at_each(&MessageKey::new(&self.users[client], id), [*seen, *acked]))
    }

    fn take(&mut self, result: Result<(), String>) {
        if let Err(sentence) = result {
            self.violated(sentence);
        }
    }
}

fn party(client: usize) -> Party {
    Party(u32::try_from(client).unwrap_or(u32::MAX))
}

/// What may also be said of messages that nobody could see before they expired; the reference model judges these.
fn about_expired(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::LoggedTwice { .. }
            | Finding::Lost { .. }
            | Finding::Incomplete { .. }
            | Finding::AckMismatch { .. }
            | Finding::AckedTwice { .. }
            | Finding::Protocol { violation: Broken::AckMismatch { .. }, .. }
    )
}
