use std::sync::Arc;

use protocol::{
    Body, HandOff, HandOffAnswer, HistoryRange, JoinFrom, Message, Ref, RoomName, Segment, SessionId, Signal, SignalKey,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::members::{AnswerSpace, Session};

/// What a shard is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// A session enters a room; a session that is in it leaves it first.
    Join { room: RoomName, session: Arc<Session>, from: JoinFrom, reference: Option<Ref> },
    /// A session leaves a room and is told when it has.
    Leave { room: RoomName, session: Arc<Session>, reference: Option<Ref> },
    /// A session's connection is gone.
    Gone { room: RoomName, session: SessionId },
    /// A member publishes.
    Publish { room: RoomName, session: Arc<Session>, message: Message },
    /// A member says something in passing.
    Signal { room: RoomName, session: Arc<Session>, key: Option<SignalKey>, body: Body },
    /// A member reads back.
    History {
        room: RoomName,
        session: Arc<Session>,
        range: HistoryRange,
        limit: u32,
        reference: Option<Ref>,
        space: AnswerSpace,
    },
    /// A member's outbox is empty: its replay may go on.
    Drained { room: RoomName, session: SessionId },
    /// Somebody says that these were committed, to any rooms of a shard. The permit is for the bytes that they take while
    /// they wait.
    Hints(Vec<Arc<Segment>>, OwnedSemaphorePermit),
    /// Another node's signal. The permit is for the bytes that it takes while it waits.
    Heard(Signal, OwnedSemaphorePermit),
    /// Another node hands a batch over.
    HandOff(HandOff, oneshot::Sender<HandOffAnswer>),
    /// Whether other nodes' messages come by audits alone.
    ChainBroken(bool),
    /// Tell when nothing waits to be written.
    Flush(oneshot::Sender<()>),
}

impl Command {
    /// How much of a turn it takes.
    pub(super) fn weight(&self) -> usize {
        if let Self::Hints(segments, _) = self { segments.len() } else { 1 }
    }

    /// The room that it is about; `None`: any rooms of a shard.
    pub(super) fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Join { room, .. }
            | Self::Leave { room, .. }
            | Self::Gone { room, .. }
            | Self::Publish { room, .. }
            | Self::Signal { room, .. }
            | Self::History { room, .. }
            | Self::Drained { room, .. } => Some(room),
            Self::HandOff(hand_off, _) => Some(&hand_off.room),
            Self::Heard(signal, _) => Some(&signal.room),
            Self::Hints(..) | Self::ChainBroken(_) | Self::Flush(_) => None,
        }
    }
}
