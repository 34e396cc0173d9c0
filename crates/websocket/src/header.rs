use crate::Violation;

/// Bytes of a client's header at most: two, eight of length, four of the mask's key.
pub(crate) const HEADER_BYTES: usize = 14;

/// Bytes of a control frame's payload at most.
pub(crate) const CONTROL_BYTES: usize = 125;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
const OTHER_RSV: u8 = 0x30;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further part of a message.
    Continuation = 0,
    /// A text, or the first part of one.
    Text = 1,
    /// Bytes, or the first part of them.
    Binary = 2,
    /// The end of the conversation.
    Close = 8,
    /// To be answered with a pong of the same payload.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode in a frame's first byte; `None` for reserved ones.
    pub(crate) fn of(first: u8) -> Option<Self> {
        Some(match first & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping or pong.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What decides whether a frame may come now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// permessage-deflate was agreed on.
    pub(crate) deflate: bool,
    /// A message has begun and goes on.
    pub(crate) in_message: bool,
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) key: [u8; 4],
    /// Bytes of the payload.
    pub(crate) payload: u64,
    /// Bytes of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// Reads what is there of a header; `Ok(None)`: good so far, more is needed. What is wrong is found in the order of
    /// the bytes, however they come.
    pub(crate) fn read(bytes: &[u8], context: Context) -> Result<Option<Self>, Violation> {
        let Some((&first, bytes)) = bytes.split_first() else { return Ok(None) };
        let opcode = check_first(first, context)?;
        let Some((&second, bytes)) = bytes.split_first() else { return Ok(None) };
        let Some((payload, extended)) = read_length(second, opcode, bytes)? else { return Ok(None) };
        let Some(key) = bytes.get(extended..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
        let (fin, compressed) = (first & FIN != 0, first & RSV1 != 0);
        Ok(Some(Self { fin, compressed, opcode, key: *key, payload, size: 2 + extended + 4 }))
    }
}

fn check_first(first: u8, context: Context) -> Result<Opcode, Violation> {
    if first & OTHER_RSV != 0 {
        return Err(Violation::Protocol("a reserved bit is set"));
    }
    let opcode = Opcode::of(first).ok_or(Violation::Protocol("a reserved opcode"))?;
    let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & RSV1 != 0 && !(context.deflate && begins) {
        return Err(Violation::Protocol("compressed, which was not agreed on or is not allowed here"));
    }
    if opcode.is_control() && first & FIN == 0 {
        return Err(Violation::Protocol("a control frame in parts"));
    }
    if begins && context.in_message {
        return Err(Violation::Protocol("a message begins inside another"));
    }
    if opcode == Opcode::Continuation && !context.in_message {
        return Err(Violation::Protocol("a message goes on that has not begun"));
    }
    Ok(opcode)
}

/// The payload's length, and how many of `bytes` (those after the second) say it.
fn read_length(second: u8, opcode: Opcode, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    if second & MASKED == 0 {
        return Err(Violation::Protocol("a client's frame without a mask"));
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES {
        return Err(Violation::Protocol("a control frame is too long"));
    }
    let (length, extended, least) = match short {
        126 => (bytes.first_chunk().map(|b| u64::from(u16::from_be_bytes(*b))), 2, 126),
        127 => (bytes.first_chunk().map(|b| u64::from_be_bytes(*b)), 8, 1 << 16),
        short => (Some(u64::from(short)), 0, 0),
    };
    let Some(length) = length else { return Ok(None) };
    if length < least {
        return Err(Violation::Protocol("a length takes more bytes than it needs"));
    }
    if length >> 63 != 0 {
        return Err(Violation::Protocol("a length's first bit is set"));
    }
    Ok(Some((length, extended)))
}
