//! What the server compresses.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use websocket::{Deflater, Violation, frames, push_binary, push_close, push_pong, push_text};

use crate::client::*;
use crate::window::inflate;

/// All windows that can be agreed on, in bytes.
const WINDOWS: [usize; 8] = [1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, WIDEST];
const WIDEST: usize = 1 << 15;

/// The run with all its frames masked, so that the crate's own reader can read what its deflater wrote.
fn masked(run: &[u8]) -> Vec<u8> {
    frames(run).flat_map(|f| frame(f.whole[0], f.payload)).collect()
}

fn repeated(length: usize) -> Vec<u8> {
    b"{\"type\":\"message\",\"room\":\"lobby\",\"seq\":1}".iter().copied().cycle().take(length).collect()
}

#[test]
fn long_texts_become_shorter_and_everything_else_stays() {
    let mut run = Vec::new();
    push_text(&mut run, b"short");
    push_text(&mut run, &repeated(400));
    push_pong(&mut run, &repeated(120));
    push_binary(&mut run, &repeated(70_000));
    push_close(&mut run, Some(1000), &"bye".repeat(40));
    let compressed = Deflater::new().deflate(&run, 100, WIDEST).unwrap();
    let flags: Vec<bool> = frames(&compressed).map(|frame| frame.compressed).collect();
    assert_eq!(flags, [false, true, false, true, false]);
    assert!(compressed.len() < run.len() / 10);
    assert_eq!(hear_deflated(&masked(&compressed)), hear(&masked(&run)));
}

#[test]
fn what_would_not_become_shorter_stays_as_it_is() {
    let mut run = Vec::new();
    push_text(&mut run, b"");
    push_text(&mut run, b"abcdefgh");
    push_binary(&mut run, &(0..=255).collect::<Vec<u8>>());
    assert_eq!(Deflater::new().deflate(&run, 1, WIDEST), None);
    assert_eq!(Deflater::new().deflate(b"", 1, WIDEST), None);
}

#[test]
fn a_frame_that_is_compressed_already_is_not_compressed_again() {
    let mut run = Vec::new();
    push_text(&mut run, &repeated(4000));
    let mut deflater = Deflater::new();
    let once = deflater.deflate(&run, 1, WIDEST).unwrap();
    assert_eq!(deflater.deflate(&once, 0, WIDEST), None);
}

#[test]
fn what_came_before_has_no_part_in_a_compressed_frame() {
    let mut deflater = Deflater::new();
    let incompressible: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    for payload in [repeated(900), repeated(300_000), repeated(900), incompressible, repeated(900), repeated(40_000)] {
        let mut run = Vec::new();
        push_binary(&mut run, &payload);
        let compressed = deflater.deflate(&run, 1, WIDEST).unwrap_or(run);
        assert_eq!(hear_deflated(&masked(&compressed)), (vec![Heard::Binary(payload)], None));
    }
}

#[test]
fn a_bomb_is_refused_and_a_message_of_just_the_greatest_length_is_not() {
    let mut run = Vec::new();
    push_binary(&mut run, &vec![0; 10_000_000]);
    let bomb = masked(&Deflater::new().deflate(&run, 1, WIDEST).unwrap());
    assert!(bomb.len() < 20_000);
    for (max, broken) in [
        (10_000_000, None),
        (9_999_999, Some(Violation::TooBig)),
        (65_536, Some(Violation::TooBig)),
        (bomb.len(), Some(Violation::TooBig)),
    ] {
        let mut conversation = Conversation::new(true, max);
        _ = conversation.feed(&bomb);
        assert_eq!(conversation.broken, broken, "{max}");
        assert_eq!(conversation.heard.len(), usize::from(broken.is_none()));
    }
}

#[test]
fn at_no_threshold_everything_is_compressed_even_what_becomes_longer() {
    let mut run = Vec::new();
    let incompressible: Vec<u8> = (0..=255).collect();
    for payload in [&b""[..], b"a", &incompressible, &repeated(400)] {
        push_binary(&mut run, payload);
    }
    push_pong(&mut run, b"but no control frame");
    for window in WINDOWS {
        let compressed = Deflater::new().deflate(&run, 0, window).unwrap();
        let flags: Vec<bool> = frames(&compressed).map(|frame| frame.compressed).collect();
        assert_eq!(flags, [true, true, true, true, false]);
        // RFC 7692, 7.2.3.6.
        assert_eq!(frames(&compressed).next().unwrap().payload, [0x00]);
        assert_eq!(hear_deflated(&masked(&compressed)), hear(&masked(&run)));
    }
}

