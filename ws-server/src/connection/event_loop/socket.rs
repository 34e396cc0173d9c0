mod deliver;

use std::io::{ErrorKind, Read};

use mio::Token;
use mio::net::TcpStream;
use protocol::{CloseCode, RoomName};
use websocket::{Deflater, Incoming, Inflater, ReadBudget, Reader, Violation};

use super::Conversation;
use super::control_rate::ControlRate;
use super::unwritten::{Sent, Unwritten, send};
use crate::connection::frame::{Deflate, Frame};
use crate::connection::outbox::{More, Next};

/// Bytes of a request that are looked at before it is taken.
const HEAD: usize = 64 * 1024;
/// Bytes that are read at a time: what a client sends costs the others no more than this in a turn.
const READ: usize = 16 * 1024;
/// Frames that are taken at a time, however short they are.
const FRAMES: u32 = 64;
/// Bytes that are taken from an outbox at a time.
const PORTION: usize = 64 * 1024;
/// Bytes that are read, and not looked at, of a connection that is to go.
const UNHEARD: u32 = 4 * 1024 * 1024;
/// Control frames that wait behind what is unwritten: pings need not all be answered (RFC 6455, 5.5.3).
const CONTROLS: u8 = 8;

/// What a loop lends to the connection whose turn it is.
pub(super) struct Lent {
    pub(super) max_message: usize,
    /// The last post up to which all posts are written: what was said to somebody after it must wait.
    pub(super) written: u64,
    /// Milliseconds since the loop began.
    pub(super) now_ms: u32,
    /// Frames without text that a client may send a second; 0: no limit.
    pub(super) control_frames: u32,
    pub(super) buffer: Box<[u8]>,
    inflater: Inflater,
    deflater: Deflater,
    frames: Vec<Frame>,
}

/// One connection, as its loop has it.
pub(super) struct Connection<C> {
    pub(super) token: Token,
    pub(super) socket: TcpStream,
    reader: Reader,
    deflate: Option<Deflate>,
    pub(super) conversation: C,
    /// Frames that the socket did not take yet.
    unwritten: Option<Box<Unwritten>>,
    phase: Phase,
    /// Bytes that were read in a turn that had no time for them.
    unread: Option<Box<Unread>>,
    /// What it may still say without a text.
    controls: ControlRate,
    /// Bytes that came when it was to go.
    unheard: u32,
    /// Heartbeats since it was last heard of.
    pub(super) silent: u8,
    /// Heartbeats since the socket last took something, while it should.
    pub(super) stuck: u8,
    /// Rooms that it gets messages of.
    pub(super) rooms: u16,
    /// Something may wait in its outbox.
    pub(super) is_told: bool,
    /// The loop knows that there may be something to read.
    pub(super) is_hungry: bool,
    /// The loop knows that the other side is gone.
    pub(super) is_leaving: bool,
    /// What it said could not all be passed on: until it is, nothing more is read.
    pub(super) is_stalled: bool,
    /// Half of its outbox is full, or kept for answers: until it has read, nothing more is read of it.
    pub(super) is_paused: bool,
}

/// Bytes of a client, of which some have been taken.
struct Unread {
    bytes: Vec<u8>,
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The conversation goes on.
    Open,
    /// It has ended, and the other side has time to go: closing over unread bytes would reset the connection, and the
    /// close code would be lost.
    Ending,
    /// The same, and nothing that comes can be understood.
    Deaf,
    /// Both sides have said goodbye: when everything is written it is over.
    Over,
}

/// What comes of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing to do until something happens.
    Rest,
    /// There was nothing to read.
    Nothing,
    /// There is more of it.
    More,
    /// What it said could not all be passed on.
    Stalled,
    /// It has to read what it asked for before anything more is read of it.
    Paused,
    /// It must be closed with this code.
    Close(CloseCode),
    /// The client has broken the rules of WebSockets.
    Broken(CloseCode),
    /// The client says goodbye, with this code if any.
    Goodbye(Option<u16>),
    /// It is over.
    Gone,
}

impl Lent {
    pub(super) fn new(max_message: usize, control_frames: u32) -> Self {
        Self {
            max_message,
            written: 0,
            now_ms: 0,
            control_frames,
            buffer: vec![0; HEAD].into(),
            inflater: Inflater::new(),
            deflater: Deflater::new(),
            frames: Vec::new(),
        }
    }
}

