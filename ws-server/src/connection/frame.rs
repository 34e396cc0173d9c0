use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use websocket::{Deflater, LONGEST_HEADER};

/// Bytes that a frame takes beside its payload: its header, its own fields, and what the allocator adds to both.
pub(crate) const FRAME_BYTES: usize = 128;

/// Bytes of all frames of this process that wait for clients.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Bytes of all frames of this process that wait for clients, each counted once, however many clients wait for it.
pub(crate) fn waiting_frames() -> usize {
    WAITING.load(Relaxed)
}

/// What is sent to clients: one frame, or the frames of a whole segment, encoded once with their WebSocket headers and
/// shared by everybody who gets them. A clone is a reference.
#[derive(Debug, Clone)]
pub struct Frame(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    /// Ready for the wire.
    wire: Bytes,
    /// The run whose memory `wire` is a part of.
    run: Option<Frame>,
    /// Clients that it waits for.
    waits: AtomicU32,
    /// Bytes of all payloads.
    payload: usize,
    /// The longest of the payloads.
    longest: usize,
    /// The same compressed, once somebody has asked for it: most nodes compress nothing.
    forms: OnceLock<Box<Forms>>,
}

/// Compressed forms of a message.
#[derive(Debug, Default)]
struct Forms {
    /// For all whose window is the widest or holds the longest payload whole.
    wide: Deflated,
    /// For the others. Few clients ask for a narrow window, and few messages are longer.
    narrow: OnceLock<Box<[Deflated; NARROW.len()]>>,
}

/// Compressed frames, once they were needed; `None`: they are not shorter.
type Deflated = OnceLock<Option<Box<[u8]>>>;

/// How a connection gets its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deflate {
    /// Bytes of payload below which nothing is compressed; 0: everything is, shorter or not.
    pub(super) above: usize,
    /// Bytes of the client's window: 2^8 to 2^15.
    pub(super) window: usize,
}

/// The widest window.
const WIDEST: usize = 1 << 15;
/// Narrower ones that long messages are compressed for, in bytes. Any other takes the next that is narrower still, so that
/// a message has few forms, whatever its members ask for.
const NARROW: [usize; 3] = [1 << 12, 1 << 9, 1 << 8];

/// Bytes of a run that its parts may share: a part that is kept keeps no more than these in memory.
const KEPT_WHOLE: usize = 8 * 1024;

