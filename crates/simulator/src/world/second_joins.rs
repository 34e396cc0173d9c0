//! Joins of a room that a session is in: they change nothing, and tell exactly what was sent before them.
//!
//! Clients' own machines never send such a join. So one is put on the wire beside what they say, and its answer is judged here
//! and kept from them.

use client::encode;
use protocol::{ClientFrame, ErrorCode, JoinFrom, Ref, ServerFrame};

use super::{Event, World};

/// The `ref` of second joins: clients count theirs from 1.
const REF: u64 = 1 << 52;

/// Whether a frame with this `ref` is a second join, or its answer.
pub(super) fn is_second_join(reference: Option<&Ref>) -> bool {
    reference == Some(&Ref::number(REF))
}

impl World {
    /// A client says once more that it joins a room, if it is in that room or about to be.
    pub(super) fn join_again(&mut self, client: usize, room: usize) {
        let state = &self.clients[client];
        let Some(wire) = state.wire.filter(|_| state.rooms[room] && !state.leaving[room]) else { return };
        if self.wires[wire].rooms & (1 << room) == 0 {
            return;
        }
        let reference = Some(Ref::number(REF));
        let frame = ClientFrame::Join { room: self.names[room].clone(), from: JoinFrom::Head, reference };
        self.wires[wire].texts.push_back(encode(&frame));
        if !std::mem::replace(&mut self.wires[wire].arriving, true) {
            let delay = self.rng.u64(1..6);
            self.agenda.after(delay, Event::Arrive(wire));
        }
    }

    /// Whether a connection's session is in a room of its node, or about to be.
    pub(super) fn is_member(&self, wire: usize, room: usize) -> bool {
        self.nodes[self.wires[wire].place].rooms[room].as_ref().is_some_and(|hosted| hosted.has(wire))
    }

    /// Takes note of what a client has got when this frame reaches it. Returns whether it answers a second join.
    pub(super) fn note_position(&mut self, wire: usize, frame: &ServerFrame) -> bool {
        let got = &mut self.wires[wire].got;
        match frame {
            ServerFrame::Joined(joined) if is_second_join(joined.reference.as_ref()) => {
                let (told, got) = (joined.position.seq, got.get(&joined.room).copied());
                let right = joined.recovered && joined.replayed == 0 && got == Some(told);
                self.checker.expect(right, || {
                    format!("{}: a second join is told {joined:?}, and {got:?} came before it", joined.room)
                });
                return true;
            }
            ServerFrame::Error(error) if is_second_join(error.reference.as_ref()) => {
                let code = error.code;
                self.checker.expect(code == ErrorCode::Superseded, || format!("a second join is refused: {code:?}"));
                return true;
            }
            // A reset follows where the position is not reached by messages.
            ServerFrame::Joined(joined) => {
                got.insert(joined.room.clone(), joined.position.seq.minus(joined.replayed));
            }
            ServerFrame::Message(message) => {
                got.insert(message.room.clone(), message.seq);
            }
            ServerFrame::Reset(reset) => {
                got.insert(reset.room.clone(), reset.position.seq);
            }
            _ => {}
        }
        false
    }
}
