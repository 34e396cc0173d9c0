//! What compression saves of a recorded live chat, and what it costs: every message as its room's members get it,
//! compressed as a node does it, once for all of them; and a page of its history, for windows of several widths. The sizes
//! of the texts are recorded; the texts are made up.

use std::io::Write as _;
use std::time::{Duration, Instant};

use protocol::{Body, DisplayName, Message, MessageFrame, MessageId, RoomName, Seq, UserId};
use tests::chat_text::chat_text;
use tests::trace::{LIVE_CHAT, Line, Trace};

/// Thresholds that are tried, in bytes.
const ABOVE: [usize; 4] = [16, 200, 256, 512];
/// The best of so many runs counts: a busy machine makes them longer and never shorter.
const RUNS: usize = 3;
/// The widest window, in bytes.
const WIDEST: usize = 1 << 15;
/// Windows that a page of history is compressed for, as powers of two.
const WINDOWS: [u32; 4] = [15, 12, 9, 8];
/// Messages of such a page.
const PAGE: usize = 600;

fn wire(trace: &Trace, number: usize, line: &Line) -> Vec<u8> {
    let body = serde_json::json!({ "text": chat_text(number as u64, line.bytes) }).to_string();
    let author = format!("guest:{:032x}", u128::from(line.author) * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let id = fastrand::Rng::with_seed(number as u64).u128(..);
    let message = Message {
        id: MessageId::new(&format!("{id:032x}")).expect("an id of 32 characters"),
        from: UserId::new(&author).expect("a guest"),
        name: DisplayName::new(&format!("Guest {}", line.author)).expect("a name"),
        at: 1_700_000_000_000 + u64::try_from(line.at.as_millis()).unwrap_or_default(),
        body: Body::parse(&body).expect("JSON"),
    };
    let room = RoomName::new(&trace.rooms[line.room]).expect("a room of the trace");
    let seq = Seq::new(number as u64 + 1).expect("a number");
    let mut wire = Vec::new();
    websocket::push_text(&mut wire, MessageFrame::encode(&room, seq, &message).as_bytes());
    wire
}

/// Bytes of a page of history, and the time that it took to compress it.
fn compress_page(page: &[u8], window: usize) -> (usize, Duration) {
    let mut deflater = websocket::Deflater::new();
    let start = Instant::now();
    let shorter = deflater.deflate(page, 1, window);
    (shorter.map_or(page.len(), |shorter| shorter.len()), start.elapsed())
}

/// Bytes on the wire, how many messages were compressed, and the time that took.
fn compress(frames: &[Vec<u8>], above: usize) -> (usize, usize, Duration) {
    let mut deflater = websocket::Deflater::new();
    let (mut bytes, mut compressed) = (0, 0);
    let start = Instant::now();
    for frame in frames {
        let shorter = deflater.deflate(frame, above, WIDEST);
        compressed += usize::from(shorter.is_some());
        bytes += shorter.as_ref().map_or(frame.len(), Vec::len);
    }
    (bytes, compressed, start.elapsed())
}

fn main() {
    let trace = Trace::parse(LIVE_CHAT).expect("the trace that comes along is good");
    let frames: Vec<Vec<u8>> =
        trace.lines.iter().enumerate().map(|(number, line)| wire(&trace, number, line)).collect();
    let plain: usize = frames.iter().map(Vec::len).sum();
    let mut out = std::io::stdout().lock();
    // Who closed the output does not read it.
    let _ = writeln!(out, "{} messages, {plain} bytes, {} a message", frames.len(), plain / frames.len());
    for above in ABOVE {
        let runs = (0..RUNS).map(|_| compress(&frames, above));
        let (bytes, compressed, time) = runs.min_by_key(|(_, _, time)| *time).expect("some runs");
        let saved = 100.0 * (plain - bytes) as f64 / plain as f64;
        let each = time.as_secs_f64() * 1e6 / compressed.max(1) as f64;
        let _ = writeln!(
            out,
            "--deflate-above {above}: {saved:.1} % saved, {compressed} messages compressed, {each:.1} us for each"
        );
    }
    let messages: Vec<_> = frames.iter().take(PAGE).flat_map(|frame| websocket::frames(frame)).collect();
    let mut page = Vec::new();
    websocket::push_text(&mut page, &messages.iter().map(|frame| frame.payload).collect::<Vec<_>>().join(&b','));
    for bits in WINDOWS {
        let runs = (0..RUNS).map(|_| compress_page(&page, 1 << bits));
        let (bytes, time) = runs.min_by_key(|(_, time)| *time).expect("some runs");
        let saved = 100.0 * (page.len() - bytes) as f64 / page.len() as f64;
        let each = time.as_secs_f64() * 1e9 / page.len() as f64;
        let _ = writeln!(
            out,
            "{} bytes of history in a window of 2^{bits}: {saved:.1} % saved, {each:.1} ns for each byte",
            page.len()
        );
    }
}
