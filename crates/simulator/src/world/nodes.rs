//! The life of nodes: they start, drain, die.

use protocol::{Draining, NodeId, ServerFrame};

use super::{Event, World};
use crate::node::{Node, Stage};
use crate::wire::Frame;

/// How long a draining node waits for what it has under way, in milliseconds.
const FLUSH_MS: u64 = 20_000;

impl World {
    pub(super) fn new_node(&mut self) -> Node {
        self.lives += 1;
        let id = NodeId::from_random(self.lives);
        Node::new(id, self.lives, self.plan.rooms, self.retention_secs)
    }

    pub(super) fn start_node(&mut self, place: usize) {
        if self.nodes[place].stage == Stage::Down {
            self.nodes[place] = self.new_node();
            let (now, id) = (self.agenda.now(), &self.nodes[place].id);
            self.trace.say(now, || format!("node {place} starts as {id}"));
        }
    }

    /// A node dies with everything that it knew. What it has sent is on its way all the same.
    pub(super) fn crash(&mut self, place: usize, down_ms: u64) {
        if self.nodes[place].stage == Stage::Down {
            return;
        }
        for wire in 0..self.wires.len() {
            if self.wires[wire].place == place && self.wires[wire].node_up {
                self.wires[wire].node_up = false;
                self.wires.drop_frames(wire);
                let notices = if self.rng.bool() { 1 } else { self.rng.u64(1..4_000) };
                self.agenda.after(notices, Event::Lost { wire, close: None });
            }
        }
        self.stop(place, down_ms);
    }

    /// A node ends in good order: it takes no more connections, closes those that it has one after the other, and writes
    /// what waits to be written.
    pub(super) fn drain(&mut self, place: usize, within_ms: u64) {
        if self.nodes[place].stage != Stage::Up {
            return;
        }
        self.nodes[place].stage = Stage::Draining;
        for wire in 0..self.wires.len() {
            if self.wires[wire].place == place && self.wires[wire].node_up {
                self.wires.send(wire, Frame::Other(ServerFrame::Draining(Draining { within_ms })));
                let wait = self.rng.u64(0..=within_ms);
                self.agenda.after(wait, Event::DrainClose(wire));
            }
        }
        let (life, at_latest) = (self.nodes[place].life, self.agenda.now() + within_ms + FLUSH_MS);
        self.agenda.after(within_ms + 50, Event::End { place, life, at_latest });
    }

    /// A draining node ends when nobody is connected and nothing waits; or when its time is over.
    pub(super) fn end_node(&mut self, place: usize, life: u64, at_latest: u64) {
        let node = &self.nodes[place];
        if node.life != life || node.stage != Stage::Draining {
            return;
        }
        let connected = (0..self.wires.len()).any(|wire| self.wires[wire].life == life && self.wires[wire].node_up);
        if self.agenda.now() >= at_latest {
            return self.crash(place, 500);
        }
        if connected || !node.is_idle() {
            return self.agenda.after(100, Event::End { place, life, at_latest });
        }
        self.stop(place, 500);
    }

    fn stop(&mut self, place: usize, down_ms: u64) {
        let node = &mut self.nodes[place];
        node.stage = Stage::Down;
        node.rooms.iter_mut().for_each(|room| *room = None);
        self.paused[place] = 0;
        self.agenda.after(down_ms, Event::Start(place));
        let now = self.agenda.now();
        self.trace.say(now, || format!("node {place} ends"));
    }
}
