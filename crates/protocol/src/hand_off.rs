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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOutcome {
    /// Durable under this number.
    Acked(Seq),
    /// Not logged; `unavailable` means that it may have been, or may yet be.
    Failed(ErrorCode),
    /// Not logged: its id belongs to the message with this number, whose body is another.
    Conflict(Seq),
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
#[serde(from = "wire::Answer", into = "wire::Answer")]
pub enum HandOffAnswer {
    /// Every publish has its outcome, in the order they were handed.
    Settled {
        /// One for each publish.
        outcomes: Vec<HandedOutcome>,
        /// Who writes the room, when publishes were returned because it is no longer this node.
        leader: Option<NodeId>,
    },
    /// Nothing was taken.
    Declined {
        /// Why.
        reason: Decline,
        /// Who writes the room, as far as this node knows.
        leader: Option<NodeId>,
    },
}

/// The form that travels. Nodes of the version before know no number of a conflict: it comes in a field that they ignore.
mod wire {
    use super::{Decline, Deserialize, ErrorCode, HandOffAnswer, HandedOutcome, NodeId, Seq, Serialize};

    #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Outcome {
        Acked(Seq),
        Failed(ErrorCode),
        Returned,
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Answer {
        Settled {
            outcomes: Vec<Outcome>,
            #[serde(skip_serializing_if = "Option::is_none", default)]
            leader: Option<NodeId>,
            /// The place of an outcome, and the number of the message that has its id.
            #[serde(skip_serializing_if = "Vec::is_empty", default)]
            conflicts: Vec<(usize, Seq)>,
        },
        Declined {
            reason: Decline,
            #[serde(skip_serializing_if = "Option::is_none", default)]
            leader: Option<NodeId>,
        },
    }

    impl From<HandOffAnswer> for Answer {
        fn from(answer: HandOffAnswer) -> Self {
            let (outcomes, leader) = match answer {
                HandOffAnswer::Settled { outcomes, leader } => (outcomes, leader),
                HandOffAnswer::Declined { reason, leader } => return Self::Declined { reason, leader },
            };
            let mut conflicts = Vec::new();
            let outcomes = outcomes.into_iter().enumerate().map(|(index, outcome)| match outcome {
                HandedOutcome::Acked(seq) => Outcome::Acked(seq),
                HandedOutcome::Failed(code) => Outcome::Failed(code),
                HandedOutcome::Returned => Outcome::Returned,
                HandedOutcome::Conflict(seq) => {
                    conflicts.push((index, seq));
                    Outcome::Failed(ErrorCode::IdConflict)
                }
            });
            let outcomes = outcomes.collect();
            Self::Settled { outcomes, leader, conflicts }
        }
    }

    impl From<Answer> for HandOffAnswer {
        fn from(answer: Answer) -> Self {
            let (outcomes, leader, conflicts) = match answer {
                Answer::Settled { outcomes, leader, conflicts } => (outcomes, leader, conflicts),
                Answer::Declined { reason, leader } => return Self::Declined { reason, leader },
            };
            let known = |outcome| match outcome {
                Outcome::Acked(seq) => HandedOutcome::Acked(seq),
                Outcome::Failed(code) => HandedOutcome::Failed(code),
                Outcome::Returned => HandedOutcome::Returned,
            };
            let mut outcomes: Vec<HandedOutcome> = outcomes.into_iter().map(known).collect();
            for (index, seq) in conflicts {
                if let Some(outcome @ HandedOutcome::Failed(ErrorCode::IdConflict)) = outcomes.get_mut(index) {
                    *outcome = HandedOutcome::Conflict(seq);
                }
            }
            Self::Settled { outcomes, leader }
        }
    }
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
        assert_eq!(answers, 4);
    }

    #[test]
    fn a_conflict_is_one_for_nodes_that_know_no_numbers_of_conflicts() {
        let outcomes = vec![HandedOutcome::Acked(Seq::FIRST), HandedOutcome::Conflict(Seq::FIRST.plus(8))];
        let text = serde_json::to_string(&HandOffAnswer::Settled { outcomes, leader: None }).unwrap();
        let before = text.replace(r#","conflicts":[[1,9]]"#, "");
        assert_eq!(before, r#"{"settled":{"outcomes":[{"acked":1},{"failed":"id_conflict"}]}}"#);
        let odd = before.replace("}]", r#"}],"conflicts":[[0,5],[7,9]]"#);
        for text in [before, odd] {
            let HandOffAnswer::Settled { outcomes, .. } = serde_json::from_str(&text).unwrap() else {
                panic!("{text}")
            };
            let expected = [HandedOutcome::Acked(Seq::FIRST), HandedOutcome::Failed(ErrorCode::IdConflict)];
            assert_eq!(outcomes, expected, "{text}");
        }
    }
}
