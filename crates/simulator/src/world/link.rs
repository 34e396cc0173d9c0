//! Nodes among themselves: batches that are handed over, and hints. Everything may be lost, late, or come twice.

use std::sync::Arc;

use protocol::{Decline, HandOff, HandOffAnswer, NodeId, Segment};
use room_core::{HandOver, Ticket};

use super::{Event, World};
use crate::chance::Chance;
use crate::node::{Address, Answer, Reply, Stage};

/// How long a node waits for the answer to a hand-off, in milliseconds.
const HAND_OFF_MS: u64 = 3_000;
/// When a batch that nobody waits for any more arrives after all, in milliseconds.
const LATE_MS: [u64; 4] = [5, 500, 5_000, 60_000];

impl World {
    /// A room gives a batch to another node.
    pub(super) fn hand_over(&mut self, from: Address, ticket: Ticket, to: NodeId, hand_off: HandOff) {
        let now = self.agenda.now();
        self.trace.say(now, || format!("node {} hands {} messages to {to}", from.place, hand_off.messages.len()));
        let hand_off = Box::new(hand_off);
        let Some(place) = self.place_of(&to) else {
            let answer = Answer::HandedOver(ticket, HandOver::NotSent);
            return self.agenda.after(1, Event::Answer(from, Box::new(answer)));
        };
        // A second answer is nobody's: so the time-out is always planned.
        let timeout = Answer::HandedOver(ticket, HandOver::Unknown);
        self.agenda.after(HAND_OFF_MS, Event::Answer(from, Box::new(timeout)));
        if self.are_parted(from.place, place) || self.rng.percent(self.rates.link_lost) {
            if self.rng.bool() {
                let late = self.rng.one_of(&LATE_MS);
                self.agenda.after(late, Event::HandOff { to, hand_off, reply: None });
            }
            return;
        }
        if self.rng.percent(self.rates.link_repeated) {
            let (to, hand_off, late) = (to.clone(), hand_off.clone(), self.rng.one_of(&LATE_MS));
            self.agenda.after(late, Event::HandOff { to, hand_off, reply: None });
        }
        let (delay, reply) = (self.link_delay(), Some(Reply { to: from, ticket }));
        self.agenda.after(delay, Event::HandOff { to, hand_off, reply });
    }

    /// A batch reaches a node.
    pub(super) fn handle_hand_off(&mut self, to: &NodeId, hand_off: HandOff, reply: Option<Reply>) {
        let Some(place) = self.place_of(to) else { return };
        if self.paused[place] > self.agenda.now() {
            let (to, hand_off) = (to.clone(), Box::new(hand_off));
            return self.agenda.at(self.paused[place], Event::HandOff { to, hand_off, reply });
        }
        let room = self.names.iter().position(|name| *name == hand_off.room);
        let open = room.filter(|room| self.nodes[place].rooms[*room].is_some());
        let reason = match (self.nodes[place].stage, open) {
            (Stage::Up, Some(room)) => {
                return self.with_room(place, room, |hosted, scene| hosted.handle_hand_off(hand_off, reply, scene));
            }
            (Stage::Draining, _) => Decline::Draining,
            _ => Decline::NotReady,
        };
        if let Some(reply) = reply {
            self.answer_hand_off(place, reply, HandOffAnswer::Declined { reason, leader: None });
        }
    }

    /// The answer to a hand-off goes back.
    pub(super) fn answer_hand_off(&mut self, from: usize, reply: Reply, answer: HandOffAnswer) {
        if self.are_parted(from, reply.to.place) || self.rng.percent(self.rates.link_lost) {
            return;
        }
        let delay = self.link_delay();
        let answer = Answer::HandedOver(reply.ticket, HandOver::Answered(answer));
        self.agenda.after(delay, Event::Answer(reply.to, Box::new(answer)));
    }

    /// A node tells the others what it has committed.
    pub(super) fn tell_peers(&mut self, from: usize, segment: &Arc<Segment>) {
        if !self.plan.peer_hints {
            return;
        }
        for place in 0..self.nodes.len() {
            let lost = self.are_parted(from, place) || self.rng.percent(self.rates.link_lost);
            if place == from || lost || self.nodes[place].stage == Stage::Down {
                continue;
            }
            let life = self.nodes[place].life;
            let copies = 1 + u32::from(self.rng.percent(self.rates.link_repeated));
            for _ in 0..copies {
                let delay = self.link_delay();
                self.agenda.after(delay, Event::PeerHint { place, life, segment: Arc::clone(segment) });
            }
        }
    }

    /// Where a node runs, if it does.
    fn place_of(&self, id: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == *id && node.stage != Stage::Down)
    }

    fn are_parted(&self, a: usize, b: usize) -> bool {
        self.parted[a][b] > self.agenda.now()
    }

    fn link_delay(&mut self) -> u64 {
        if self.rng.percent(self.rates.link_late) { self.rng.u64(5..2_500) } else { self.rng.u64(1..3) }
    }
}
