use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use protocol::{RoomName, Seq};

/// Segments that are watched at a time; more are not.
const MAX_WATCHED: usize = 4_096;
/// A segment that has not come back after so long is late.
pub(super) const LATE_AFTER: Duration = Duration::from_secs(10);

/// This node's own commits, until they come back through SNS: how long the chain takes, and whether it loses anything.
#[derive(Debug, Default)]
pub(super) struct OwnSegments {
    committed: HashMap<(RoomName, Seq), Instant>,
    /// In the order of their commits.
    order: VecDeque<(Instant, RoomName, Seq)>,
}

impl OwnSegments {
    /// This node has committed a segment.
    pub(super) fn handle_committed(&mut self, room: &RoomName, seq: Seq, now: Instant) {
        if self.order.len() < MAX_WATCHED && self.committed.insert((room.clone(), seq), now).is_none() {
            self.order.push_back((now, room.clone(), seq));
        }
    }

    /// One of its segments has come back; how long that took, unless it was not watched, or late.
    pub(super) fn handle_arrived(&mut self, room: &RoomName, seq: Seq, now: Instant) -> Option<Duration> {
        let committed = self.committed.remove(&(room.clone(), seq))?;
        Some(now.saturating_duration_since(committed))
    }

    /// How many segments have become late; they are watched no longer.
    pub(super) fn take_late(&mut self, now: Instant) -> u64 {
        let mut late = 0;
        while let Some((committed, ..)) = self.order.front() {
            let old = now.saturating_duration_since(*committed) >= LATE_AFTER;
            let Some((_, room, seq)) = (if old { self.order.pop_front() } else { None }) else { break };
            late += u64::from(self.committed.remove(&(room, seq)).is_some());
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn what_comes_back_tells_how_long_it_took_and_what_does_not_is_late_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut own = OwnSegments::default();
        for number in 1..=3 {
            own.handle_committed(&room("a"), Seq::FIRST.plus(number), at(number));
        }
        let arrived = own.handle_arrived(&room("a"), Seq::FIRST.plus(2), at(4));
        assert_eq!(arrived, Some(Duration::from_secs(2)));
        assert_eq!(own.handle_arrived(&room("a"), Seq::FIRST.plus(2), at(4)), None, "a repeat");
        assert_eq!(own.handle_arrived(&room("b"), Seq::FIRST, at(4)), None, "not ours");
        assert_eq!(own.take_late(at(10)), 0);
        assert_eq!(own.take_late(at(11)), 1);
        assert_eq!(own.take_late(at(60)), 1, "the one that came back is not late");
        assert_eq!(own.take_late(at(60)), 0);
        assert!(own.order.is_empty() && own.committed.is_empty());
    }

    #[test]
    fn only_so_many_are_watched() {
        let start = Instant::now();
        let mut own = OwnSegments::default();
        for number in 0..2 * MAX_WATCHED as u64 {
            own.handle_committed(&room("a"), Seq::FIRST.plus(number), start);
        }
        assert_eq!(own.committed.len(), MAX_WATCHED);
        assert_eq!(own.take_late(start + LATE_AFTER), MAX_WATCHED as u64);
    }
}
