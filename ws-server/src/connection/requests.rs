use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use protocol::{
    ClientFrame, CloseCode, ErrorCode, ErrorFrame, FrameError, Message, MessageId, Pong, Ref, RoomName, ServerFrame,
};

use super::rate::Act;
use super::{Connections, Outbox};
use crate::backplane::count;
use crate::rooms::{AnswerSpace, Command, Session};

/// What a session asks for, and the rooms that it is in.
pub(super) struct Requests {
    session: Arc<Session>,
    connections: Arc<Connections>,
    /// A few: looking through them costs less than a table for every session.
    rooms: Vec<RoomName>,
    /// Joins that shards have been asked for, modulo 2^32.
    joins: u32,
    /// When it was last told that it says too much in passing.
    complained: Option<Instant>,
    /// What found no place in its shard's queue, in order. Most sessions never park anything: it takes no memory of theirs.
    parked: Option<Box<VecDeque<Command>>>,
}

/// Between two complaints about signals, at least: they must not cost more than what they complain of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

impl Requests {
    pub(super) fn new(session: Arc<Session>, connections: Arc<Connections>) -> Self {
        Self { session, connections, rooms: Vec::new(), joins: 0, complained: None, parked: None }
    }

    /// Where frames for the client wait.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.session.outbox
    }

    /// Says something.
    pub(super) fn tell(&self, frame: &ServerFrame) {
        self.session.send(frame);
    }

    /// Keeps record of why the session ends.
    pub(super) fn note_close(&self, code: CloseCode) {
        let stats = &self.connections.stats;
        match code {
            CloseCode::SlowConsumer => count(&stats.slow),
            CloseCode::TooManyRequests => count(&stats.floods),
            _ => {}
        }
        tracing::debug!(session = %self.session.id, %code, "closing");
    }

    /// Milliseconds within which a draining node closes its sessions.
    pub(super) fn drain_ms(&self) -> u64 {
        self.connections.limits.drain_ms
    }

    /// Takes one text frame.
    ///
    /// # Errors
    /// The code to close with, when the frame is longer than any frame may be.
    pub(super) fn handle(&mut self, text: &str) -> Result<(), CloseCode> {
        let limits = &self.connections.limits;
        if text.len() > limits.max_frame {
            return Err(CloseCode::TooBig);
        }
        match ClientFrame::parse(text, limits.max_body) {
            Ok(frame) => self.obey(frame),
            Err(error) => self.refuse(error),
        }
        Ok(())
    }

    /// The connection ends: so does the session, in every room.
    pub(super) fn leave_all(&mut self) {
        for room in std::mem::take(&mut self.rooms) {
            let session = self.session.id.clone();
            self.send(Command::Gone { room, session });
        }
    }

    /// Passes on what its shard had no place for. Returns whether everything is passed on: until then nothing more must
    /// be read of this session.
    pub(super) fn settle(&mut self) -> bool {
        let Some(parked) = &mut self.parked else { return true };
        while let Some(command) = parked.pop_front() {
            if let Err(command) = self.connections.rooms.try_send(command) {
                parked.push_front(*command);
                return false;
            }
        }
        self.parked = None;
        true
    }

    /// Whether nothing more may be taken in now: something is not passed on yet, or the client has to read first.
    pub(super) fn must_wait(&self) -> bool {
        self.parked.is_some() || self.session.outbox.is_half_full()
    }

    /// A room for which there was no space may go on with a replay.
    pub(super) fn go_on(&mut self, room: RoomName) {
        let session = self.session.id.clone();
        self.send(Command::Drained { room, session });
    }

    fn obey(&mut self, frame: ClientFrame) {
        let session = Arc::clone(&self.session);
        match frame {
            ClientFrame::Join { room, from, reference } => {
                let known = self.rooms.contains(&room);
                if !known && !self.has_space() {
                    let reason = "this session is in as many rooms as it may be";
                    return self.refuse(frame_error(ErrorCode::TooManyRooms, reason, room, None, reference));
                }
                if !session.allowance.admits(Act::Join) {
                    let reason = "this session joins too often: join later";
                    return self.refuse(frame_error(ErrorCode::RateLimited, reason, room, None, reference));
                }
                if !known {
                    self.rooms.reserve_exact(1 + self.rooms.len() / 2);
                    self.rooms.push(room.clone());
                }
                self.joins = self.joins.wrapping_add(1);
                self.send(Command::Join { room, session, from, reference });
            }
            ClientFrame::Leave { room, reference } => {
                let Some(place) = self.rooms.iter().position(|joined| *joined == room) else {
                    return self.refuse(not_joined(room, None, reference));
                };
                self.rooms.swap_remove(place);
                self.send(Command::Leave { room, session, reference });
            }
            ClientFrame::Publish { room, id, body } => {
                if !self.rooms.contains(&room) {
                    return self.refuse(not_joined(room, Some(id), None));
                }
                if !session.allowance.admits(Act::Publish) {
                    let reason = "this session publishes too often: send it again more slowly";
                    return self.refuse(frame_error(ErrorCode::RateLimited, reason, room, Some(id), None));
                }
                let (from, name) = (session.user.clone(), session.name.clone());
                let message = Message { id, from, name, at: now_ms(), body };
                self.send(Command::Publish { room, session, message });
            }
            ClientFrame::Signal { room, key, body } => {
                if !self.rooms.contains(&room) {
                    return self.refuse(not_joined(room, None, None));
                }
                if !session.allowance.admits(Act::Signal) {
                    return self.drop_signal(room);
                }
                self.send(Command::Signal { room, session, key, body });
            }
            ClientFrame::History { room, range, limit, reference } => {
                if !self.rooms.contains(&room) {
                    return self.refuse(not_joined(room, None, reference));
                }
                if !session.allowance.admits(Act::History) {
                    let reason = "this session reads back too often: ask again later";
                    return self.refuse(frame_error(ErrorCode::RateLimited, reason, room, None, reference));
                }
                let space = AnswerSpace::of(&session);
                self.send(Command::History { room, session, range, limit, reference, space });
            }
            ClientFrame::Ping { reference } => {
                self.session.send(&ServerFrame::Pong(Pong { reference }));
            }
        }
    }

    /// Whether one room more may be joined. Rooms whose joins have failed do not count.
    fn has_space(&mut self) -> bool {
        let most = self.connections.limits.rooms_per_session;
        if self.rooms.len() >= most {
            let refused = self.connections.rooms.take_refused(&self.session, self.joins);
            self.rooms.retain(|room| !refused.contains(room));
        }
        self.rooms.len() < most
    }

    /// Signals may be lost, and that is said only now and then.
    fn drop_signal(&mut self, room: RoomName) {
        let now = Instant::now();
        if self.complained.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            let reason = "this session sends signals too often: some are dropped";
            self.refuse(frame_error(ErrorCode::RateLimited, reason, room, None, None));
        }
    }

    fn send(&mut self, command: Command) {
        if !self.settle() {
            self.park(command);
        } else if let Err(command) = self.connections.rooms.try_send(command) {
            self.park(*command);
        }
    }

    fn park(&mut self, command: Command) {
        self.parked.get_or_insert_default().push_back(command);
    }

    fn refuse(&self, error: FrameError) {
        let FrameError { code, message, room, id, reference } = error;
        let retry = code.retry();
        self.session.send(&ServerFrame::Error(ErrorFrame { code, message, retry, room, id, seq: None, reference }));
    }
}

fn not_joined(room: RoomName, id: Option<MessageId>, reference: Option<Ref>) -> FrameError {
    frame_error(ErrorCode::NotJoined, "this session is not in that room", room, id, reference)
}

fn frame_error(
    code: ErrorCode,
    message: &str,
    room: RoomName,
    id: Option<MessageId>,
    reference: Option<Ref>,
) -> FrameError {
    FrameError { code, message: message.to_owned(), room: Some(room), id, reference }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
