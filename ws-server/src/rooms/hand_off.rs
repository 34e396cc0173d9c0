//! Batches that other nodes hand over: taken in by the room, answered when every publish has its outcome.

use protocol::{Decline, ErrorCode, HandOff, HandOffAnswer, HandedOutcome, Seq};
use room_core::{Rejection, Token};
use tokio::sync::oneshot;

use super::hosted::{Hosted, Scene};
use super::publish::Publisher;

/// A batch whose answer is awaited.
#[derive(Debug)]
pub(crate) struct HandedBatch {
    /// In the order of the batch; `None`: not known yet.
    outcomes: Vec<Option<HandedOutcome>>,
    open: usize,
    /// Another node writes the room now: publishes were handed back.
    returned: bool,
    answer: oneshot::Sender<HandOffAnswer>,
}

/// A publish's place in a batch that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandedPlace {
    batch: u64,
    index: usize,
}

/// The answer of a room that is not open here.
pub(super) fn not_ready() -> HandOffAnswer {
    HandOffAnswer::Declined { reason: Decline::NotReady, leader: None }
}

impl Hosted {
    pub(crate) fn handle_hand_off(
        &mut self,
        hand_off: HandOff,
        answer: oneshot::Sender<HandOffAnswer>,
        scene: &Scene<'_>,
    ) {
        let count = hand_off.messages.len();
        if count == 0 || self.publishers.len() + count > scene.limits.publishes_in_flight {
            let reason = if count == 0 { Decline::NotReady } else { Decline::Overloaded };
            // Whoever asked may have stopped waiting; so below.
            let _ = answer.send(HandOffAnswer::Declined { reason, leader: None });
            return;
        }
        self.tokens += 1;
        let batch = self.tokens;
        let tokens: Vec<Token> = (1..=count as u64).map(|index| Token(batch + index)).collect();
        self.tokens += count as u64;
        for (index, token) in tokens.iter().enumerate() {
            self.publishers.insert(*token, Publisher::Node(HandedPlace { batch, index }));
        }
        let batch_state = HandedBatch { outcomes: vec![None; count], open: count, returned: false, answer };
        self.handed.insert(batch, batch_state);
        let mut declined = None;
        self.act(scene, |machine, turn| declined = machine.handle_hand_off(hand_off, &tokens, turn).err());
        if let Some((reason, leader)) = declined {
            tokens.iter().for_each(|token| drop(self.publishers.remove(token)));
            if let Some(refused) = self.handed.remove(&batch) {
                let _ = refused.answer.send(HandOffAnswer::Declined { reason, leader });
            }
        }
    }

    /// A publish of another node's batch is durable.
    pub(super) fn acknowledge_handed(&mut self, place: HandedPlace, seq: Seq) {
        self.settle_handed(place, HandedOutcome::Acked(seq));
    }

    /// A publish of another node's batch was not logged.
    pub(super) fn reject_handed(&mut self, place: HandedPlace, reason: Rejection) {
        let outcome = match reason {
            Rejection::Overloaded => HandedOutcome::Failed(ErrorCode::Overloaded),
            Rejection::Unavailable => HandedOutcome::Failed(ErrorCode::Unavailable),
            Rejection::IdConflict(Some(seq)) => HandedOutcome::Conflict(seq),
            Rejection::IdConflict(None) => HandedOutcome::Failed(ErrorCode::IdConflict),
            Rejection::Refused => HandedOutcome::Failed(ErrorCode::BadFrame),
        };
        self.settle_handed(place, outcome);
    }

    /// A publish of another node's batch goes back to it.
    pub(super) fn hand_back(&mut self, token: Token) {
        if let Some(Publisher::Node(place)) = self.publishers.remove(&token) {
            self.settle_handed(place, HandedOutcome::Returned);
        }
    }

    fn settle_handed(&mut self, place: HandedPlace, outcome: HandedOutcome) {
        let Some(batch) = self.handed.get_mut(&place.batch) else { return };
        batch.returned |= outcome == HandedOutcome::Returned;
        batch.outcomes[place.index] = Some(outcome);
        batch.open -= 1;
        if batch.open > 0 {
            return;
        }
        if let Some(HandedBatch { outcomes, returned, answer, .. }) = self.handed.remove(&place.batch) {
            let outcomes = outcomes.into_iter().flatten().collect();
            let leader = if returned { self.machine.leader(self.used_at).cloned() } else { None };
            let _ = answer.send(HandOffAnswer::Settled { outcomes, leader });
        }
    }
}
