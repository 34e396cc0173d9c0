use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What the rooms of a node take, and what they have refused.
#[derive(Debug, Default)]
pub(crate) struct RoomStats {
    hosted: AtomicUsize,
    /// Joins refused because the node hosts as many rooms as it may.
    pub(crate) refused: AtomicU64,
    /// Openings given up before the log was asked, because all waiting sessions had left.
    pub(crate) given_up: AtomicU64,
    /// Signals dropped because their room had used up its deliveries.
    pub(crate) signals_shed: AtomicU64,
}

/// A room's place among those that the node hosts, given back when dropped.
#[derive(Debug)]
pub(crate) struct RoomPlace(Arc<RoomStats>);

impl RoomStats {
    /// How many rooms the node hosts.
    pub(crate) fn hosted(&self) -> usize {
        self.hosted.load(Relaxed)
    }

    /// Counts a room in, unless there are `most` already.
    pub(crate) fn admit(self: &Arc<Self>, most: usize) -> Option<RoomPlace> {
        let admit = |hosted: usize| (hosted < most).then_some(hosted + 1);
        self.hosted.try_update(Relaxed, Relaxed, admit).ok().map(|_| RoomPlace(Arc::clone(self)))
    }
}

impl Drop for RoomPlace {
    fn drop(&mut self) {
        self.0.hosted.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_rooms_than_may_be() {
        let stats = Arc::new(RoomStats::default());
        let mut places: Vec<_> = (0..5).filter_map(|_| stats.admit(3)).collect();
        assert_eq!((places.len(), stats.hosted()), (3, 3));
        places.pop();
        assert!(stats.admit(3).is_some_and(|_place| stats.hosted() == 3));
        assert_eq!(stats.hosted(), 2);
    }
}
