//! What nodes ask of the log, and what the way there does to it.

use protocol::Seq;
use room_core::log::{AppendOutcome, Probe, RoomHeader, StoredSegment};
use room_core::{Action, Found, Ticket};

use super::{Event, World};
use crate::chance::Chance;
use crate::node::{Address, Answer, HistoryRequest};
use crate::plant::Plant;

/// How long a write is awaited, in milliseconds.
const WRITE_MS: u64 = 2_000;
/// How long a read is awaited, in milliseconds.
const READ_MS: u64 = 3_000;
/// When a request that nobody waits for any more arrives after all, in milliseconds: its signature is good for a quarter
/// of an hour.
const LATE_MS: [u64; 5] = [5, 300, 4_000, 60_000, 600_000];

/// A question on its way, or half answered.
#[derive(Debug)]
pub(super) struct Request {
    /// Who waits for the answer; `None`: nobody does any more.
    to: Option<Address>,
    room: usize,
    ask: Ask,
}

#[derive(Debug)]
enum Ask {
    Action(Action),
    /// A check is two reads: one is done.
    Header(Ticket, Option<StoredSegment>),
    Newest(Ticket, Option<RoomHeader>),
    /// A page is no snapshot: what is below the number has been read.
    RestOfPage {
        ticket: Ticket,
        below: Seq,
        limit: u32,
        found: Vec<StoredSegment>,
    },
    /// A page for members that read back.
    Replay {
        number: u64,
        from: Seq,
        limit: u32,
        wait_ms: u64,
    },
    History(HistoryRequest),
}

/// What may happen to a request.
enum Fate {
    Arrives,
    Throttled,
    /// No answer comes, after so many milliseconds; the request arrives, or does not.
    Silent {
        after: u64,
        arrives: Option<u64>,
    },
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Arrives => "",
            Self::Throttled => ", throttled",
            Self::Silent { arrives: None, .. } => ", lost",
            Self::Silent { arrives: Some(_), .. } => ", no answer",
        }
    }
}

impl World {
    /// A room asks something.
    pub(super) fn ask(&mut self, from: Address, action: Action) {
        if let Action::HandOver { ticket, to, hand_off } = action {
            return self.hand_over(from, ticket, to, hand_off);
        }
        if let Some(answer) = self.planted(&action) {
            return self.agenda.after(2, Event::Answer(from, Box::new(answer)));
        }
        let fate = self.fate(from.place, matches!(action, Action::Append { .. }));
        let now = self.agenda.now();
        self.trace.say(now, || format!("node {} asks r{}: {}{}", from.place, from.room, brief(&action), fate.word()));
        match fate {
            Fate::Arrives => {
                let delay = self.delay();
                self.send_request(Some(from), from.room, Ask::Action(action), delay);
            }
            Fate::Throttled => {
                self.agenda.after(3, Event::Answer(from, Box::new(Answer::refusal(&action))));
            }
            Fate::Silent { after, arrives } => {
                self.agenda.after(after, Event::Answer(from, Box::new(Answer::silence(&action))));
                if let Some(arrives) = arrives {
                    self.send_request(None, from.room, Ask::Action(action), arrives);
                }
            }
        }
    }

    /// A page is read for members that read back: patiently, as a node does.
    pub(super) fn read_page(&mut self, from: Address, number: u64, first: Seq, limit: u32) {
        self.try_page(from, Ask::Replay { number, from: first, limit, wait_ms: 100 }, 0);
    }

    /// Messages of the past are read, once.
    pub(super) fn read_history(&mut self, from: Address, request: HistoryRequest) {
        let delay = self.delay();
        match self.fate(from.place, false) {
            Fate::Arrives => self.send_request(Some(from), from.room, Ask::History(request), delay),
            _ => self.agenda.after(delay, Event::Answer(from, Box::new(Answer::History(request, None)))),
        }
    }

    fn try_page(&mut self, to: Address, ask: Ask, wait: u64) {
        let delay = wait + self.delay();
        self.send_request(Some(to), to.room, ask, delay);
    }