impl Outcome {
    /// What comes of both, of which the first is no end.
    pub(super) fn and(self, other: Self) -> Self {
        if other == Self::Rest { self } else { other }
    }
}

impl From<Violation> for Outcome {
    fn from(violation: Violation) -> Self {
        tracing::debug!(%violation, "a client broke the rules");
        Self::Broken(CloseCode::from_code(violation.close_code()).unwrap_or(CloseCode::ProtocolError))
    }
}

impl<C: Conversation> Connection<C> {
    pub(super) fn new(token: Token, socket: TcpStream, deflate: Option<Deflate>, conversation: C) -> Self {
        Self {
            token,
            socket,
            reader: Reader::new(deflate.is_some()),
            deflate,
            conversation,
            unwritten: None,
            phase: Phase::Open,
            unread: None,
            controls: ControlRate::default(),
            unheard: 0,
            silent: 0,
            stuck: 0,
            rooms: 0,
            is_told: false,
            is_hungry: false,
            is_leaving: false,
            is_stalled: false,
            is_paused: false,
        }
    }

    /// Whether the conversation goes on.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the loop reads nothing of it until something has happened.
    pub(super) fn is_held(&self) -> bool {
        self.is_stalled || self.is_paused
    }

    /// Whether something waits that the socket did not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Takes a portion of what the client has sent.
    pub(super) fn read(&mut self, lent: &mut Lent) -> Outcome {
        if self.is_open() && self.conversation.must_wait() {
            if !self.conversation.settle() {
                return Outcome::Stalled;
            }
            if self.conversation.must_wait() {
                return Outcome::Paused;
            }
        }
        if let Some(mut unread) = self.unread.take() {
            let (outcome, taken) = self.hear_some(&mut unread.bytes[unread.taken..], lent);
            unread.taken += taken;
            if unread.taken < unread.bytes.len() {
                self.unread = Some(unread);
            }
            // Behind it the socket may have more, of which the kernel does not tell again.
            return if outcome == Outcome::Rest { Outcome::More } else { outcome };
        }
        let count = loop {
            match self.socket.read(&mut lent.buffer[..READ]) {
                Ok(0) => return Outcome::Gone,
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Outcome::Gone,
            }
        };
        let mut buffer = std::mem::take(&mut lent.buffer);
        let outcome = self.hear(&mut buffer[..count], lent);
        lent.buffer = buffer;
        match outcome {
            // Less than there was space for: the kernel tells when there is more.
            Outcome::Rest if count == READ => Outcome::More,
            outcome => outcome,
        }
    }

    /// Takes a portion of what has been read. The connection keeps the rest: then there is more.
    pub(super) fn hear(&mut self, bytes: &mut [u8], lent: &mut Lent) -> Outcome {
        self.silent = 0;
        // Never more than is read at a time.
        self.unheard += if self.is_open() { 0 } else { u32::try_from(bytes.len()).unwrap_or(UNHEARD) };
        if self.unheard > UNHEARD {
            return Outcome::Gone;
        }
        let (outcome, taken) = self.hear_some(bytes, lent);
        if taken < bytes.len() {
            self.unread = Some(Box::new(Unread { bytes: bytes[taken..].to_vec(), taken: 0 }));
        }
        outcome
    }

