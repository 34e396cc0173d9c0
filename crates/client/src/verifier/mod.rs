//! What many viewers of many rooms saw, held against what publishers were promised. Pure; keeps hashes, not bodies.
//!
//! Feed it every publish before it is sent ([`Verifier::handle_publish`]) and every event of every client, in the
//! order of that client ([`Verifier::handle_event`]), then ask for a [`Report`] once [`Verifier::settled`] says so (or
//! patience ends). Order is checked as sightings come in; whatever spans viewers and publishers, in the report:
//!
//! - each viewer's numbers are contiguous within an epoch from its join on: no gap, no repeat, no change of places;
//! - one number of one epoch is the same message (publisher, id, body) for everybody;
//! - every acknowledged publish is in the log once, under the acknowledged number, and every viewer that had joined
//!   before it and is still there has come as far as the end of its room;
//! - publishes of one party to one room are in the log in the order sent, but for those that had to be sent again;
//! - there is no message that nobody published, and none whose body is not what was published.
//!
//! Limits: what nobody watched cannot be found lost and is counted instead; an acknowledgement names no epoch, so where
//! a room's numbers begin anew within one run, only messages that somebody saw are tied to their epoch.

mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use protocol::{Body, BodyHash, Epoch, MessageFrame, MessageId, MessageKey, Position, RoomName, Seq, UserId};

pub use report::{Finding, Report};

use crate::session::{Event, Violation};

/// One client: a viewer, a publisher or both. It keeps its number across reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party(pub u32);

/// Holes a viewing remembers, to tell a late message from a repeated one.
const HOLES: usize = 64;

/// Collects sightings, publishes and acknowledgements.
pub struct Verifier {
    rooms: BTreeMap<RoomName, Room>,
    users: HashMap<Party, UserId>,
    published: u64,
    sightings: u64,
    resets: u64,
    strict_resends: bool,
    findings: Findings,
}

/// What was found, as far as it is kept.
#[derive(Clone)]
struct Findings {
    kept: Vec<Finding>,
    limit: usize,
    total: u64,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.total += 1;
        if self.kept.len() < self.limit {
            self.kept.push(finding);
        }
    }
}

#[derive(Default)]
struct Room {
    /// Epochs by the number under which the other fields know them.
    epochs: Vec<Epoch>,
    log: BTreeMap<Place, Sighting>,
    viewings: BTreeMap<Party, Viewing>,
    publishes: HashMap<MessageKey, Publish>,
}

/// An epoch's number and a message's.
type Place = (u32, Seq);

/// A message as the first of its viewers saw it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sighting {
    key: MessageKey,
    body: BodyHash,
}

/// A viewer's way through a room.
struct Viewing {
    /// The last message in its order; `None` while a reset is due.
    at: Option<Place>,
    /// Where its contiguous run began.
    start: Seq,
    /// Numbers it should have seen: first missing, first after.
    holes: Vec<(Seq, Seq)>,
    present: bool,
}

struct Publish {
    party: Party,
    /// Its place among all publishes.
    order: u64,
    body: BodyHash,
    /// Published under the same id with another body as well: either may be the one that was taken.
    ambiguous: bool,
    acked: Option<Seq>,
    failed: bool,
    /// It failed once, or may have: younger ones may have overtaken it.
    delayed: bool,
}

impl Room {
    fn epoch(&mut self, epoch: &Epoch) -> u32 {
        let known = self.epochs.iter().position(|known| known == epoch);
        let index = known.unwrap_or_else(|| {
            self.epochs.push(epoch.clone());
            self.epochs.len() - 1
        });
        u32::try_from(index).expect("a room does not see 2^32 epochs")
    }

    fn place(&mut self, position: &Position) -> Place {
        (self.epoch(&position.epoch), position.seq)
    }

    fn name(&self, epoch: u32) -> Epoch {
        self.epochs[epoch as usize].clone()
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new(100)
    }
}

impl Verifier {
    /// An empty verifier that keeps at most `findings` findings and counts the rest.
    #[must_use]
    pub fn new(findings: usize) -> Self {
        Self {
            rooms: BTreeMap::new(),
            users: HashMap::new(),
            published: 0,
            sightings: 0,
            resets: 0,
            strict_resends: false,
            findings: Findings { kept: Vec::new(), limit: findings, total: 0 },
        }
    }

    /// Holds publishes that were sent again after a lost connection to the order in which they were sent, too. Only where
    /// no publish fails on the server: the client may not have heard of a failure before the connection was lost.
    #[must_use]
    pub fn strict_about_resends(self) -> Self {
        Self { strict_resends: true, ..self }
    }

    /// A party is about to publish. Calls are in the order in which the party's publishes to a room are sent.
    pub fn handle_publish(&mut self, party: Party, user: &UserId, room: &RoomName, id: &MessageId, body: &Body) {
        let body = BodyHash::new(body);
        self.published += 1;
        let publish = Publish {
            party,
            order: self.published,
            body,
            ambiguous: false,
            acked: None,
            failed: false,
            delayed: false,
        };
        let room = self.room(room);
        let known = room.publishes.entry(MessageKey::new(user, id)).or_insert(publish);
        known.ambiguous |= known.body != body;
    }

