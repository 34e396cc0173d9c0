//! Frames and messages, without compression.

use websocket::{Incoming, Inflater, ReadBudget, Reader, Violation};

use crate::client::*;

fn refused(stream: &[u8]) -> Violation {
    let (heard, broken) = hear(stream);
    assert_eq!(heard, [], "nothing of {stream:02x?} was to be handed on");
    broken.unwrap_or_else(|| panic!("{stream:02x?} was to be refused"))
}

fn refused_as_protocol_error(stream: &[u8]) {
    assert_eq!(refused(stream).close_code(), 1002, "{stream:02x?}");
}

#[test]
fn the_masked_hello_of_the_rfc_is_read() {
    // RFC 6455, 5.7.
    let stream = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(hear(&stream), (vec![heard_text("Hello")], None));
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(hear(&pong), (vec![Heard::Pong(b"Hello".to_vec())], None));
}

#[test]
fn each_form_of_length_is_read() {
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 70000] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        assert_eq!(hear(&frame(FIN | BINARY, &payload)), (vec![Heard::Binary(payload)], None), "{length}");
    }
}

#[test]
fn a_message_comes_in_parts_with_control_frames_between_them() {
    let stream = [
        frame(TEXT, b"Hel"),
        frame(FIN | PING, b"still there?"),
        frame(CONTINUATION, b""),
        frame(FIN | PONG, b""),
        frame(FIN | CONTINUATION, b"lo"),
        frame(FIN | BINARY, &[0xff]),
    ];
    let expected = vec![
        Heard::Ping(b"still there?".to_vec()),
        Heard::Pong(Vec::new()),
        heard_text("Hello"),
        Heard::Binary(vec![0xff]),
    ];
    assert_eq!(hear(&stream.concat()), (expected, None));
}

