//! How one node writes to one room: group commit, at most one write under way, each publish once.
//!
//! Invariants: a batch that has been sent under a nonce is never changed under it; a publish is acknowledged only when
//! the log is known to hold it; what waits keeps its order; a repeat inside the id window is never written.

mod comparing;
mod course;
mod fairness;
mod hand_off;
mod ids;
mod queue;
mod settle;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{
    BodyHash, Content, Epoch, ID_WINDOW, MAX_SEGMENT_BYTES, MAX_SEGMENT_MESSAGES, Message, MessageKey, NodeId, Nonce,
    RoomName, Segment, Seq,
};

use crate::backoff::Backoff;
use crate::effects::{Event, Rejection, Ticket};
use crate::log::{StoredSegment, WallSecs};
use crate::turn::{Time, Turn};
use comparing::{Comparison, Comparisons};
use course::Course;
use fairness::Fairness;
use ids::IdWindow;
use queue::{Pending, Queue};
pub(crate) use settle::Settled;

/// The caller's name for one publish request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A publish, taken in by this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The caller's name for it.
    pub token: Token,
    /// What is to be logged.
    pub message: Message,
}

/// What bounds a room's writes.
#[derive(Debug, Clone)]
pub struct AppendLimits {
    /// Most publishes that wait.
    pub queue_messages: usize,
    /// Most bytes (as envelope JSON) that wait.
    pub queue_bytes: usize,
    /// Milliseconds after which a publish that is not known to be logged is answered with "unknown".
    pub settle_ms: u64,
    /// How long messages are kept, in seconds.
    pub retention_secs: u64,
    /// Whether batches may be given to other nodes: there is a way to them.
    pub hand_off: bool,
}

impl Default for AppendLimits {
    fn default() -> Self {
        Self {
            queue_messages: 4_096,
            queue_bytes: 4 * 1024 * 1024,
            settle_ms: 10_000,
            retention_secs: 30 * 24 * 3600,
            hand_off: true,
        }
    }
}

/// How long the id window of a room outlives the last publish here.
const IDS_KEPT_MS: u64 = 300_000;

/// How long a batch is sent under one nonce. Beyond it no earlier attempt can arrive any more (a request's signature is
/// good for 15 minutes), and its number may have come to mean something else: what became of it is found by its ids.
const FROZEN_SECS: u64 = 1_200;

/// A batch under its nonce.
#[derive(Debug)]
struct InFlight {
    stored: Arc<StoredSegment>,
    batch: Vec<Pending>,
    /// The answer that is awaited; `None`: wait for the time to try again, or for the epoch to be confirmed.
    ticket: Option<Ticket>,
    retry_at: Option<Time>,
    frozen_at: WallSecs,
    /// Some attempt's outcome is not known: the batch may be in the log.
    unknown: bool,
    /// The epoch must be confirmed before the write counts.
    confirm: bool,
    /// The log holds it; only checks that are asked after this ticket tell in which epoch.
    committed: Option<Ticket>,
}

/// Smaller batches, until the message that the log refuses is found.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    batch: usize,
    suspects: usize,
}

/// The id window's way into memory.
#[derive(Debug)]
enum Window {
    Unread,
    Reading { ticket: Ticket, floor: Seq, since: Vec<Arc<Segment>> },
    Ready(IdWindow),
}

#[derive(Debug)]
pub(crate) struct Append {
    room: RoomName,
    node: NodeId,
    limits: AppendLimits,
    queue: Queue,
    in_flight: Option<InFlight>,
    course: Course,
    window: Window,
    comparisons: Comparisons,
    ids_not_before: Time,
    not_before: Time,
    /// When the last publish came: the id window is kept for rooms that this node writes.
    written_at: Time,
    races: Backoff,
    fairness: Fairness,
    faults: Backoff,
    suspicion: Option<Suspicion>,
    events: VecDeque<Event>,
}

/// How long losers of a race wait. Short: the winner's pause is when their turn is (see [`Fairness`]).
fn races() -> Backoff {
    Backoff::new(2, 16)
}

