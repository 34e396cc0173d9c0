use std::collections::VecDeque;

use protocol::NodeId;

use super::queue::Pending;
use crate::effects::Ticket;
use crate::turn::Time;

/// How long a node that lost a race gives its batches to the winner, in milliseconds.
const FOLLOW_MS: u64 = 2_000;
/// How long a node that did not take a batch gets none, in milliseconds; twice as long each time, up to a minute.
const SHUN_MS: u64 = 2_000;
const MAX_SHUN_DOUBLINGS: u32 = 5;
/// Nodes that are remembered for not taking batches.
const MAX_SHUNNED: usize = 8;
/// Streams of other nodes that are remembered: each node has one a room.
const MAX_STREAMS: usize = 128;

/// How long a batch waits for its answer, in milliseconds: so long, and so many times as long as answers usually take.
/// After that it is committed directly; if the other node has written it after all, the repeat is found.
const PATIENCE_MS: u64 = 200;
const PATIENCE_ANSWERS: u64 = 10;
const MAX_PATIENCE_MS: u64 = 1_000;

/// Whom this node follows in one room, and who follows it.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// It gets this node's batches until then.
    pub(super) leader: Option<(NodeId, Time)>,
    /// These get none. The newest last.
    pub(super) shunned: Vec<Shunned>,
    /// How often in a row batches were sent on.
    pub(super) redirects: u32,
    /// The stream of batches to the leader, and how many were sent; `None`: the next batch begins one.
    pub(super) stream: Option<(u64, u32)>,
    pub(super) next_at: Time,
    /// How long answers take, smoothed, in milliseconds.
    answer_ms: u64,
    /// In the order they were sent.
    pub(super) out: VecDeque<Handed>,
    /// Some batch was not brought to an end: no further ones are sent until all answers are there.
    pub(super) broken: Option<Broken>,
    /// The streams of other nodes, and the index that comes next in each. The newest last.
    pub(super) streams: VecDeque<(u64, u32)>,
}

/// A node that did not take a batch, or did not say so.
#[derive(Debug)]
pub(super) struct Shunned {
    pub(super) node: NodeId,
    pub(super) until: Time,
    /// In a row.
    pub(super) times: u32,
}

/// A batch that another node has, or may have.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) ticket: Ticket,
    pub(super) index: u32,
    pub(super) sent_at: Time,
    /// Nobody waits for the answer longer.
    pub(super) until: Time,
    /// In the order they were handed; `None`: the room has shown it.
    pub(super) batch: Vec<Option<Pending>>,
}

/// What comes back of a stream that has failed.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// By the index of their batch.
    pub(super) back: Vec<(u32, Vec<Pending>)>,
    /// Who writes the room, as far as those who declined know.
    pub(super) leader: Option<NodeId>,
    /// Nothing is wrong with the other node: a batch overtook another one.
    pub(super) out_of_order: bool,
    /// The other node is there, and has its hands full.
    pub(super) overloaded: bool,
}

impl Course {
    /// Whether anything is in other hands.
    pub(super) fn is_out(&self) -> bool {
        !self.out.is_empty() || self.broken.is_some()
    }

    /// What is in other hands, or was, and not yet seen in the room.
    pub(super) fn handed(&self) -> impl Iterator<Item = &Pending> {
        let back = self.broken.iter().flat_map(|broken| &broken.back).flat_map(|(_, back)| back);
        self.out.iter().flat_map(|handed| handed.batch.iter().flatten()).chain(back)
    }

    pub(super) fn leader(&self, now: Time) -> Option<&NodeId> {
        self.leader.as_ref().filter(|(_, until)| now < *until).map(|(leader, _)| leader)
    }

    /// When something changes by time alone: this node goes back to writing by itself, or sends the next batch.
    pub(super) fn poll_timeout(&self, now: Time) -> Option<Time> {
        let until = self.leader.as_ref().map(|(_, until)| *until);
        [until, Some(self.next_at)].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// When the oldest batch has waited long enough for its answer.
    pub(super) fn patience(&self) -> Option<Time> {
        self.out.iter().map(|handed| handed.until).min()
    }

    /// How long the next batch waits for its answer.
    pub(super) fn patience_ms(&self) -> u64 {
        (PATIENCE_MS + PATIENCE_ANSWERS * self.answer_ms).min(MAX_PATIENCE_MS)
    }

    /// A batch was brought to an end after so long, or was not: then others may take longer too.
    pub(super) fn handle_took(&mut self, took_ms: u64, ended: bool) {
        let answer_ms = if ended { (3 * self.answer_ms + took_ms).div_ceil(4) } else { 2 * self.answer_ms };
        self.answer_ms = answer_ms.min(MAX_PATIENCE_MS);
    }

    pub(super) fn may_follow(&self, leader: &NodeId, now: Time) -> bool {
        self.shunned.iter().all(|shunned| shunned.node != *leader || shunned.until <= now)
    }

    pub(super) fn shun(&mut self, node: NodeId, now: Time) {
        let place = self.shunned.iter().position(|shunned| shunned.node == node);
        let times = place.map_or(0, |place| self.shunned.remove(place).times);
        let until = now.plus_ms(SHUN_MS << times.min(MAX_SHUN_DOUBLINGS));
        if self.shunned.len() == MAX_SHUNNED {
            self.shunned.remove(0);
        }
        self.shunned.push(Shunned { node, until, times: times + 1 });
    }

    pub(super) fn follow(&mut self, leader: NodeId, now: Time) {
        self.leader = Some((leader, now.plus_ms(FOLLOW_MS)));
        self.stream = None;
    }

    /// Whether a batch is the next one of its stream; then the one after it is.
    pub(super) fn takes(&mut self, stream: u64, index: u32) -> bool {
        let known = self.streams.iter().position(|(known, _)| *known == stream);
        let next = known.and_then(|place| self.streams.remove(place)).map_or(1, |(_, next)| next);
        let takes = index == next;
        self.streams.push_back((stream, if takes { next.saturating_add(1) } else { next }));
        if self.streams.len() > MAX_STREAMS {
            self.streams.pop_front();
        }
        takes
    }
}