    fn send_request(&mut self, to: Option<Address>, room: usize, ask: Ask, delay: u64) {
        self.agenda.after(delay, Event::Request(Box::new(Request { to, room, ask })));
    }

    fn fate(&mut self, place: usize, write: bool) -> Fate {
        let timeout = if write { WRITE_MS } else { READ_MS };
        if self.log_down[place] > self.agenda.now() {
            let after = if self.rng.bool() { 5 } else { timeout };
            return Fate::Silent { after, arrives: None };
        }
        if self.rng.percent(self.rates.log_throttled) {
            return Fate::Throttled;
        }
        if self.rng.percent(self.rates.log_silent) {
            let after = self.rng.one_of(&[10, 400, timeout]);
            let arrives = self.rng.percent(60).then(|| self.rng.one_of(&LATE_MS));
            return Fate::Silent { after, arrives };
        }
        Fate::Arrives
    }

    /// Milliseconds one way.
    fn delay(&mut self) -> u64 {
        if self.rng.percent(self.rates.log_slow) { self.rng.u64(5..900) } else { self.rng.u64(1..4) }
    }

    fn planted(&self, action: &Action) -> Option<Answer> {
        match (self.plan.plant?, action) {
            (Plant::NoHeadAudit, Action::Probe { ticket, .. }) => Some(Answer::Probed(*ticket, Probe::Absent)),
            (Plant::NoRepeatCheck, Action::ReadIds { ticket, .. }) => Some(Answer::Ids(*ticket, Some(Vec::new()))),
            _ => None,
        }
    }

    /// A request reaches the log.
    pub(super) fn handle_request(&mut self, request: Request) {
        let Request { to, room, ask } = request;
        match ask {
            Ask::Action(action) => self.handle_action(to, room, action),
            Ask::Header(ticket, newest) => {
                let header = self.logs[room].header();
                self.answer(to, Answer::Checked(ticket, Some((header, newest))));
            }
            Ask::Newest(ticket, header) => {
                let newest = self.logs[room].newest();
                self.answer(to, Answer::Checked(ticket, Some((header, newest))));
            }
            Ask::RestOfPage { ticket, below, limit, mut found } => {
                let missing = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
                let rest = self.logs[room].read(below, missing);
                let end = found.last().map_or(below, |last| last.segment.end().max(below));
                found.extend(rest.into_iter().filter(|stored| stored.segment.seq >= end));
                self.answer(to, Answer::Page(ticket, Some(found)));
            }
            Ask::History(request) => {
                let found = self.logs[room].read_window(request.window);
                self.answer(to, Answer::History(request, Some(found)));
            }
            Ask::Replay { number, from, limit, wait_ms } => {
                self.handle_replay(to, room, (number, from, limit, wait_ms));
            }
        }
    }

    fn handle_action(&mut self, to: Option<Address>, room: usize, action: Action) {
        let now = self.agenda.now();
        let answer = match action {
            Action::Check { ticket } => {
                let ask = match self.rng.bool() {
                    true => Ask::Newest(ticket, self.logs[room].header()),
                    false => Ask::Header(ticket, self.logs[room].newest()),
                };
                let delay = if self.rng.percent(self.rates.log_torn) { self.rng.u64(1..300) } else { 0 };
                return self.send_request(to, room, ask, delay);
            }
            Action::Read { ticket, from, limit } => {
                if self.rng.percent(self.rates.log_torn) {
                    return self.tear(to, room, (ticket, from, limit));
                }
                Answer::Page(ticket, Some(self.logs[room].read(from, limit)))
            }
            Action::ReadIds { ticket, before, messages } => {
                Answer::Ids(ticket, Some(self.logs[room].read_back(before, messages)))
            }
            Action::ReadMessage { ticket, seq } => {
                Answer::Found(ticket, Found::in_page(Some(&self.logs[room].read(seq, 1)), seq))
            }
            Action::PutHeader { ticket, header, expected } => {
                let outcome = self.logs[room].put_header(&header, expected.as_ref());
                if outcome == room_core::log::HeaderOutcome::Written {
                    self.trace.say(now, || format!("r{room}: epoch {} from {}", header.epoch, header.first));
                    self.checker.handle_header(room, &header, &self.logs[room]);
                }
                Answer::Header(ticket, Some(outcome))
            }
            Action::Append { ticket, segment } => Answer::Appended(ticket, self.append(room, &segment)),
            Action::Probe { ticket, next } => {
                let stale = if self.rng.percent(self.rates.log_torn) { self.rng.u64(0..1_500) } else { 0 };
                Answer::Probed(ticket, self.logs[room].probe(next, now.saturating_sub(stale)))
            }
            // Batches go to nodes, not to the log.
            Action::HandOver { .. } => return,
        };
        self.answer(to, answer);
    }

