//! What the log's answer to a write means.

use std::sync::Arc;

use protocol::Seq;

use super::{Append, InFlight, Suspicion, Window};
use crate::effects::{Event, Rejection, Ticket};
use crate::log::{AppendOutcome, StoredSegment};
use crate::turn::Turn;

/// What the timeline must be told after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing.
    Nothing,
    /// Our batch is in the log, and acknowledged once the timeline has taken it.
    Committed(Arc<StoredSegment>),
    /// Our batch is in the log, but only a check tells whether in an epoch that still lives.
    Confirm,
    /// Another writer's segment has the number.
    Lost(StoredSegment),
}

impl Append {
    /// Takes the answer to `Action::Append`. `now`: the newest ticket.
    pub(crate) fn handle_appended(
        &mut self,
        ticket: Ticket,
        outcome: AppendOutcome,
        now: Ticket,
        turn: &mut Turn<'_>,
    ) -> Settled {
        let Some(in_flight) = self.in_flight.as_mut().filter(|in_flight| in_flight.ticket == Some(ticket)) else {
            return Settled::Nothing;
        };
        in_flight.ticket = None;
        match outcome {
            AppendOutcome::Committed => self.written(now, turn),
            AppendOutcome::Conflict(existing) if existing.nonce == in_flight.stored.nonce => self.written(now, turn),
            AppendOutcome::Conflict(existing) => {
                self.thaw();
                if self.follow(&existing.segment.node, turn) {
                    self.not_before = turn.now;
                } else {
                    self.fairness.handle_lost(turn.now);
                    let wait = self.races.fail(turn);
                    self.not_before = turn.now.plus_ms(wait);
                }
                Settled::Lost(existing)
            }
            AppendOutcome::Refused(_) => self.refused(turn),
            AppendOutcome::Throttled | AppendOutcome::Failed(_) if !in_flight.unknown => {
                // Nothing was ever written under this nonce: the next batch may be larger, under another.
                self.thaw();
                let wait = self.faults.fail(turn);
                self.not_before = turn.now.plus_ms(wait);
                Settled::Nothing
            }
            AppendOutcome::Throttled | AppendOutcome::Failed(_) => self.try_again(turn),
            AppendOutcome::Unknown(_) => {
                in_flight.unknown = true;
                self.try_again(turn)
            }
        }
    }

    /// The timeline has taken our batch: it is acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        let Some(InFlight { stored, batch, .. }) = self.in_flight.take() else { return };
        for (index, pending) in batch.iter().enumerate() {
            let seq: Seq = stored.segment.seq.plus(index as u64);
            for token in self.queue.settle(&pending.key) {
                self.events.push_back(Event::Acked { token, seq });
            }
        }
        self.trim(stored.segment.end());
    }

    /// A batch that is in the log and waits for its epoch to be confirmed by a check that was asked afterwards.
    pub(crate) fn confirming(&self, check: Ticket) -> Option<Arc<StoredSegment>> {
        let in_flight = self.in_flight.as_ref()?;
        in_flight.committed.filter(|committed| *committed < check).map(|_| Arc::clone(&in_flight.stored))
    }

    /// The room has begun another epoch. What it shows of our batch is found by its ids; the rest is written again.
    pub(crate) fn handle_new_epoch(&mut self) {
        match &mut self.in_flight {
            // On its way to a number of the old epoch: its answer must come first, and counts for nothing by itself.
            Some(in_flight) if in_flight.committed.is_none() => in_flight.confirm = true,
            _ => self.thaw(),
        }
        self.forget_ids();
    }

    /// Takes the batch back: the epoch that it was written in is over.
    pub(crate) fn take_back(&mut self) {
        self.thaw();
        self.forget_ids();
    }

    /// Numbers are about to mean other messages: the ids are read anew, and what is compared with a number is not known.
    fn forget_ids(&mut self) {
        self.window = Window::Unread;
        self.give_up_comparing();
    }

    fn written(&mut self, now: Ticket, turn: &mut Turn<'_>) -> Settled {
        let pause = self.fairness.handle_written(turn);
        self.not_before = turn.now.plus_ms(pause);
        self.races.succeed();
        self.faults.succeed();
        let Some(in_flight) = &mut self.in_flight else { return Settled::Nothing };
        in_flight.committed = Some(now);
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.suspects = suspicion.suspects.saturating_sub(in_flight.batch.len());
            if suspicion.suspects == 0 {
                self.suspicion = None;
            }
        }
        if in_flight.confirm { Settled::Confirm } else { Settled::Committed(Arc::clone(&in_flight.stored)) }
    }

    fn refused(&mut self, turn: &mut Turn<'_>) -> Settled {
        let Some(in_flight) = self.in_flight.take() else { return Settled::Nothing };
        let size = in_flight.batch.len();
        if let [offender] = in_flight.batch.as_slice() {
            let tokens = self.queue.settle(&offender.key);
            self.reject(tokens, Rejection::Refused);
            self.suspicion = None;
        } else {
            self.queue.put_back(in_flight.batch);
            let suspects = self.suspicion.map_or(size, |suspicion| suspicion.suspects);
            self.suspicion = Some(Suspicion { batch: size.div_ceil(2), suspects });
        }
        self.not_before = turn.now;
        Settled::Nothing
    }

    fn thaw(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            self.queue.put_back(in_flight.batch);
        }
    }

    fn try_again(&mut self, turn: &mut Turn<'_>) -> Settled {
        let wait = 10 + self.faults.fail(turn);
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.retry_at = Some(turn.now.plus_ms(wait));
        }
        Settled::Nothing
    }
}
