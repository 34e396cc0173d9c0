//! How much is held while a client speaks, and after it.

use crate::header::{FIN, RSV1};
use crate::{Deflater, Inflater, Reader, Violation, frames, push_binary};

const MAX: usize = 1 << 20;

/// A frame whose mask changes nothing.
fn frame(first: u8, claimed: u64, payload: &[u8]) -> Vec<u8> {
    let length = claimed.to_be_bytes();
    let (form, length) = if claimed <= 0xffff { (126, &length[6..]) } else { (127, &length[..]) };
    [&[first, 0x80 | form], length, &[0; 4], payload].concat()
}

fn feed(reader: &mut Reader, bytes: &[u8], max: usize, inflater: &mut Inflater) -> Result<(), Violation> {
    reader.feed(&mut bytes.to_vec(), max, inflater, &mut |_| Ok(()))
}

/// Bytes of messages and control frames that are kept.
fn kept(reader: &Reader) -> usize {
    let Some(unfinished) = &reader.unfinished else { return 0 };
    unfinished.control.capacity() + unfinished.message.as_ref().map_or(0, |message| message.payload.capacity())
}

#[test]
fn what_is_kept_is_at_most_twice_what_arrived_and_is_given_back() {
    let (mut reader, mut inflater) = (Reader::new(false), Inflater::new());
    feed(&mut reader, &frame(FIN | 2, MAX as u64, b""), MAX, &mut inflater).unwrap();
    assert_eq!(kept(&reader), 0, "a header claims much and brings nothing");
    for arrived in 1..=MAX {
        assert!(kept(&reader) <= 2 * arrived);
        feed(&mut reader, b"x", MAX, &mut inflater).unwrap();
        assert!(kept(&reader) <= MAX);
    }
    assert!(reader.unfinished.is_none());
}

#[test]
fn nothing_is_kept_between_frames_however_they_are_cut() {
    let (mut reader, mut inflater) = (Reader::new(false), Inflater::new());
    let stream = [[0x89, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5], [0x82, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5]].concat();
    for (at, byte) in stream.iter().enumerate() {
        feed(&mut reader, &[*byte], MAX, &mut inflater).unwrap();
        assert_eq!(reader.unfinished.is_none(), at == 10 || at == 21, "after byte {at}");
    }
}

#[test]
fn a_bomb_takes_no_more_room_than_a_message_may_and_long_messages_do_not_keep_theirs() {
    let mut run = Vec::new();
    push_binary(&mut run, &vec![0; 50 * MAX]);
    let compressed = Deflater::new().deflate(&run, 1, 1 << 15).unwrap();
    let payload = frames(&compressed).next().unwrap().payload;
    let bomb = frame(FIN | RSV1 | 2, payload.len() as u64, payload);
    let mut inflater = Inflater::new();
    assert_eq!(feed(&mut Reader::new(true), &bomb, MAX, &mut inflater), Err(Violation::TooBig));
    assert!(inflater.out.capacity() <= MAX + 1);
    assert_eq!(feed(&mut Reader::new(true), &bomb, 50 * MAX, &mut inflater), Ok(()));
    assert!(inflater.out.capacity() < MAX);
}
