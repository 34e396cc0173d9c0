use std::io::{ErrorKind, IoSlice, Read, Write};

use mio::Token;
use mio::net::TcpStream;
use protocol::{CloseCode, RoomName};
use websocket::{Deflater, Incoming, Inflater, Reader, Violation};

use super::Conversation;
use crate::connection::frame::{Deflate, Frame};
use crate::connection::outbox::Next;

/// Bytes that are read at a time.
const READ: usize = 64 * 1024;
/// Bytes that are taken from an outbox at a time.
const PORTION: usize = 64 * 1024;
/// Pieces that are written at a time.
const PIECES: usize = 64;
/// Bytes that are read, and not looked at, of a connection that is to go.
const UNHEARD: usize = 4 * 1024 * 1024;
/// Control frames that wait behind what is unwritten: pings need not all be answered (RFC 6455, 5.5.3).
const CONTROLS: u8 = 8;

/// What a loop lends to the connection whose turn it is.
pub(super) struct Lent {
    pub(super) max_message: usize,
    buffer: Box<[u8]>,
    inflater: Inflater,
    deflater: Deflater,
    frames: Vec<Frame>,
    pongs: Vec<Frame>,
}

/// One connection, as its loop has it.
pub(super) struct Connection<C> {
    pub(super) token: Token,
    socket: TcpStream,
    reader: Reader,
    deflate: Option<Deflate>,
    pub(super) conversation: C,
    /// Frames that the socket did not take yet.
    unwritten: Option<Box<Unwritten>>,
    phase: Phase,
    /// Bytes that came when it was to go.
    unheard: usize,
    /// Heartbeats since it was last heard of.
    pub(super) silent: u8,
    /// Heartbeats since the socket last took something, while it should.
    pub(super) stuck: u8,
    /// The loop knows that there may be something to read.
    pub(super) is_hungry: bool,
    /// The loop knows that the other side is gone.
    pub(super) is_leaving: bool,
    /// What it said could not all be passed on: until it is, nothing more is read.
    pub(super) is_stalled: bool,
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

#[derive(Default)]
struct Unwritten {
    frames: Vec<Frame>,
    /// Frames at the front that are written.
    done: usize,
    /// Bytes of the next one that are written.
    offset: usize,
    /// Control frames among them.
    controls: u8,
    /// Rooms that may go on when all this is written.
    waiting: Vec<RoomName>,
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
    pub(super) fn new(max_message: usize) -> Self {
        Self {
            max_message,
            buffer: vec![0; READ].into(),
            inflater: Inflater::new(),
            deflater: Deflater::new(),
            frames: Vec::new(),
            pongs: Vec::new(),
        }
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
            unheard: 0,
            silent: 0,
            stuck: 0,
            is_hungry: false,
            is_leaving: false,
            is_stalled: false,
        }
    }

