use super::{Connection, Lent, Outcome, Phase};
use crate::connection::event_loop::Conversation;
use crate::connection::event_loop::turn::Batch;
use crate::connection::event_loop::unwritten::{Sent, Unwritten, send};
use crate::connection::frame::Frame;

impl<C: Conversation> Connection<C> {
    /// Writes a room's messages, or queues them if they cannot be written now.
    pub(in crate::connection::event_loop) fn deliver(&mut self, batch: &Batch, lent: &mut Lent) -> Outcome {
        if self.phase != Phase::Open {
            return Outcome::Rest;
        }
        let together = batch.others && self.rooms > 1;
        let mut outcome = Outcome::Rest;
        if self.is_told && !together {
            // What was said to it alone before comes first. The loop knows already if there is more.
            outcome = match self.pump(lent) {
                Outcome::Rest | Outcome::More => Outcome::Rest,
                Outcome::Stalled => Outcome::Stalled,
                ending => return ending,
            };
        }
        if together || self.is_told || self.is_blocked() {
            batch.frames.iter().for_each(|(number, frame)| self.queue_post(*number, frame));
            return outcome;
        }
        if self.deflate.is_some() {
            lent.frames.extend(batch.frames.iter().map(|(_, frame)| frame.clone()));
            return outcome.and(self.write_lent(Vec::new(), lent));
        }
        outcome.and(self.write_whole(&batch.joined, lent))
    }

    /// Writes a frame as it is, and keeps what the socket does not take.
    fn write_whole(&mut self, frame: &Frame, lent: &mut Lent) -> Outcome {
        match send(&self.socket, std::slice::from_ref(frame), 0, None, &mut lent.deflater) {
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
