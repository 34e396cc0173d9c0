use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};

use crate::header::{FIN, Opcode, RSV1};
use crate::run::frames;
use crate::write::push_frame;

/// What ends every flush, and what RFC 7692 has a sender leave away.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Messages of a few hundred bytes become as short as at higher levels; long ones take half the time.
const LEVEL: i32 = 4;

/// Of 2^15 bytes, the largest there is; negative: without zlib's header.
const WINDOW: i32 = -15;

/// Room kept between frames, in bytes.
const KEPT_ROOM: usize = 256 * 1024;

/// Compresses the server's frames, each for itself; one serves all connections of a loop.
///
/// Its window has 2^15 bytes. No distance is longer than the message itself, so a message of at most 2^N bytes can be read
/// with a window of 2^N bytes too.
pub struct Deflater {
    state: Box<CompressorOxide>,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflater {
    /// A deflater; its tables take some 300 KiB.
    #[must_use]
    pub fn new() -> Self {
        let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW, 0);
        Self { state: Box::new(CompressorOxide::new(flags)), out: Vec::new() }
    }

    /// The same run of server frames, where every text or binary frame with at least `threshold` bytes of payload is
    /// compressed, if that makes it shorter; `None`: nothing became shorter.
    pub fn deflate(&mut self, run: &[u8], threshold: usize) -> Option<Vec<u8>> {
        let mut shorter = None;
        let (mut seen, mut copied) = (0, 0);
        for frame in frames(run) {
            let begins = seen;
            seen += frame.whole.len();
            let whole_message = frame.whole[0] & (FIN | RSV1) == FIN;
            if !whole_message || !matches!(frame.opcode, Opcode::Text | Opcode::Binary) {
                continue;
            }
            if frame.payload.len() < threshold {
                continue;
            }
            let Some(payload) = self.compress(frame.payload) else { continue };
            let out = shorter.get_or_insert_with(|| Vec::with_capacity(run.len()));
            out.extend_from_slice(&run[copied..begins]);
            push_frame(out, FIN | RSV1 | frame.opcode as u8, payload);
            copied = seen;
        }
        let mut out = shorter?;
        out.extend_from_slice(&run[copied..]);
        out.shrink_to_fit();
        Some(out)
    }

    /// The compressed form of a payload, if it is shorter.
    fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if self.out.len() > KEPT_ROOM {
            self.out = Vec::new();
        }
        let room = payload.len() + TAIL.len();
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        // A full flush forgets what was seen, and costs less than a reset.
        let (status, taken, written) = compress(&mut self.state, payload, &mut self.out[..room], TDEFLFlush::Full);
        // Where all the room is taken, more may wait to be written.
        if status != TDEFLStatus::Okay || taken < payload.len() || written == room {
            self.state.reset();
            return None;
        }
        self.out[..written].strip_suffix(&TAIL)
    }
}
