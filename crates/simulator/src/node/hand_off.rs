//! Batches that other nodes hand over: taken in by the room, answered when every publish has its outcome.

use protocol::{Decline, HandOff, HandOffAnswer, HandedOutcome, Seq};
use room_core::Token;

use super::publish::Publisher;
use super::{Hosted, Output, Reply, Scene};

/// A batch whose answer is awaited.
#[derive(Debug)]
pub(crate) struct HandedBatch {
    /// In the order of the batch; `None`: not known yet.
    outcomes: Vec<Option<HandedOutcome>>,
    open: usize,
    /// Another node writes the room now: publishes were handed back.
    returned: bool,
    /// Who waits; `None`: nobody does any more.
    reply: Option<Reply>,
}

/// A publish's place in a batch that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandedPlace {
    batch: u64,
    index: usize,
}

impl Hosted {
    pub(crate) fn handle_hand_off(&mut self, hand_off: HandOff, reply: Option<Reply>, scene: &mut Scene<'_>) {
        let count = hand_off.messages.len();
        if count == 0 || self.publishers.len() + count > scene.limits.publishes_in_flight {
            let reason = if count == 0 { Decline::NotReady } else { Decline::Overloaded };
            return answer(reply, HandOffAnswer::Declined { reason, leader: None }, scene);
        }
        self.tokens += 1;
        let batch = self.tokens;
        let tokens: Vec<Token> = (1..=count as u64).map(|index| Token(batch + index)).collect();
        self.tokens += count as u64;
        for (index, (token, message)) in tokens.iter().zip(&hand_off.messages).enumerate() {
            self.publishers.insert(*token, Publisher::Node(HandedPlace { batch, index }, message.clone()));
        }
        self.handed.insert(batch, HandedBatch { outcomes: vec![None; count], open: count, returned: false, reply });
        let mut declined = None;
        self.act(scene, |machine, turn| declined = machine.handle_hand_off(hand_off, &tokens, turn).err());
        if let Some((reason, leader)) = declined {
            tokens.iter().for_each(|token| drop(self.publishers.remove(token)));
            self.handed.remove(&batch);
            answer(reply, HandOffAnswer::Declined { reason, leader }, scene);
        }
    }

    /// A publish of another node's batch is durable.
    pub(super) fn acknowledge_handed(&mut self, place: HandedPlace, seq: Seq, scene: &mut Scene<'_>) {
        self.settle_handed(place, HandedOutcome::Acked(seq), scene);
    }

    /// A publish of another node's batch goes back to it.
    pub(super) fn hand_back(&mut self, token: Token, scene: &mut Scene<'_>) {
        if let Some(Publisher::Node(place, _)) = self.publishers.remove(&token) {
            self.settle_handed(place, HandedOutcome::Returned, scene);
        }
    }

    pub(super) fn settle_handed(&mut self, place: HandedPlace, outcome: HandedOutcome, scene: &mut Scene<'_>) {
        let Some(batch) = self.handed.get_mut(&place.batch) else { return };
        batch.returned |= outcome == HandedOutcome::Returned;
        batch.outcomes[place.index] = Some(outcome);
        batch.open -= 1;
        if batch.open > 0 {
            return;
        }
        if let Some(HandedBatch { outcomes, returned, reply, .. }) = self.handed.remove(&place.batch) {
            let outcomes = outcomes.into_iter().flatten().collect();
            let leader = if returned { self.machine.leader(scene.now).cloned() } else { None };
            answer(reply, HandOffAnswer::Settled { outcomes, leader }, scene);
        }
    }
}

fn answer(reply: Option<Reply>, answer: HandOffAnswer, scene: &mut Scene<'_>) {
    if let Some(reply) = reply {
        scene.want(Output::Answer(reply, answer));
    }
}
