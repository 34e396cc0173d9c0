//! The message log in memory, for tests and for the fuzzer of sessions. It passes the same suite as the DynamoDB adapter.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use protocol::{Content, RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use super::{LogError, MessageLog};

/// Bytes of a page of segments.
const PAGE: usize = 1024 * 1024;

/// A log that forgets everything at its end.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog {
    rooms: Mutex<HashMap<RoomName, Room>>,
}

#[derive(Debug, Default)]
struct Room {
    header: Option<RoomHeader>,
    segments: BTreeMap<Seq, StoredSegment>,
}

impl MemoryLog {
    /// Forgets everything now.
    pub(crate) fn forget(&self) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Puts a segment into the log whatever it is and whatever is there.
    #[cfg(test)]
    pub(crate) fn plant(&self, stored: &StoredSegment) {
        self.room(&stored.segment.room, |room| room.segments.insert(stored.segment.seq, stored.clone()));
    }

    fn room<T>(&self, name: &RoomName, act: impl FnOnce(&mut Room) -> T) -> T {
        act(self.rooms.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default())
    }
}

impl Room {
    fn append(&mut self, stored: &StoredSegment) -> AppendOutcome {
        let segment = &stored.segment;
        let writable = matches!(&segment.content, Content::Messages(messages) if !messages.is_empty());
        if !writable || segment.seq < Seq::FIRST || segment.end() == Seq::MAX {
            return AppendOutcome::Refused("not a segment to write".to_owned());
        }
        match self.segments.get(&segment.seq) {
            Some(blocking) => AppendOutcome::Conflict(blocking.clone()),
            None => {
                self.segments.insert(segment.seq, kept(stored));
                AppendOutcome::Committed
            }
        }
    }

    fn read(&self, from: Seq, limit: u32) -> Vec<StoredSegment> {
        let from = from.max(Seq::FIRST);
        let covering = self.segments.range(..from).next_back().filter(|(_, stored)| stored.segment.end() > from);
        page(covering.into_iter().chain(self.segments.range(from..)).map(|(_, stored)| stored), limit)
    }

    fn put_header(&mut self, header: &RoomHeader, expected: Option<&RoomHeader>) -> Result<HeaderOutcome, LogError> {
        match &self.header {
            Some(current) if current == header => Ok(HeaderOutcome::Written),
            Some(current) if expected.is_none_or(|expected| expected.epoch != current.epoch) => {
                Ok(HeaderOutcome::Taken(current.clone()))
            }
            None if expected.is_some() => Err(LogError::Unavailable("the header is gone".to_owned())),
            _ => {
                self.header = Some(header.clone());
                Ok(HeaderOutcome::Written)
            }
        }
    }

    fn probe(&self, seq: Seq) -> Probe {
        let present = if seq == Seq::ZERO { self.header.is_some() } else { self.segments.contains_key(&seq) };
        if present { Probe::Present } else { Probe::Absent }
    }
}

/// A segment as reads show it: without its messages in a room of the service's own.
fn kept(stored: &StoredSegment) -> StoredSegment {
    let mut kept = stored.clone();
    if stored.segment.room.is_of_service() {
        Arc::make_mut(&mut kept.segment).content = Content::Unreadable { count: stored.segment.count() };
    }
    kept
}

/// The first of `segments`: at most `limit`, and not after the one that fills a page.
fn page<'a>(segments: impl Iterator<Item = &'a StoredSegment>, limit: u32) -> Vec<StoredSegment> {
    let mut bytes = 0;
    segments
        .take(limit as usize)
        .take_while(|stored| {
            let fits = bytes < PAGE;
            bytes += stored.segment.envelope_len();
            fits
        })
        .cloned()
        .collect()
}

impl MessageLog for MemoryLog {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        ready(self.room(&segment.segment.room, |room| room.append(segment))).boxed()
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        ready(Ok(self.room(room, |room| room.read(from, limit)))).boxed()
    }

    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        let segments = self.room(room, |room| {
            let below = room.segments.iter().rev().filter(|(seq, _)| before.is_none_or(|before| **seq < before));
            page(below.map(|(_, stored)| stored), limit)
        });
        ready(Ok(segments)).boxed()
    }

    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        ready(Ok(self.room(room, |room| room.header.clone()))).boxed()
    }

    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        ready(self.room(room, |room| room.put_header(header, expected))).boxed()
    }

    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        ready(Ok(keys.iter().map(|(name, seq)| self.room(name, |room| room.probe(*seq))).collect())).boxed()
    }
}

#[cfg(test)]
mod suite {
    use super::*;
    use crate::message_log::contract::{Subject, contract_suite};

    impl Subject for MemoryLog {
        fn log(&self) -> &dyn MessageLog {
            self
        }

        fn plant_newer_version<'a>(&'a self, stored: &'a StoredSegment) -> BoxFuture<'a, ()> {
            self.plant(stored);
            ready(()).boxed()
        }
    }

    contract_suite!(ready(MemoryLog::default()));
}
