//! What the server compresses.

use proptest::collection::vec;
use proptest::prelude::*;
use websocket::{Deflater, Violation, frames, push_binary, push_close, push_pong, push_text};

use crate::client::*;

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
    let compressed = Deflater::new().deflate(&run, 100).unwrap();
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
    assert_eq!(Deflater::new().deflate(&run, 0), None);
    assert_eq!(Deflater::new().deflate(b"", 0), None);
}

#[test]
fn a_frame_that_is_compressed_already_is_not_compressed_again() {
    let mut run = Vec::new();
    push_text(&mut run, &repeated(4000));
    let mut deflater = Deflater::new();
    let once = deflater.deflate(&run, 0).unwrap();
    assert_eq!(deflater.deflate(&once, 0), None);
}

#[test]
fn what_came_before_has_no_part_in_a_compressed_frame() {
    let mut deflater = Deflater::new();
    let incompressible: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    for payload in [repeated(900), repeated(300_000), repeated(900), incompressible, repeated(900), repeated(40_000)] {
        let mut run = Vec::new();
        push_binary(&mut run, &payload);
        let compressed = deflater.deflate(&run, 0).unwrap_or(run);
        assert_eq!(hear_deflated(&masked(&compressed)), (vec![Heard::Binary(payload)], None));
    }
}

#[test]
fn a_bomb_is_refused_and_a_message_of_just_the_greatest_length_is_not() {
    let mut run = Vec::new();
    push_binary(&mut run, &vec![0; 10_000_000]);
    let bomb = masked(&Deflater::new().deflate(&run, 0).unwrap());
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

proptest! {
    #[test]
    fn what_is_compressed_can_be_read(
        payloads in vec(prop_oneof![
            "\\PC{0,300}".prop_map(String::into_bytes),
            (vec(any::<u8>(), 1..60), 1..3000_usize).prop_map(|(b, n)| b.into_iter().cycle().take(n).collect()),
        ], 1..5),
        threshold in 0..200_usize,
    ) {
        let mut run = Vec::new();
        for payload in &payloads {
            push_binary(&mut run, payload);
        }
        let compressed = Deflater::new().deflate(&run, threshold).unwrap_or(run);
        let expected: Vec<Heard> = payloads.into_iter().map(Heard::Binary).collect();
        prop_assert_eq!(hear_deflated(&masked(&compressed)), (expected, None));
    }
}
