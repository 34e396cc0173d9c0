//! Giving batches to the node that wins this room's races, and taking the batches of others.
//!
//! Who writes a room is a hint like everything else: the conditional write alone decides. So whatever becomes of a
//! batch that was handed over, it may be sent again or committed directly. A repeat is found by user and id, because
//! each node writes only at its `next` and knows the ids before it.

use protocol::{Decline, Epoch, ErrorCode, HandOff, HandOffAnswer, HandedOutcome, Message, NodeId, Seq};

use super::queue::Pending;
use super::{Append, Publish, Token, Window};
use crate::effects::{Event, HandOver, Rejection, Ticket};
use crate::turn::{Time, Turn};

/// How long a node that lost a race gives its batches to the winner, in milliseconds.
const FOLLOW_MS: u64 = 2_000;
/// How long a node that did not take a batch gets none, in milliseconds.
const SHUN_MS: u64 = 2_000;
/// How often in a row one batch may be sent on to the next node before it is committed directly.
const MAX_REDIRECTS: u32 = 2;

/// Whom this node follows in one room.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// It gets this node's batches until then.
    leader: Option<(NodeId, Time)>,
    /// It gets none until then.
    shunned: Option<(NodeId, Time)>,
    /// How often in a row a batch was sent on.
    redirects: u32,
    out: Option<Handed>,
}

/// A batch that another node has, or may have.
#[derive(Debug)]
struct Handed {
    ticket: Ticket,
    to: NodeId,
    /// In the order they were handed; `None`: the room has shown it.
    batch: Vec<Option<Pending>>,
}

impl Course {
    pub(super) fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// What is out and not yet seen in the room.
    pub(super) fn handed(&self) -> impl Iterator<Item = &Pending> {
        self.out.iter().flat_map(|handed| handed.batch.iter().flatten())
    }

    pub(super) fn leader(&self, now: Time) -> Option<&NodeId> {
        self.leader.as_ref().filter(|(_, until)| now < *until).map(|(leader, _)| leader)
    }

    /// When this node goes back to writing by itself.
    pub(super) fn until(&self) -> Option<Time> {
        self.leader.as_ref().map(|(_, until)| *until)
    }

    fn may_follow(&self, leader: &NodeId, now: Time) -> bool {
        self.shunned.as_ref().is_none_or(|(shunned, until)| shunned != leader || *until <= now)
    }

    fn follow(&mut self, leader: NodeId, now: Time) {
        self.leader = Some((leader, now.plus_ms(FOLLOW_MS)));
    }
}

impl Append {
    /// Whom this node gives its batches, if anybody.
    pub(crate) fn leader(&self, now: Time) -> Option<&NodeId> {
        self.course.leader(now)
    }

    /// The race for a number was lost to `winner`. Returns whether it gets this node's batches from now on.
    pub(super) fn follow(&mut self, winner: &NodeId, turn: &Turn<'_>) -> bool {
        if !self.limits.hand_off || *winner == self.node || !self.course.may_follow(winner, turn.now) {
            return false;
        }
        self.course.redirects = 0;
        self.course.follow(winner.clone(), turn.now);
        // What others have handed over is never handed on.
        let returned = self.queue.take_handed();
        self.events.extend(returned.into_iter().map(|token| Event::HandedBack { token }));
        true
    }

