use std::cell::Cell;

use crate::header::{Context, HEADER_BYTES, Header, Opcode};
use crate::inflate::deflated_bound;
use crate::mask::unmask;
use crate::unfinished::{Frame, Unfinished};
use crate::{Inflater, Violation};

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping; a pong with the same payload (at most 125 bytes) answers it.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The client's last word: the code, if it gave one, and its reason.
    Close(Option<(u16, &'a str)>),
}

/// Reads one client's frames. Small, and without heap while nothing is unfinished.
///
/// After a close frame or an error it has ended: whatever comes then is ignored.
#[derive(Debug)]
pub struct Reader {
    deflate: bool,
    ended: bool,
    pub(crate) unfinished: Option<Box<Unfinished>>,
}

const _: () = assert!(size_of::<Reader>() <= 48);

/// How many frames a [`Reader`] may take at a time, and how many of them carried no text. A frame costs its reader time,
/// however short it is.
#[derive(Debug)]
pub struct ReadBudget {
    left: Cell<u32>,
    overhead: Cell<u32>,
}

impl ReadBudget {
    /// Allows this many frames.
    #[must_use]
    pub fn frames(frames: u32) -> Self {
        Self { left: Cell::new(frames), overhead: Cell::new(0) }
    }

    /// Allows no frame after the one that is being handled.
    pub fn end(&self) {
        self.left.set(0);
    }

    /// Frames that carried nothing: pings, pongs, and empty parts of messages that go on.
    #[must_use]
    pub fn overhead(&self) -> u32 {
        self.overhead.get()
    }

    fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    fn take(&self, header: &Header) {
        self.left.set(self.left.get().saturating_sub(1));
        let is_empty_part = !header.fin && header.payload == 0;
        if header.opcode.is_control() || is_empty_part {
            self.overhead.set(self.overhead.get().saturating_add(1));
        }
    }
}

/// What a [`Reader`] works with while it is fed.
struct Feed<'a, E> {
    max_message: usize,
    budget: &'a ReadBudget,
    inflater: &'a mut Inflater,
    handle: &'a mut dyn FnMut(Incoming<'_>) -> Result<(), E>,
}

/// A data message's kind; it is the first frame that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) text: bool,
    pub(crate) compressed: bool,
}

impl Reader {
    /// A reader of a conversation that begins. `deflate`: permessage-deflate was agreed on.
    #[must_use]
    pub fn new(deflate: bool) -> Self {
        Self { deflate, ended: false, unfinished: None }
    }

    /// Whether a close frame or an error has ended the conversation, so that nothing is read any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes all of `input` (the masks are taken off in place) and calls `handle` for each whole message and control
    /// frame, in order. What is unfinished is kept, on the heap, until it is done; it takes at most twice what arrived.
    /// A message that is one frame and whole in `input` is not copied.
    ///
    /// `max_message` is how many bytes a message may have, all its parts together, compressed or not; a longer one is
    /// refused by its header.
    ///
    /// # Errors
    /// What `handle` says, or how the client broke the rules; the rest of `input` is dropped then.
    pub fn feed<E: From<Violation>>(
        &mut self,
        input: &mut [u8],
        max_message: usize,
        inflater: &mut Inflater,
        handle: &mut dyn FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.feed_within(input, &ReadBudget::frames(u32::MAX), max_message, inflater, handle).map(|_| ())
    }

    /// The same, but takes no more frames than a budget allows. Returns how many bytes of `input` were taken; the others
    /// are as they were, and must come first the next time.
    ///
    /// # Errors
    /// As [`Reader::feed`].
    pub fn feed_within<E: From<Violation>>(
        &mut self,
        input: &mut [u8],
        budget: &ReadBudget,
        max_message: usize,
        inflater: &mut Inflater,
        handle: &mut dyn FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut feed = Feed { max_message, budget, inflater, handle };
        let mut done = 0;
        while done < input.len() && !self.ended && !budget.is_spent() {
            match self.step(&mut input[done..], &mut feed) {
                Ok(taken) => done += taken,
                Err(error) => {
                    self.end();
                    return Err(error);
                }
            }
        }
        // What follows the end of a conversation is ignored.
        Ok(if self.ended { input.len() } else { done })
    }

    fn end(&mut self) {
        self.ended = true;
        self.unfinished = None;
    }

    /// Takes a header, a whole frame, or what there is of a payload; says how many bytes that was, at least one.
    fn step<E: From<Violation>>(&mut self, input: &mut [u8], feed: &mut Feed<'_, E>) -> Result<usize, E> {
        if let Some(taken) = self.go_on(input, feed)? {
            return Ok(taken);
        }
        let Some((header, taken)) = self.header(input, feed.max_message)? else { return Ok(input.len()) };
        feed.budget.take(&header);
        let rest = &mut input[taken..];
        match usize::try_from(header.payload).ok().and_then(|length| rest.get_mut(..length)) {
            Some(payload) => {
                unmask(payload, header.key);
                let end = taken + payload.len();
                self.whole(&header, payload, feed)?;
                Ok(end)
            }
            None => {
                self.unfinished.get_or_insert_default().begin(&header);
                Ok(taken)
            }
        }
    }

