use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use mio::Token;
use send_batch::{MOST, SendBatch};

use super::Batch;
use crate::connection::event_loop::Conversation;
use crate::connection::event_loop::seats::Seats;
use crate::connection::frame::Frame;

/// Deliveries that go to the kernel in one call, where it has a ring for that.
#[derive(Default)]
pub(super) struct Burst {
    ring: Option<SendBatch>,
    /// Connections that are in it have its number. Numbers come again: so do some that are not.
    number: u16,
    /// Who gets which of the frames.
    due: Vec<(Token, usize)>,
    frames: Vec<Frame>,
    sent: Vec<(u32, io::Result<usize>)>,
}

/// A delivery of a burst that came to nothing, or to a part.
pub(super) struct Rest {
    pub(super) token: Token,
    pub(super) frame: Frame,
    /// From where the frame is still to be sent; `None`: the connection is broken, or nobody knows what it has got.
    pub(super) from: Option<usize>,
}

impl Burst {
    /// In the thread that sends. `io_uring`: with a ring, if the system allows it.
    pub(super) fn new(io_uring: bool) -> Self {
        let made = io_uring.then(SendBatch::new).transpose();
        let ring = made.unwrap_or_else(|error| {
            tracing::info!(%error, "no io_uring here: messages are sent one by one");
            None
        });
        Self { ring, ..Self::default() }
    }

    /// Begins with another batch; without a ring there are no bursts.
    pub(super) fn begin(&mut self, batch: &Batch) -> bool {
        if self.ring.is_none() {
            return false;
        }
        // Nobody gets the one before.
        if self.due.last().is_none_or(|(_, frame)| frame + 1 < self.frames.len()) {
            self.frames.pop();
        }
        self.frames.push(batch.joined.clone());
        true
    }

    /// Forgets the batches.
    pub(super) fn end(&mut self) {
        self.frames.clear();
    }

    /// Takes a member in that gets the batch begun last. Returns the number that says so.
    pub(super) fn add(&mut self, token: Token) -> u16 {
        self.due.push((token, self.frames.len() - 1));
        self.number
    }

    pub(super) fn is_full(&self) -> bool {
        self.due.len() >= MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether a connection with this number may have something coming that is not sent yet.
    pub(super) fn has(&self, number: u16) -> bool {
        number == self.number && !self.due.is_empty()
    }

    /// Sends everything. Returns what is left of it, in no order.
    pub(super) fn send<C: Conversation>(&mut self, seats: &Seats<C>) -> Vec<Rest> {
        let Self { ring, due, frames, sent, number } = self;
        *number = number.wrapping_add(1);
        let sends = due
            .iter()
            .zip(0..)
            .filter_map(|((token, frame), index)| Some((index, seats.socket(*token)?.as_fd(), frames[*frame].wire())));
        match ring {
            Some(ring) => ring.send(sends, sent),
            None => sent.extend(sends.map(|(index, ..)| (index, Ok(0)))),
        }
        if ring.as_ref().is_some_and(|ring| !ring.is_usable()) {
            tracing::warn!("io_uring has failed: messages are sent one by one");
            *ring = None;
        }
        let rests = sent.drain(..).filter_map(|(index, result)| {
            let (token, frame) = due[index as usize];
            let frame = &frames[frame];
            let from = match result {
                Ok(all) if all == frame.wire().len() => return None,
                Ok(part) => Some(part),
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted).then_some(0),
            };
            Some(Rest { token, frame: frame.clone(), from })
        });
        let rests = rests.collect();
        due.clear();
        // The last batch may go on.
        frames.drain(..frames.len().saturating_sub(1));
        rests
    }
}