/// Where and how a batch is to be written.
pub(crate) struct Place {
    pub(crate) epoch: Epoch,
    pub(crate) seq: Seq,
    pub(crate) expires: WallSecs,
    pub(crate) confirm: bool,
}

impl Append {
    pub(crate) fn new(room: RoomName, node: NodeId, limits: AppendLimits) -> Self {
        let fairness = Fairness::new(limits.hand_off);
        Self {
            room,
            node,
            limits,
            queue: Queue::default(),
            in_flight: None,
            course: Course::default(),
            window: Window::Unread,
            comparisons: Comparisons::default(),
            ids_not_before: Time(0),
            not_before: Time(0),
            written_at: Time(0),
            races: races(),
            fairness,
            faults: Backoff::new(50, 2_000),
            suspicion: None,
            events: VecDeque::new(),
        }
    }

    /// Nothing waits and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none() && !self.course.is_out() && self.comparisons.is_empty()
    }

    /// Takes a publish in. It ends in exactly one `Acked` or `Rejected`.
    pub(crate) fn handle_publish(&mut self, publish: Publish, next: Seq, turn: &Turn<'_>) {
        let bytes = self.queue.bytes() + publish.message.envelope_len();
        let full = self.queue.len() >= self.limits.queue_messages || bytes > self.limits.queue_bytes;
        let token = publish.token;
        let key = publish.message.key();
        if full && self.find(&key).is_none() && self.queue.on_its_way(&key).is_none() {
            self.reject([token], Rejection::Overloaded);
        } else {
            self.take_in(publish, next, false, turn);
        }
    }

    /// Queues a publish, unless it is a repeat. `handed`: another node has handed it over.
    fn take_in(&mut self, publish: Publish, taken_at: Seq, handed: bool, turn: &Turn<'_>) {
        let Publish { token, message } = publish;
        self.written_at = turn.now;
        let (key, body_hash) = (message.key(), message.body_hash());
        let deadline = turn.now.plus_ms(self.limits.settle_ms);
        if let Some((seq, known)) = self.find(&key) {
            match known == body_hash {
                true => self.events.push_back(Event::Acked { token, seq }),
                false => {
                    let Message { from, body, .. } = message;
                    self.hold(Comparison { key, from, seq, body, tokens: vec![token], deadline });
                }
            }
            return;
        }
        match self.queue.on_its_way(&key) {
            Some(known) if known == body_hash => self.queue.join(&key, token),
            Some(_) => match self.body_at_hand(&key).map(|body| body.is_same_json(&message.body)) {
                Some(true) => self.queue.join(&key, token),
                Some(false) => self.reject([token], Rejection::IdConflict(None)),
                None => self.reject([token], Rejection::Unavailable),
            },
            None => {
                let bytes = message.envelope_len();
                self.queue.push(
                    Pending { key, body_hash, message, bytes, taken_at, handed, deadline, kept_until: None },
                    token,
                );
            }
        }
    }

    /// Takes note of messages that the room has delivered, whoever wrote them.
    pub(crate) fn observe(&mut self, segment: &Arc<Segment>) {
        match &mut self.window {
            Window::Unread => {}
            Window::Reading { since, .. } => since.push(Arc::clone(segment)),
            Window::Ready(ids) => {
                ids.observe(segment);
                self.settle_shown();
                self.trim(segment.end());
            }
        }
    }

    /// Whether the id window must be read before anything can be written; then its answer is awaited.
    /// `floor`: the number that the answer reaches back to.
    pub(crate) fn poll_read_ids(&mut self, now: Time, floor: Seq, ticket: impl FnOnce() -> Ticket) -> Option<Ticket> {
        let wanted = matches!(self.window, Window::Unread) && !self.queue.is_empty() && now >= self.ids_not_before;
        wanted.then(|| {
            let ticket = ticket();
            self.window = Window::Reading { ticket, floor, since: Vec::new() };
            ticket
        })
    }

    /// Takes the answer to `Action::ReadIds`: segments in ascending order.
    pub(crate) fn handle_ids(&mut self, answer: Ticket, segments: Option<&[StoredSegment]>, turn: &mut Turn<'_>) {
        let Window::Reading { ticket, floor, since } = &mut self.window else { return };
        if *ticket != answer {
            return;
        }
        let Some(segments) = segments else {
            self.window = Window::Unread;
            self.ids_not_before = turn.now.plus_ms(20 + self.faults.fail(turn));
            return;
        };
        let mut ids = IdWindow::from_floor(*floor);
        segments
            .iter()
            .filter(|stored| stored.segment.expires > turn.wall)
            .for_each(|stored| ids.observe(&stored.segment));
        since.iter().for_each(|segment| ids.observe(segment));
        self.window = Window::Ready(ids);
        self.settle_shown();
    }

    /// Whether a batch could be written if the room's gate were open.
    pub(crate) fn wants_to_write(&self, now: Time) -> bool {
        if self.in_flight.is_some() || now < self.not_before || !matches!(self.window, Window::Ready(_)) {
            return false;
        }
        !self.queue.is_empty() && !self.course.is_out() && self.course.leader(now).is_none()
    }

    /// Whether so many races were lost that the log should be read before the next.
    pub(crate) fn is_behind(&self) -> bool {
        self.fairness.is_behind()
    }

    /// Freezes the next batch and sends it.
    pub(crate) fn start(&mut self, place: Place, ticket: Ticket, turn: &mut Turn<'_>) -> Option<Arc<StoredSegment>> {
        let batch = self.take_batch(&place.epoch, turn.now);
        if batch.is_empty() {
            return None;
        }
        self.fairness.handle_sent(turn.now);
        let nonce = Nonce::from_random(u128::from((turn.random)()) << 64 | u128::from((turn.random)()));
        let messages = batch.iter().map(|pending| pending.message.clone()).collect();
        let segment = Segment {
            room: self.room.clone(),
            seq: place.seq,
            epoch: place.epoch,
            node: self.node.clone(),
            expires: place.expires,
            content: Content::Messages(messages),
        };
        let stored = Arc::new(StoredSegment { segment: Arc::new(segment), nonce });
        self.in_flight = Some(InFlight {
            stored: Arc::clone(&stored),
            batch,
            ticket: Some(ticket),
            retry_at: None,
            frozen_at: turn.wall,
            unknown: false,
            confirm: place.confirm,
            committed: None,
        });
        Some(stored)
    }

    /// Sends the frozen batch once more when its time has come.
    pub(crate) fn poll_retry(
        &mut self,
        turn: &Turn<'_>,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<(Ticket, Arc<StoredSegment>)> {
        let in_flight = self.in_flight.as_mut()?;
        in_flight.retry_at.filter(|at| *at <= turn.now)?;
        if turn.wall.0.saturating_sub(in_flight.frozen_at.0) > FROZEN_SECS {
            self.take_back();
            return None;
        }
        in_flight.retry_at = None;
        Some((*in_flight.ticket.insert(ticket()), Arc::clone(&in_flight.stored)))
    }

    /// How many messages before `next` the id window must reach back.
    pub(crate) fn ids_wanted(&self, next: Seq) -> u64 {
        ID_WINDOW as u64 + next.since(self.oldest_unsettled(next))
    }

    /// The lowest `next` at which an unsettled publish was taken in; the one now when there is none.
    fn oldest_unsettled(&self, next: Seq) -> Seq {
        let in_flight = self.in_flight.iter().flat_map(|in_flight| &in_flight.batch);
        let sent = in_flight.chain(self.course.handed()).map(|pending| pending.taken_at).min();
        [self.queue.oldest_taken_at(), sent].into_iter().flatten().fold(next, Seq::min)
    }

    /// Answers "unknown" to those who have waited too long. What was sent is still brought to an end. Returns whether
    /// the room should be read: this node writes it by itself again.
    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.is_idle() && turn.now.since_ms(self.written_at) > IDS_KEPT_MS {
            self.window = Window::Unread;
        }
        self.drop_overdue(turn.now);
        self.expire_comparisons(turn);
        let late: Vec<MessageKey> = self
            .in_flight
            .iter()
            .flat_map(|in_flight| &in_flight.batch)
            .chain(self.course.handed())
            .filter(|pending| pending.deadline <= turn.now)
            .map(|pending| pending.key)
            .collect();
        for key in late {
            let tokens = self.queue.give_up(&key);
            self.reject(tokens, Rejection::Unavailable);
        }
        self.lose_patience(turn)
    }

    /// What nobody waits for is not sent.
    fn drop_overdue(&mut self, now: Time) {
        let tokens = self.queue.take_overdue(now);
        self.reject(tokens, Rejection::Unavailable);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_timeout(&self, now: Time) -> Option<Time> {
        let queued = self.queue.deadline();
        let start = (!self.queue.is_empty() && self.in_flight.is_none())
            .then(|| self.not_before.max(self.ids_not_before))
            .filter(|at| *at > now);
        let course = self.course.poll_timeout(now).filter(|_| !self.queue.is_empty());
        let retry = self.in_flight.as_ref().and_then(|in_flight| in_flight.retry_at);
        let given_up = self
            .in_flight
            .iter()
            .flat_map(|in_flight| &in_flight.batch)
            .chain(self.course.handed())
            .map(|pending| pending.deadline)
            .filter(|deadline| *deadline > now)
            .min();
        let comparing = self.comparisons.poll_timeout(now);
        [queued, start, course, self.course.patience(), retry, given_up, comparing].into_iter().flatten().min()
    }

    /// As much of the queue as one segment takes. Publishes that the room holds already leave the queue here: they came
    /// twice, or an earlier attempt had succeeded.
    fn take_batch(&mut self, epoch: &Epoch, now: Time) -> Vec<Pending> {
        self.drop_overdue(now);
        let most = self.suspicion.map_or(MAX_SEGMENT_MESSAGES, |suspicion| suspicion.batch);
        let mut bytes = Segment::envelope_overhead(&self.room, epoch, &self.node);
        let mut batch: Vec<Pending> = Vec::new();
        while let Some(front) = self.queue.front() {
            // A message alone always fits: bodies are bounded far below a segment.
            let fits = batch.len() < most && bytes + front.bytes <= MAX_SEGMENT_BYTES;
            if !fits && !batch.is_empty() {
                break;
            }
            let Some(pending) = self.queue.pop() else { break };
            match self.find(&pending.key) {
                Some((seq, known)) => self.settle_repeat(&pending, seq, known),
                None => {
                    bytes += pending.bytes;
                    batch.push(pending);
                }
            }
        }
        batch
    }

    /// The room holds this publish, or another under its id.
    fn settle_repeat(&mut self, pending: &Pending, seq: Seq, known: BodyHash) {
        let tokens = self.queue.settle(&pending.key);
        if known == pending.body_hash {
            self.events.extend(tokens.into_iter().map(|token| Event::Acked { token, seq }));
        } else {
            let (from, body) = (pending.message.from.clone(), pending.message.body.clone());
            self.hold(Comparison { key: pending.key, from, seq, body, tokens, deadline: pending.deadline });
        }
    }

    fn find(&self, key: &MessageKey) -> Option<(Seq, BodyHash)> {
        match &self.window {
            Window::Ready(ids) => ids.find(key),
            _ => None,
        }
    }

    fn trim(&mut self, next: Seq) {
        let oldest = self.oldest_unsettled(next);
        if let Window::Ready(ids) = &mut self.window {
            ids.trim(oldest.minus(ID_WINDOW as u64));
        }
    }

    fn reject(&mut self, tokens: impl IntoIterator<Item = Token>, reason: Rejection) {
        self.events.extend(tokens.into_iter().map(|token| Event::Rejected { token, reason }));
    }
}
