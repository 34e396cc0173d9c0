use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::Violation;

/// What a sender takes from the end of a message, and then an empty last block: only data that was whole ends with it.
const TAIL: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

/// Bytes to begin with; most messages have fewer.
const FIRST_ROOM: usize = 4096;

/// Room kept between messages, in bytes.
const KEPT_ROOM: usize = 256 * 1024;

const FLAGS: u32 =
    TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;

/// Bytes of a block of one letter and of the flush behind it: no client that flushes, however often, needs fewer.
const FLUSHED: usize = 7;

/// Blocks with codes of their own that a message may have: each costs microseconds, though an empty one has only ten bits.
fn most_blocks(payload: usize) -> usize {
    32 + payload / FLUSHED
}

/// Bytes of a compressed message whose content has at most `max`: what cannot be made shorter becomes a little longer.
pub(crate) fn deflated_bound(max: usize) -> usize {
    max.saturating_add(max / 256).saturating_add(64)
}

/// Decompresses messages, each for itself; one serves all connections of a loop.
pub struct Inflater {
    state: Box<DecompressorOxide>,
    /// The message; a buffer that keeps its length, so that it is not cleared each time.
    pub(crate) out: Vec<u8>,
    /// Blocks with codes that may still come.
    blocks_left: usize,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// An inflater with buffers of some 16 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Box::default(), out: vec![0; FIRST_ROOM], blocks_left: 0 }
    }

    /// A message's content, from the payload of all its frames.
    ///
    /// # Errors
    /// `TooBig` when it has more than `max` bytes (no more than one above these is ever held), `Inflate` when it is damaged.
    pub(crate) fn inflate(&mut self, payload: &[u8], max: usize) -> Result<&[u8], Violation> {
        self.state.init();
        self.blocks_left = most_blocks(payload.len());
        let (mut rest, mut written, mut ended) = (payload, 0, false);
        while !rest.is_empty() {
            // A block that says it is the last ends only its own stream: RFC 7692, 7.2.3.4, shows one with more behind.
            ended = self.run(&mut rest, &mut written, max)?;
            if ended {
                self.state.init();
            }
        }
        if !ended {
            let (content, mut tail) = (written, &TAIL[..]);
            let whole = self.run(&mut tail, &mut written, max)? && tail.is_empty() && written == content;
            if !whole {
                return Err(Violation::Inflate);
            }
        }
        Ok(&self.out[..written])
    }

    /// Decompresses until `input` or the stream is at its end; true: the stream.
    fn run(&mut self, input: &mut &[u8], written: &mut usize, max: usize) -> Result<bool, Violation> {
        // The decompressor says that it wants more room when there is just none left, too.
        let most = max.saturating_add(1);
        loop {
            let room = self.out.len().min(most);
            let (status, taken, more) = decompress(&mut self.state, input, &mut self.out[..room], *written, FLAGS);
            *input = &input[taken..];
            *written += more;
            if *written > max {
                return Err(Violation::TooBig);
            }
            match status {
                TINFLStatus::Done => self.count_block()?,
                TINFLStatus::BlockBoundary if self.codes_follow(input) => self.count_block()?,
                TINFLStatus::BlockBoundary => {}
                TINFLStatus::NeedsMoreInput => return Ok(false),
                TINFLStatus::HasMoreOutput => {
                    let room = room.saturating_mul(2).min(most);
                    self.out.reserve_exact(room - self.out.len());
                    self.out.resize(room, 0);
                }
                _ => return Err(Violation::Inflate),
            }
            if status == TINFLStatus::Done {
                return Ok(true);
            }
        }
    }

    /// Whether the next block has codes. The empty blocks that flushes end with have none, and cost next to nothing.
    fn codes_follow(&self, rest: &[u8]) -> bool {
        // Behind the payload comes the tail, and it begins with zeros.
        let next = u16::from(rest.first().copied().unwrap_or_default());
        let known = self.state.block_boundary_state();
        // A bit that says whether it is the last, then two of its kind.
        known.is_none_or(|known| (u16::from(known.bit_buf) | next << known.num_bits) >> 1 & 0b11 != 0)
    }

    fn count_block(&mut self) -> Result<(), Violation> {
        self.blocks_left = self.blocks_left.checked_sub(1).ok_or(Violation::Inflate)?;
        Ok(())
    }

    /// A rare long message does not keep its room.
    pub(crate) fn give_back(&mut self) {
        if self.out.len() > KEPT_ROOM {
            self.out = vec![0; FIRST_ROOM];
        }
    }
}
