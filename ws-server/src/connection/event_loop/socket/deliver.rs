use super::{Connection, Lent, Outcome, Phase};
use crate::connection::event_loop::Conversation;
use crate::connection::event_loop::turn::Batch;
use crate::connection::event_loop::unwritten::{Sent, Unwritten, send};
use crate::connection::frame::Frame;

/// What becomes of a batch for one member.
pub(in crate::connection::event_loop) enum Delivery {
    /// It has it, or it waits.
    Done(Outcome),
    /// Its socket is free: it gets the batch as it is.
    AsItIs(Outcome),
}

impl<C: Conversation> Connection<C> {
    /// Queues a room's messages if they cannot be written now, or says that they can be.
    pub(in crate::connection::event_loop) fn deliver(&mut self, batch: &Batch, lent: &mut Lent) -> Delivery {
        if self.phase != Phase::Open {
            return Delivery::Done(Outcome::Rest);
        }
        let together = batch.others && self.rooms > 1;
        let mut outcome = Outcome::Rest;
        if self.is_told && !together {
            // What was said to it alone before comes first. The loop knows already if there is more.
            outcome = match self.pump(lent) {
                Outcome::Rest | Outcome::More => Outcome::Rest,
                Outcome::Stalled => Outcome::Stalled,
                ending => return Delivery::Done(ending),
            };
        }
        if together || self.is_told || self.is_blocked() {
            batch.frames.iter().for_each(|(number, frame)| self.queue_post(*number, frame));
            return Delivery::Done(outcome);
        }
        if self.deflate.is_some() {
            lent.frames.extend(batch.frames.iter().map(|(_, frame)| frame.clone()));
            return Delivery::Done(outcome.and(self.write_lent(Vec::new(), lent)));
        }
        Delivery::AsItIs(outcome)
    }

    /// Writes a frame from an offset on, and keeps what the socket does not take.
    pub(in crate::connection::event_loop) fn write_from(
        &mut self,
        frame: &Frame,
        offset: usize,
        lent: &mut Lent,
    ) -> Outcome {
        match send(&self.socket, std::slice::from_ref(frame), offset, None, &mut lent.deflater) {
            Sent::All => Outcome::Rest,
            Sent::Part { offset, .. } => {
                self.keep(Unwritten::new(vec![frame.clone()], offset, Vec::new()));
                Outcome::Rest
            }
            Sent::Broken => Outcome::Gone,
        }
    }

    /// Queues the frame of a post.
    pub(in crate::connection::event_loop) fn queue_post(&mut self, number: u64, frame: &Frame) {
        self.conversation.outbox().push_post(number, frame.clone());
        // The mailbox says so only in the next turn, and nothing may overtake it in this one.
        self.is_told = true;
    }
}
