use crate::header::{CONTROL_BYTES, FIN, Opcode};

/// A whole ping frame, without a payload.
pub const PING: &[u8] = &[0x89, 0x00];

/// Adds a text frame; `payload` is UTF-8.
pub fn push_text(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, FIN | Opcode::Text as u8, payload);
}

/// Adds a binary frame.
pub fn push_binary(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, FIN | Opcode::Binary as u8, payload);
}

/// Adds a pong frame; of a payload longer than a ping's can be (125 bytes), only its beginning.
pub fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, FIN | Opcode::Pong as u8, &payload[..payload.len().min(CONTROL_BYTES)]);
}

/// Adds a close frame. Without a code there is no reason either; of a reason, what fits into 123 bytes is sent.
pub fn push_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let mut payload = Vec::with_capacity(CONTROL_BYTES);
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL_BYTES - 2)]);
    }
    push_frame(out, FIN | Opcode::Close as u8, &payload);
}

/// Adds a frame that begins with the byte `first`. A server's frames are never masked.
pub(crate) fn push_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.push(first);
    match payload.len() {
        short @ 0..126 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}
