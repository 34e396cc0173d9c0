//! What rooms ask of the log that waits for its turn: comparisons, fair among the sessions that want to enter, and `history`,
//! fair among the sessions that ask for it and apart from all other reads.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use protocol::{RoomName, SessionId};
use room_core::Ticket;
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, Turn};
use super::history::HistoryRequest;
use super::io::{AnswerBody, Permit, Return, Work, known};
use super::reads::{self, again};
use super::refusals::Refusals;
use super::stats::RoomStats;
use crate::backplane::count;
use crate::config::Limits;
use crate::connection::RoomKey;
use crate::message_log::LogError;

/// A comparison of a room with the log: it opens the room, or tells what is new.
#[derive(Debug)]
pub(crate) struct Check {
    ticket: Ticket,
    key: RoomKey,
    to: Return,
}

/// The queues of a node, and what is counted of its rooms.
#[derive(Debug)]
pub(crate) struct Queues {
    checks: FairQueue<Check>,
    histories: FairQueue<(HistoryRequest, Return)>,
    pub(crate) stats: Arc<RoomStats>,
    pub(crate) refusals: Refusals,
}

impl Queues {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            checks: FairQueue::new(limits.opens_in_flight),
            histories: FairQueue::new(limits.history_reads_in_flight),
            stats: Arc::default(),
            refusals: Refusals::default(),
        }
    }

    /// Comparisons with the log that wait, and how many sessions and rooms have such.
    pub(crate) fn checks_waiting(&self) -> (usize, usize) {
        self.checks.waiting()
    }
}

impl Work {
    /// Compares a room with the log when its owner's turn comes.
    pub(crate) fn check(&self, turn: Turn, key: RoomKey, ticket: Ticket, to: Return) {
        self.enter_check(turn, Check { ticket, key, to });
    }

    /// A comparison that waits has another owner now.
    pub(crate) fn move_check(&self, from: &Turn, turn: Turn, key: RoomKey) {
        if let Some(check) = self.queues.checks.remove(from, |check| check.key == key) {
            self.enter_check(turn, check);
        }
    }

    /// Another session waits for a comparison, too: if fewer jobs come before it in that session's turns, it waits there.
    /// Returns whether it does.
    pub(crate) fn move_check_forward(&self, from: &Turn, to: &Turn, key: RoomKey) -> bool {
        self.queues.checks.move_forward(from, to, |check| check.key == key)
    }

    /// A room is given up. If the log has not been asked yet, it will not be.
    pub(crate) fn cancel_check(&self, turn: &Turn, key: RoomKey) {
        if self.queues.checks.remove(turn, |check| check.key == key).is_some() {
            count(&self.queues.stats.given_up);
        }
    }

    fn enter_check(&self, turn: Turn, check: Check) {
        let Some(first) = self.queues.checks.enter(turn, check) else { return };
        let work = self.clone();
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(Check { ticket, to, .. }) = next {
                // A comparison that panics must give its place back, and the room asks again.
                let checked = AssertUnwindSafe(work.compare(ticket, &to.room)).catch_unwind().await;
                to.send(checked.unwrap_or(AnswerBody::Checked(ticket, None))).await;
                next = work.queues.checks.next();
            }
        });
    }

    /// Reads what a `history` request asks for, when it is its session's turn.
    pub(crate) fn history(&self, request: HistoryRequest, to: Return) {
        let turn = Turn::Session(request.session.id.clone());
        let Some(first) = self.queues.histories.enter(turn, (request, to)) else { return };
        let work = self.clone();
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some((request, to)) = next {
                let reading = reads::read_window(work.log.as_ref(), &to.room, request.window);
                let read = AssertUnwindSafe(reading).catch_unwind().await;
                let segments = read.unwrap_or_else(|_| Err(LogError::Unavailable("its client panicked".to_owned())));
                let (permit, taken) = oneshot::channel();
                let body = AnswerBody::History(request, segments);
                to.send_with(body, Permit::History { _taken: permit }).await;
                // It ends when the other half is dropped.
                let _ = taken.await;
                next = work.queues.histories.next();
            }
        });
    }

    /// Forgets what a session has asked for in a room and what is not being read yet; returns how many requests.
    pub(crate) fn cancel_histories(&self, session: &SessionId, room: &RoomName, hosting: u64) -> usize {
        let is_it = |(_, to): &(HistoryRequest, Return)| to.hosting == hosting && to.room == *room;
        self.queues.histories.remove_all(&Turn::Session(session.clone()), is_it).len()
    }

    /// The header and the newest segment, each asked again for a while when the log does not answer.
    pub(super) async fn compare(&self, ticket: Ticket, room: &RoomName) -> AnswerBody {
        let header = again(|| self.log.header(room));
        let newest = again(|| self.log.read_back(room, None, 1));
        let (header, newest) = tokio::join!(header, newest);
        let newest = known(newest, room).map(|page| page.into_iter().next());
        AnswerBody::Checked(ticket, known(header, room).zip(newest))
    }
}