    /// Something happened to a client.
    pub fn handle_event(&mut self, party: Party, event: &Event) {
        match event {
            Event::Connected(welcome) => drop(self.users.insert(party, welcome.user.clone())),
            Event::Joined { room, position, recovered, replayed, resumed } => {
                let before = Position { epoch: position.epoch.clone(), seq: position.seq.minus(*replayed) };
                self.handle_joined(party, room, &before, *recovered, *resumed);
            }
            Event::Reset { room, position } => self.handle_reset(party, room, position),
            Event::Message { epoch, message, .. } => self.handle_message(party, epoch, message),
            Event::Acked { room, id, seq, .. } => self.handle_acked(party, room, id, *seq),
            Event::PublishDelayed { room, id, .. } => self.with_publish(party, room, id, |p| p.delayed = true),
            Event::PublishResent { room, id } if !self.strict_resends => {
                self.with_publish(party, room, id, |p| p.delayed = true);
            }
            Event::PublishFailed { room, id, .. } => self.with_publish(party, room, id, |p| p.failed = true),
            Event::Left { room, .. } | Event::JoinFailed { room, .. } => self.handle_left(party, room),
            Event::ProtocolViolation(violation) => self.handle_violation(party, violation.clone()),
            _ => {}
        }
    }

    /// A viewer is in a room and will get what follows `before`: the joined position less the replay. `resumed`: its
    /// join named a position. A viewer that goes back on purpose must leave first.
    pub fn handle_joined(&mut self, party: Party, room: &RoomName, before: &Position, recovered: bool, resumed: bool) {
        let room = self.room(room);
        let place = room.place(before);
        let unwritten: Vec<u32> = (0..).zip(&room.epochs).filter(|(_, e)| e.is_none()).map(|(i, _)| i).collect();
        let viewing = room.viewings.entry(party).or_insert(Viewing {
            at: None,
            start: before.seq,
            holes: Vec::new(),
            present: false,
        });
        if viewing.present && resumed && recovered {
            // Goes on where it was, but for a room that had no epoch then: its first message is the first of all.
            if let Some((epoch, seq)) = &mut viewing.at
                && unwritten.contains(epoch)
                && *seq == Seq::ZERO
            {
                *epoch = place.0;
            }
            return;
        }
        viewing.present = true;
        viewing.at = (recovered || !resumed).then_some(place);
        viewing.start = place.1;
        viewing.holes.clear();
    }

    /// A viewer goes on from another position.
    pub fn handle_reset(&mut self, party: Party, room: &RoomName, position: &Position) {
        self.resets += 1;
        let room = self.room(room);
        let place = room.place(position);
        if let Some(viewing) = room.viewings.get_mut(&party) {
            viewing.at = Some(place);
            viewing.start = place.1;
        }
    }

    /// A viewer saw a message.
    pub fn handle_message(&mut self, party: Party, epoch: &Epoch, message: &MessageFrame) {
        self.sightings += 1;
        let name = message.room.clone();
        let sighting =
            Sighting { key: MessageKey::new(&message.from, &message.id), body: BodyHash::new(&message.body) };
        let room = self.rooms.entry(name.clone()).or_default();
        let place = (room.epoch(epoch), message.seq);
        let findings = &mut self.findings;
        if *room.log.entry(place).or_insert(sighting) != sighting {
            findings.add(Finding::Disagreement { party, room: name.clone(), epoch: epoch.clone(), seq: message.seq });
        }
        let Some(viewing) = room.viewings.get_mut(&party).filter(|viewing| viewing.present) else {
            return findings.add(Finding::NotJoined { party, room: name, seq: message.seq });
        };
        let Some(at) = viewing.at.as_mut().filter(|at| at.0 == place.0) else {
            let (epoch, seq) = (epoch.clone(), message.seq);
            return findings.add(Finding::ResetMissing { party, room: name, epoch, seq });
        };
        let (expected, got) = (at.1.next(), message.seq);
        if got >= expected {
            at.1 = got;
            if got > expected {
                viewing.holes.push((expected, got));
                if viewing.holes.len() > HOLES {
                    viewing.holes.remove(0);
                }
                findings.add(Finding::Gap { party, room: name, expected, got });
            }
            return;
        }
        findings.add(if fill(&mut viewing.holes, got) {
            Finding::Reordered { party, room: name, expected, got }
        } else {
            Finding::Repeat { party, room: name, expected, got }
        });
    }

    /// A publish was acknowledged.
    pub fn handle_acked(&mut self, party: Party, room: &RoomName, id: &MessageId, seq: Seq) {
        let mut before = None;
        self.with_publish(party, room, id, |publish| before = publish.acked.replace(seq));
        if let Some(first) = before.filter(|first| *first != seq) {
            let (room, id) = (room.clone(), id.clone());
            self.findings.add(Finding::AckedTwice { party, room, id, first, second: seq });
        }
    }

    /// A viewer has left a room: what follows is none of its business.
    pub fn handle_left(&mut self, party: Party, room: &RoomName) {
        if let Some(viewing) = self.room(room).viewings.get_mut(&party) {
            viewing.present = false;
        }
    }

    /// A client has noticed itself that the protocol was broken.
    pub fn handle_violation(&mut self, party: Party, violation: Violation) {
        self.findings.add(Finding::Protocol { party, violation });
    }

    fn room(&mut self, room: &RoomName) -> &mut Room {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), Room::default());
        }
        self.rooms.get_mut(room).expect("inserted above")
    }

    fn with_publish(&mut self, party: Party, room: &RoomName, id: &MessageId, change: impl FnOnce(&mut Publish)) {
        let Some(user) = self.users.get(&party) else { return };
        let key = MessageKey::new(user, id);
        if let Some(publish) = self.rooms.get_mut(room).and_then(|room| room.publishes.get_mut(&key)) {
            change(publish);
        }
    }
}

/// Takes a number out of the holes; false when it was in none.
fn fill(holes: &mut Vec<(Seq, Seq)>, seq: Seq) -> bool {
    let Some(index) = holes.iter().position(|(first, end)| (*first..*end).contains(&seq)) else { return false };
    let (first, end) = holes.remove(index);
    for hole in [(first, seq), (seq.next(), end)] {
        if hole.0 < hole.1 {
            holes.insert(index, hole);
        }
    }
    true
}