    /// The next batch for the node that writes this room, if there is one and nothing is under way. `next`: the number
    /// up to which the id window is known.
    pub(crate) fn poll_hand_over(
        &mut self,
        epoch: &Epoch,
        next: Seq,
        now: Time,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<(Ticket, NodeId, HandOff)> {
        let ready = matches!(self.window, Window::Ready(_)) && now >= self.not_before;
        if self.in_flight.is_some() || self.course.is_out() || !ready {
            return None;
        }
        let to = self.course.leader(now)?.clone();
        let batch = self.take_batch(epoch);
        if batch.is_empty() {
            return None;
        }
        let messages = batch.iter().map(|pending| pending.message.clone()).collect();
        let hand_off = HandOff { room: self.room.clone(), epoch: epoch.clone(), checked: next, messages };
        let ticket = ticket();
        let batch = batch.into_iter().map(Some).collect();
        self.course.out = Some(Handed { ticket, to: to.clone(), batch });
        Some((ticket, to, hand_off))
    }

    /// Takes the answer to `Action::HandOver`. Returns whether the room should be read: this node goes on by itself.
    pub(crate) fn handle_handed_over(&mut self, ticket: Ticket, outcome: HandOver, turn: &mut Turn<'_>) -> bool {
        let Some(Handed { to, batch, .. }) = self.course.out.take_if(|handed| handed.ticket == ticket) else {
            return false;
        };
        let (back, leader) = match outcome {
            HandOver::Answered(HandOffAnswer::Settled { outcomes, leader }) if outcomes.len() == batch.len() => {
                (self.settle_handed(batch, &outcomes), leader)
            }
            HandOver::Answered(HandOffAnswer::Declined { leader, .. }) => {
                (batch.into_iter().flatten().collect(), leader)
            }
            HandOver::Answered(HandOffAnswer::Settled { .. }) | HandOver::NotSent | HandOver::Unknown => {
                (batch.into_iter().flatten().collect(), None)
            }
        };
        if back.is_empty() {
            self.course.redirects = 0;
            return false;
        }
        self.queue.put_back(back);
        self.change_course(to, leader, turn)
    }

    /// The room shows messages: those that were handed over are settled, whatever becomes of the answer.
    pub(super) fn settle_shown(&mut self) {
        let Window::Ready(ids) = &self.window else { return };
        let Some(handed) = &mut self.course.out else { return };
        let mut shown = Vec::new();
        for place in &mut handed.batch {
            if let Some(found) = place.as_ref().and_then(|pending| ids.find(&pending.key)) {
                shown.extend(place.take().map(|pending| (pending, found)));
            }
        }
        for (pending, (seq, known)) in shown {
            self.settle_repeat(&pending, seq, known);
        }
    }

    /// Takes a batch of another node in: all of it or nothing. Each of its publishes ends in exactly one `Acked`,
    /// `Rejected` or `HandedBack`. `next` and `epoch`: this node's own.
    ///
    /// # Errors
    /// Nothing was taken, for this reason; and the node that this one follows.
    pub(crate) fn handle_hand_off(
        &mut self,
        hand_off: HandOff,
        tokens: &[Token],
        (epoch, next): (&Epoch, Seq),
        turn: &Turn<'_>,
    ) -> Result<(), (Decline, Option<NodeId>)> {
        if let Some(leader) = self.course.leader(turn.now) {
            return Err((Decline::Elsewhere, Some(leader.clone())));
        }
        let known = matches!(&self.window, Window::Ready(ids) if ids.floor() <= hand_off.checked);
        if hand_off.epoch != *epoch || !known {
            return Err((Decline::NotReady, None));
        }
        let bytes: usize = hand_off.messages.iter().map(Message::envelope_len).sum();
        let full = self.queue.len() + hand_off.messages.len() > self.limits.queue_messages
            || self.queue.bytes() + bytes > self.limits.queue_bytes;
        if full {
            return Err((Decline::Overloaded, None));
        }
        let taken_at = hand_off.checked.min(next);
        for (token, message) in tokens.iter().zip(hand_off.messages) {
            self.take_in(Publish { token: *token, message }, taken_at, true, turn);
        }
        Ok(())
    }

    /// Ends what the other node has answered; what it has not brought to an end comes back.
    fn settle_handed(&mut self, batch: Vec<Option<Pending>>, outcomes: &[HandedOutcome]) -> Vec<Pending> {
        let mut back = Vec::new();
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            let Some(pending) = pending else { continue };
            match outcome {
                HandedOutcome::Acked(seq) => {
                    for token in self.queue.settle(&pending.key) {
                        self.events.push_back(Event::Acked { token, seq: *seq });
                    }
                }
                HandedOutcome::Failed(ErrorCode::IdConflict) => self.fail_handed(&pending, Rejection::IdConflict),
                HandedOutcome::Failed(ErrorCode::BadFrame) => self.fail_handed(&pending, Rejection::Refused),
                HandedOutcome::Failed(_) | HandedOutcome::Returned => back.push(pending),
            }
        }
        back
    }

    fn fail_handed(&mut self, pending: &Pending, reason: Rejection) {
        let tokens = self.queue.settle(&pending.key);
        self.reject(tokens, reason);
    }

    /// `from` has not brought a batch to an end: another node does, or this one by itself. Returns whether it is this one.
    fn change_course(&mut self, from: NodeId, leader: Option<NodeId>, turn: &mut Turn<'_>) -> bool {
        self.course.redirects += 1;
        let sent_on = self.course.redirects <= MAX_REDIRECTS;
        match leader {
            Some(leader)
                if sent_on && leader != self.node && leader != from && self.course.may_follow(&leader, turn.now) =>
            {
                self.course.follow(leader, turn.now);
                false
            }
            // The other one follows this node: both are better off when it writes.
            Some(leader) if leader == self.node => {
                self.course.leader = None;
                true
            }
            _ => {
                self.course.leader = None;
                self.course.shunned = Some((from, turn.now.plus_ms(SHUN_MS)));
                let wait = self.races.fail(turn);
                self.not_before = turn.now.plus_ms(wait);
                true
            }
        }
    }
}
