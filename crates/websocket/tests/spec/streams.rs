//! What clients may send, rules kept or not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::client::*;

/// Frames that may or may not be allowed where they stand.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0xc1, 0xc2, 0x41, 0x88, 0x89, 0x8a, 0x8b, 0x91]);
    let first = prop_oneof![9 => first, 1 => any::<u8>()];
    let letters = vec(select(vec!["a", "ä", "€", "😀"]), 0..80).prop_map(|letters| letters.concat().into_bytes());
    let close = select(vec![&b"\x03\xe8"[..], b"\x03\xe9gone", b"\x03", b"\x03\xee"]).prop_map(<[u8]>::to_vec);
    let deflated = select(vec![&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\x02\x00", b"\x00"]).prop_map(<[u8]>::to_vec);
    let payload = prop_oneof![4 => letters, 1 => vec(any::<u8>(), 0..300), 1 => close, 1 => deflated];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

/// A message in parts, pings among them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let letters = vec(select(vec!["a", "ä", "€", "😀"]), 0..80).prop_map(|letters| letters.concat().into_bytes());
    let text = letters.prop_map(|letters| (TEXT, letters));
    let bytes = vec(any::<u8>(), 0..300).prop_map(|bytes| (BINARY, bytes));
    (prop_oneof![text, bytes], vec((any::<Index>(), any::<bool>()), 0..3)).prop_map(|((mut opcode, payload), cuts)| {
        let (mut stream, mut rest) = (Vec::new(), &payload[..]);
        for (cut, ping) in cuts {
            let (part, later) = rest.split_at(cut.index(rest.len() + 1));
            stream.extend(frame(opcode, part));
            stream.extend(if ping { frame(FIN | PING, b"there?") } else { Vec::new() });
            (opcode, rest) = (CONTINUATION, later);
        }
        stream.extend(frame(FIN | opcode, rest));
        stream
    })
}

/// Streams of messages and frames, of which a byte may have been changed, or the end be missing.
pub(crate) fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let spoken = prop_oneof![8 => message(), 1 => any_frame()];
    let change = proptest::option::weighted(0.3, (any::<Index>(), any::<u8>()));
    let end = proptest::option::weighted(0.3, any::<Index>());
    (vec(spoken, 1..6), change, end).prop_map(|(spoken, change, end)| {
        let mut stream = spoken.concat();
        if let Some((at, byte)) = change {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.truncate(end.map_or(usize::MAX, |end| end.index(stream.len())));
        stream
    })
}
