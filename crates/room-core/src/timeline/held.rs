use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Epoch, Segment, Seq};

/// Segments that came before their turn, by their first number; bounded in bytes.
#[derive(Debug)]
pub(crate) struct Held {
    segments: BTreeMap<Seq, Arc<Segment>>,
    bytes: usize,
    max_bytes: usize,
}

impl Held {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { segments: BTreeMap::new(), bytes: 0, max_bytes }
    }

    /// Keeps a segment. Returns whether the bound made it drop one: the farthest, which the log still has.
    pub(crate) fn insert(&mut self, segment: Arc<Segment>) -> bool {
        let bytes = segment.envelope_len();
        if self.segments.contains_key(&segment.seq) {
            return false;
        }
        self.bytes += bytes;
        self.segments.insert(segment.seq, segment);
        let mut dropped = false;
        while self.bytes > self.max_bytes {
            let Some((_, farthest)) = self.segments.pop_last() else { break };
            self.bytes -= farthest.envelope_len();
            dropped = true;
        }
        dropped
    }

    /// Takes out the segment whose turn it is; drops those whose turn has passed.
    pub(crate) fn take(&mut self, next: Seq) -> Option<Arc<Segment>> {
        while let Some(entry) = self.segments.first_entry() {
            if *entry.key() > next {
                return None;
            }
            let segment = entry.remove();
            self.bytes -= segment.envelope_len();
            if segment.seq == next {
                return Some(segment);
            }
        }
        None
    }

    /// Keeps only segments of this epoch. Returns whether one of a later epoch was dropped.
    pub(crate) fn retain(&mut self, epoch: &Epoch) -> bool {
        let later = self.segments.values().any(|segment| segment.epoch.generation() > epoch.generation());
        self.segments.retain(|_, segment| segment.epoch == *epoch);
        self.bytes = self.segments.values().map(|segment| segment.envelope_len()).sum();
        later
    }

    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}
