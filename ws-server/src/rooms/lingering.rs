use std::collections::VecDeque;

use room_core::Time;

/// The rooms of a shard that linger without a session, the longest first: they give way when the node has as many rooms as it
/// may. Of a room that has sessions again, or is gone, an entry may be here still; it is passed over.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// Slot, hosting, and since when.
    rooms: VecDeque<(usize, u64, Time)>,
    /// Entries at which the stale ones are thrown out.
    trim_at: usize,
}

const FEW: usize = 64;

impl Lingering {
    /// A room has lost its last session.
    pub(crate) fn push(&mut self, slot: usize, hosting: u64, since: Time) {
        self.rooms.push_back((slot, hosting, since));
    }

    /// The room that has lingered the longest and still does.
    pub(crate) fn pop(&mut self, mut lingers: impl FnMut(usize, u64, Time) -> bool) -> Option<usize> {
        while let Some((slot, hosting, since)) = self.rooms.pop_front() {
            if lingers(slot, hosting, since) {
                return Some(slot);
            }
        }
        None
    }

    /// Throws out stale entries when there may be many.
    pub(crate) fn trim(&mut self, mut lingers: impl FnMut(usize, u64, Time) -> bool) {
        if self.rooms.len() > self.trim_at.max(FEW) {
            self.rooms.retain(|(slot, hosting, since)| lingers(*slot, *hosting, *since));
            self.trim_at = 2 * self.rooms.len();
            self.rooms.shrink_to(self.trim_at);
        }
    }
}

impl From<Vec<(Time, usize, u64)>> for Lingering {
    /// The longest first.
    fn from(rooms: Vec<(Time, usize, u64)>) -> Self {
        let rooms: VecDeque<_> = rooms.into_iter().map(|(since, slot, hosting)| (slot, hosting, since)).collect();
        Self { trim_at: 2 * rooms.len(), rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_comes_first_and_what_is_over_is_passed_over() {
        let mut lingering = Lingering::default();
        (0..5).for_each(|room| lingering.push(room, room as u64, Time(room as u64)));
        assert_eq!(lingering.pop(|slot, _, _| slot > 1), Some(2));
        assert_eq!(lingering.pop(|_, _, _| true), Some(3));
        assert_eq!(lingering.pop(|_, _, _| false), None);
        assert_eq!(lingering.pop(|_, _, _| true), None);
    }

    #[test]
    fn rooms_that_come_and_go_do_not_pile_up() {
        let mut lingering = Lingering::default();
        for time in 0..100_000 {
            lingering.push(0, 1, Time(time));
            lingering.trim(|_, _, since| since == Time(time));
        }
        assert!(lingering.rooms.len() <= FEW + 1 && lingering.rooms.capacity() < 1_000);
    }
}