/// The payload of a message that was compressed for a window.
fn deflated(deflater: &mut Deflater, payload: &[u8], window: usize) -> Vec<u8> {
    let mut run = Vec::new();
    push_binary(&mut run, payload);
    let compressed = deflater.deflate(&run, 0, window).unwrap();
    frames(&compressed).next().unwrap().payload.to_vec()
}

/// Bytes of which none are like others near them.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn a_reference_across_a_window_is_used_by_those_who_have_a_wider_one_only() {
    let mut deflater = Deflater::new();
    for pair in WINDOWS.windows(2) {
        let (narrow, wide) = (pair[0], pair[1]);
        let payload = noise(narrow + narrow / 2).repeat(3);
        let widest = deflated(&mut deflater, &payload, WIDEST);
        assert!(widest.len() < payload.len() / 2);
        assert_eq!(inflate(&widest, wide).as_ref(), Ok(&payload));
        assert!(inflate(&widest, narrow).is_err(), "what holds the others to their windows sees it");
        assert_eq!(inflate(&deflated(&mut deflater, &payload, narrow), narrow), Ok(payload));
    }
}

#[test]
fn long_messages_become_shorter_in_every_window() {
    let payload = repeated(1_000_000);
    for (window, part) in WINDOWS.into_iter().zip([3, 6, 10, 20, 40, 60, 100, 150]) {
        let deflated = deflated(&mut Deflater::new(), &payload, window);
        assert!(deflated.len() < payload.len() / part, "{} bytes in a window of {window}", deflated.len());
        assert_eq!(inflate(&deflated, window).as_ref(), Ok(&payload));
    }
}

/// Letters, and now and then again what came so many bytes before.
fn echoes() -> impl Strategy<Value = Vec<u8>> {
    let piece = (vec(b'a'..=b'p', 0..200), any::<Index>(), 0..400_usize);
    let beginning = prop_oneof![Just(0), 0..70_000_usize];
    (beginning, vec(piece, 1..60)).prop_map(|(beginning, pieces)| {
        let mut payload = noise(beginning);
        for (letters, from, length) in pieces {
            payload.extend(letters);
            let from = from.index(payload.len() + 1);
            payload.extend_from_within(from..payload.len().min(from + length));
        }
        payload
    })
}

proptest! {
    #[test]
    fn no_reference_reaches_back_further_than_the_window(
        payloads in vec(echoes(), 1..4),
        window in select(&WINDOWS),
    ) {
        let mut deflater = Deflater::new();
        for payload in payloads {
            let deflated = deflated(&mut deflater, &payload, window);
            let inflated = inflate(&deflated, window);
            prop_assert_eq!(inflated.as_ref(), Ok(&payload));
            // What one inflater says, another says too.
            let stream = frame(FIN | RSV1 | BINARY, &deflated);
            prop_assert_eq!(hear_deflated(&stream), (vec![Heard::Binary(payload)], None));
        }
    }

    #[test]
    fn a_window_that_holds_the_message_whole_needs_no_form_of_its_own(payload in vec(b'a'..=b'd', 0..500)) {
        let window = payload.len().next_power_of_two().max(256);
        let inflated = inflate(&deflated(&mut Deflater::new(), &payload, WIDEST), window);
        prop_assert_eq!(inflated, Ok(payload));
    }
}

proptest! {
    #[test]
    fn what_is_compressed_can_be_read(
        payloads in vec(prop_oneof![
            "\\PC{0,300}".prop_map(String::into_bytes),
            (vec(any::<u8>(), 1..60), 1..3000_usize).prop_map(|(b, n)| b.into_iter().cycle().take(n).collect()),
        ], 1..5),
        threshold in 0..200_usize,
        window in select(&WINDOWS),
    ) {
        let mut run = Vec::new();
        for payload in &payloads {
            push_binary(&mut run, payload);
        }
        let compressed = Deflater::new().deflate(&run, threshold, window).unwrap_or(run);
        let expected: Vec<Heard> = payloads.into_iter().map(Heard::Binary).collect();
        prop_assert_eq!(hear_deflated(&masked(&compressed)), (expected, None));
    }
}
