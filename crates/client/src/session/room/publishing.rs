//! The publishes of a room that wait for their acknowledgement.

use std::time::Duration;

use protocol::{Ack, Body, ClientFrame, ErrorFrame, MessageFrame, MessageId, Seq};

use super::{Room, Stage};
use crate::session::Outbox;
use crate::session::event::{Event, Proof, PublishFailure, Violation};

pub(super) struct Pending {
    id: MessageId,
    body: Body,
    /// Sent on this connection since the room was last joined.
    in_flight: bool,
    /// Sent ever: only then can it be in the log.
    sent: bool,
    /// Its message came, its acknowledgement is due.
    seen: Option<Seq>,
}

impl Room {
    pub(in crate::session) fn publish(&mut self, id: MessageId, body: Body, out: &mut Outbox) {
        self.pending.push_back(Pending { id, body, in_flight: false, sent: false, seen: None });
        self.send_pending(out);
    }

    pub(in crate::session) fn unacknowledged(&self) -> usize {
        self.pending.len()
    }

    pub(in crate::session) fn has_pending(&self, id: &MessageId) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: &MessageId) -> Option<usize> {
        self.pending.iter().position(|pending| pending.id == *id)
    }

    /// Publishes go out, in order, only when the room is live: after `joined` and its whole replay.
    pub(super) fn send_pending(&mut self, out: &mut Outbox) {
        if !matches!(self.stage, Stage::Live) || self.paused_until.is_some() {
            return;
        }
        for pending in self.pending.iter_mut().filter(|pending| !pending.in_flight) {
            let Pending { id, body, sent, .. } = &*pending;
            if *sent {
                out.event(Event::PublishResent { room: self.name.clone(), id: id.clone() });
            }
            out.send(&ClientFrame::Publish { room: self.name.clone(), id: id.clone(), body: body.clone() });
            (pending.in_flight, pending.sent) = (true, true);
        }
    }

    /// An own message is durable. In a replay nothing else will say so; live, its `ack` is on the way.
    pub(super) fn on_own_message(&mut self, message: &MessageFrame, out: &mut Outbox) {
        let Some(index) = self.find(&message.id) else { return };
        let pending = &mut self.pending[index];
        if !pending.sent {
            return; // the same id was used before: the server will say what it thinks of that
        }
        if pending.in_flight {
            pending.seen.get_or_insert(message.seq);
            return;
        }
        self.settle(index, message.seq, Proof::Message, out);
    }

    fn settle(&mut self, index: usize, seq: Seq, by: Proof, out: &mut Outbox) {
        let Some(Pending { id, .. }) = self.pending.remove(index) else { return };
        out.event(Event::Acked { room: self.name.clone(), id, seq, by });
    }

    /// An acknowledgement never moves the position.
    pub(in crate::session) fn on_ack(&mut self, frame: &Ack, out: &mut Outbox) {
        let Some(index) = self.find(&frame.id) else { return }; // a re-send is answered twice
        let pending = &self.pending[index];
        if !pending.sent {
            return out.violation(Violation::Unsolicited { room: Some(self.name.clone()), frame: "ack" });
        }
        if let Some(seen) = pending.seen.filter(|seen| *seen != frame.seq) {
            let (room, id) = (self.name.clone(), frame.id.clone());
            out.violation(Violation::AckMismatch { room, id, seen, acked: frame.seq });
        }
        self.settle(index, frame.seq, Proof::Ack, out);
        self.retries = if self.paused_until.is_none() { 0 } else { self.retries };
    }

    /// Returns whether the error was about a publish of this room.
    pub(in crate::session) fn on_publish_error(&mut self, now: Duration, frame: &ErrorFrame, out: &mut Outbox) -> bool {
        let Some(id) = frame.id.as_ref() else { return false };
        let Some(index) = self.find(id).filter(|index| self.pending[*index].sent) else { return false };
        if let Some(seq) = self.pending[index].seen {
            self.settle(index, seq, Proof::Message, out);
            return true;
        }
        if !frame.may_retry() {
            self.pending.remove(index);
            let reason = PublishFailure::Refused { code: frame.code, message: frame.message.clone(), seq: frame.seq };
            out.event(Event::PublishFailed { room: self.name.clone(), id: id.clone(), reason });
            return true;
        }
        // An error of a sending before the last one changes nothing: the last one has its own answer.
        let was_in_flight = std::mem::replace(&mut self.pending[index].in_flight, false);
        if was_in_flight {
            out.event(Event::PublishDelayed { room: self.name.clone(), id: id.clone(), code: frame.code });
            if self.paused_until.is_none() {
                self.paused_until = Some(now + out.delay(self.retries));
                self.retries = self.retries.saturating_add(1);
            }
        }
        true
    }

    /// No more answers are counted on. A publish whose message was seen is durable, and must be settled now: the
    /// position is past it, so no replay will show it again.
    pub(super) fn forget_sendings(&mut self, out: &mut Outbox) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.seen {
                Some(seq) => {
                    out.event(Event::Acked { room: self.name.clone(), id: pending.id, seq, by: Proof::Message });
                }
                None => self.pending.push_back(Pending { in_flight: false, ..pending }),
            }
        }
    }

    /// Another user is connected now: what the former one sent cannot be sent again.
    pub(in crate::session) fn on_user_changed(&mut self, out: &mut Outbox) {
        for pending in std::mem::take(&mut self.pending) {
            if pending.sent {
                let (room, reason) = (self.name.clone(), PublishFailure::UserChanged);
                out.event(Event::PublishFailed { room, id: pending.id, reason });
            } else {
                self.pending.push_back(pending);
            }
        }
    }

    /// The room is left for good.
    pub(in crate::session) fn give_up(self, out: &mut Outbox) {
        for Pending { id, seen, .. } in self.pending {
            let room = self.name.clone();
            out.event(match seen {
                Some(seq) => Event::Acked { room, id, seq, by: Proof::Message },
                None => Event::PublishFailed { room, id, reason: PublishFailure::Left },
            });
        }
    }
}
