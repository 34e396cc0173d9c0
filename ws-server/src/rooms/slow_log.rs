//! A log in memory that takes its time, for tests of what rooms do meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};
use tokio::sync::Semaphore;

use crate::message_log::memory::MemoryLog;
use crate::message_log::{LogError, MessageLog};

/// A log whose reads wait, while `held`, for one permit each; what they answer is decided when they were asked. Its writes
/// may take their time, as they do in life: then nodes get into each other's way.
pub(super) struct SlowLog {
    pub(super) reads: AtomicUsize,
    pub(super) reads_back: AtomicUsize,
    pub(super) headers: AtomicUsize,
    /// Of a hundred reads of any kind, how many find no capacity.
    pub(super) throttled_reads: AtomicUsize,
    /// Microseconds that a write is on its way.
    write_micros: Range<u64>,
    /// Writes that are refused for want of capacity, before any is taken.
    pub(super) throttled: AtomicUsize,
    pub(super) log: MemoryLog,
    pub(super) held: AtomicBool,
    /// Reads back from a number wait for the same permits, while this is set: those of `history` and of ids.
    pub(super) held_back: AtomicBool,
    /// Such reads that wait, and how many have at most.
    pub(super) back_waiting: AtomicUsize,
    pub(super) back_most: AtomicUsize,
    /// Reads of segments get no answer.
    pub(super) failing_reads: AtomicBool,
    /// This number of reads back panic before any is answered.
    pub(super) panics: AtomicUsize,
    pub(super) permits: Semaphore,
}

impl SlowLog {
    pub(super) fn new() -> Arc<Self> {
        Self::with_writes(0..0)
    }

    pub(super) fn with_writes(write_micros: Range<u64>) -> Arc<Self> {
        Arc::new(Self {
            write_micros,
            reads: Default::default(),
            reads_back: Default::default(),
            headers: Default::default(),
            throttled_reads: Default::default(),
            throttled: Default::default(),
            log: MemoryLog::default(),
            held: AtomicBool::new(false),
            held_back: Default::default(),
            back_waiting: Default::default(),
            back_most: Default::default(),
            failing_reads: AtomicBool::new(false),
            panics: Default::default(),
            permits: Semaphore::new(0),
        })
    }
}

impl SlowLog {
    /// Reads of all kinds.
    pub(super) fn all_reads(&self) -> usize {
        [&self.reads, &self.reads_back, &self.headers].map(|count| count.load(Ordering::SeqCst)).iter().sum()
    }

    fn has_capacity(&self) -> Result<(), LogError> {
        let throttled = fastrand::usize(0..100) < self.throttled_reads.load(Ordering::SeqCst);
        if throttled { Err(LogError::Throttled) } else { Ok(()) }
    }
}

impl MessageLog for SlowLog {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        if self.throttled.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return std::future::ready(AppendOutcome::Throttled).boxed();
        }
        if self.write_micros.is_empty() {
            return self.log.append(segment);
        }
        let there = Duration::from_micros(fastrand::u64(self.write_micros.clone()));
        tokio::time::sleep(there).then(|()| self.log.append(segment)).boxed()
    }
    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        Box::pin(async move {
            self.has_capacity()?;
            let page = self.log.read(room, from, limit).await;
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.held.load(Ordering::SeqCst) {
                self.permits.acquire().await.unwrap().forget();
            }
            if self.failing_reads.load(Ordering::SeqCst) {
                return Err(LogError::Unavailable("it is told to fail".to_owned()));
            }
            page
        })
    }
    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        Box::pin(async move {
            self.has_capacity()?;
            self.reads_back.fetch_add(1, Ordering::SeqCst);
            let panics = self.panics.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            assert!(panics.is_err(), "it is told to panic");
            if before.is_some() && self.held_back.load(Ordering::SeqCst) {
                let waiting = self.back_waiting.fetch_add(1, Ordering::SeqCst) + 1;
                self.back_most.fetch_max(waiting, Ordering::SeqCst);
                self.permits.acquire().await.unwrap().forget();
                self.back_waiting.fetch_sub(1, Ordering::SeqCst);
            }
            self.log.read_back(room, before, limit).await
        })
    }
    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        Box::pin(async move {
            self.has_capacity()?;
            self.headers.fetch_add(1, Ordering::SeqCst);
            let header = self.log.header(room).await;
            if self.held.load(Ordering::SeqCst) {
                self.permits.acquire().await.unwrap().forget();
            }
            header
        })
    }
    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        self.log.put_header(room, header, expected)
    }
    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        self.log.probe(keys)
    }
}
