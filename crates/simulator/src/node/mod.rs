//! One node of the model: the shell that `ws-server/src/rooms` is, without sockets, tasks and clocks.
//!
//! It mirrors that shell's decisions (who enters when, what a replay reads, who hears of which publish) over the real
//! room machines. What it wants done in the world it says as [`Output`].

mod answer;
mod hand_off;
mod history;
mod hosted;
mod join;
mod publish;
mod replay;

use std::sync::Arc;

use protocol::{HandOffAnswer, Message, MessageFrame, NodeId, RoomName, Segment, Seq, ServerFrame};
use room_core::log::WallSecs;
use room_core::{Action, Ticket, Time};

pub(crate) use answer::Answer;
pub(crate) use history::{HistoryRequest, HistoryWindow};
pub(crate) use hosted::Hosted;

use crate::checker::Checker;
use crate::plan::Limits;
use crate::plant::Plant;
use crate::wire::{Frame, Wires};

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing runs here.
    Down,
    Up,
    /// It takes no more connections and is about to end.
    Draining,
}

/// A place, and the node that runs there.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Counts the nodes of a run: what was meant for an earlier one is lost.
    pub(crate) life: u64,
    pub(crate) stage: Stage,
    pub(crate) retention_secs: u64,
    /// By the room's number.
    pub(crate) rooms: Vec<Option<Hosted>>,
    hostings: u64,
}

impl Node {
    pub(crate) fn new(id: NodeId, life: u64, rooms: usize, retention_secs: u64) -> Self {
        let rooms = (0..rooms).map(|_| None).collect();
        Self { id, life, stage: Stage::Up, retention_secs, rooms, hostings: 0 }
    }

    /// Opens the room here if it is not.
    pub(crate) fn host(&mut self, room: usize, name: &RoomName, limits: &Limits) {
        if self.rooms[room].is_none() {
            self.hostings += 1;
            let mut room_limits = limits.room.clone();
            room_limits.append.retention_secs = self.retention_secs;
            let machine = room_core::Room::new(name.clone(), self.id.clone(), room_limits);
            let numbers = (room, self.hostings);
            self.rooms[room] = Some(Hosted::new(name.clone(), numbers, self.id.clone(), machine, limits));
        }
    }

    /// Nothing waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.rooms.iter().flatten().all(|hosted| hosted.machine.is_idle())
    }
}

/// Whose request something is: a node may have died since, a room may have been closed and opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) place: usize,
    pub(crate) life: u64,
    pub(crate) room: usize,
    pub(crate) hosting: u64,
}

/// Who waits for the answer to a hand-off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) to: Address,
    pub(crate) ticket: Ticket,
}

/// What a room wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Ask the log, or another node.
    Ask(Action),
    /// Read a page for members that read back.
    ReadPage { number: u64, from: Seq, limit: u32 },
    /// Read what a `history` request asks for.
    ReadHistory(HistoryRequest),
    /// Tell the other nodes what this one has committed.
    TellPeers(Arc<Segment>),
    /// Answer a hand-off.
    Answer(Reply, HandOffAnswer),
}

/// What a room needs of the world for one turn.
pub(crate) struct Scene<'a> {
    pub(crate) now: Time,
    pub(crate) wall: WallSecs,
    pub(crate) limits: &'a Limits,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) wires: &'a mut Wires,
    pub(crate) checker: &'a mut Checker,
    pub(crate) plant: Option<Plant>,
    pub(crate) out: &'a mut Vec<(Address, Output)>,
    pub(crate) address: Address,
}

impl Scene<'_> {
    fn send(&mut self, session: usize, frame: ServerFrame) {
        self.wires.send(session, Frame::Other(frame));
    }

    fn want(&mut self, output: Output) {
        self.out.push((self.address, output));
    }
}

/// A message as members get it.
fn message_frame(room: &RoomName, seq: Seq, message: &Message) -> MessageFrame {
    let Message { id, from, name, at, body } = message.clone();
    MessageFrame { room: room.clone(), seq, id, from, name, at, body }
}
