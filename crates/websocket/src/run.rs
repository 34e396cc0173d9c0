use crate::header::{Opcode, RSV1};

/// One frame of a run of server frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFrame<'a> {
    /// Its bytes, with the header.
    pub whole: &'a [u8],
    /// What it is.
    pub opcode: Opcode,
    /// Its payload, as it travels.
    pub payload: &'a [u8],
    /// Whether the payload is compressed.
    pub compressed: bool,
}

/// Walks a run of server frames, as the `push_` functions wrote them. It ends before what is no whole server frame.
pub fn frames(run: &[u8]) -> impl Iterator<Item = ServerFrame<'_>> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let frame = first_frame(rest)?;
        rest = &rest[frame.whole.len()..];
        Some(frame)
    })
}

fn first_frame(run: &[u8]) -> Option<ServerFrame<'_>> {
    let (&[first, second], rest) = run.split_first_chunk()?;
    let (length, header) = match second {
        // A mask's bit is among these.
        128.. => return None,
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        short => (usize::from(short), 2),
    };
    let whole = run.get(..length.checked_add(header)?)?;
    Some(ServerFrame { whole, opcode: Opcode::of(first)?, payload: &whole[header..], compressed: first & RSV1 != 0 })
}
