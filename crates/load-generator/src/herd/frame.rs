//! WebSocket frames as a client sees them: unmasked ones come in, masked ones go out.
//!
//! Written for this program alone. What it measures has its own, and must not be checked by itself.

/// Longest payload that is taken, in bytes: no frame of the service is longer.
const LONGEST: u64 = 256 * 1024;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One whole frame at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFrame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the frame, its head included.
    pub(crate) length: usize,
}

/// What no server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("a frame with reserved bits")]
    Reserved,
    #[error("a masked frame")]
    Masked,
    #[error("a message in several frames")]
    Fragment,
    #[error("a frame of {0} bytes")]
    TooLong(u64),
}

/// The frame at the beginning; `None`: it is not whole yet.
///
/// # Errors
/// [`BadFrame`]: nothing that follows can be read.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<ServerFrame<'_>>, BadFrame> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(BadFrame::Reserved);
    }
    if second & 0x80 != 0 {
        return Err(BadFrame::Masked);
    }
    let opcode = first & 0x0f;
    if first & 0x80 == 0 || opcode == 0 {
        return Err(BadFrame::Fragment);
    }
    let (length, head) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > LONGEST {
        return Err(BadFrame::TooLong(length));
    }
    let end = head + length as usize;
    Ok(bytes.get(head..end).map(|payload| ServerFrame { opcode, payload, length: end }))
}

/// Appends a frame under a mask.
pub(crate) fn push_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ ..126 => out.push(0x80 | short as u8),
        length @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_masked(&mut bytes, opcode, payload, [0; 4]);
        bytes[1] &= 0x7f;
        let head = bytes.len() - payload.len();
        bytes.drain(head - 4..head);
        bytes
    }

    #[test]
    fn frames_of_every_length_are_read_one_after_the_other() {
        let lengths = [0, 1, 125, 126, 300, 65_535, 65_536, 100_000];
        let bytes: Vec<u8> = lengths.iter().flat_map(|&length| unmasked(TEXT, &vec![b'x'; length])).collect();
        let mut rest = &bytes[..];
        for length in lengths {
            let frame = first(rest).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.len()), (TEXT, length));
            rest = &rest[frame.length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for_at_every_byte() {
        for length in [5, 300, 70_000] {
            let bytes = unmasked(TEXT, &vec![7; length]);
            for cut in (0..20).chain(bytes.len() - 3..bytes.len()).filter(|&cut| cut < bytes.len()) {
                assert_eq!(first(&bytes[..cut]), Ok(None), "{cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(first(&[0xc1, 0]), Err(BadFrame::Reserved));
        assert_eq!(first(&[0x81, 0x80]), Err(BadFrame::Masked));
        assert_eq!(first(&[0x01, 0]), Err(BadFrame::Fragment));
        assert_eq!(first(&[0x80, 0]), Err(BadFrame::Fragment));
        let [long, length] = [1 << 40, LONGEST + 1];
        for length in [long, length] {
            let bytes: Vec<u8> = [0x81, 127].into_iter().chain(length.to_be_bytes()).collect();
            assert_eq!(first(&bytes), Err(BadFrame::TooLong(length)));
        }
    }

    #[test]
    fn what_goes_out_is_masked_with_its_mask() {
        let mut bytes = Vec::new();
        push_masked(&mut bytes, PONG, b"abcde", [1, 2, 3, 4]);
        let masked = [b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, b'd' ^ 4, b'e' ^ 1];
        assert_eq!(bytes, [&[0x8a, 0x85, 1, 2, 3, 4][..], &masked].concat());
    }
}
