use crate::Violation;
use crate::header::{HEADER_BYTES, Header};
use crate::mask::key_at;
use crate::reader::Kind;

/// What of a conversation has begun and is not done.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    header: [u8; HEADER_BYTES],
    header_known: u8,
    pub(crate) frame: Option<Frame>,
    /// What arrived of a control frame's payload.
    pub(crate) control: Vec<u8>,
    pub(crate) message: Option<Message>,
}

/// A frame whose payload is still coming.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Its key belongs to the next byte.
    pub(crate) header: Header,
    /// Bytes still to come.
    pub(crate) missing: u64,
}

/// A message whose last frame is not done.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    /// So many bytes of the payload are whole characters.
    checked: usize,
}

impl Unfinished {
    pub(crate) fn is_empty(&self) -> bool {
        self.header_known == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(crate) fn header_bytes(&self) -> &[u8] {
        &self.header[..usize::from(self.header_known)]
    }

    pub(crate) fn keep_header(&mut self, bytes: &[u8]) {
        self.header[..bytes.len()].copy_from_slice(bytes);
        self.header_known = bytes.len() as u8;
    }

    /// A frame's payload is awaited; it has at least one byte.
    pub(crate) fn begin(&mut self, header: &Header) {
        self.frame = Some(Frame { header: *header, missing: header.payload });
    }

    /// Takes a piece of the awaited payload, unmasked; says how many bytes are still to come.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<u64, Violation> {
        let Some(Frame { mut header, missing }) = self.frame.take() else { return Ok(0) };
        let missing = missing - piece.len() as u64;
        if header.opcode.is_control() {
            self.control.extend_from_slice(piece);
        } else {
            self.add(&header, piece, missing)?;
        }
        header.key = key_at(header.key, piece.len());
        self.frame = (missing > 0).then_some(Frame { header, missing });
        Ok(missing)
    }

    /// Adds a piece of a data frame's payload to the message.
    pub(crate) fn add(&mut self, header: &Header, piece: &[u8], missing: u64) -> Result<(), Violation> {
        let new = || Message { kind: Kind::of(header), payload: Vec::new(), checked: 0 };
        let message = self.message.get_or_insert_with(new);
        let last = header.fin.then_some(missing);
        message.reserve(piece.len(), last);
        message.payload.extend_from_slice(piece);
        let done = last == Some(0);
        if message.kind.text && !message.kind.compressed { message.check(done) } else { Ok(()) }
    }
}

impl Message {
    /// Makes room for `more` bytes: twice what is there, so that few pieces move what came before them, but not more than
    /// the message will have when that is known (`last`: bytes that come after these).
    fn reserve(&mut self, more: usize, last: Option<u64>) {
        let needed = self.payload.len() + more;
        if needed > self.payload.capacity() {
            let whole = last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
            let room = needed.saturating_mul(2).min(needed.saturating_add(whole));
            self.payload.reserve_exact(room - self.payload.len());
        }
    }

    /// Finds the first byte that cannot be UTF-8 when it comes. Each byte is looked at once, but for those of a character
    /// that is not whole yet.
    fn check(&mut self, done: bool) -> Result<(), Violation> {
        match str::from_utf8(&self.payload[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_some() || done => return Err(Violation::Utf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}
