//! The end of all faults, and what must come of it: every publish has its outcome, every client everything.

use protocol::{Position, Seq};

use super::{Event, World};
use crate::faults::Rates;
use crate::transition::Saying;

/// How long a healed cluster has to come to rest, in milliseconds.
const REST_MS: u64 = 180_000;
/// How often it is looked whether it has.
const LOOK_MS: u64 = 250;

/// What is awaited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    until: u64,
    /// One more message in every room has shown that the rooms go on.
    last: bool,
}

impl World {
    /// No faults from now on.
    pub(super) fn heal(&mut self) {
        let now = self.agenda.now();
        self.trace.say(now, || "-- healing".into());
        self.calm();
        self.agenda.after(LOOK_MS, Event::Look(Look { until: now + REST_MS, last: false }));
    }

    /// Whatever goes wrong now, goes right.
    pub(super) fn calm(&mut self) {
        let now = self.agenda.now();
        self.rates = Rates::default();
        self.paused.fill(0);
        self.parted.iter_mut().for_each(|row| row.fill(0));
        self.log_down.fill(0);
        self.publisher_down = 0;
        for wire in 0..self.wires.len() {
            if std::mem::take(&mut self.wires[wire].stalled_until) > now && self.wires[wire].delivering {
                self.agenda.after(1, Event::Deliver(wire));
            }
        }
    }

    /// Goes on once everything has come to rest.
    pub(super) fn look(&mut self, look: Look) {
        let now = self.agenda.now();
        match (self.unrest(look.last), look.last) {
            (Some(unrest), _) if now > look.until => {
                self.checker.violated(format!("{} s after healing {unrest}", REST_MS / 1000));
            }
            (Some(_), _) => self.agenda.after(LOOK_MS, Event::Look(look)),
            (None, true) => self.finished = true,
            (None, false) => {
                for room in 0..self.plan.rooms {
                    let member = (0..self.clients.len()).find(|client| self.clients[*client].rooms[room]);
                    if let Some(client) = member {
                        self.say(client, room, Saying::New);
                    }
                }
                self.agenda.after(LOOK_MS, Event::Look(Look { until: now + REST_MS, last: true }));
            }
        }
    }

    /// What has not come to rest, if anything. `last`: the newest message of every room is younger than its epoch.
    fn unrest(&self, last: bool) -> Option<String> {
        for (client, state) in self.clients.iter().enumerate() {
            for (room, name) in self.names.iter().enumerate() {
                if state.leaving[room] {
                    return Some(format!("client {client} has not left {name}"));
                }
                if !state.rooms[room] {
                    continue;
                }
                let open = state.session.unacknowledged(name);
                if open > 0 {
                    return Some(format!("{open} publishes of client {client} to {name} have no outcome"));
                }
                let Some(at) = state.session.position(name).filter(|_| state.wire.is_some()) else {
                    return Some(format!("client {client} is not in {name}"));
                };
                let head = self.head(room);
                if !self.is_at(at, &head, room) && (last || !self.checker.expiry) {
                    return Some(format!("client {client} is at {at:?} in {name}, whose head is {head:?}"));
                }
            }
        }
        for (place, node) in self.nodes.iter().enumerate() {
            if let Some(owing) = node.rooms.iter().flatten().find(|hosted| hosted.owes()) {
                return Some(format!("node {place} owes somebody an answer in r{}", owing.room));
            }
        }
        None
    }

    /// Whether a client has come to the head of a room.
    fn is_at(&self, at: &Position, head: &Position, room: usize) -> bool {
        // A room's first epoch may have begun without a message.
        let unborn = at.epoch.is_none() && at.seq == head.seq;
        // An epoch may begin while a node whose clock is behind goes on writing in the one before: one order, two names.
        let newest = self.logs[room].newest();
        let late = at.seq == head.seq && newest.is_some_and(|newest| newest.segment.epoch == at.epoch);
        at == head || unborn || late
    }

    fn head(&self, room: usize) -> Position {
        match self.checker.head(room) {
            Some((epoch, next)) => Position { epoch: epoch.clone(), seq: next.minus(1) },
            None => Position { epoch: protocol::Epoch::none(), seq: Seq::ZERO },
        }
    }
}
