//! The hot path, where the connections are: from what a room has posted to the sockets of its members.

use std::time::Instant;

use mio::Token;

use super::{EventLoop, WRITES};
use crate::connection::event_loop::Conversation;
use crate::connection::event_loop::listeners::{Step, Walk};
use crate::connection::frame::Frame;

/// What each member of a walk gets.
pub(crate) struct Batch {
    /// All messages as one, for those that take them as they are: one write from one piece of memory.
    pub(crate) joined: Frame,
    /// For the others: the messages, with the numbers of their posts.
    pub(crate) frames: Vec<(u64, Frame)>,
    /// Other rooms have something too: who is in several rooms gets it all at once.
    pub(crate) others: bool,
}

impl<C: Conversation> EventLoop<C> {
    /// Gives members what their rooms have posted.
    pub(super) fn fan_out(&mut self, now: Instant) {
        // It only ever grows: what was true at the beginning is true later.
        self.lent.written = self.listeners.written();
        let mut budget = WRITES;
        while budget > 0 {
            let Some((mut walk, batch)) = self.walk.take().or_else(|| self.next_walk(&mut budget)) else { break };
            while let Some(token) = walk.next_member() {
                // Those who came and went may have taken all of it already.
                budget = budget.saturating_sub(1);
                self.deliver(token, &batch, now);
                if budget == 0 {
                    self.walk = Some((walk, batch));
                    return;
                }
            }
            self.mailbox.settle(walk.cost);
            self.listeners.finish(walk);
        }
    }

    fn deliver(&mut self, token: Token, batch: &Batch, now: Instant) {
        // A connection that has gone leaves the room soon.
        let Some(connection) = self.seats.connection(token) else { return };
        let paused = connection.is_paused;
        let outcome = connection.deliver(batch, &mut self.lent);
        self.act(token, outcome, now);
        if paused {
            self.resume(token);
        }
    }

    /// Lets members come and go until there is something for those who stay; `None`: there is nothing, or no budget.
    fn next_walk(&mut self, budget: &mut usize) -> Option<(Walk, Batch)> {
        while *budget > 0 {
            let Step { apart, moves, frames, walk, cost } = self.listeners.step()?;
            *budget = budget.saturating_sub(moves.len() + 1);
            for (token, entered) in moves {
                if let Some(connection) = self.seats.connection(token) {
                    connection.rooms = connection.rooms.saturating_add_signed(if entered { 1 } else { -1 });
                }
            }
            for (token, number, frame) in apart {
                if let Some(connection) = self.seats.connection(token) {
                    connection.queue_post(number, &frame);
                }
            }
            let Some(walk) = walk else {
                self.mailbox.settle(cost);
                continue;
            };
            let joined = Frame::join(&frames);
            return Some((walk, Batch { joined, frames, others: self.listeners.is_busy() }));
        }
        None
    }
}
