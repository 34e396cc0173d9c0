use std::collections::HashMap;

use protocol::{Envelope, MAX_SNS_MESSAGE};

use crate::record::Piece;

/// The segments of one SNS message, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Each piece and the index of its record in the invocation.
    pieces: Vec<(usize, Piece)>,
    /// Bytes of [`Packet::text`].
    len: usize,
}

impl Packet {
    fn new(record: usize, piece: Piece) -> Self {
        Self { len: Envelope::OVERHEAD + piece.text.len(), pieces: vec![(record, piece)] }
    }

    /// What the packet's length would be with one more piece.
    fn len_with(&self, piece: &Piece) -> usize {
        self.len + ",".len() + piece.text.len()
    }

    fn push(&mut self, record: usize, piece: Piece) {
        self.len = self.len_with(&piece);
        self.pieces.push((record, piece));
    }

    /// The SNS message.
    pub(crate) fn text(&self) -> String {
        Envelope::join(self.pieces.iter().map(|(_, piece)| piece.text.as_str()))
    }

    /// The SNS message with every segment's messages left out, and how many segments thereby lose theirs; `None` when it
    /// holds no messages as it is. Never longer than [`Packet::text`]: `null` is shorter than any messages.
    pub(crate) fn announcement(&self) -> Option<(String, usize)> {
        let withheld = self.pieces.iter().filter(|(_, piece)| piece.announcement.is_some()).count();
        let texts = self.pieces.iter().map(|(_, piece)| piece.announcement.as_deref().unwrap_or(&piece.text));
        (withheld > 0).then(|| (Envelope::join(texts), withheld))
    }

    /// The indices of its records in the invocation.
    pub(crate) fn records(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().map(|(record, _)| *record)
    }
}

/// Packs the segments of one topic into few SNS messages of at most [`MAX_SNS_MESSAGE`] bytes.
///
/// First fit in the order of arrival, but never before the packet that holds the room's latest segment, so that a room's
/// segments leave in order: receivers can put them right, but only by holding back what came early.
///
/// A packet is begun only when a segment does not fit the one before it, so two neighbours together always exceed
/// [`MAX_SNS_MESSAGE`]. That limit holds for all of a `PublishBatch` as well
/// (<https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>), which could therefore never carry two packets:
/// each goes out by a `Publish` of its own.
pub(crate) fn pack(pieces: impl IntoIterator<Item = (usize, Piece)>) -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    let mut latest = HashMap::new();
    for (record, piece) in pieces {
        let from = latest.get(&piece.room).copied().unwrap_or(0);
        let fit = (from..packets.len()).find(|&index| packets[index].len_with(&piece) <= MAX_SNS_MESSAGE);
        latest.insert(piece.room.clone(), fit.unwrap_or(packets.len()));
        match fit {
            Some(index) => packets[index].push(record, piece),
            None => packets.push(Packet::new(record, piece)),
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::RoomName;

    use super::*;

    /// A piece of a given length. Its content is of no interest to packing.
    fn piece(room: &str, len: usize) -> Piece {
        Piece { room: RoomName::new(room).unwrap(), text: "x".repeat(len), announcement: Some("null".to_owned()) }
    }

    fn packed(pieces: &[(&str, usize)]) -> Vec<Vec<usize>> {
        let pieces = pieces.iter().enumerate().map(|(record, (room, len))| (record, piece(room, *len)));
        pack(pieces).iter().map(|packet| packet.records().collect()).collect()
    }

    #[test]
    fn nothing_makes_no_message() {
        assert_eq!(pack([]), []);
    }

    #[test]
    fn a_message_is_filled_to_the_last_byte_and_not_beyond() {
        let rest = MAX_SNS_MESSAGE - Envelope::OVERHEAD - 1000 - 1;
        assert_eq!(packed(&[("a", 1000), ("a", rest)]), [[0, 1]]);
        assert_eq!(packed(&[("a", 1000), ("a", rest + 1)]), [[0], [1]]);
    }

    #[test]
    fn a_later_segment_of_another_room_fills_an_earlier_message() {
        assert_eq!(packed(&[("a", 200_000), ("b", 200_000), ("c", 50_000)]), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn a_room_never_falls_behind_itself() {
        assert_eq!(packed(&[("a", 200_000), ("b", 200_000), ("b", 50_000)]), [vec![0], vec![1, 2]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_segment_leaves_once_in_its_rooms_order_within_the_limit(
            sizes in prop::collection::vec(
                ((0..6_usize), prop_oneof![1..2_000_usize, 1..100_000_usize, 1..=(MAX_SNS_MESSAGE - Envelope::OVERHEAD)]),
                0..60,
            )
        ) {
            let rooms = ["a", "b", "c", "d", "e", "f"];
            let pieces: Vec<(usize, Piece)> =
                sizes.iter().enumerate().map(|(record, (room, len))| (record, piece(rooms[*room], *len))).collect();
            let packets = pack(pieces.clone());

            let mut left: Vec<usize> = packets.iter().flat_map(Packet::records).collect();
            for room in rooms {
                let order: Vec<usize> = left.iter().copied().filter(|record| rooms[sizes[*record].0] == room).collect();
                prop_assert!(order.is_sorted(), "room {room} left as {order:?}");
            }
            left.sort_unstable();
            prop_assert_eq!(left, (0..sizes.len()).collect::<Vec<_>>());
            for packet in &packets {
                prop_assert_eq!(packet.text().len(), packet.len);
                prop_assert!(packet.len <= MAX_SNS_MESSAGE);
                prop_assert!(packet.records().next().is_some());
            }
            for pair in packets.windows(2) {
                prop_assert!(pair[0].len + pair[1].len > MAX_SNS_MESSAGE, "one PublishBatch would have carried both");
            }
        }
    }
}