impl Frame {
    /// Encodes one text frame.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut wire = Vec::with_capacity(LONGEST_HEADER + text.len());
        websocket::push_text(&mut wire, text.as_bytes());
        Self::encoded(wire.into(), text.len(), text.len())
    }

    /// Encodes text frames that belong together: `write` adds the payload of each, and `usual` is how many bytes they have
    /// if they are not unusual. `part` takes each by itself, in order; returns all of them as one. The bytes of short runs
    /// are shared.
    #[must_use]
    pub(crate) fn run<T>(
        payloads: impl ExactSizeIterator<Item = T>,
        usual: usize,
        mut write: impl FnMut(&mut Vec<u8>, T),
        mut part: impl FnMut(Self),
    ) -> Self {
        let count = payloads.len();
        let mut wire = Vec::with_capacity(usual + LONGEST_HEADER * count);
        let (mut payload, mut longest) = (0, 0);
        // Where each ends, and the bytes of its payload. Most runs are one frame, and need no such list.
        let mut ends = Vec::new();
        for each in payloads {
            let bytes = websocket::push_text_with(&mut wire, |wire| write(wire, each));
            (payload, longest) = (payload + bytes, bytes.max(longest));
            if count > 1 {
                ends.push((wire.len(), bytes));
            }
        }
        // As long as the node remembers them, no memory is kept that they do not need.
        let run = Self::encoded(Bytes::from(wire.into_boxed_slice()), payload, longest);
        if count == 1 {
            part(run.clone());
        }
        let mut start = 0;
        for (end, bytes) in ends {
            let wire = &run.0.wire;
            // A part of a long run that is kept would keep all of it.
            part(match wire.len() > KEPT_WHOLE {
                true => Self::encoded(Bytes::copy_from_slice(&wire[start..end]), bytes, bytes),
                false => Self::part_of(&run, wire.slice(start..end), bytes),
            });
            start = end;
        }
        run
    }

    /// All of these as one, in one piece of memory.
    pub(super) fn join(frames: &[(u64, Self)]) -> Self {
        if let [(_, frame)] = frames {
            return frame.clone();
        }
        let mut wire = Vec::with_capacity(frames.iter().map(|(_, frame)| frame.wire().len()).sum());
        frames.iter().for_each(|(_, frame)| wire.extend_from_slice(frame.wire()));
        let payload = frames.iter().map(|(_, frame)| frame.len()).sum();
        let longest = frames.iter().map(|(_, frame)| frame.0.longest).max().unwrap_or_default();
        Self::encoded(wire.into(), payload, longest)
    }

    /// A frame that is on the wire already: a control frame.
    pub(super) fn of_wire(wire: Vec<u8>) -> Self {
        Self::encoded(wire.into(), 0, 0)
    }

    fn encoded(wire: Bytes, payload: usize, longest: usize) -> Self {
        Self::made(wire, None, payload, longest)
    }

    /// One frame of a run, in the run's memory.
    fn part_of(run: &Self, wire: Bytes, payload: usize) -> Self {
        Self::made(wire, Some(run.clone()), payload, payload)
    }

    fn made(wire: Bytes, run: Option<Self>, payload: usize, longest: usize) -> Self {
        Self(Arc::new(Encoded { wire, run, waits: AtomicU32::new(0), payload, longest, forms: OnceLock::new() }))
    }

    /// It waits for one more client.
    pub(super) fn begin_wait(&self) {
        if self.0.waits.fetch_add(1, Relaxed) == 0 {
            WAITING.fetch_add(self.0.memory(), Relaxed);
            self.0.run.iter().for_each(Self::begin_wait);
        }
    }

    /// It does not wait for one of its clients any more.
    pub(super) fn end_wait(&self) {
        if self.0.waits.fetch_sub(1, Relaxed) == 1 {
            WAITING.fetch_sub(self.0.memory(), Relaxed);
            self.0.run.iter().for_each(Self::end_wait);
        }
    }

    /// The part of its memory that one of the clients it waits for stands for.
    pub(super) fn share(&self) -> usize {
        let waits = usize::try_from(self.0.waits.load(Relaxed)).unwrap_or(usize::MAX).max(1);
        (self.0.memory() + self.0.run.as_ref().map_or(0, Self::share)) / waits
    }

    /// Bytes of text.
    pub(crate) fn len(&self) -> usize {
        self.0.payload
    }

    /// Bytes that it counts while it waits: however short it is, it takes memory.
    pub(crate) fn cost(&self) -> usize {
        self.0.payload + FRAME_BYTES
    }

    /// The bytes for a socket.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0.wire
    }

    /// The bytes for a connection that takes compressed frames. The first that asks has the work, for all.
    pub(super) fn wire_for(&self, deflate: Option<Deflate>, deflater: &mut Deflater) -> &[u8] {
        let Some(deflate) = deflate else { return self.wire() };
        if self.0.longest < deflate.above {
            return self.wire();
        }
        let (deflated, window) = self.0.form(deflate.window);
        let shorter = deflated.get_or_init(|| deflater.deflate(&self.0.wire, deflate.above, window).map(Into::into));
        shorter.as_deref().unwrap_or(&self.0.wire)
    }

    /// The text of a single frame.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.as_ref()).expect("frames are made of text")
    }

    /// Encodes one binary frame.
    #[cfg(test)]
    pub(super) fn binary(payload: &[u8]) -> Self {
        let mut wire = Vec::new();
        websocket::push_binary(&mut wire, payload);
        Self::encoded(wire.into(), payload.len(), payload.len())
    }

    /// The texts of all frames.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        websocket::frames(&self.0.wire)
            .map(|frame| std::str::from_utf8(frame.payload).expect("frames are made of text"))
    }
}

impl Encoded {
    /// Bytes that it takes, without its compressed forms. A run's memory is counted for the run.
    fn memory(&self) -> usize {
        let own = if self.run.is_some() { 0 } else { self.wire.len() };
        own + FRAME_BYTES
    }

