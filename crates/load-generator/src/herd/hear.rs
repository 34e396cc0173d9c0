//! What a client makes of the bytes that it gets.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use protocol::{Joined, Position, RoomName, ServerFrame};

use super::dialect::Said;
use super::frame::{self, BadFrame};
use super::handshake::Refusal;
use super::member::{Member, Stage};
use super::shared::Shared;
use super::sight::{Fault, is_message, see};
use crate::chronicle::Pages;
use crate::stats::Counts;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("no WebSocket: {0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Bad(#[from] BadFrame),
    #[error("closed with {0:?}")]
    Closed(Option<u16>),
}

impl End {
    pub(crate) fn code(&self) -> Option<u16> {
        if let Self::Closed(code) = self { *code } else { None }
    }
}

/// One read's worth of frames of one client, with what all of them need.
pub(crate) struct Hearing<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) member: &'a mut Member,
    pub(crate) counts: &'a mut Counts,
    /// Numbers that this client has missed so far, from and to.
    pub(crate) missed: &'a mut Vec<(u64, u64)>,
    /// The room's recent messages, once they are needed.
    pages: Option<MutexGuard<'a, Pages>>,
    /// Since the run's origin.
    now: Duration,
    delivered: u64,
    complete: u64,
}

impl<'a> Hearing<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        member: &'a mut Member,
        counts: &'a mut Counts,
        missed: &'a mut Vec<(u64, u64)>,
    ) -> Self {
        let now = shared.crowd.now();
        Self { shared, member, counts, missed, pages: None, now, delivered: 0, complete: 0 }
    }

    /// Takes all whole frames. Returns how many bytes they have.
    ///
    /// # Errors
    /// [`End`]: nothing more is to be had from this connection.
    pub(crate) fn hear(mut self, bytes: &[u8]) -> Result<usize, End> {
        let heard = self.frames(bytes);
        drop(self.pages.take());
        if self.delivered > 0 {
            self.counts.delivered += self.delivered;
            self.shared.crowd.seats[self.member.seat].handle_messages(self.member.next - 1, self.delivered);
        }
        if let Some(room) = self.member.room.filter(|_| self.complete > 0) {
            self.shared.handle_complete(room, self.complete);
        }
        heard
    }

    fn frames(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut used = 0;
        if self.member.stage <= Stage::Upgrading {
            let Some(head) = self.shared.handshake.answered(bytes)? else { return Ok(0) };
            used = head;
            self.on_open()?;
        }
        while let Some(frame) = frame::first(&bytes[used..])? {
            match frame.opcode {
                frame::TEXT => self.on_text(frame.payload)?,
                frame::PING => self.member.pong(frame.payload)?,
                frame::CLOSE => {
                    return Err(End::Closed(frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code))));
                }
                frame::PONG => {}
                _ => self.counts.handle_refusal(format!("client {}: a binary frame", self.member.seat)),
            }
            used += frame.length;
        }
        Ok(used)
    }

    fn room(&self) -> Option<&'a RoomName> {
        self.member.room.map(|room| &self.shared.crowd.rooms[room].name)
    }

    fn on_open(&mut self) -> Result<(), End> {
        self.member.stage = Stage::Greeted;
        self.shared.crowd.connected[self.member.node].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match (self.shared.dialect, self.room()) {
            (super::Dialect::Roomcast, Some(room)) => self.ask_for(room)?,
            // The path has said which room it is.
            (super::Dialect::Raw, _) => {
                self.on_greeted();
                self.on_entered(&Position::start(), 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn ask_for(&mut self, room: &RoomName) -> Result<(), End> {
        match self.shared.dialect.join(room) {
            Some(join) => Ok(self.member.say(&join)?),
            None => Ok(()),
        }
    }

    fn on_text(&mut self, text: &[u8]) -> Result<(), End> {
        match self.shared.dialect.read(text) {
            Said::Frame(text) if is_message(text) => self.on_message(text),
            Said::Frame(text) => self.on_frame(text),
            Said::Answer(answer) => self.member.say(answer)?,
            Said::Open => {
                self.on_greeted();
                if let Some(room) = self.room() {
                    self.ask_for(room)?;
                }
            }
            Said::Entered => self.on_entered(&Position::start(), 0),
            Said::Noise => {}
        }
        Ok(())
    }

    fn on_message(&mut self, text: &[u8]) {
        let crowd = &self.shared.crowd;
        let Some(room) = self.member.room.filter(|_| self.member.stage == Stage::Live) else {
            return self.counts.handle_refusal(format!("client {}: a message before its room", self.member.seat));
        };
        let room = &crowd.rooms[room];
        let pages = self.pages.get_or_insert_with(|| room.chronicle.open());
        match see(pages, &room.name, &mut self.member.next, text, |body| crowd.due(body)) {
            Ok(seen) => {
                self.delivered += 1;
                self.complete += u64::from(seen.complete);
                if let Some(due) = seen.due {
                    self.counts.times.live.record(self.now.saturating_sub(due));
                }
            }
            Err(fault) => self.on_fault(&fault),
        }
    }

    fn on_fault(&mut self, fault: &Fault) {
        let mut reordered = false;
        match *fault {
            Fault::Missing { expected, seq } => {
                self.delivered += 1; // it came, however early
                self.missed.push((expected, seq));
            }
            Fault::Late { seq, .. } => {
                reordered = self.missed.iter().any(|(from, to)| (*from..*to).contains(&seq));
            }
            _ => {}
        }
        self.counts.handle_fault(self.member.seat, fault, reordered);
    }

    /// A frame of Roomcast's that is no message.
    fn on_frame(&mut self, text: &[u8]) {
        let frame = std::str::from_utf8(text).map_err(|error| error.to_string());
        match frame.and_then(|text| ServerFrame::parse(text).map_err(|error| error.to_string())) {
            Ok(ServerFrame::Welcome(_)) => self.on_greeted(),
            Ok(ServerFrame::Joined(Joined { position, replayed, .. })) => self.on_entered(&position, replayed),
            Ok(ServerFrame::Reset(reset)) => {
                // The one before a room's very first message says nothing of a loss.
                self.counts.resets += u64::from(reset.position.seq.get() > 0);
                self.member.next = reset.position.seq.next().get();
            }
            Ok(ServerFrame::Error(error)) => *self.counts.errors.entry(error.code.as_str()).or_default() += 1,
            Ok(_) => {}
            Err(error) => self.counts.handle_refusal(format!("client {}: {error}", self.member.seat)),
        }
    }

    fn on_greeted(&mut self) {
        let took = Instant::now().saturating_duration_since(self.member.due);
        self.counts.connects += 1;
        self.counts.times.connect.record(took);
        self.counts.window.connect.push(took);
    }

    fn on_entered(&mut self, position: &Position, replayed: u64) {
        let took = Instant::now().saturating_duration_since(self.member.due);
        self.counts.times.join.record(took);
        self.counts.window.join.push(took);
        let before = position.seq.minus(replayed);
        self.member.stage = Stage::Live;
        self.member.next = before.next().get();
        let seat = &self.shared.crowd.seats[self.member.seat];
        seat.handle_joined(before);
        seat.set_present(true);
        if let Some(room) = self.member.room {
            self.shared.handle_entered(room, position);
        }
    }
}
