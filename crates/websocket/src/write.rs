use crate::header::{CONTROL_BYTES, FIN, Opcode};

/// Bytes of the header of a payload of 126 to 65,535 bytes, as most messages are.
const USUAL_HEADER: usize = 4;
/// Bytes of the longest header that a server's frame has.
pub const LONGEST_HEADER: usize = 10;

/// A whole ping frame, without a payload.
pub const PING: &[u8] = &[0x89, 0x00];

/// Adds a text frame; `payload` is UTF-8.
pub fn push_text(out: &mut Vec<u8>, payload: &[u8]) {
    push_frame(out, FIN | Opcode::Text as u8, payload);
}

/// Adds a text frame whose payload `write` adds, in UTF-8: for texts that are made for one frame, without a copy. Returns
/// the bytes of the payload.
pub fn push_text_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    let reserved = start + USUAL_HEADER;
    out.resize(reserved, 0);
    write(out);
    let payload = out.len() - reserved;
    let (header, length) = header(FIN | Opcode::Text as u8, payload);
    if length != USUAL_HEADER {
        // Rare, or short.
        out.resize(start + LONGEST_HEADER + payload, 0);
        out.copy_within(reserved..reserved + payload, start + length);
        out.truncate(start + length + payload);
    }
    out[start..start + length].copy_from_slice(&header[..length]);
    payload
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
    let (header, length) = header(first, payload.len());
    out.reserve(length + payload.len());
    out.extend_from_slice(&header[..length]);
    out.extend_from_slice(payload);
}

/// The header of so long a payload, and how much of it counts.
fn header(first: u8, payload: usize) -> ([u8; LONGEST_HEADER], usize) {
    let mut header = [0; LONGEST_HEADER];
    header[0] = first;
    let length = match payload {
        short @ 0..126 => {
            header[1] = short as u8;
            2
        }
        middle @ 126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(middle as u16).to_be_bytes());
            USUAL_HEADER
        }
        long => {
            header[1] = 127;
            header[2..].copy_from_slice(&(long as u64).to_be_bytes());
            LONGEST_HEADER
        }
    };
    (header, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_written_in_place_is_the_same_frame() {
        for length in [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 100_000] {
            let payload: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
            let (mut copied, mut in_place) = (b"before".to_vec(), b"before".to_vec());
            push_text(&mut copied, &payload);
            assert_eq!(push_text_with(&mut in_place, |out| out.extend_from_slice(&payload)), length);
            assert_eq!(in_place, copied, "{length}");
        }
    }
}
