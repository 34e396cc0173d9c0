use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};

use crate::header::{FIN, Opcode, RSV1};
use crate::run::frames;
use crate::write::push_frame;

/// What ends every flush, and what RFC 7692 has a sender leave away.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Messages of a few hundred bytes become as short as at higher levels; long ones take half the time.
const LEVEL: i32 = 4;

/// Negative: without zlib's header.
const WIDEST_BITS: i32 = -15;

/// The compressor's own window, in bytes: the widest there is.
const WIDEST: usize = 1 << -WIDEST_BITS;

/// Room kept between frames, in bytes.
const KEPT_ROOM: usize = 256 * 1024;

/// Compresses the server's frames, each for itself; one serves all connections of a loop.
///
/// Its window slides over 2^15 bytes and has no narrower form. For a client whose window is narrower a message is
/// compressed in pieces of that length, and none refers to the one before it.
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
        let flags = create_comp_flags_from_zip_params(LEVEL, WIDEST_BITS, 0);
        Self { state: Box::new(CompressorOxide::new(flags)), out: Vec::new() }
    }

    /// The same run of server frames, where every text or binary frame with at least `threshold` bytes of payload is
    /// compressed, if that makes it shorter; `None`: nothing became shorter. With a threshold of 0 all of them are
    /// compressed, whether they become shorter or longer.
    ///
    /// A client whose window has `window` bytes (2^8 to 2^15) can read it, and so can one whose window holds every payload
    /// whole: no distance is longer than the message itself.
    pub fn deflate(&mut self, run: &[u8], threshold: usize, window: usize) -> Option<Vec<u8>> {
        let mut compressed = None;
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
            let Some(payload) = self.compress(frame.payload, window) else { continue };
            if threshold > 0 && payload.len() >= frame.payload.len() {
                continue;
            }
            let out = compressed.get_or_insert_with(|| Vec::with_capacity(run.len()));
            out.extend_from_slice(&run[copied..begins]);
            push_frame(out, FIN | RSV1 | frame.opcode as u8, payload);
            copied = seen;
        }
        let mut out = compressed?;
        out.extend_from_slice(&run[copied..]);
        out.shrink_to_fit();
        Some(out)
    }

    /// The compressed form of a payload.
    fn compress(&mut self, payload: &[u8], window: usize) -> Option<&[u8]> {
        if self.out.capacity() > KEPT_ROOM {
            self.out = Vec::new();
        }
        self.out.clear();
        let piece = if window < WIDEST { window } else { usize::MAX };
        // An empty payload is a piece, too.
        let (first, rest) = payload.split_at(payload.len().min(piece));
        for piece in std::iter::once(first).chain(rest.chunks(piece)) {
            let out = &mut self.out;
            // A full flush forgets what was seen, and costs less than a reset.
            let (status, _) = compress_to_output(&mut self.state, piece, TDEFLFlush::Full, |bytes| {
                out.extend_from_slice(bytes);
                true
            });
            if status != TDEFLStatus::Okay {
                self.state.reset();
                return None;
            }
        }
        self.out.strip_suffix(&TAIL)
    }
}
