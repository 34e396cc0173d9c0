//! Giving batches to the node that wins this room's races, and taking the batches of others.
//!
//! Who writes a room is a hint like everything else: the conditional write alone decides. So whatever becomes of a
//! batch that was handed over, it may be sent again or committed directly. A repeat is found by user and id, because
//! each node writes only at its `next` and knows the ids before it.

use protocol::{Decline, Epoch, ErrorCode, HandOff, HandOffAnswer, HandedOutcome, Message, NodeId, Seq};

use super::course::{Broken, Handed};
use super::queue::Pending;
use super::{Append, Publish, Token, Window};
use crate::effects::{Event, HandOver, Rejection, Ticket};
use crate::turn::{Time, Turn};

/// Longest wait before a node that was overloaded is asked again, in milliseconds. Nobody else would do better: what it
/// waits for is the log.
const OVERLOADED_MS: u64 = 200;
/// How often in a row batches may be sent on, to the next node or in a new stream, before they are committed directly.
const MAX_REDIRECTS: u32 = 2;
/// Batches that may be on their way at a time.
const MAX_OUT: usize = 8;
/// Between two batches, in milliseconds: what comes meanwhile is the next one.
const GATHER_MS: u64 = 2;

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
        self.course.streams.clear();
        // What others have handed over is never handed on.
        let returned = self.queue.take_handed();
        self.events.extend(returned.into_iter().map(|token| Event::HandedBack { token }));
        true
    }

    /// The next batch for the node that writes this room, if there is one and it is time. `next`: the number up to which
    /// the id window is known.
    pub(crate) fn poll_hand_over(
        &mut self,
        (epoch, next): (&Epoch, Seq),
        turn: &mut Turn<'_>,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<(Ticket, NodeId, HandOff)> {
        let ready = matches!(self.window, Window::Ready(_)) && turn.now >= self.not_before;
        let course = &self.course;
        let in_time = course.out.is_empty() || (turn.now >= course.next_at && course.out.len() < MAX_OUT);
        if self.in_flight.is_some() || course.broken.is_some() || !ready || !in_time || self.queue.is_empty() {
            return None;
        }
        let to = course.leader(turn.now)?.clone();
        let batch = self.take_batch(epoch, turn.now);
        if batch.is_empty() {
            return None;
        }
        let course = &mut self.course;
        let (stream, sent) = course.stream.get_or_insert_with(|| ((turn.random)(), 0));
        *sent += 1;
        let (stream, index) = (*stream, *sent);
        let messages = batch.iter().map(|pending| pending.message.clone()).collect();
        let hand_off =
            HandOff { room: self.room.clone(), epoch: epoch.clone(), checked: next, stream, index, messages };
        let ticket = ticket();
        course.next_at = turn.now.plus_ms(GATHER_MS);
        let until = turn.now.plus_ms(course.patience_ms());
        let batch = batch.into_iter().map(Some).collect();
        course.out.push_back(Handed { ticket, index, sent_at: turn.now, until, batch });
        Some((ticket, to, hand_off))
    }

    /// Takes the answer to `Action::HandOver`. Returns whether the room should be read: this node goes on by itself.
    pub(crate) fn handle_handed_over(&mut self, ticket: Ticket, outcome: HandOver, turn: &mut Turn<'_>) -> bool {
        let place = self.course.out.iter().position(|handed| handed.ticket == ticket);
        let Some(Handed { index, batch, sent_at, .. }) = place.and_then(|place| self.course.out.remove(place)) else {
            return false;
        };
        let all = |batch: Vec<Option<Pending>>| batch.into_iter().flatten().collect::<Vec<_>>();
        let reason = match &outcome {
            HandOver::Answered(HandOffAnswer::Declined { reason, .. }) => Some(*reason),
            _ => None,
        };
        let (back, leader) = match outcome {
            HandOver::Answered(HandOffAnswer::Settled { outcomes, leader }) if outcomes.len() == batch.len() => {
                (self.settle_handed(batch, &outcomes, turn.now), leader)
            }
            HandOver::Answered(HandOffAnswer::Declined { leader, .. }) => (all(batch), leader),
            HandOver::NotSent => (all(batch), None),
            HandOver::Answered(HandOffAnswer::Settled { .. }) | HandOver::Unknown => {
                (all(batch).into_iter().map(|pending| pending.kept(turn.now)).collect(), None)
            }
        };
        self.course.handle_took(turn.now.since_ms(sent_at), back.is_empty());
        if !back.is_empty() {
            // The first failure tells why: those after it follow from it.
            let first = self.course.broken.is_none();
            let broken = self.course.broken.get_or_insert_default();
            let out_of_order = reason == Some(Decline::OutOfOrder);
            broken.out_of_order = out_of_order && (first || broken.out_of_order);
            // What was sent after a batch that was too much is out of order.
            broken.overloaded = reason == Some(Decline::Overloaded) || (out_of_order && broken.overloaded);
            broken.leader = leader.or(broken.leader.take());
            broken.back.push((index, back));
        } else if self.course.broken.is_none() {
            self.course.redirects = 0;
            if let Some((leader, _)) = &self.course.leader {
                self.course.shunned.retain(|shunned| shunned.node != *leader);
            }
        }
        if !self.course.out.is_empty() {
            return false;
        }
        let Some(mut broken) = self.course.broken.take() else { return false };
        broken.back.sort_unstable_by_key(|(index, _)| *index);
        let back = std::mem::take(&mut broken.back).into_iter().flat_map(|(_, back)| back).collect();
        self.queue.put_back(back);
        self.change_course(broken, turn)
    }

    /// Waits no longer for answers that are overdue. Returns whether the room should be read.
    pub(super) fn lose_patience(&mut self, turn: &mut Turn<'_>) -> bool {
        let overdue: Vec<Ticket> =
            self.course.out.iter().filter(|handed| handed.until <= turn.now).map(|handed| handed.ticket).collect();
        let mut alone = false;
        for ticket in overdue {
            alone |= self.handle_handed_over(ticket, HandOver::Unknown, turn);
        }
        alone
    }

    /// The room shows messages: those that were handed over are settled, whatever becomes of the answer.
    pub(super) fn settle_shown(&mut self) {
        let Window::Ready(ids) = &self.window else { return };
        let mut shown = Vec::new();
        for place in self.course.out.iter_mut().flat_map(|handed| &mut handed.batch) {
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
        if !self.course.takes(hand_off.stream, hand_off.index) {
            return Err((Decline::OutOfOrder, None));
        }
        let taken_at = hand_off.checked.min(next);
        for (token, message) in tokens.iter().zip(hand_off.messages) {
            self.take_in(Publish { token: *token, message }, taken_at, true, turn);
        }
        Ok(())
    }

    /// Ends what the other node has answered; what it has not brought to an end comes back.
    fn settle_handed(&mut self, batch: Vec<Option<Pending>>, outcomes: &[HandedOutcome], now: Time) -> Vec<Pending> {
        let mut back = Vec::new();
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            let Some(pending) = pending else { continue };
            match outcome {
                HandedOutcome::Acked(seq) => {
                    for token in self.queue.settle(&pending.key) {
                        self.events.push_back(Event::Acked { token, seq: *seq });
                    }
                }
                HandedOutcome::Conflict(seq) => self.fail_handed(&pending, Rejection::IdConflict(Some(*seq))),
                // A node that tells no numbers compares texts: where the message is known here, it is compared here.
                HandedOutcome::Failed(ErrorCode::IdConflict) => match self.find(&pending.key) {
                    Some((seq, known)) => self.settle_repeat(&pending, seq, known),
                    None => self.fail_handed(&pending, Rejection::IdConflict(None)),
                },
                HandedOutcome::Failed(ErrorCode::BadFrame) => self.fail_handed(&pending, Rejection::Refused),
                HandedOutcome::Returned => back.push(pending),
                HandedOutcome::Failed(_) => back.push(pending.kept(now)),
            }
        }
        back
    }

    fn fail_handed(&mut self, pending: &Pending, reason: Rejection) {
        let tokens = self.queue.settle(&pending.key);
        self.reject(tokens, reason);
    }

    /// The leader has not brought a batch to an end: another node does, or it gets it in a new stream, or this node goes
    /// on by itself. Returns whether it is this one.
    fn change_course(&mut self, why: Broken, turn: &mut Turn<'_>) -> bool {
        let course = &mut self.course;
        course.stream = None;
        let Some((from, until)) = course.leader.take() else { return true };
        if why.overloaded {
            course.leader = Some((from, until));
            self.not_before = turn.now.plus_ms(OVERLOADED_MS / 4 + turn.up_to(OVERLOADED_MS * 3 / 4));
            return false;
        }
        course.redirects += 1;
        if course.redirects <= MAX_REDIRECTS && why.out_of_order {
            course.leader = Some((from, until));
            return false;
        }
        match why.leader {
            // The other one follows this node: both are better off when it writes.
            Some(leader) if leader == self.node => true,
            Some(leader)
                if course.redirects <= MAX_REDIRECTS && leader != from && course.may_follow(&leader, turn.now) =>
            {
                course.follow(leader, turn.now);
                false
            }
            _ => {
                course.shun(from, turn.now);
                let wait = self.races.fail(turn);
                self.not_before = turn.now.plus_ms(wait);
                true
            }
        }
    }
}