    /// Whether the conversation goes on.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether something waits that the socket did not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Reads once.
    pub(super) fn read(&mut self, lent: &mut Lent) -> Outcome {
        let count = loop {
            match self.socket.read(&mut lent.buffer) {
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

    /// Takes what has been read.
    pub(super) fn hear(&mut self, bytes: &mut [u8], lent: &mut Lent) -> Outcome {
        self.silent = 0;
        let open = self.phase == Phase::Open;
        self.unheard += if open { 0 } else { bytes.len() };
        if self.unheard > UNHEARD {
            return Outcome::Gone;
        }
        if self.phase == Phase::Deaf {
            return Outcome::Rest;
        }
        let Self { reader, conversation, .. } = self;
        let Lent { max_message, inflater, pongs, .. } = lent;
        let mut handle = |incoming: Incoming<'_>| match incoming {
            Incoming::Close(reason) => Err(Outcome::Goodbye(reason.map(|(code, _)| code))),
            _ if !open => Ok(()),
            Incoming::Text(text) => conversation.handle_text(text).map_err(Outcome::Close),
            Incoming::Binary(bytes) => conversation.handle_binary(bytes).map_err(Outcome::Close),
            Incoming::Ping(payload) => {
                let mut wire = Vec::new();
                websocket::push_pong(&mut wire, payload);
                pongs.push(Frame::of_wire(wire));
                Ok(())
            }
            Incoming::Pong(_) => Ok(()),
        };
        let heard = reader.feed(bytes, *max_message, inflater, &mut handle);
        let mut pongs = std::mem::take(&mut lent.pongs);
        for pong in pongs.drain(..) {
            if self.control(pong, lent) == Outcome::Gone {
                return Outcome::Gone;
            }
        }
        lent.pongs = pongs;
        match heard {
            Err(Outcome::Broken(_) | Outcome::Goodbye(_)) if !open => Outcome::Gone,
            Err(outcome) => outcome,
            Ok(()) if self.conversation.settle() => Outcome::Rest,
            Ok(()) => Outcome::Stalled,
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
        let mut frames = std::mem::take(&mut lent.frames);
        let next = self.conversation.outbox().drain(PORTION, &mut frames);
        let outcome = match next {
            Next::Rest => Outcome::Rest,
            Next::Close(code) => Outcome::Close(code),
            Next::Write { waiting, more } => match self.write(&mut frames, waiting, &mut lent.deflater) {
                Outcome::Rest if more => Outcome::More,
                outcome => outcome,
            },
        };
        frames.clear();
        lent.frames = frames;
        outcome
    }

    /// The socket takes something again.
    pub(super) fn unblock(&mut self, lent: &mut Lent) -> Outcome {
        let Some(mut unwritten) = self.unwritten.take() else { return Outcome::Rest };
        let Unwritten { frames, done, offset, .. } = &mut *unwritten;
        match send(&mut self.socket, &frames[*done..], *offset, self.deflate, &mut lent.deflater) {
            Sent::All => {
                self.stuck = 0;
                match self.phase {
                    Phase::Open => match self.give_space(unwritten.waiting) {
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
                unwritten.frames.push(frame);
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
                websocket::push_close(&mut wire, Some(code.code()), code.reason());
                if matches!(outcome, Outcome::Broken(_)) { Phase::Deaf } else { Phase::Ending }
            }
            Outcome::Goodbye(code) => {
                websocket::push_close(&mut wire, code, "");
                Phase::Over
            }
            Outcome::Gone => return true,
            Outcome::Rest | Outcome::Nothing | Outcome::More | Outcome::Stalled => return false,
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

    fn write(&mut self, frames: &mut Vec<Frame>, waiting: Vec<RoomName>, deflater: &mut Deflater) -> Outcome {
        match send(&mut self.socket, frames, 0, self.deflate, deflater) {
            Sent::All => self.give_space(waiting),
            Sent::Part { frames: done, offset } => {
                self.stuck = 0;
                let frames = frames.split_off(done);
                self.unwritten = Some(Box::new(Unwritten { frames, done: 0, offset, controls: 0, waiting }));
                Outcome::Rest
            }
            Sent::Broken => Outcome::Gone,
        }
    }

    fn give_space(&mut self, waiting: Vec<RoomName>) -> Outcome {
        if waiting.is_empty() {
            return Outcome::Rest;
        }
        waiting.into_iter().for_each(|room| self.conversation.handle_space(room));
        if self.conversation.settle() { Outcome::Rest } else { Outcome::Stalled }
    }
}

impl Unwritten {
    /// Leaves nothing but the rest of the WebSocket frame that has been begun.
    fn keep_begun(&mut self, deflate: Option<Deflate>, deflater: &mut Deflater) {
        let Some(frame) = self.frames.get(self.done).filter(|_| self.offset > 0) else {
            (self.frames, self.done) = (Vec::new(), 0);
            return;
        };
        let run = frame.wire_for(deflate, deflater);
        let mut end = 0;
        for frame in websocket::frames(run) {
            end += frame.whole.len();
            if end >= self.offset {
                break;
            }
        }
        self.frames = vec![Frame::of_wire(run[self.offset..end].to_vec())];
        (self.done, self.offset) = (0, 0);
    }
}

enum Sent {
    All,
    /// So many frames, and so many bytes of the next.
    Part {
        frames: usize,
        offset: usize,
    },
    Broken,
}

/// Writes frames, the first from an offset on, in as few calls as it takes.
fn send(
    socket: &mut TcpStream,
    frames: &[Frame],
    mut offset: usize,
    deflate: Option<Deflate>,
    deflater: &mut Deflater,
) -> Sent {
    let mut done = 0;
    while let Some(first) = frames.get(done) {
        let written = if done + 1 == frames.len() {
            socket.write(&first.wire_for(deflate, deflater)[offset..])
        } else {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = pieces.len().min(frames.len() - done);
            for (piece, frame) in pieces.iter_mut().zip(&frames[done..]) {
                *piece = IoSlice::new(frame.wire_for(deflate, deflater));
            }
            pieces[0] = IoSlice::new(&first.wire_for(deflate, deflater)[offset..]);
            socket.write_vectored(&pieces[..count])
        };
        match written {
            Ok(bytes) => offset += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Sent::Part { frames: done, offset },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Sent::Broken,
        }
        while let Some(frame) = frames.get(done) {
            let whole = frame.wire_for(deflate, deflater).len();
            if offset < whole {
                break;
            }
            offset -= whole;
            done += 1;
        }
    }
    Sent::All
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
        assert!(sizes.0 <= 448 && sizes.1 <= 304, "{sizes:?}");
    }
}
