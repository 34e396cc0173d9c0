//! What nodes say to each other when one gives its batches for a contended room to the node that wins its races.

use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::message::Message;
use crate::names::{NodeId, RoomName};
use crate::position::{Epoch, Seq};

/// A batch of publishes for one room, handed to the node that writes there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOff {
    /// The room.
    pub room: RoomName,
    /// The epoch that `checked` counts in.
    pub epoch: Epoch,
    /// The room's `next` on the node that hands over: it has made sure that no message of the id window before this
    /// number is a repeat of these. Later ones are for the other node to look through.
    pub checked: Seq,
    /// Random: the batches that one node hands over in a row, each without waiting for the one before.
    pub stream: u64,
    /// Counts the batches of the stream from 1: each is taken only after the one before it, so order is kept.
    pub index: u32,
    /// The publishes, in the order they came.
    pub messages: Vec<Message>,
}

/// What became of one handed publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandedOutcome {
    /// Durable under this number.
    Acked(Seq),
    /// Not logged; `unavailable` means that it may have been, or may yet be.
    Failed(ErrorCode),
    /// Not logged, and not going to be: its node must see to it.
    Returned,
}

/// Why a batch was not taken. Nothing of it was written, or ever will be because of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// The room's queue is full.
    Overloaded,
    /// The room is not open here, or in another epoch, or the ids known here do not reach back to `checked`.
    NotReady,
    /// The batch before it in its stream was not taken.
    OutOfOrder,
    /// This node hands its own batches for the room to another.
    Elsewhere,
    /// The node is about to end.
    Draining,
}

/// The answer to a [`HandOff`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandOffAnswer {
    /// Every publish has its outcome, in the order they were handed.
    Settled {
        /// One for each publish.
        outcomes: Vec<HandedOutcome>,
        /// Who writes the room, when publishes were returned because it is no longer this node.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        leader: Option<NodeId>,
    },
    /// Nothing was taken.
    Declined {
        /// Why.
        reason: Decline,
        /// Who writes the room, as far as this node knows.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        leader: Option<NodeId>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../fixtures/hand_off.jsonl");

    #[test]
    fn golden_hand_offs_are_read_and_written_to_the_byte() {
        let mut lines = GOLDEN.lines();
        let request = lines.next().unwrap();
        let hand_off: HandOff = serde_json::from_str(request).unwrap();
        assert_eq!(hand_off.messages.len(), 2);
        assert_eq!(serde_json::to_string(&hand_off).unwrap(), request);
        let mut answers = 0;
        for line in lines {
            let answer: HandOffAnswer = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), line);
            answers += 1;
        }
        assert_eq!(answers, 3);
    }
}