    /// Writes a segment, and tells the stream.
    pub(super) fn append(&mut self, room: usize, stored: &StoredSegment) -> AppendOutcome {
        let now = self.agenda.now();
        let outcome = self.logs[room].append(stored, now);
        let segment = &stored.segment;
        self.trace.say(now, || {
            let ids: Vec<&str> = segment.messages().map(|(_, message)| message.id.as_str()).collect();
            let (seq, end, node, epoch) = (segment.seq, segment.end(), &segment.node, &segment.epoch);
            let word = match &outcome {
                AppendOutcome::Committed => "committed",
                AppendOutcome::Conflict(_) => "taken",
                _ => "refused",
            };
            format!("r{room}: {seq}..{end} of {epoch} by {node}, until {}: {word} {ids:?}", stored.segment.expires.0)
        });
        if outcome == AppendOutcome::Committed {
            self.checker.handle_commit(room, stored, &self.logs[room]);
            self.record(&stored.segment);
        }
        outcome
    }

    fn tear(&mut self, to: Option<Address>, room: usize, (ticket, from, limit): (Ticket, Seq, u32)) {
        let below = from.plus(self.rng.u64(0..6));
        let mut found = self.logs[room].read(from, limit);
        found.retain(|stored| stored.segment.seq < below);
        let delay = self.rng.u64(1..400);
        self.send_request(to, room, Ask::RestOfPage { ticket, below, limit, found }, delay);
    }

    fn handle_replay(&mut self, to: Option<Address>, room: usize, page: (u64, Seq, u32, u64)) {
        let (number, from, limit, wait_ms) = page;
        let Some(address) = to else { return };
        match self.fate(address.place, false) {
            Fate::Arrives => {
                let page = self.logs[room].read(from, limit);
                self.answer(to, Answer::Replay(number, Some(page)));
            }
            _ if wait_ms > 2_000 => self.answer(to, Answer::Replay(number, None)),
            Fate::Throttled | Fate::Silent { .. } => {
                let wait = self.rng.u64(0..wait_ms);
                self.try_page(address, Ask::Replay { number, from, limit, wait_ms: 2 * wait_ms }, wait);
            }
        }
    }

    fn answer(&mut self, to: Option<Address>, answer: Answer) {
        if let Some(to) = to {
            let delay = self.delay();
            self.agenda.after(delay, Event::Answer(to, Box::new(answer)));
        }
    }
}

/// An action in a few words.
fn brief(action: &Action) -> String {
    match action {
        Action::Check { .. } => "check".into(),
        Action::Read { from, .. } => format!("read from {from}"),
        Action::ReadIds { before, messages, .. } => format!("ids of {messages} messages before {before}"),
        Action::ReadMessage { seq, .. } => format!("message {seq}"),
        Action::PutHeader { header, .. } => format!("header of epoch {} from {}", header.epoch, header.first),
        Action::Append { segment, .. } => format!("write {}..{}", segment.segment.seq, segment.segment.end()),
        Action::HandOver { to, .. } => format!("hand over to {to}"),
        Action::Probe { next, .. } => format!("probe {next}"),
    }
}
