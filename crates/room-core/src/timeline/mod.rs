//! The order of one room as one node knows it.
//!
//! Invariants: what is delivered is contiguous within an epoch (or the members are told); nothing is delivered that the
//! log does not hold; a hint (a segment from SNS or a peer) is believed only within the epoch that the log has confirmed.

mod audit;
mod epoch;
mod gap;
mod held;
pub(crate) mod request;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{Content, Epoch, Position, Segment, Seq};

use crate::effects::{Action, Event, Ticket};
use crate::log::{Probe, RoomHeader, StoredSegment, WallSecs};
use crate::turn::{Time, Turn};
use audit::AuditClock;
pub(crate) use epoch::Gate;
use gap::{Gap, Lateness};
use held::Held;
use request::{Request, Tickets};

/// What bounds a timeline.
#[derive(Debug, Clone)]
pub struct TimelineLimits {
    /// Bytes (as envelope JSON) of segments held back.
    pub held_bytes: usize,
    /// How long to wait for what is late before the log is asked, in milliseconds; adapted to what is seen.
    pub gap_ms: u64,
    /// Milliseconds between audits of a busy room.
    pub audit_busy_ms: u64,
    /// Milliseconds between audits of a quiet room.
    pub audit_quiet_ms: u64,
    /// Most segments in one read.
    pub read_segments: u32,
}

impl Default for TimelineLimits {
    fn default() -> Self {
        Self { held_bytes: 1024 * 1024, gap_ms: 150, audit_busy_ms: 2_000, audit_quiet_ms: 30_000, read_segments: 100 }
    }
}

/// What happened in a timeline, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimelineStats {
    /// Segments that had been delivered before.
    pub repeats: u64,
    /// Segments of another epoch that came as hints.
    pub foreign: u64,
    /// Times that something was found missing.
    pub gaps: u64,
    /// Segments that the log supplied because nothing else did.
    pub repaired: u64,
    /// Messages passed over because they could not be read.
    pub passed_over: u64,
    /// Segments dropped from hold because it was full.
    pub overflowed: u64,
}

/// A page with so many bytes may have been cut by the log's own page size.
const LARGE_PAGE: usize = 256 * 1024;
/// How often the log may deny a hint before it is forgotten.
const MAX_DENIALS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Timeline {
    limits: TimelineLimits,
    pub(crate) tickets: Tickets,
    open: bool,
    epoch: Epoch,
    first: Seq,
    next: Seq,
    header: Option<RoomHeader>,
    /// When the segment before `next` expires; `None`: the epoch has none yet. What may lie further
    /// ahead says nothing about whether `next` is still ours to write.
    newest_expires: Option<WallSecs>,
    /// The number after the newest segment that the last check saw, of any epoch.
    visible_end: Seq,
    /// What the last check saw: `next` at that time, and end and expiry of the newest segment.
    checked: (Seq, Option<(Seq, WallSecs)>),
    /// When the log was compared: one write soon after may go on although the epoch is near its end.
    granted: Option<(Time, WallSecs)>,
    held: Held,
    gap: Option<Gap>,
    lateness: Lateness,
    audit: AuditClock,
    check: Request,
    read: Request,
    /// The number that the read under way was asked from.
    read_from: Seq,
    probe: Request,
    /// The number that the probe under way was asked for.
    probed: Seq,
    /// A number that a page did not show although it showed later ones.
    hole: Option<Seq>,
    syncs: Syncs,
    events: VecDeque<Event>,
    pub(crate) stats: TimelineStats,
}

/// Who waits for the room to be compared with the log.
#[derive(Debug, Default)]
struct Syncs {
    asked: u64,
    /// The newest that the check under way serves.
    checking: u64,
    /// The newest that the read under way serves.
    reading: u64,
}

