//! Opening a room, and the life of its epochs.
//!
//! An epoch begins only by a conditional write of the header. Who writes near the end of an epoch's life asks the header
//! first, and once more afterwards when its end was so near that another node might have seen it past.

use protocol::{Epoch, Position, Seq};

use super::Timeline;
use crate::effects::{Event, Ticket};
use crate::log::{HeaderOutcome, RoomHeader, StoredSegment, WallSecs};
use crate::turn::Turn;

/// An epoch is near its end when its newest segment expires within this time.
const NEAR_SECS: u64 = 3600;
/// So near that a node whose clock is ahead might already see it past.
const CRITICAL_SECS: u64 = NEAR_SECS / 2;
/// An epoch without segments lives so long: its first writer is between two writes.
const EMPTY_SECS: u64 = 3600;

/// A comparison with the log speaks for so long.
const GRANT_MS: u64 = 10_000;

/// Whether, and how, the room may be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Not now: the room is being opened or compared with the log.
    Closed,
    /// The log must be asked first.
    NeedsCheck,
    /// An epoch must be begun first.
    NeedsHeader { header: RoomHeader, expected: Option<RoomHeader> },
    /// Write at `next`. `confirm`: and check afterwards that the epoch still is the room's.
    Open { confirm: bool },
}

impl Timeline {
    /// Takes the answer to `Action::Check`: the header, and the newest segment of any epoch. Returns whether the answer
    /// was one.
    pub(crate) fn handle_checked(
        &mut self,
        ticket: Ticket,
        checked: Option<(Option<RoomHeader>, Option<StoredSegment>)>,
        turn: &mut Turn<'_>,
    ) -> bool {
        if !self.check.answered(ticket) {
            return false;
        }
        let consistent = checked.filter(|(header, newest)| {
            let known = header.as_ref().map_or(0, |header| header.epoch.generation());
            // A newest segment of a later epoch than the header: the two reads straddled its beginning.
            newest.as_ref().is_none_or(|newest| newest.segment.epoch.generation() <= known)
        });
        let Some((header, newest)) = consistent else {
            self.check.failed(turn);
            return false;
        };
        self.check.succeeded();
        self.visible_end = newest.as_ref().map_or(Seq::FIRST, |newest| newest.segment.end());
        let newest_seen = newest.as_ref().map(|newest| (newest.segment.end(), newest.segment.expires));
        let opening = !self.open;
        if opening {
            self.open_at(header.as_ref(), newest.as_ref(), turn);
        } else if let Some(header) = header.filter(|header| header.epoch.generation() > self.epoch.generation()) {
            self.begin_epoch(&header, turn);
            self.read.want();
        } else if let Some(newest) = newest
            // The last segment of the epoch before says nothing of this one.
            .filter(|newest| newest.segment.end() == self.next && newest.segment.seq >= self.first)
        {
            self.newest_expires = self.newest_expires.max(Some(newest.segment.expires));
        }
        self.checked = (self.next, newest_seen);
        self.granted = Some((turn.now, turn.wall));
        self.syncs.reading = self.syncs.reading.max(self.syncs.checking);
        if self.next < self.visible_end && self.visible_end > self.first {
            self.read.want();
        }
        if !self.read.is_open() {
            self.synced(self.syncs.reading);
        }
        if !opening {
            self.audit.quiet(turn);
        }
        true
    }

    /// Takes the answer to `Action::PutHeader`.
    pub(crate) fn handle_header(&mut self, written: &RoomHeader, outcome: Option<&HeaderOutcome>, turn: &mut Turn<'_>) {
        match outcome {
            Some(HeaderOutcome::Written) => {
                // A check may have been quicker to tell.
                if written.epoch.generation() > self.epoch.generation() {
                    self.begin_epoch(written, turn);
                    self.checked = (self.next, None);
                }
                self.granted = Some((turn.now, turn.wall));
            }
            // Another node was first: the log knows which epoch it is.
            Some(HeaderOutcome::Taken(_)) => {
                self.granted = None;
                self.check.want();
            }
            // Nobody knows: the log does, after a while.
            None => {
                self.granted = None;
                self.check.failed(turn);
            }
        }
    }

