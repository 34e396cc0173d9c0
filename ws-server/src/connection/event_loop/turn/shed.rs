//! When clients that do not read have filled the node's memory, the fullest outboxes go first: their clients resume, and lose
//! nothing. A frame that waits for many clients counts a part for each of them.

use std::time::Instant;

use super::{EventLoop, WEIGH_EVERY};
use crate::connection::event_loop::Conversation;

/// Connections that a loop closes at a time, at most.
const AT_ONCE: usize = 64;

impl<C: Conversation> EventLoop<C> {
    /// Looks at the memory that waits for all clients of the node, and closes the fullest while it is too much.
    pub(super) fn weigh(&mut self, now: Instant) {
        if now < self.weigh_at {
            return;
        }
        self.weigh_at = now + WEIGH_EVERY;
        let waiting = self.mailboxes.waiting_bytes();
        let excess = waiting.saturating_sub(self.settings.outbox_total);
        if excess == 0 {
            return;
        }
        let mut fullest = Vec::new();
        for token in self.seats.connections() {
            let Some(connection) = self.seats.connection(token) else { continue };
            let share = connection.share();
            if share > 0 && connection.is_open() {
                fullest.push((share, token));
            }
        }
        fullest.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let mut freed = 0;
        for (share, token) in fullest.into_iter().take(AT_ONCE) {
            if freed >= excess {
                return;
            }
            if let Some(connection) = self.seats.connection(token) {
                self.mailboxes.count_shed();
                connection.conversation.outbox().shed();
                freed += share;
            }
        }
    }
}
