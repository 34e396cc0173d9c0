use crate::backoff::Backoff;
use crate::effects::Ticket;
use crate::turn::{Time, Turn};

/// One kind of question to the log: at most one is out at a time, failures wait before they are asked again.
#[derive(Debug)]
pub(crate) struct Request {
    wanted: bool,
    awaiting: Option<Ticket>,
    not_before: Time,
    backoff: Backoff,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self { wanted: false, awaiting: None, not_before: Time(0), backoff: Backoff::new(100, 5_000) }
    }

    /// Asks, after the answer that is out (if any) has come.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether the question is wanted or out.
    pub(crate) fn is_open(&self) -> bool {
        self.wanted || self.awaiting.is_some()
    }

    /// Whether it must be asked now; then it is out.
    pub(crate) fn poll(&mut self, now: Time, tickets: &mut Tickets) -> Option<Ticket> {
        let due = self.wanted && self.awaiting.is_none() && now >= self.not_before;
        due.then(|| {
            self.wanted = false;
            *self.awaiting.insert(tickets.issue())
        })
    }

    /// Whether this answer is the one that is awaited; then it no longer is.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> bool {
        let awaited = self.awaiting == Some(ticket);
        if awaited {
            self.awaiting = None;
        }
        awaited
    }

    pub(crate) fn failed(&mut self, turn: &mut Turn<'_>) {
        self.wanted = true;
        let wait = 20 + self.backoff.fail(turn);
        self.not_before = turn.now.plus_ms(wait);
    }

    pub(crate) fn succeeded(&mut self) {
        self.backoff.succeed();
    }

    /// Forgets the question; an answer that is out will not be awaited.
    pub(crate) fn cancel(&mut self) {
        self.wanted = false;
        self.awaiting = None;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.wanted && self.awaiting.is_none()).then_some(self.not_before)
    }
}

/// Hands out tickets, each once.
#[derive(Debug, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn issue(&mut self) -> Ticket {
        self.0 += 1;
        Ticket(self.0)
    }
}