    /// Reads a header, of which an earlier input may have had the first bytes. Says how many of `input` are its own.
    fn header(&mut self, input: &[u8], max_message: usize) -> Result<Option<(Header, usize)>, Violation> {
        let message = self.unfinished.as_ref().and_then(|unfinished| unfinished.message.as_ref());
        let context = Context { deflate: self.deflate, in_message: message.is_some() };
        let earlier = self.unfinished.as_ref().map_or(&[][..], |unfinished| unfinished.header_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes[..earlier.len()].copy_from_slice(earlier);
        let more = input.len().min(HEADER_BYTES - earlier.len());
        let known = earlier.len() + more;
        bytes[earlier.len()..known].copy_from_slice(&input[..more]);
        let Some(header) = Header::read(&bytes[..known], context)? else {
            self.unfinished.get_or_insert_default().keep_header(&bytes[..known]);
            return Ok(None);
        };
        if !header.opcode.is_control() {
            let (before, compressed) = message.map_or((0, header.compressed), |m| (m.payload.len(), m.kind.compressed));
            let most = if compressed { deflated_bound(max_message) } else { max_message };
            if header.payload > most.saturating_sub(before) as u64 {
                return Err(Violation::TooBig);
            }
        }
        let taken = header.size - earlier.len();
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.keep_header(&[]);
        }
        self.give_back();
        Ok(Some((header, taken)))
    }

    /// A frame whose payload is all there, and unmasked.
    fn whole<E: From<Violation>>(&mut self, header: &Header, payload: &[u8], feed: &mut Feed<'_, E>) -> Result<(), E> {
        if header.opcode.is_control() {
            return self.control(header.opcode, payload, feed);
        }
        if header.fin && header.opcode != Opcode::Continuation {
            return feed.message(Kind::of(header), payload);
        }
        let unfinished = self.unfinished.get_or_insert_default();
        unfinished.add(header, payload, 0)?;
        if header.fin { self.finish_message(feed) } else { Ok(()) }
    }

    /// Takes more of the payload of a frame whose header came before; `None` when no such frame is under way.
    fn go_on<E: From<Violation>>(&mut self, input: &mut [u8], feed: &mut Feed<'_, E>) -> Result<Option<usize>, E> {
        let Some(unfinished) = &mut self.unfinished else { return Ok(None) };
        let Some(Frame { header, missing }) = unfinished.frame else { return Ok(None) };
        let taken = usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()));
        let payload = &mut input[..taken];
        unmask(payload, header.key);
        let missing = unfinished.take(payload)?;
        if missing > 0 {
            return Ok(Some(taken));
        }
        if header.opcode.is_control() {
            let payload = std::mem::take(&mut unfinished.control);
            self.give_back();
            self.control(header.opcode, &payload, feed)?;
        } else if header.fin {
            self.finish_message(feed)?;
        }
        Ok(Some(taken))
    }

    fn finish_message<E: From<Violation>>(&mut self, feed: &mut Feed<'_, E>) -> Result<(), E> {
        let message = self.unfinished.as_mut().and_then(|unfinished| unfinished.message.take());
        self.give_back();
        message.map_or(Ok(()), |message| feed.message(message.kind, &message.payload))
    }

    fn control<E: From<Violation>>(&mut self, opcode: Opcode, payload: &[u8], feed: &mut Feed<'_, E>) -> Result<(), E> {
        match opcode {
            Opcode::Ping => (feed.handle)(Incoming::Ping(payload)),
            Opcode::Pong => (feed.handle)(Incoming::Pong(payload)),
            _ => {
                let last = read_close(payload)?;
                self.end();
                (feed.handle)(Incoming::Close(last))
            }
        }
    }

    /// The heap is only for what is unfinished.
    fn give_back(&mut self) {
        self.unfinished.take_if(|unfinished| unfinished.is_empty());
    }
}

impl<E: From<Violation>> Feed<'_, E> {
    fn message(&mut self, kind: Kind, payload: &[u8]) -> Result<(), E> {
        if !kind.compressed {
            return hand_on(kind, payload, self.handle);
        }
        let handled = hand_on(kind, self.inflater.inflate(payload, self.max_message)?, self.handle);
        self.inflater.give_back();
        handled
    }
}

fn hand_on<E: From<Violation>>(
    kind: Kind,
    payload: &[u8],
    handle: &mut dyn FnMut(Incoming<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if !kind.text {
        return handle(Incoming::Binary(payload));
    }
    handle(Incoming::Text(str::from_utf8(payload).map_err(|_| Violation::Utf8)?))
}

impl Kind {
    pub(crate) fn of(header: &Header) -> Self {
        Self { text: header.opcode == Opcode::Text, compressed: header.compressed }
    }
}

fn read_close(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let empty = payload.is_empty();
        return if empty { Ok(None) } else { Err(Violation::Protocol("half a close code")) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("a close code that nobody may send"));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some((code, reason)))
}
