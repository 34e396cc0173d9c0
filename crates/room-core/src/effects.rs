use std::sync::Arc;

use protocol::{Content, HandOff, HandOffAnswer, Message, NodeId, Position, Segment, Seq};

use crate::append::Token;
use crate::log::{RoomHeader, StoredSegment};

/// Pairs an action with its answer. An answer whose ticket is no longer awaited is ignored; the default one never is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// What the caller must ask of the message log, or of another node. Each variant names the call that takes the answer in; every action
/// gets exactly one answer, errors included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the room's header and its newest segment, both consistently. → `handle_checked`
    Check {
        /// For the answer.
        ticket: Ticket,
    },
    /// Read segments from this number on, consistently, at most `limit` of them. → `handle_page`
    Read {
        /// For the answer.
        ticket: Ticket,
        /// The first number that is wanted.
        from: Seq,
        /// Most segments.
        limit: u32,
    },
    /// Read back at least `messages` messages before this number, or all that there are, consistently. → `handle_ids`
    ReadIds {
        /// For the answer.
        ticket: Ticket,
        /// The first number that is not wanted.
        before: Seq,
        /// How many messages.
        messages: u64,
    },
    /// Find the message with this number: in memory, or by a consistent read of the segment that holds it.
    /// → `handle_found`
    ReadMessage {
        /// For the answer.
        ticket: Ticket,
        /// The number.
        seq: Seq,
    },
    /// Write the header if it is still `expected`. → `handle_header`
    PutHeader {
        /// For the answer.
        ticket: Ticket,
        /// What to write.
        header: RoomHeader,
        /// What must be there; `None`: nothing.
        expected: Option<RoomHeader>,
    },
    /// Write this segment if its key is free. → `handle_appended`
    Append {
        /// For the answer.
        ticket: Ticket,
        /// What to write.
        segment: Arc<StoredSegment>,
    },
    /// Give this batch to another node. → `handle_handed_over`
    HandOver {
        /// For the answer.
        ticket: Ticket,
        /// Who is to write it.
        to: NodeId,
        /// What is to be written.
        hand_off: HandOff,
    },
    /// Look whether there is anything at this number; eventually consistent. → `handle_probed`
    Probe {
        /// For the answer.
        ticket: Ticket,
        /// The next number that the room expects.
        next: Seq,
    },
}

/// What became of a batch that was to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOver {
    /// The other node's word.
    Answered(HandOffAnswer),
    /// It did not leave this node.
    NotSent,
    /// It may have been taken, or may yet arrive.
    Unknown,
}

/// What was found where a message should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The message is among these.
    Messages(Vec<(Seq, Message)>),
    /// Nothing: it has expired.
    Gone,
    /// The log did not answer, or the message cannot be read.
    Unknown,
}

impl Found {
    /// What a page of the log that was read from `seq` on tells; `None`: the log did not answer.
    #[must_use]
    pub fn in_page(page: Option<&[StoredSegment]>, seq: Seq) -> Self {
        let Some(page) = page else { return Self::Unknown };
        let holds = |stored: &&StoredSegment| stored.segment.seq <= seq && seq < stored.segment.end();
        match page.iter().find(holds).map(|stored| &*stored.segment) {
            None => Self::Gone,
            Some(Segment { content: Content::Unreadable { .. }, .. }) => Self::Unknown,
            Some(segment) => Self::Messages(segment.messages().map(|(seq, message)| (seq, message.clone())).collect()),
        }
    }
}

/// Why a publish was not logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The room's queue is full; nothing was written.
    Overloaded,
    /// The outcome is unknown; the same publish may be sent again.
    Unavailable,
    /// The same user used the same id with another body: for the message with this number, or (`None`) for one that is on
    /// its way.
    IdConflict(Option<Seq>),
    /// The log refuses this message for good.
    Refused,
}

/// What members and publishers must be told, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The room is open, at this position. Comes once, first.
    Opened(Position),
    /// The next messages of the room, in order. Never unreadable ones.
    Deliver(Arc<Segment>),
    /// The room goes on from another position in a new epoch: no number before it means anything now.
    NewEpoch(Position),
    /// The room goes on from this position; messages before it could not be read here and are passed over.
    PassedOver(Position),
    /// The room was compared with the log (see `Room::sync`); all syncs up to this one are done.
    Synced(u64),
    /// A publish is durable under this number.
    Acked {
        /// The publish.
        token: Token,
        /// Its number.
        seq: Seq,
    },
    /// A publish was not logged.
    Rejected {
        /// The publish.
        token: Token,
        /// Why.
        reason: Rejection,
    },
    /// A publish of another node's batch was not logged here and will not be: its node must see to it.
    HandedBack {
        /// The publish.
        token: Token,
    },
}
