//! Server frames.

use websocket::{Opcode, PING, frames, push_binary, push_close, push_pong, push_text};

#[test]
fn the_unmasked_frames_of_the_rfc_are_written() {
    // RFC 6455, 5.7.
    let mut out = Vec::new();
    push_text(&mut out, b"Hello");
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    for (length, header) in
        [(256, &[0x82, 0x7e, 0x01, 0x00][..]), (65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 0x01, 0x00, 0x00])]
    {
        let mut out = Vec::new();
        push_binary(&mut out, &vec![7; length]);
        assert_eq!(out.strip_prefix(header), Some(&vec![7; length][..]));
    }
}

#[test]
fn control_frames_stay_within_their_limit() {
    let mut out = Vec::new();
    push_pong(&mut out, &[b'x'; 200]);
    push_close(&mut out, Some(1009), &"ä".repeat(100));
    push_close(&mut out, None, "nobody hears this");
    out.extend_from_slice(PING);
    let found: Vec<_> = frames(&out).map(|frame| (frame.opcode, frame.payload.len())).collect();
    assert_eq!(found, [(Opcode::Pong, 125), (Opcode::Close, 124), (Opcode::Close, 0), (Opcode::Ping, 0)]);
    let close = frames(&out).nth(1).unwrap();
    assert_eq!(close.payload[..2], 1009_u16.to_be_bytes());
    assert_eq!(str::from_utf8(&close.payload[2..]), Ok("ä".repeat(61).as_str()));
}

#[test]
fn a_run_is_walked_frame_by_frame() {
    let mut run = Vec::new();
    let lengths = [0, 1, 125, 126, 65535, 65536, 3];
    for length in lengths {
        push_text(&mut run, &vec![b'x'; length]);
    }
    let found: Vec<_> = frames(&run).collect();
    assert_eq!(found.iter().map(|frame| frame.payload.len()).collect::<Vec<_>>(), lengths);
    assert_eq!(found.iter().map(|frame| frame.whole).collect::<Vec<_>>().concat(), run);
    assert!(found.iter().all(|frame| frame.opcode == Opcode::Text && !frame.compressed));
}

#[test]
fn a_walk_ends_before_what_is_no_whole_server_frame() {
    let mut run = Vec::new();
    push_text(&mut run, &[b'x'; 300]);
    for cut in 0..run.len() {
        assert_eq!(frames(&run[..cut]).count(), 0);
    }
    for rest in
        [&[0x81, 0x80, 0, 0, 0, 0][..], &[0x83, 0x00], &[0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(frames(&[&run, rest].concat()).count(), 1);
    }
}