    /// Takes frames, as many as a turn has time for. Returns how many bytes they had, too.
    fn hear_some(&mut self, bytes: &mut [u8], lent: &mut Lent) -> (Outcome, usize) {
        let (open, all) = (self.is_open(), bytes.len());
        if self.phase == Phase::Deaf {
            return (Outcome::Rest, all);
        }
        let Self { reader, conversation, .. } = self;
        let budget = ReadBudget::frames(FRAMES);
        // Pongs leave together, at most as many as a turn takes frames.
        let (mut pongs, mut newest) = (Vec::new(), 0);
        let mut handle = |incoming: Incoming<'_>| match incoming {
            Incoming::Close(reason) => Err(Outcome::Goodbye(reason.map(|(code, _)| code))),
            _ if !open => Ok(()),
            Incoming::Text(text) => {
                conversation.handle_text(text).map_err(Outcome::Close)?;
                if conversation.must_wait() {
                    budget.end();
                }
                Ok(())
            }
            Incoming::Binary(bytes) => conversation.handle_binary(bytes).map_err(Outcome::Close),
            Incoming::Ping(payload) => {
                newest = pongs.len();
                websocket::push_pong(&mut pongs, payload);
                Ok(())
            }
            Incoming::Pong(_) => Ok(()),
        };
        let heard = reader.feed_within(bytes, &budget, lent.max_message, &mut lent.inflater, &mut handle);
        if self.is_blocked() {
            // Of those that must wait only the newest needs an answer (RFC 6455, 5.5.3).
            pongs.drain(..newest);
        }
        if !pongs.is_empty() && self.control(Frame::of_wire(pongs), lent) == Outcome::Gone {
            return (Outcome::Gone, all);
        }
        match heard {
            Err(Outcome::Broken(_) | Outcome::Goodbye(_)) if !open => (Outcome::Gone, all),
            Err(outcome) => (outcome, all),
            Ok(_) if open && !self.controls.admit(budget.overhead(), lent.control_frames, lent.now_ms) => {
                let code = CloseCode::TooManyRequests;
                let reason = format!("more than {} pings, pongs and empty frames a second", lent.control_frames);
                self.conversation.outbox().close_because(code, &reason);
                (Outcome::Close(code), all)
            }
            Ok(taken) if !self.conversation.settle() => (Outcome::Stalled, taken),
            Ok(taken) if open && self.conversation.must_wait() => (Outcome::Paused, taken),
            Ok(taken) if taken < all => (Outcome::More, taken),
            Ok(taken) => (Outcome::Rest, taken),
        }
    }

    /// Whether a client that had to read first may be read again.
    pub(super) fn may_be_read(&self) -> bool {
        self.is_paused && self.conversation.outbox().has_emptied()
    }

    /// The part of the waiting memory that this connection stands for, in bytes.
    pub(super) fn share(&self) -> usize {
        self.conversation.outbox().share() + self.unwritten.as_ref().map_or(0, |unwritten| unwritten.share())
    }

    /// Writes the answer that opens the WebSocket, and in the same call what its client is told first.
    pub(super) fn open(&mut self, answer: Vec<u8>, lent: &mut Lent) -> Outcome {
        lent.frames.push(Frame::of_wire(answer));
        let outcome = self.pump(lent);
        if lent.frames.is_empty() {
            return outcome;
        }
        // Nothing is to be said yet, or nothing but a goodbye: the answer comes before that, too.
        match self.write_lent(Vec::new(), lent) {
            Outcome::Gone => Outcome::Gone,
            _ => outcome,
        }
    }

    /// Writes a portion of what waits in the outbox.
    pub(super) fn pump(&mut self, lent: &mut Lent) -> Outcome {
        if self.phase != Phase::Open {
            return Outcome::Rest;
        }
        if self.is_blocked() {
            let given_up = self.conversation.outbox().is_given_up();
            return if given_up { Outcome::Close(CloseCode::SlowConsumer) } else { Outcome::Rest };
        }
        match self.conversation.outbox().drain(PORTION, lent.written, &mut lent.frames) {
            Next::Rest => {
                self.is_told = false;
                Outcome::Rest
            }
            Next::Close(code) => Outcome::Close(code),
            Next::Write { waiting, more } => {
                self.is_told = more != More::Nothing;
                match self.write_lent(waiting, lent) {
                    Outcome::Rest if self.is_told => Outcome::More,
                    outcome => outcome,
                }
            }
        }
    }

    /// The socket takes something again.
    pub(super) fn unblock(&mut self, lent: &mut Lent) -> Outcome {
        let Some(mut unwritten) = self.unwritten.take() else { return Outcome::Rest };
        let Unwritten { frames, done, offset, .. } = &mut *unwritten;
        match send(&self.socket, &frames[*done..], *offset, self.deflate, &mut lent.deflater) {
            Sent::All => {
                self.stuck = 0;
                match self.phase {
                    Phase::Open => match self.give_space(std::mem::take(&mut unwritten.waiting)) {
                        Outcome::Rest => Outcome::More,
                        outcome => outcome,
                    },
                    Phase::Over => Outcome::Gone,
                    Phase::Ending | Phase::Deaf => Outcome::Rest,
                }
            }
            Sent::Part { frames: more, offset: at } => {
                if more > 0 || at != *offset {
                    self.stuck = 0;
                }
                *done += more;
                *offset = at;
                self.unwritten = Some(unwritten);
                Outcome::Rest
            }
            Sent::Broken => Outcome::Gone,
        }
    }

    /// Writes a control frame, behind what is unwritten; it may be left out when others wait already.
    pub(super) fn control(&mut self, frame: Frame, lent: &mut Lent) -> Outcome {
        match &mut self.unwritten {
            Some(unwritten) if unwritten.controls < CONTROLS => {
                unwritten.controls += 1;
                unwritten.push(frame);
                Outcome::Rest
            }
            Some(_) => Outcome::Rest,
            None => self.write(&mut vec![frame], Vec::new(), &mut lent.deflater),
        }
    }

    /// Ends the conversation and tells the client why. Returns whether the connection is over; otherwise it has time to
    /// go.
    pub(super) fn close(&mut self, outcome: Outcome, lent: &mut Lent) -> bool {
        let mut wire = Vec::new();
        self.phase = match outcome {
            Outcome::Close(code) | Outcome::Broken(code) => {
                self.conversation.handle_close(code);
                let reason = self.conversation.outbox().reason(code);
                websocket::push_close(&mut wire, Some(code.code()), &reason);
                if matches!(outcome, Outcome::Broken(_)) { Phase::Deaf } else { Phase::Ending }
            }
            Outcome::Goodbye(code) => {
                websocket::push_close(&mut wire, code, "");
                Phase::Over
            }
            Outcome::Gone => return true,
            Outcome::Rest | Outcome::Nothing | Outcome::More | Outcome::Stalled | Outcome::Paused => return false,
        };
        self.conversation.handle_end();
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.waiting = Vec::new();
            unwritten.controls = 0;
            // What is begun must be finished; a slow consumer comes back for the rest.
            unwritten.keep_begun(self.deflate, &mut lent.deflater);
        }
        match self.control(Frame::of_wire(wire), lent) {
            Outcome::Gone => true,
            _ => self.phase == Phase::Over && !self.is_blocked(),
        }
    }

    /// Writes the frames that the loop's list holds, and leaves it empty.
    fn write_lent(&mut self, waiting: Vec<RoomName>, lent: &mut Lent) -> Outcome {
        let mut frames = std::mem::take(&mut lent.frames);
        let outcome = self.write(&mut frames, waiting, &mut lent.deflater);
        frames.clear();
        lent.frames = frames;
        outcome
    }

    fn write(&mut self, frames: &mut Vec<Frame>, waiting: Vec<RoomName>, deflater: &mut Deflater) -> Outcome {
        match send(&self.socket, frames, 0, self.deflate, deflater) {
            Sent::All => self.give_space(waiting),
            Sent::Part { frames: done, offset } => {
                self.keep(Unwritten::new(frames.split_off(done), offset, waiting));
                Outcome::Rest
            }
            Sent::Broken => Outcome::Gone,
        }
    }

    /// The socket takes no more until it says so.
    fn keep(&mut self, unwritten: Unwritten) {
        self.stuck = 0;
        self.unwritten = Some(Box::new(unwritten));
    }

    fn give_space(&mut self, waiting: Vec<RoomName>) -> Outcome {
        if waiting.is_empty() {
            return Outcome::Rest;
        }
        waiting.into_iter().for_each(|room| self.conversation.handle_space(room));
        if self.conversation.settle() { Outcome::Rest } else { Outcome::Stalled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Visit;
    use crate::rooms::Session;

    /// What every idle session costs, whatever else there is: bytes, as the allocator rounds them up.
    #[test]
    fn a_connection_that_says_nothing_is_small() {
        let sizes = (size_of::<Connection<Visit>>(), size_of::<Session>(), size_of::<Reader>(), size_of::<Visit>());
        eprintln!("{sizes:?}");
        // The allocator has sizes of 256, 288 and 320 bytes: what it rounds up is what every session costs.
        assert!(sizes.0 <= 288 && sizes.1 + 16 <= 288, "{sizes:?}");
    }
}
