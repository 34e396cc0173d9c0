//! UTF-8, and how soon it is found that something is not.

use websocket::Violation;

use crate::client::*;

/// No byte may follow these.
const INVALID: [&[u8]; 9] = [
    b"\xff",
    b"\x80",
    b"\xc0",
    b"\xc3\x28",
    b"\xe0\x80",
    b"\xed\xa0",
    b"\xf0\x80",
    b"\xf4\x90",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
];

#[test]
fn an_invalid_byte_is_found_when_it_comes_in_a_frame_that_is_not_done() {
    for invalid in INVALID {
        let mut conversation = Conversation::new(false, MAX);
        let frame = frame(FIN | TEXT, &[invalid, &[b'x'; 50][..]].concat());
        let (good, bad) = frame.split_at(6 + invalid.len() - 1);
        for byte in good {
            conversation.feed(&[*byte]).unwrap();
        }
        assert_eq!(conversation.feed(&bad[..1]), Err(Violation::Utf8), "{invalid:02x?}");
    }
}

#[test]
fn an_invalid_byte_is_found_when_it_comes_in_a_part_of_a_message() {
    for invalid in INVALID {
        for at in 0..invalid.len() {
            let (one, two) = invalid.split_at(at);
            let mut conversation = Conversation::new(false, MAX);
            conversation.feed(&frame(TEXT, one)).unwrap();
            assert_eq!(conversation.feed(&frame(CONTINUATION, two)), Err(Violation::Utf8), "{invalid:02x?}");
        }
    }
}

#[test]
fn a_character_may_be_split_anywhere() {
    let long = "κόσμε, 😀 and \u{10ffff}";
    for one in 0..long.len() {
        for two in one..long.len() {
            let bytes = long.as_bytes();
            let parts = [frame(TEXT, &bytes[..one]), frame(CONTINUATION, &bytes[one..two])];
            let stream = [&parts.concat()[..], &frame(FIN | CONTINUATION, &bytes[two..])].concat();
            assert_eq!(hear(&stream), (vec![heard_text(long)], None));
        }
    }
}

#[test]
fn a_text_ends_with_a_whole_character() {
    for half in [&b"\xce"[..], b"x\xe1\xbd", b"\xf0\x9f\x98"] {
        assert_eq!(hear(&frame(FIN | TEXT, half)), (Vec::new(), Some(Violation::Utf8)));
        let parts = [frame(TEXT, half), frame(FIN | CONTINUATION, b"")].concat();
        assert_eq!(hear(&parts), (Vec::new(), Some(Violation::Utf8)));
        let mut conversation = Conversation::new(false, MAX);
        for byte in frame(FIN | TEXT, half) {
            _ = conversation.feed(&[byte]);
        }
        assert_eq!(conversation.broken, Some(Violation::Utf8));
    }
}

#[test]
fn bytes_need_not_be_utf_8() {
    let parts = [frame(BINARY, &[0xff]), frame(FIN | CONTINUATION, &[0xfe])].concat();
    assert_eq!(hear(&parts), (vec![Heard::Binary(vec![0xff, 0xfe])], None));
}
