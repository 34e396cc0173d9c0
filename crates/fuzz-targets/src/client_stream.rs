use websocket::{Deflater, Inflater, Reader, Violation, frames, push_binary, push_text};

use crate::Heard;

/// Bytes of a message at most: small enough to be reached, large enough for both longer forms of a length.
const MAX_MESSAGES: [usize; 2] = [70_000, 40];

/// Bytes of messages that are compressed at most: more would take most of the time.
const ECHO: usize = 4096;

/// Two bytes of settings (whether compression was agreed on, the limit, no echo, the echo's window, whether all of it is
/// compressed; how to cut), then what a client sends.
///
/// # Panics
/// When the stream says something else in pieces than whole, when a limit is not kept, or when what was heard is not
/// read again as it is written and compressed.
pub fn client_stream(data: &[u8]) {
    let Some((&[settings, cuts], stream)) = data.split_first_chunk() else { return };
    let deflate = settings & 1 != 0;
    let max_message = MAX_MESSAGES[usize::from(settings & 2 != 0)];
    let whole = hear([stream], deflate, max_message);
    assert_eq!(whole, hear(pieces(stream, cuts), deflate, max_message), "the same in pieces");
    let mut ended = false;
    for heard in &whole.0 {
        assert!(!ended, "nothing follows a close frame");
        let (length, most) = match heard {
            Heard::Text(text) => (text.len(), max_message),
            Heard::Binary(bytes) => (bytes.len(), max_message),
            Heard::Ping(bytes) | Heard::Pong(bytes) => (bytes.len(), 125),
            Heard::Close(last) => (last.as_ref().map_or(0, |(_, reason)| reason.len()), 123),
        };
        assert!(length <= most, "{length} bytes are more than {most}");
        ended = matches!(heard, Heard::Close(_));
    }
    assert!(!ended || whole.1.is_none(), "a close frame is the last word");
    if settings & 4 == 0 {
        echo(whole.0, usize::from(settings >> 6 & 1), 1 << (8 + (settings >> 3 & 7)));
    }
}

fn hear<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    deflate: bool,
    max_message: usize,
) -> (Vec<Heard>, Option<Violation>) {
    let (mut reader, mut inflater) = (Reader::new(deflate), Inflater::new());
    let (mut heard, mut broken) = (Vec::new(), None);
    for piece in pieces {
        let fed = reader.feed(&mut piece.to_vec(), max_message, &mut inflater, &mut |incoming| {
            heard.push(incoming.into());
            Ok(())
        });
        broken = broken.or(fed.err());
    }
    (heard, broken)
}

/// Pieces of 1 to 16 bytes, or of 1 to 256; which ones, `seed` decides.
fn pieces(stream: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut dice) = (stream, u32::from(seed));
    std::iter::from_fn(move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (dice >> 24) as usize % if seed < 128 { 16 } else { 256 };
        let (piece, later) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Writes all messages as a server does, compressed where that helps (all with a threshold of 0), and reads them as a
/// client's.
fn echo(heard: Vec<Heard>, threshold: usize, window: usize) {
    let mut run = Vec::new();
    for heard in &heard {
        match heard {
            Heard::Text(text) => push_text(&mut run, text.as_bytes()),
            Heard::Binary(bytes) => push_binary(&mut run, bytes),
            _ => {}
        }
    }
    if run.is_empty() || run.len() > ECHO {
        return;
    }
    let run = match Deflater::new().deflate(&run, threshold, window) {
        Some(compressed) => {
            assert!(threshold == 0 || compressed.len() < run.len(), "compressed is shorter");
            compressed
        }
        None => run,
    };
    let masked: Vec<u8> = frames(&run).flat_map(|frame| masked(frame.whole, frame.payload)).collect();
    let messages: Vec<Heard> =
        heard.into_iter().filter(|heard| matches!(heard, Heard::Text(_) | Heard::Binary(_))).collect();
    assert_eq!(hear([&masked[..]], true, MAX_MESSAGES[0]), (messages, None), "the echo");
}

/// A server's frame as a client would send it, with a mask that changes nothing.
fn masked(whole: &[u8], payload: &[u8]) -> Vec<u8> {
    let (header, _) = whole.split_at(whole.len() - payload.len());
    let mut frame = header.to_vec();
    frame[1] |= 0x80;
    [&frame[..], &[0; 4], payload].concat()
}