#[test]
fn a_frame_without_a_mask_is_refused() {
    refused_as_protocol_error(&[0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
    refused_as_protocol_error(&[0x81, 0x00]);
}

#[test]
fn reserved_bits_and_opcodes_are_refused_by_their_first_byte() {
    for first in [FIN | 0x10 | TEXT, FIN | 0x20 | TEXT, FIN | RSV1 | TEXT, FIN | RSV1 | PING, 0x70 | TEXT] {
        refused_as_protocol_error(&[first]);
    }
    for opcode in (3..=7).chain(11..=15) {
        refused_as_protocol_error(&[FIN | opcode]);
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        refused_as_protocol_error(&[opcode]);
        refused_as_protocol_error(&[FIN | opcode, 0x80 | 126]);
        refused_as_protocol_error(&[FIN | opcode, 0x80 | 127]);
    }
    let longest = vec![b'x'; 125];
    assert_eq!(hear(&frame(FIN | PING, &longest)), (vec![Heard::Ping(longest)], None));
}

#[test]
fn a_length_takes_the_fewest_bytes() {
    refused_as_protocol_error(&[0x82, 0x80 | 126, 0, 125]);
    refused_as_protocol_error(&[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    refused_as_protocol_error(&[0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn messages_neither_begin_inside_another_nor_go_on_without_one() {
    for opcode in [TEXT, BINARY] {
        refused_as_protocol_error(&[frame(TEXT, b"a"), frame(FIN | opcode, b"b")].concat());
    }
    refused_as_protocol_error(&frame(FIN | CONTINUATION, b"b"));
    let (heard, broken) = hear(&[text("a"), frame(CONTINUATION, b"b")].concat());
    assert_eq!(heard, [heard_text("a")]);
    assert_eq!(broken.map(Violation::close_code), Some(1002));
}

#[test]
fn a_close_frame_says_a_code_that_may_be_sent_and_a_reason_or_nothing() {
    assert_eq!(hear(&frame(FIN | CLOSE, b"")), (vec![Heard::Close(None)], None));
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let payload = [&code.to_be_bytes()[..], "Grüße".as_bytes()].concat();
        let expected = vec![Heard::Close(Some((code, "Grüße".to_owned())))];
        assert_eq!(hear(&frame(FIN | CLOSE, &payload)), (expected, None));
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        refused_as_protocol_error(&frame(FIN | CLOSE, &code.to_be_bytes()));
    }
    refused_as_protocol_error(&frame(FIN | CLOSE, &[3]));
    assert_eq!(refused(&frame(FIN | CLOSE, &[0x03, 0xe8, 0xc3])), Violation::Utf8);
}

#[test]
fn after_a_close_frame_nothing_is_read() {
    let mut conversation = Conversation::new(false, MAX);
    conversation.feed(&[frame(FIN | CLOSE, b""), text("too late"), vec![0xff; 20]].concat()).unwrap();
    conversation.feed(&text("later still")).unwrap();
    assert_eq!(conversation.heard, [Heard::Close(None)]);
    assert!(conversation.reader.has_ended());
}

#[test]
fn after_an_error_nothing_is_read() {
    let mut conversation = Conversation::new(false, MAX);
    let stream = [text("one"), vec![0x81, 0x00], text("two")].concat();
    assert_eq!(conversation.feed(&stream).unwrap_err().close_code(), 1002);
    conversation.feed(&text("three")).unwrap();
    assert_eq!(conversation.heard, [heard_text("one")]);
}

#[test]
fn an_error_of_the_handler_comes_back_and_drops_the_rest() {
    #[derive(Debug, PartialEq)]
    struct Enough;
    impl From<Violation> for Enough {
        fn from(violation: Violation) -> Self {
            panic!("{violation}")
        }
    }
    let (mut reader, mut inflater, mut count) = (Reader::new(false), Inflater::new(), 0);
    let mut stream = [text("one"), text("two"), text("three")].concat();
    let fed = reader.feed(&mut stream, MAX, &mut inflater, &mut |incoming| {
        count += 1;
        if incoming == Incoming::Text("two") { Err(Enough) } else { Ok(()) }
    });
    assert_eq!((fed, count), (Err(Enough), 2));
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_header() {
    let header_alone = |before: &[Vec<u8>], first, length| {
        let mut conversation = Conversation::new(false, 100);
        conversation.feed(&[&before.concat()[..], &header(first, length)].concat())
    };
    assert_eq!(header_alone(&[], FIN | TEXT, 100), Ok(()));
    assert_eq!(header_alone(&[], FIN | TEXT, 101), Err(Violation::TooBig));
    assert_eq!(header_alone(&[], FIN | BINARY, 1 << 62), Err(Violation::TooBig));
    assert_eq!(header_alone(&[frame(TEXT, &[b'x'; 60])], FIN | CONTINUATION, 40), Ok(()));
    assert_eq!(header_alone(&[frame(TEXT, &[b'x'; 60])], FIN | CONTINUATION, 41), Err(Violation::TooBig));
    assert_eq!(header_alone(&[frame(TEXT, &[b'x'; 100])], FIN | PING, 125), Ok(()), "control frames do not count");
}

#[test]
fn a_message_of_the_greatest_length_is_read_and_a_header_that_boasts_takes_no_memory() {
    let mut conversation = Conversation::new(false, usize::MAX);
    conversation.feed(&header(FIN | BINARY, 1 << 62)).unwrap();
    conversation.feed(&[0; 1000]).unwrap();
    assert_eq!(conversation.heard, []);
    let mut conversation = Conversation::new(false, 100);
    conversation.feed(&frame(FIN | BINARY, &[1; 100])).unwrap();
    assert_eq!(conversation.heard, [Heard::Binary(vec![1; 100])]);
}

#[test]
fn a_message_that_comes_byte_by_byte_takes_time_by_its_length_alone() {
    // Were each byte to cost the length of what is there, this would take hours.
    let long = "ä".repeat(MAX / 2);
    let mut conversation = Conversation::new(false, MAX);
    for byte in text(&long) {
        conversation.feed(&[byte]).unwrap();
    }
    assert_eq!(conversation.heard, [heard_text(&long)]);
    let mut conversation = Conversation::new(false, MAX);
    conversation.feed(&frame(BINARY, b"")).unwrap();
    for _ in 0..MAX {
        conversation.feed(&frame(CONTINUATION, b"x")).unwrap();
    }
    conversation.feed(&frame(FIN | CONTINUATION, b"")).unwrap();
    assert_eq!(conversation.heard, [Heard::Binary(vec![b'x'; MAX])]);
}

/// What is heard of a stream that is taken a few frames at a time, and the frames without text.
fn hear_within(stream: &[u8], frames: u32) -> (Vec<Heard>, u32) {
    let (mut reader, mut inflater) = (Reader::new(false), Inflater::new());
    let (mut heard, mut overhead, mut rest) = (Vec::new(), 0, stream.to_vec());
    for _ in 0..=stream.len() {
        let budget = ReadBudget::frames(frames);
        let mut handle = |incoming: Incoming<'_>| {
            heard.push(Heard::from(incoming));
            Ok::<_, Violation>(())
        };
        let taken = reader.feed_within(&mut rest, &budget, MAX, &mut inflater, &mut handle).unwrap();
        overhead += budget.overhead();
        rest.drain(..taken);
    }
    assert_eq!(rest, [], "everything is taken in the end");
    (heard, overhead)
}

#[test]
fn a_budget_of_frames_changes_when_they_are_read_and_nothing_else() {
    let parts = [
        frame(TEXT, b"Hel"),
        frame(FIN | PING, b"a ping"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, b"lo"),
        text("two"),
        frame(FIN | PONG, b""),
        frame(FIN | BINARY, &[7; 300]),
        text(""),
    ]
    .concat();
    let (whole, _) = hear(&parts);
    for frames in [1, 2, 3, 100] {
        assert_eq!(hear_within(&parts, frames), (whole.clone(), 3), "{frames}: a ping, a pong, an empty part");
    }
}

#[test]
fn a_budget_that_its_handler_ends_leaves_the_rest_as_it_came() {
    let (mut reader, mut inflater) = (Reader::new(false), Inflater::new());
    let (first, rest) = (text("one"), [text("two"), text("three")].concat());
    let mut stream = [first.clone(), rest.clone()].concat();
    let budget = ReadBudget::frames(100);
    let taken = reader.feed_within(&mut stream, &budget, MAX, &mut inflater, &mut |_| {
        budget.end();
        Ok::<_, Violation>(())
    });
    assert_eq!((taken, &stream[first.len()..]), (Ok(first.len()), &rest[..]));
}