impl Timeline {
    pub(crate) fn new(limits: TimelineLimits) -> Self {
        let mut check = Request::new();
        check.want();
        Self {
            tickets: Tickets::default(),
            open: false,
            epoch: Epoch::none(),
            first: Seq::FIRST,
            next: Seq::FIRST,
            header: None,
            newest_expires: None,
            visible_end: Seq::FIRST,
            checked: (Seq::ZERO, None),
            granted: None,
            held: Held::new(limits.held_bytes),
            gap: None,
            lateness: Lateness::new(limits.gap_ms),
            audit: AuditClock::new(limits.audit_busy_ms, limits.audit_quiet_ms),
            check,
            read: Request::new(),
            read_from: Seq::ZERO,
            probe: Request::new(),
            probed: Seq::ZERO,
            hole: None,
            syncs: Syncs::default(),
            events: VecDeque::new(),
            stats: TimelineStats::default(),
            limits,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The number of the epoch's first message.
    pub(crate) fn first(&self) -> Seq {
        self.first
    }

    /// The number of the next message.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), seq: self.next.minus(1) }
    }

    /// Asks for a comparison with the log; `Event::Synced` with at least this number answers.
    pub(crate) fn sync(&mut self) -> u64 {
        self.syncs.asked += 1;
        self.check.want();
        self.syncs.asked
    }

    /// Asks for a read from `next`: others have written.
    pub(crate) fn want_read(&mut self) {
        self.read.want();
    }

    /// Whether the log is being read, or is about to be.
    pub(crate) fn is_reading(&self) -> bool {
        self.read.is_open()
    }

    /// Takes a segment that somebody says was committed.
    pub(crate) fn handle_hint(&mut self, segment: Arc<Segment>, turn: &mut Turn<'_>) {
        if !self.open {
            self.hold(segment);
            return;
        }
        if segment.epoch != self.epoch {
            self.stats.foreign += 1;
            // An older epoch is an old story; a newer one is news that the log must confirm.
            if segment.epoch.generation() >= self.epoch.generation() {
                self.check.want();
            }
            return;
        }
        if segment.seq < self.next {
            self.stats.repeats += 1;
            return;
        }
        if let Content::Unreadable { .. } = segment.content {
            // An announcement (too large for SNS, or of a newer form): only the log can say what it holds.
            self.read.want();
            return;
        }
        if segment.seq == self.next {
            // Nearly all come in their turn, and need no place to wait in.
            self.deliver(segment, turn);
        } else {
            self.hold(segment);
        }
        self.drain(turn);
    }

    /// Takes a segment that the log holds at our `next` (our own commit, or what made it fail).
    pub(crate) fn handle_logged(&mut self, stored: &StoredSegment, turn: &mut Turn<'_>) {
        if self.take_logged(stored, turn) {
            self.drain(turn);
        }
    }

    /// Takes the answer to `Action::Read`.
    pub(crate) fn handle_page(&mut self, ticket: Ticket, page: Option<&[StoredSegment]>, turn: &mut Turn<'_>) {
        if !self.read.answered(ticket) {
            return;
        }
        let Some(page) = page else {
            self.read.failed(turn);
            return;
        };
        self.read.succeeded();
        let before = self.next;
        let suspected = self.hole.take();
        for stored in page {
            self.take_page_entry(stored, suspected, turn);
        }
        self.drain(turn);
        let bytes: usize = page.iter().map(|stored| stored.segment.envelope_len()).sum();
        let cut = page.len() >= self.limits.read_segments as usize || bytes >= LARGE_PAGE;
        let short_of_known = self.next < self.visible_end;
        if self.next > before {
            if cut || short_of_known || self.gap.is_some() {
                self.read.want();
            }
        } else if self.read_from == self.next && !page.iter().any(|stored| stored.segment.end() > self.next) {
            self.denied(turn);
        } else if self.read_from < self.next && (cut || short_of_known) {
            // Hints were quicker than the page. What it was to show further on is still to be seen.
            self.read.want();
        } else {
            self.await_gap(turn);
        }
        if !self.read.is_open() {
            self.synced(self.syncs.reading);
        }
    }

    /// Takes the answer to `Action::Probe`.
    pub(crate) fn handle_probed(&mut self, ticket: Ticket, probe: Probe, turn: &mut Turn<'_>) {
        if !self.probe.answered(ticket) {
            return;
        }
        match probe {
            // What was there may have come in the meantime.
            Probe::Present if self.probed < self.next => self.audit.moved(turn),
            Probe::Present => {
                self.read.want();
                self.audit.moved(turn);
            }
            Probe::Absent => self.audit.quiet(turn),
            Probe::Unknown => self.audit.unanswered(turn),
        }
    }

    /// Whether audits alone tell of other nodes' messages.
    pub(crate) fn handle_backplane(&mut self, broken: bool, turn: &mut Turn<'_>) {
        self.audit.set_urgent(broken, turn);
    }

    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if let Some(gap) = &mut self.gap
            && gap.deadline.is_some_and(|deadline| deadline <= turn.now)
        {
            gap.deadline = None;
            self.read.want();
        }
        if self.open && self.audit.poll(turn.now) {
            if self.near_expiry(turn.wall) {
                self.check.want();
            } else {
                self.probe.want();
            }
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_action(&mut self, now: Time) -> Option<Action> {
        if let Some(ticket) = self.check.poll(now, &mut self.tickets) {
            self.syncs.checking = self.syncs.asked;
            return Some(Action::Check { ticket });
        }
        if !self.open {
            return None;
        }
        if let Some(ticket) = self.read.poll(now, &mut self.tickets) {
            self.read_from = self.next;
            return Some(Action::Read { ticket, from: self.next, limit: self.limits.read_segments });
        }
        let ticket = self.probe.poll(now, &mut self.tickets)?;
        self.probed = self.next;
        Some(Action::Probe { ticket, next: self.next })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let gap = self.gap.as_ref().and_then(|gap| gap.deadline);
        let open = self.open.then(|| [self.read.poll_timeout(), self.probe.poll_timeout(), self.audit.poll_timeout()]);
        open.into_iter().flatten().chain([gap, self.check.poll_timeout()]).flatten().min()
    }

    fn hold(&mut self, segment: Arc<Segment>) {
        if matches!(segment.content, Content::Unreadable { .. }) {
            self.read.want();
        } else if self.held.insert(segment) {
            self.stats.overflowed += 1;
            self.read.want();
        }
    }

    /// Delivers what follows without a gap, and keeps an eye on the gap after it.
    fn drain(&mut self, turn: &mut Turn<'_>) {
        while let Some(segment) = self.held.take(self.next) {
            self.deliver(segment, turn);
        }
        let moved = self.gap.as_ref().is_some_and(|gap| gap.at != self.next);
        if (self.held.is_empty() || moved)
            && let Some(gap) = self.gap.take()
            && gap.deadline.is_some()
        {
            self.lateness.observe(turn.now.since_ms(gap.opened));
        }
        if !self.held.is_empty() && self.gap.is_none() {
            self.stats.gaps += 1;
            let deadline = turn.now.plus_ms(self.lateness.wait_ms());
            self.gap = Some(Gap { at: self.next, opened: turn.now, deadline: Some(deadline), denials: 0 });
        }
    }

    fn deliver(&mut self, segment: Arc<Segment>, turn: &mut Turn<'_>) {
        self.next = segment.end();
        self.newest_expires = self.newest_expires.max(Some(segment.expires));
        self.audit.moved(turn);
        match segment.content {
            Content::Messages(_) => self.events.push_back(Event::Deliver(segment)),
            Content::Unreadable { count } => {
                self.stats.passed_over += count;
                self.events.push_back(Event::PassedOver(self.position()));
            }
        }
    }

    /// Takes one segment of a page. The log's word counts whatever epoch its writer believed to be in, as long as the
    /// header has not moved on: a writer that was late to learn of an epoch still took the number.
    fn take_page_entry(&mut self, stored: &StoredSegment, suspected: Option<Seq>, turn: &mut Turn<'_>) {
        let ahead = stored.segment.seq > self.next && stored.segment.epoch == self.epoch;
        if ahead {
            // Later messages and not these: they are older than retention, or they were written while the page was
            // being read (a page is no snapshot). A second look tells.
            if suspected != Some(self.next) || self.read_from != self.next {
                self.hole = Some(self.next);
                self.read.want();
                return;
            }
            self.stats.passed_over += stored.segment.seq.since(self.next);
            self.next = stored.segment.seq;
            self.events.push_back(Event::PassedOver(self.position()));
        }
        if self.take_logged(stored, turn) {
            self.stats.repaired += 1;
        }
    }

    /// Takes a segment of the log if it is next. Returns whether it was.
    fn take_logged(&mut self, stored: &StoredSegment, turn: &mut Turn<'_>) -> bool {
        let segment = &stored.segment;
        if segment.epoch.generation() > self.epoch.generation() {
            self.check.want();
            return false;
        }
        if segment.seq != self.next {
            return false;
        }
        self.deliver(Arc::clone(segment), turn);
        true
    }

    /// The log has nothing at `next`. What is held back came from somewhere, though: ask again, but not for ever.
    fn denied(&mut self, turn: &mut Turn<'_>) {
        self.audit.quiet(turn);
        let Some(gap) = &mut self.gap else { return };
        gap.denials += 1;
        if gap.denials >= MAX_DENIALS {
            self.held.clear();
            self.gap = None;
        } else {
            gap.deadline = Some(turn.now.plus_ms(self.lateness.wait_ms() << gap.denials));
        }
    }

    /// The log was asked about something that has come in the meantime: a gap that is still there is given its time.
    fn await_gap(&mut self, turn: &mut Turn<'_>) {
        let wait = self.lateness.wait_ms();
        if let Some(gap) = &mut self.gap
            && gap.deadline.is_none()
        {
            gap.deadline = Some(turn.now.plus_ms(wait));
        }
    }

    fn synced(&mut self, upto: u64) {
        if upto > 0 {
            self.events.push_back(Event::Synced(upto));
        }
        self.syncs.reading = 0;
    }
}
