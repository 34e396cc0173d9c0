//! However a stream is cut, it says the same.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::client::*;
use crate::streams::any_stream;

fn hear_in_pieces(stream: &[u8], cuts: &[Index], deflate: bool, max: usize) -> Conversation {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let mut conversation = Conversation::new(deflate, max);
    for piece in cuts.windows(2) {
        _ = conversation.feed(&stream[piece[0]..piece[1]]);
    }
    conversation
}

proptest! {
    #[test]
    fn pieces_say_what_the_whole_says(
        stream in any_stream(),
        cuts in vec(any::<Index>(), 0..40),
        deflate: bool,
        max in select(vec![50, 200, MAX]),
    ) {
        let whole = hear_in_pieces(&stream, &[], deflate, max);
        let pieces = hear_in_pieces(&stream, &cuts, deflate, max);
        // Where a text is wrong and its frame is not done, both know it all the same: each looks at every byte.
        prop_assert_eq!((&whole.heard, whole.broken), (&pieces.heard, pieces.broken));
        let mut bytes = Conversation::new(deflate, max);
        for byte in &stream {
            _ = bytes.feed(&[*byte]);
        }
        prop_assert_eq!((whole.heard, whole.broken), (bytes.heard, bytes.broken));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400), deflate: bool) {
        let mut conversation = Conversation::new(deflate, MAX);
        _ = conversation.feed(&bytes);
    }

    #[test]
    fn what_a_client_masks_is_read(
        messages in vec((any::<bool>(), "\\PC{0,200}"), 0..6),
        parts in vec(any::<Index>(), 0..4),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (is_text, message) in messages {
            let opcode = if is_text { TEXT } else { BINARY };
            let bytes = message.as_bytes();
            let mut cuts: Vec<usize> = parts.iter().map(|part| part.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            for (at, piece) in cuts.windows(2).enumerate() {
                let opcode = if at == 0 { opcode } else { CONTINUATION };
                let fin = if at + 2 == cuts.len() { FIN } else { 0 };
                stream.extend(frame(fin | opcode, &bytes[piece[0]..piece[1]]));
            }
            expected.push(if is_text { heard_text(&message) } else { Heard::Binary(bytes.to_vec()) });
        }
        prop_assert_eq!(hear(&stream), (expected, None));
    }
}
