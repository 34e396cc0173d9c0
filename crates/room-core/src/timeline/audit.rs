use crate::turn::{Time, Turn};

/// When to ask the log whether anything is missing: often while the room is busy, rarely when it is quiet, never at the
/// same moment in all rooms.
#[derive(Debug)]
pub(crate) struct AuditClock {
    busy_ms: u64,
    quiet_ms: u64,
    interval_ms: u64,
    due: Option<Time>,
    /// Nothing but audits tells of other nodes' messages: they take no longer in a quiet room.
    urgent: bool,
}

impl AuditClock {
    pub(crate) fn new(busy_ms: u64, quiet_ms: u64) -> Self {
        Self { busy_ms, quiet_ms, interval_ms: busy_ms, due: None, urgent: false }
    }

    /// The room moved: audit again a busy interval from now.
    pub(crate) fn moved(&mut self, turn: &mut Turn<'_>) {
        self.interval_ms = self.busy_ms;
        self.schedule(turn);
    }

    /// An audit found nothing: take longer until the next.
    pub(crate) fn quiet(&mut self, turn: &mut Turn<'_>) {
        self.interval_ms = if self.urgent { self.busy_ms } else { (self.interval_ms * 2).min(self.quiet_ms) };
        self.schedule(turn);
    }

    /// Whether segments reach this node by audits alone, because their usual way is broken.
    pub(crate) fn set_urgent(&mut self, urgent: bool, turn: &mut Turn<'_>) {
        if urgent && !self.urgent && self.due.is_some() {
            self.interval_ms = self.busy_ms;
            self.schedule(turn);
        }
        self.urgent = urgent;
    }

    /// An audit got no answer: try again after the same interval.
    pub(crate) fn unanswered(&mut self, turn: &mut Turn<'_>) {
        self.schedule(turn);
    }

    /// Whether an audit is due; then it is under way until the next call of the others.
    pub(crate) fn poll(&mut self, now: Time) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
        }
        due
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.due
    }

    fn schedule(&mut self, turn: &mut Turn<'_>) {
        let jitter = turn.up_to(self.interval_ms / 4);
        self.due = Some(turn.now.plus_ms(self.interval_ms - self.interval_ms / 8 + jitter));
    }
}