    /// Whether the room may be written to now.
    pub(crate) fn gate(&self, turn: &mut Turn<'_>) -> Gate {
        if !self.open {
            return Gate::Closed;
        }
        let Some(header) = &self.header else {
            if self.check.is_open() {
                return Gate::Closed;
            }
            let epoch = Epoch::birth((turn.random)());
            let header = RoomHeader { epoch, first: self.visible_end, since: turn.wall };
            return Gate::NeedsHeader { header, expected: None };
        };
        let alive_until = self.alive_until();
        if alive_until.0 > turn.wall.0 + NEAR_SECS {
            return Gate::Open { confirm: false };
        }
        // A machine that was suspended shows it on one clock only.
        let fresh = self.granted.is_some_and(|(granted, wall)| {
            turn.now.since_ms(granted) <= GRANT_MS && turn.wall.0.abs_diff(wall.0) <= GRANT_MS / 1000
        });
        if !fresh || self.read.is_open() {
            return if self.check.is_open() || self.read.is_open() { Gate::Closed } else { Gate::NeedsCheck };
        }
        // That an epoch is over takes certainty: the check must have seen the very end that this node knows, or less.
        let alive_until = match self.checked {
            (_, Some((end, expires))) if end == self.next => alive_until.max(expires),
            (next, seen) if next == self.next && seen.is_none_or(|(end, _)| end < next) => alive_until,
            _ => return Gate::NeedsCheck,
        };
        if alive_until <= turn.wall {
            let epoch = header.epoch.successor((turn.random)());
            let successor = RoomHeader { epoch, first: self.visible_end, since: turn.wall };
            return Gate::NeedsHeader { header: successor, expected: Some(header.clone()) };
        }
        Gate::Open { confirm: alive_until.0 <= turn.wall.0 + CRITICAL_SECS }
    }

    /// Asks for a check before a write.
    pub(crate) fn want_check(&mut self) {
        self.check.want();
    }

    /// The permission that a check gave is used up.
    pub(crate) fn use_grant(&mut self) {
        self.granted = None;
    }

    /// When a segment that is written now expires: never before those before it.
    pub(crate) fn expiry(&self, wall: WallSecs, retention_secs: u64) -> WallSecs {
        WallSecs(wall.0 + retention_secs).max(self.newest_expires.unwrap_or_default())
    }

    pub(super) fn near_expiry(&self, wall: WallSecs) -> bool {
        self.header.is_some() && self.alive_until().0 <= wall.0 + NEAR_SECS
    }

    fn alive_until(&self) -> WallSecs {
        let since = self.header.as_ref().map_or(WallSecs(0), |header| header.since);
        self.newest_expires.unwrap_or(WallSecs(since.0 + EMPTY_SECS))
    }

    fn keep_hints_of_epoch(&mut self) {
        // What speaks of a later epoch is news that the log must confirm.
        if self.held.retain(&self.epoch) {
            self.check.want();
        }
    }

    fn open_at(&mut self, header: Option<&RoomHeader>, newest: Option<&StoredSegment>, turn: &mut Turn<'_>) {
        let newest_of_epoch = newest.filter(|newest| header.is_some_and(|header| newest.segment.epoch == header.epoch));
        self.newest_expires = newest_of_epoch.map(|newest| newest.segment.expires);
        self.first = header.map_or(self.visible_end, |header| header.first);
        self.next = newest_of_epoch.map_or(self.first, |newest| newest.segment.end());
        self.epoch = header.map_or(Epoch::none(), |header| header.epoch.clone());
        self.header = header.cloned();
        self.open = true;
        self.keep_hints_of_epoch();
        self.events.push_back(Event::Opened(self.position()));
        self.audit.moved(turn);
        self.drain(turn);
    }

    fn begin_epoch(&mut self, header: &RoomHeader, turn: &mut Turn<'_>) {
        self.epoch = header.epoch.clone();
        self.first = header.first;
        self.next = header.first;
        self.newest_expires = None;
        self.header = Some(header.clone());
        self.keep_hints_of_epoch();
        self.gap = None;
        self.hole = None;
        self.read.cancel();
        self.probe.cancel();
        let position = Position { epoch: self.epoch.clone(), seq: self.first.minus(1) };
        self.events.push_back(Event::NewEpoch(position));
        self.audit.moved(turn);
        self.drain(turn);
    }
}