    /// The compressed form for a client's window, and the window that it is for.
    fn form(&self, window: usize) -> (&Deflated, usize) {
        let forms = self.forms.get_or_init(Box::default);
        if window >= WIDEST || window >= self.longest {
            return (&forms.wide, WIDEST);
        }
        let class = NARROW.iter().position(|narrow| *narrow <= window).unwrap_or(NARROW.len() - 1);
        (&forms.narrow.get_or_init(Box::default)[class], NARROW[class])
    }
}

/// The payload of a single frame.
impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0.wire[self.0.wire.len() - self.0.payload..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame's forms for all windows, from the narrowest on, each where it is.
    fn forms(frame: &Frame) -> Vec<&[u8]> {
        let mut deflater = Deflater::new();
        let windows = (8..=15).map(|bits| Deflate { above: 16, window: 1 << bits });
        let mut forms: Vec<&[u8]> = windows.map(|deflate| frame.wire_for(Some(deflate), &mut deflater)).collect();
        forms.dedup_by_key(|form| form.as_ptr());
        forms
    }

    /// A run of `count` parts, and the parts.
    fn parts(count: usize, len: usize) -> (Frame, Vec<Frame>) {
        let (text, mut parts) = ("x".repeat(len), Vec::new());
        let write = |wire: &mut Vec<u8>, number: usize| {
            wire.extend_from_slice(number.to_string().as_bytes());
            wire.extend_from_slice(text.as_bytes());
        };
        let run = Frame::run(0..count, 0, write, |part| parts.push(part));
        (run, parts)
    }

    #[test]
    fn a_part_of_a_long_run_keeps_no_other_part_in_memory() {
        for (count, len) in [(256, 100), (2, 5_000), (256, 10)] {
            let (run, parts) = parts(count, len);
            assert!(parts.iter().flat_map(Frame::texts).eq(run.texts()), "they say the same");
            let whole = run.wire().as_ptr_range();
            let inside = parts.iter().filter(|part| whole.contains(&part.wire().as_ptr())).count();
            let long = run.wire().len() > KEPT_WHOLE;
            assert_eq!(inside, if long { 0 } else { count }, "{count} of {len}");
        }
    }

    #[test]
    fn the_memory_of_frames_that_wait_is_counted_once_and_comes_back() {
        let before = waiting_frames();
        let mut parts = Vec::new();
        let texts = ["a".repeat(900), "b".repeat(900)];
        let write = |out: &mut Vec<u8>, text: &String| out.extend_from_slice(text.as_bytes());
        let run = Frame::run(texts.iter(), 1_800, write, |part| parts.push(part));
        assert_eq!(waiting_frames(), before, "a frame that waits for no client counts nothing");
        (0..100).for_each(|_| run.begin_wait());
        let taken = waiting_frames() - before;
        assert!((1_800..1_800 + 2 * FRAME_BYTES).contains(&taken), "{taken}: once, for all clients");
        assert_eq!(run.share(), taken / 100);
        (0..100).for_each(|_| run.end_wait());
        assert_eq!(waiting_frames(), before);
        parts[0].begin_wait();
        assert!(waiting_frames() - before > 1_800, "one part holds the memory of the whole run");
        parts[1].begin_wait();
        assert!(parts[1].share() < 1_800, "and the parts share it");
        parts.iter().for_each(Frame::end_wait);
        assert_eq!(waiting_frames(), before);
    }

    #[test]
    fn a_message_that_every_window_holds_is_compressed_once() {
        let frame = Frame::new(&"again and ".repeat(25));
        let forms = forms(&frame);
        assert!(matches!(forms[..], [form] if form.len() < frame.len() / 2));
        assert!(frame.0.forms.get().is_some_and(|forms| forms.narrow.get().is_none()));
    }

    #[test]
    fn a_long_message_has_four_forms_at_most_all_of_them_compressed() {
        let frame = Frame::new(&"again and ".repeat(10_000));
        let lengths: Vec<usize> = forms(&frame).into_iter().map(<[u8]>::len).collect();
        assert_eq!(lengths.len(), 4);
        assert!(lengths.is_sorted_by(|narrow, wide| narrow > wide), "{lengths:?}");
        assert!(lengths[0] < frame.len() / 2);
    }

    #[test]
    fn what_does_not_become_shorter_goes_to_every_window_plain() {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let frame = Frame::binary(&std::iter::repeat_with(next).take(70_000).collect::<Vec<u8>>());
        assert_eq!(forms(&frame), [frame.wire()]);
    }
}
