//! Where replayed history and live traffic meet: how a session enters a room, and what a page of the log means to it.

use std::sync::Arc;

use protocol::{Content, Epoch, JoinFrom, Position, Segment, Seq};

use crate::log::{StoredSegment, WallSecs};
use crate::room::Room;

/// How a session enters an open room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// At the head: nothing to replay.
    Live,
    /// Messages from `from` (inclusive) up to the head come first. `exact`: the session named the position, and all of
    /// them must be there; otherwise as many as there are.
    Replay {
        /// The first message to replay.
        from: Seq,
        /// Whether all of them must be there.
        exact: bool,
    },
    /// The position is ahead of what this node knows, or of an epoch that it does not know: compare with the log first
    /// (`Room::sync`), then enter again with `synced`.
    Sync,
    /// The log contradicts the position: the session starts over at the head and is told so.
    Reset,
}

/// Decides how a session enters. `synced`: the room was compared with the log since the session asked.
#[must_use]
pub fn enter(room: &Room, from: &JoinFrom, synced: bool) -> Entry {
    let head = room.next();
    match from {
        JoinFrom::Head => Entry::Live,
        JoinFrom::Recent(count) => {
            let from = head.minus(u64::from(*count)).max(room.first());
            if from == head { Entry::Live } else { Entry::Replay { from, exact: false } }
        }
        JoinFrom::After(position) => {
            let epoch = room.position().epoch;
            let after = in_epoch(position, &epoch, room.first());
            match after {
                Some(seq) if seq.next() == head => Entry::Live,
                Some(seq) if seq < head => Entry::Replay { from: seq.next(), exact: true },
                _ if synced => Entry::Reset,
                _ => Entry::Sync,
            }
        }
    }
}

/// A position as a number of this epoch; `None` if it is of another. The beginning of a room that nobody had written to
/// is the beginning of its first epoch.
fn in_epoch(position: &Position, epoch: &Epoch, first: Seq) -> Option<Seq> {
    let before_birth = position.epoch.is_none() && position.seq == Seq::ZERO && epoch.generation() <= 1;
    if before_birth {
        return Some(first.minus(1));
    }
    (position.epoch == *epoch && position.seq.next() >= first).then_some(position.seq)
}

/// What a session that reads back is sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// These messages of the segment, from this number on.
    Messages(Arc<Segment>, Seq),
    /// Messages before this number are no longer there, or cannot be read: the session is told, and goes on from it.
    PassedOver(Seq),
}

/// A page of the log as a session that is at `next` sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPage {
    /// In order.
    pub parts: Vec<Replayed>,
    /// Where the session is after them.
    pub next: Seq,
}

/// What of a page counts in this room as the node knows it: what has not expired, and is not of an epoch that the node has
/// yet to hear of, in which the same numbers mean other messages.
pub fn still_there<'a>(
    page: &'a [StoredSegment],
    room: &Room,
    wall: WallSecs,
) -> impl DoubleEndedIterator<Item = &'a StoredSegment> + use<'a> {
    let generation = room.position().epoch.generation();
    page.iter().filter(move |stored| stored.segment.expires > wall && stored.segment.epoch.generation() <= generation)
}

/// Cuts a page (segments in ascending order) to what a session at `next` is missing, up to `head`: the room's when the
/// page was asked for. A page is no snapshot; what was written while it was read may be there without what came before
/// it. What is not still there counts as absent.
#[must_use]
pub fn replay_page(page: &[StoredSegment], next: Seq, head: Seq, room: &Room, wall: WallSecs) -> ReplayPage {
    let mut replay = ReplayPage { parts: Vec::new(), next };
    for stored in still_there(page, room, wall) {
        let segment = &stored.segment;
        if segment.end() <= replay.next || segment.seq >= head {
            continue;
        }
        if segment.seq > replay.next {
            replay.parts.push(Replayed::PassedOver(segment.seq));
            replay.next = segment.seq;
        }
        match segment.content {
            Content::Messages(_) => replay.parts.push(Replayed::Messages(Arc::clone(segment), replay.next)),
            Content::Unreadable { .. } => replay.parts.push(Replayed::PassedOver(segment.end())),
        }
        replay.next = segment.end();
    }
    replay
}
