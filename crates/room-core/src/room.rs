use std::sync::Arc;

use protocol::{Decline, HandOff, NodeId, Position, RoomName, Segment, Seq};

use crate::append::{Append, AppendLimits, Place, Publish, Settled, Token};
use crate::effects::{Action, Event, Found, HandOver, Ticket};
use crate::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};
use crate::timeline::{Gate, Timeline, TimelineLimits, TimelineStats};
use crate::turn::{Time, Turn};

/// What bounds a room on one node.
#[derive(Debug, Clone, Default)]
pub struct RoomLimits {
    /// Order and repair.
    pub timeline: TimelineLimits,
    /// Writing.
    pub append: AppendLimits,
}

/// One room as one node knows and writes it. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Room {
    timeline: Timeline,
    append: Append,
    retention_secs: u64,
    putting_header: Option<(Ticket, RoomHeader)>,
}

impl Room {
    /// A room that is not open yet: its first action asks the log.
    #[must_use]
    pub fn new(room: RoomName, node: NodeId, limits: RoomLimits) -> Self {
        let retention_secs = limits.append.retention_secs;
        Self {
            timeline: Timeline::new(limits.timeline),
            append: Append::new(room, node, limits.append),
            retention_secs,
            putting_header: None,
        }
    }

    /// Whether the room's position is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.timeline.is_open()
    }

    /// The position after the last message delivered. Meaningful once the room is open.
    #[must_use]
    pub fn position(&self) -> Position {
        self.timeline.position()
    }

    /// The number of the next message.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.timeline.next()
    }

    /// The number of the epoch's first message.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.timeline.first()
    }

    /// No publish waits or is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.append.is_idle()
    }

    /// What happened to the order, counted.
    #[must_use]
    pub fn stats(&self) -> TimelineStats {
        self.timeline.stats
    }

    /// Asks for a comparison with the log. `Event::Synced` with at least the number returned tells that everything that
    /// was in the log at the time of the call is delivered.
    pub fn sync(&mut self) -> u64 {
        self.timeline.sync()
    }

    /// Takes a publish in. It ends in exactly one `Event::Acked` or `Event::Rejected`.
    pub fn handle_publish(&mut self, publish: Publish, turn: &mut Turn<'_>) {
        self.append.handle_publish(publish, self.timeline.next(), turn);
    }

    /// Takes another node's batch in, all of it or nothing; `tokens` name its publishes, in order. Each ends in exactly
    /// one `Event::Acked`, `Event::Rejected` or `Event::HandedBack`.
    ///
    /// # Errors
    /// Why nothing was taken, and the node that writes this room as far as this one knows.
    pub fn handle_hand_off(
        &mut self,
        hand_off: HandOff,
        tokens: &[Token],
        turn: &mut Turn<'_>,
    ) -> Result<(), (Decline, Option<NodeId>)> {
        if !self.timeline.is_open() {
            return Err((Decline::NotReady, None));
        }
        self.append.handle_hand_off(hand_off, tokens, (self.timeline.epoch(), self.timeline.next()), turn)
    }

    /// Whom this node gives its batches for this room, if anybody.
    #[must_use]
    pub fn leader(&self, now: Time) -> Option<&NodeId> {
        self.append.leader(now)
    }

    /// Takes a segment that somebody says was committed: SNS, a peer, an accelerator.
    pub fn handle_hint(&mut self, segment: Arc<Segment>, turn: &mut Turn<'_>) {
        self.timeline.handle_hint(segment, turn);
    }

    /// Takes the answer to [`Action::Check`]: header and newest segment, or `None` if the log did not answer.
    pub fn handle_checked(
        &mut self,
        ticket: Ticket,
        checked: Option<(Option<RoomHeader>, Option<StoredSegment>)>,
        turn: &mut Turn<'_>,
    ) {
        if !self.timeline.handle_checked(ticket, checked, turn) {
            return;
        }
        let Some(stored) = self.append.confirming(ticket) else { return };
        if stored.segment.epoch == *self.timeline.epoch() {
            self.timeline.handle_logged(&stored, turn);
            self.append.acknowledge();
        } else {
            self.append.take_back();
        }
    }

    /// Takes the answer to [`Action::Read`]: segments in ascending order, or `None` if the log did not answer.
    pub fn handle_page(&mut self, ticket: Ticket, page: Option<&[StoredSegment]>, turn: &mut Turn<'_>) {
        self.timeline.handle_page(ticket, page, turn);
    }

    /// Takes the answer to [`Action::ReadIds`]: segments in ascending order, or `None` if the log did not answer.
    pub fn handle_ids(&mut self, ticket: Ticket, segments: Option<&[StoredSegment]>, turn: &mut Turn<'_>) {
        self.append.handle_ids(ticket, segments, turn);
    }

    /// Takes the answer to [`Action::ReadMessage`].
    pub fn handle_found(&mut self, ticket: Ticket, found: &Found) {
        if self.append.handle_found(ticket, found) {
            self.timeline.want_check();
        }
    }

    /// Takes the answer to [`Action::PutHeader`], or `None` if the log did not answer.
    pub fn handle_header(&mut self, ticket: Ticket, outcome: Option<&HeaderOutcome>, turn: &mut Turn<'_>) {
        if let Some((_, header)) = self.putting_header.take_if(|(awaited, _)| *awaited == ticket) {
            self.timeline.handle_header(&header, outcome, turn);
        }
    }

    /// Takes the answer to [`Action::Append`].
    pub fn handle_appended(&mut self, ticket: Ticket, outcome: AppendOutcome, turn: &mut Turn<'_>) {
        let now = self.timeline.tickets.issue();
        match self.append.handle_appended(ticket, outcome, now, turn) {
            Settled::Nothing => {}
            Settled::Committed(stored) => {
                self.timeline.handle_logged(&stored, turn);
                self.append.acknowledge();
            }
            Settled::Confirm => self.timeline.want_check(),
            Settled::Lost(existing) => {
                self.timeline.handle_logged(&existing, turn);
                if self.append.is_behind() {
                    self.timeline.want_read();
                }
            }
        }
    }

    /// Takes the answer to [`Action::HandOver`].
    pub fn handle_handed_over(&mut self, ticket: Ticket, outcome: HandOver, turn: &mut Turn<'_>) {
        if self.append.handle_handed_over(ticket, outcome, turn) {
            self.timeline.want_read();
        }
    }

    /// Takes the answer to [`Action::Probe`].
    pub fn handle_probed(&mut self, ticket: Ticket, probe: Probe, turn: &mut Turn<'_>) {
        self.timeline.handle_probed(ticket, probe, turn);
    }

    /// Takes note whether what other nodes commit reaches this one on its usual ways, or by audits alone: then these come
    /// as often as in a busy room.
    pub fn handle_backplane(&mut self, broken: bool, turn: &mut Turn<'_>) {
        self.timeline.handle_backplane(broken, turn);
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        self.timeline.handle_timeout(turn);
        if self.append.handle_timeout(turn) {
            self.timeline.want_read();
        }
    }

    /// The next thing to tell. Messages come before the acknowledgements that follow from them.
    pub fn poll_event(&mut self) -> Option<Event> {
        let Some(event) = self.timeline.poll_event() else { return self.append.poll_event() };
        match &event {
            Event::Deliver(segment) => self.append.observe(segment),
            Event::NewEpoch(_) => self.append.handle_new_epoch(),
            _ => {}
        }
        Some(event)
    }

    /// The next thing to ask of the log. Ask only after `poll_event` has nothing more.
    pub fn poll_action(&mut self, turn: &mut Turn<'_>) -> Option<Action> {
        debug_assert!(self.timeline.poll_event().is_none(), "events come before actions");
        if let Some(action) = self.timeline.poll_action(turn.now) {
            return Some(action);
        }
        if !self.timeline.is_open() {
            return None;
        }
        if let Some(action) = self.poll_ids(turn.now) {
            return Some(action);
        }
        let tickets = &mut self.timeline.tickets;
        if let Some((ticket, seq)) = self.append.poll_compare(turn.now, || tickets.issue()) {
            return Some(Action::ReadMessage { ticket, seq });
        }
        let tickets = &mut self.timeline.tickets;
        if let Some((ticket, segment)) = self.append.poll_retry(turn, || tickets.issue()) {
            return Some(Action::Append { ticket, segment });
        }
        if let Some(action) = self.poll_hand_over(turn) {
            return Some(action);
        }
        let catching_up = self.append.is_behind() && self.timeline.is_reading();
        if self.append.wants_to_write(turn.now) && self.putting_header.is_none() && !catching_up {
            return self.poll_write(turn);
        }
        None
    }

    /// When `handle_timeout` is due; `None`: not before something else happens.
    #[must_use]
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        [self.timeline.poll_timeout(), self.append.poll_timeout(now)].into_iter().flatten().min()
    }

    fn poll_ids(&mut self, now: Time) -> Option<Action> {
        let before = self.timeline.next();
        let messages = self.append.ids_wanted(before);
        let tickets = &mut self.timeline.tickets;
        let ticket = self.append.poll_read_ids(now, before.minus(messages), || tickets.issue())?;
        Some(Action::ReadIds { ticket, before, messages })
    }

    fn poll_hand_over(&mut self, turn: &mut Turn<'_>) -> Option<Action> {
        let (epoch, next) = (self.timeline.epoch().clone(), self.timeline.next());
        let tickets = &mut self.timeline.tickets;
        let (ticket, to, hand_off) = self.append.poll_hand_over((&epoch, next), turn, || tickets.issue())?;
        Some(Action::HandOver { ticket, to, hand_off })
    }

    fn poll_write(&mut self, turn: &mut Turn<'_>) -> Option<Action> {
        match self.timeline.gate(turn) {
            Gate::Closed => None,
            Gate::NeedsCheck => {
                self.timeline.want_check();
                self.timeline.poll_action(turn.now)
            }
            Gate::NeedsHeader { header, expected } => {
                let ticket = self.timeline.tickets.issue();
                self.putting_header = Some((ticket, header.clone()));
                Some(Action::PutHeader { ticket, header, expected })
            }
            Gate::Open { confirm } => {
                let place = Place {
                    epoch: self.timeline.epoch().clone(),
                    seq: self.timeline.next(),
                    expires: self.timeline.expiry(turn.wall, self.retention_secs),
                    confirm,
                };
                let ticket = self.timeline.tickets.issue();
                let segment = self.append.start(place, ticket, turn)?;
                self.timeline.use_grant();
                Some(Action::Append { ticket, segment })
            }
        }
    }
}
