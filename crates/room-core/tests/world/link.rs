//! The way from node to node in the world: batches that are handed over, and what becomes of them.

use protocol::{ErrorCode, HandOff, HandOffAnswer, HandedOutcome, NodeId};
use room_core::{HandOver, Rejection, Ticket, Token};

use super::{Flight, World};

/// Somebody's batch, in the hands of another node.
#[derive(Debug)]
pub struct Batch {
    from: usize,
    from_life: u64,
    ticket: Ticket,
    pub at: usize,
    outcomes: Vec<Option<HandedOutcome>>,
    /// Nobody waits for its answer.
    ghost: bool,
}

impl World {
    /// A batch leaves a node. It may be lost, its answer may be, it may come twice, or so late that nobody waits.
    pub(super) fn send_hand_off(&mut self, node: usize, ticket: Ticket, to: &NodeId, hand_off: HandOff) {
        self.handed_over += 1;
        let life = self.nodes[node].life;
        let answer = |outcome| Flight::HandedOver { node, life, ticket, outcome };
        if self.chance(self.faults.link_lost) {
            // The sender gives up some time. The batch arrives all the same, or not.
            self.flights.push(answer(HandOver::Unknown));
            if self.chance(60) {
                self.flights.push(Flight::HandOff { from: node, life, ticket, to: to.clone(), hand_off, ghost: true });
            }
            return;
        }
        if self.chance(self.faults.link_repeated) {
            let (to, hand_off) = (to.clone(), hand_off.clone());
            self.flights.push(Flight::HandOff { from: node, life, ticket, to, hand_off, ghost: true });
        }
        self.flights.push(Flight::HandOff { from: node, life, ticket, to: to.clone(), hand_off, ghost: false });
    }

    pub(super) fn take_hand_off(
        &mut self,
        (from, from_life, ticket): (usize, u64, Ticket),
        to: &NodeId,
        hand_off: HandOff,
        ghost: bool,
    ) -> bool {
        let Some(at) = self.nodes.iter().position(|node| node.id == *to) else {
            // The node is gone: the connection is refused.
            if !ghost {
                self.flights.push(Flight::HandedOver {
                    node: from,
                    life: from_life,
                    ticket,
                    outcome: HandOver::NotSent,
                });
            }
            return false;
        };
        self.batches.push(Batch { from, from_life, ticket, at, outcomes: vec![None; hand_off.messages.len()], ghost });
        let batch = self.batches.len() - 1;
        let mut tokens = Vec::new();
        for (index, message) in hand_off.messages.iter().enumerate() {
            self.tokens += 1;
            tokens.push(Token(self.tokens));
            self.handed.insert(Token(self.tokens), (batch, index, message.id.clone()));
        }
        let mut declined = None;
        self.with_room(at, |room, turn| declined = room.handle_hand_off(hand_off, &tokens, turn).err());
        let Some((reason, leader)) = declined else { return true };
        tokens.iter().for_each(|token| drop(self.handed.remove(token)));
        self.answer_batch(batch, HandOffAnswer::Declined { reason, leader });
        false
    }

    /// A batch comes from nowhere: its sender is long gone. Returns whether it was taken.
    pub fn hand_to(&mut self, node: usize, hand_off: HandOff) -> bool {
        let to = self.nodes[node].id.clone();
        self.take_hand_off((node, 0, Ticket::default()), &to, hand_off, true)
    }

    /// A handed publish has its outcome; the whole batch is answered when all have.
    pub(super) fn settle_handed(&mut self, token: Token, outcome: HandedOutcome) {
        let (batch, index, _) = self.handed.remove(&token).expect("one answer a publish");
        let place = &mut self.batches[batch].outcomes[index];
        assert!(place.replace(outcome).is_none(), "one outcome a publish");
        let outcomes: Option<Vec<_>> = self.batches[batch].outcomes.iter().copied().collect();
        if let Some(outcomes) = outcomes {
            let now = room_core::Time(self.now);
            let leader = self.nodes[self.batches[batch].at].room.leader(now).cloned();
            self.answer_batch(batch, HandOffAnswer::Settled { outcomes, leader });
        }
    }

    fn answer_batch(&mut self, batch: usize, answer: HandOffAnswer) {
        let Batch { from, from_life, ticket, ghost, .. } = self.batches[batch];
        if ghost {
            return;
        }
        let lost = self.chance(self.faults.link_lost);
        let outcome = if lost { HandOver::Unknown } else { HandOver::Answered(answer) };
        self.flights.push(Flight::HandedOver { node: from, life: from_life, ticket, outcome });
    }

    /// Those who wait for a node that is gone learn that its connection is.
    pub(super) fn break_batches_of(&mut self, node: usize) {
        let gone: Vec<Token> =
            self.handed.iter().filter(|(_, (batch, ..))| self.batches[*batch].at == node).map(|(t, _)| *t).collect();
        let mut broken: Vec<usize> = gone.iter().filter_map(|token| self.handed.remove(token)).map(|h| h.0).collect();
        broken.sort_unstable();
        broken.dedup();
        for batch in broken {
            let Batch { from, from_life, ticket, ghost, .. } = self.batches[batch];
            if !ghost {
                let outcome = HandOver::Unknown;
                self.flights.push(Flight::HandedOver { node: from, life: from_life, ticket, outcome });
            }
        }
    }
}

pub(super) fn outcome_of(rejection: Rejection) -> HandedOutcome {
    HandedOutcome::Failed(match rejection {
        Rejection::Overloaded => ErrorCode::Overloaded,
        Rejection::Unavailable => ErrorCode::Unavailable,
        Rejection::IdConflict(Some(seq)) => return HandedOutcome::Conflict(seq),
        Rejection::IdConflict(None) => ErrorCode::IdConflict,
        Rejection::Refused => ErrorCode::BadFrame,
    })
}
