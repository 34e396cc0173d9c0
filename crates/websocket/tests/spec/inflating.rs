//! Compressed messages from clients (RFC 7692).

use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params};
use websocket::Violation;

use crate::client::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn deflated(payload: &[u8]) -> (Vec<Heard>, Option<Violation>) {
    hear_deflated(&frame(FIN | RSV1 | TEXT, payload))
}

fn hello() -> (Vec<Heard>, Option<Violation>) {
    (vec![heard_text("Hello")], None)
}

#[test]
fn the_compressed_hellos_of_the_rfc_are_read() {
    // RFC 7692, 7.2.3.1: in one frame, and in two.
    assert_eq!(deflated(&HELLO), hello());
    let parts = [frame(RSV1 | TEXT, &HELLO[..3]), frame(FIN | CONTINUATION, &HELLO[3..])].concat();
    assert_eq!(hear_deflated(&parts), hello());
    // 7.2.3.3: a block without compression.
    assert_eq!(deflated(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]), hello());
    // 7.2.3.4: a block that says it is the last.
    assert_eq!(deflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), hello());
    // 7.2.3.5: two blocks.
    assert_eq!(deflated(&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]), hello());
    // 7.2.3.6: the empty message.
    assert_eq!(deflated(&[0x00]), (vec![heard_text("")], None));
}

#[test]
fn nothing_is_carried_from_one_message_to_the_next() {
    let stream = [frame(FIN | RSV1 | TEXT, &HELLO), frame(FIN | RSV1 | TEXT, &HELLO)].concat();
    assert_eq!(hear_deflated(&stream).0, [heard_text("Hello"), heard_text("Hello")]);
    // 7.2.3.2: the second Hello of a client that would carry its window on points to before this message.
    let (heard, broken) = hear_deflated(&[stream, frame(FIN | RSV1 | TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00])].concat());
    assert_eq!((heard.len(), broken), (2, Some(Violation::Inflate)));
}

#[test]
fn plain_messages_may_stand_among_compressed_ones() {
    let stream = [text("a"), frame(FIN | RSV1 | TEXT, &HELLO), text("b")].concat();
    assert_eq!(hear_deflated(&stream).0, [heard_text("a"), heard_text("Hello"), heard_text("b")]);
}

#[test]
fn a_last_block_may_end_the_payload_or_have_more_blocks_behind_it() {
    let last = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..];
    assert_eq!(deflated(last), hello());
    assert_eq!(deflated(&[last, &HELLO].concat()).0, [heard_text("HelloHello")]);
    assert_eq!(deflated(&[last, last, &[0x00]].concat()).0, [heard_text("HelloHello")]);
}

#[test]
fn a_damaged_message_is_refused() {
    let cut = &HELLO[..4];
    let reserved_block = &[0x06, 0x00][..];
    let wrong_length = &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00][..];
    let more_behind = &[&HELLO[..], &[0xff]].concat()[..];
    for payload in [cut, reserved_block, wrong_length, more_behind, b""] {
        assert_eq!(deflated(payload), (Vec::new(), Some(Violation::Inflate)), "{payload:02x?}");
    }
    assert_eq!(Violation::Inflate.close_code(), 1007);
}

#[test]
fn a_compressed_text_is_utf_8() {
    let payload = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00];
    assert_eq!(deflated(&payload), (Vec::new(), Some(Violation::Utf8)));
    assert_eq!(hear_deflated(&frame(FIN | RSV1 | BINARY, &payload)).0, [Heard::Binary(vec![0xff])]);
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    let parts = [frame(RSV1 | TEXT, &HELLO[..3]), frame(FIN | RSV1 | CONTINUATION, &HELLO[3..])].concat();
    assert_eq!(hear_deflated(&parts).1.map(Violation::close_code), Some(1002));
    for opcode in [PING, PONG, CLOSE] {
        assert_eq!(hear_deflated(&[FIN | RSV1 | opcode]).1.map(Violation::close_code), Some(1002));
    }
}

#[test]
fn a_message_of_almost_nothing_but_empty_blocks_is_refused() {
    // Four empty blocks of ten bits in five bytes: each would cost as much time as a page of text.
    let blocks = [0x02, 0x08, 0x20, 0x80, 0x00];
    assert_eq!(deflated(&[&blocks.repeat(3)[..], &[0x00]].concat()).0, [heard_text("")]);
    assert_eq!(deflated(&[&blocks.repeat(1000)[..], &[0x00]].concat()).1, Some(Violation::Inflate));
    assert_eq!(deflated(&[0x03, 0x00].repeat(1000)).1, Some(Violation::Inflate));
}

/// A text's payload, of a client that flushes every few bytes.
fn flushed(text: &str, every: usize, flush: TDEFLFlush) -> Vec<u8> {
    let mut state = CompressorOxide::new(create_comp_flags_from_zip_params(6, -15, 0));
    let mut out = Vec::new();
    let mut compress = |piece: &[u8], flush| {
        compress_to_output(&mut state, piece, flush, |bytes| {
            out.extend_from_slice(bytes);
            true
        })
    };
    for piece in text.as_bytes().chunks(every) {
        compress(piece, flush);
    }
    compress(b"", TDEFLFlush::Sync);
    out.truncate(out.len() - 4);
    out
}

#[test]
fn a_client_may_flush_as_often_as_it_likes() {
    let text: String = (0..3000).map(|n| format!("{{\"n\":{n}}}")).collect();
    for (every, flush) in [(1, TDEFLFlush::Sync), (1, TDEFLFlush::Full), (2, TDEFLFlush::Sync), (30, TDEFLFlush::Full)]
    {
        let payload = flushed(&text, every, flush);
        assert_eq!(deflated(&payload), (vec![heard_text(&text)], None), "every {every} bytes");
        // Each flush in a frame of its own, and flushes of nothing between them.
        let parts = payload.split_inclusive(|byte| *byte == 0xff).map(|part| frame(CONTINUATION, part));
        let stream: Vec<u8> = [frame(RSV1 | TEXT, &[0x00, 0x00, 0x00, 0xff, 0xff].repeat(1000))]
            .into_iter()
            .chain(parts)
            .flatten()
            .collect();
        let stream = [stream, frame(FIN | CONTINUATION, b"")].concat();
        assert_eq!(hear_deflated(&stream), (vec![heard_text(&text)], None), "every {every} bytes");
        let mut conversation = Conversation::new(true, text.len() - 1);
        assert_eq!(conversation.feed(&stream), Err(Violation::TooBig));
    }
}

#[test]
fn blocks_of_single_letters_without_a_flush_are_refused_when_they_are_many() {
    let text = "letter by letter, ".repeat(100);
    assert_eq!(deflated(&flushed(&text[..30], 1, TDEFLFlush::NoSync)).1, None);
    assert_eq!(deflated(&flushed(&text, 1, TDEFLFlush::NoSync)).1, Some(Violation::Inflate));
}
