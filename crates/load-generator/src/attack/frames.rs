//! What a client sends, right and wrong, as bytes.

use crate::herd::frame::push_masked;

/// Opcode of the later frames of a fragmented message (RFC 6455, 5.2).
pub const CONTINUATION: u8 = 0;
/// Opcode of text.
pub const TEXT: u8 = 1;
/// Opcode of a close frame.
pub const CLOSE: u8 = 8;
/// Opcode of a ping.
pub const PING: u8 = 9;
/// Opcode of a pong.
pub const PONG: u8 = 10;

/// FIN and the masked bit of a frame's first two bytes.
const FIN: u8 = 0x80;
/// Any mask will do: no attack depends on it.
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x6e];

/// One whole frame, masked.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    push_masked(&mut bytes, opcode, payload, MASK);
    bytes
}

/// The same without FIN: more frames of the message follow.
#[must_use]
pub fn unfinished(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(opcode, payload);
    bytes[0] &= !FIN;
    bytes
}

/// A text frame.
#[must_use]
pub fn text(json: &str) -> Vec<u8> {
    frame(TEXT, json.as_bytes())
}

/// A close frame with a code and no reason.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// As many whole repetitions as fit into that many bytes, one at least.
#[must_use]
pub fn repeated(unit: &[u8], bytes: usize) -> Vec<u8> {
    unit.repeat((bytes / unit.len().max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_ping_has_six_bytes_and_a_continuation_has_no_fin() {
        assert_eq!(frame(PING, b""), [0x89, 0x80, 0x5a, 0x13, 0xc7, 0x6e]);
        assert_eq!(unfinished(CONTINUATION, b"")[..2], [0x00, 0x80]);
        assert_eq!(repeated(&frame(PING, b""), 65_536).len(), 65_532);
        assert_eq!(repeated(b"abc", 1), b"abc");
    }
}
