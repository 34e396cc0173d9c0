//! The message log as DynamoDB would hold it: conditional writes, consistent and other reads, and TTL.

use std::collections::BTreeMap;

use protocol::{Content, Segment, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use crate::node::HistoryWindow;

/// A body that DynamoDB refuses, as far as this model goes.
pub(crate) const POISON: &str = "\"poison\"";

#[derive(Debug, Clone)]
struct Item {
    stored: StoredSegment,
    written_at: u64,
}

/// One room's items.
#[derive(Debug, Default)]
pub(crate) struct RoomLog {
    header: Option<RoomHeader>,
    segments: BTreeMap<Seq, Item>,
}

impl RoomLog {
    pub(crate) fn append(&mut self, stored: &StoredSegment, now: u64) -> AppendOutcome {
        if stored.segment.messages().any(|(_, message)| message.body.as_str() == POISON) {
            return AppendOutcome::Refused("one attribute is not valid".into());
        }
        if let Some(existing) = self.segments.get(&stored.segment.seq) {
            return AppendOutcome::Conflict(existing.stored.clone());
        }
        self.segments.insert(stored.segment.seq, Item { stored: stored.clone(), written_at: now });
        AppendOutcome::Committed
    }

    /// A header that is already the one to be written counts as written.
    pub(crate) fn put_header(&mut self, header: &RoomHeader, expected: Option<&RoomHeader>) -> HeaderOutcome {
        let current = self.header.as_ref().map(|header| &header.epoch);
        if current == expected.map(|header| &header.epoch) || current == Some(&header.epoch) {
            self.header = Some(header.clone());
            return HeaderOutcome::Written;
        }
        match &self.header {
            Some(taken) => HeaderOutcome::Taken(taken.clone()),
            // The condition named a header, and there is none: headers are never deleted.
            None => unreachable!("only an existing header differs"),
        }
    }

    pub(crate) fn header(&self) -> Option<RoomHeader> {
        self.header.clone()
    }

    pub(crate) fn newest(&self) -> Option<StoredSegment> {
        self.segments.values().next_back().map(|item| item.stored.clone())
    }

    /// Segments from the one that holds `from` on.
    pub(crate) fn read(&self, from: Seq, limit: u32) -> Vec<StoredSegment> {
        let covering = self.segments.range(..from).next_back().map(|(_, item)| item);
        let covering = covering.filter(|item| item.stored.segment.end() > from);
        let following = self.segments.range(from..).map(|(_, item)| item);
        covering.into_iter().chain(following).take(limit as usize).map(|item| item.stored.clone()).collect()
    }

    /// Segments that hold at least so many messages before `before`, in ascending order.
    pub(crate) fn read_back(&self, before: Seq, messages: u64) -> Vec<StoredSegment> {
        let (mut found, mut count) = (Vec::new(), 0);
        for item in self.segments.range(..before).rev().map(|(_, item)| item) {
            if count >= messages {
                break;
            }
            count += item.stored.segment.count();
            found.push(item.stored.clone());
        }
        found.reverse();
        found
    }

    /// Segments that hold what a `history` request wants, in ascending order.
    pub(crate) fn read_window(&self, window: HistoryWindow) -> Vec<StoredSegment> {
        if window.forward {
            // A segment holds a message at least.
            return self.read(window.from, window.limit);
        }
        self.read_back(window.to, u64::from(window.limit))
    }

    /// Whether there was an item at `next` at that time, if one that is there now can tell.
    pub(crate) fn probe(&self, next: Seq, as_of: u64) -> Probe {
        match self.segments.get(&next) {
            Some(item) if item.written_at <= as_of => Probe::Present,
            _ => Probe::Absent,
        }
    }

    /// The readable segment that certainly lives at that wall-clock time, if the number is in one.
    pub(crate) fn alive(&self, seq: Seq, wall: u64) -> Option<&Segment> {
        let (_, Item { stored, .. }) = self.segments.range(..=seq).next_back()?;
        let alive = stored.segment.end() > seq && stored.segment.expires.0 > wall;
        let readable = matches!(stored.segment.content, Content::Messages(_));
        (alive && readable).then_some(&*stored.segment)
    }

    /// The segment under a key.
    pub(crate) fn at(&self, key: Seq) -> Option<&StoredSegment> {
        self.segments.get(&key).map(|item| &item.stored)
    }

    /// Whether every number from `from` to `to` (exclusive) has expired, is gone, or cannot be read.
    pub(crate) fn nothing_alive(&self, from: Seq, to: Seq, wall: u64) -> Result<(), Seq> {
        let mut at = from;
        while at < to {
            let Some((_, item)) = self.segments.range(..=at).next_back().filter(|(_, i)| i.stored.segment.end() > at)
            else {
                // Nothing there: on to the next segment.
                match self.segments.range(at..).next() {
                    Some((next, _)) => at = *next,
                    None => break,
                }
                continue;
            };
            if self.alive(at, wall).is_some() {
                return Err(at);
            }
            at = item.stored.segment.end();
        }
        Ok(())
    }

    /// Deletes what has expired, where `gone` says so.
    pub(crate) fn sweep(&mut self, wall: u64, mut gone: impl FnMut() -> bool) -> usize {
        let before = self.segments.len();
        self.segments.retain(|_, item| item.stored.segment.expires.0 > wall || !gone());
        before - self.segments.len()
    }
}
