use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use room_core::Time;

/// When each room wants to be looked at again: one time a room. Most times are put off before they come, with every message
/// of a room: that costs no more than remembering the new one. Rooms are known by their slots, small numbers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Of each room that has a time, one entry that is no later than it; and others that mean nothing.
    heap: BinaryHeap<Reverse<(Time, usize)>>,
    /// By slot.
    due: Vec<Option<Due>>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    time: Time,
    /// The time of its entry.
    entry: Time,
}

impl Timers {
    /// Sets a room's time; `None`: no more.
    pub(crate) fn set(&mut self, slot: usize, time: Option<Time>) {
        if slot >= self.due.len() {
            self.due.resize(slot + 1, None);
        }
        let known = &mut self.due[slot];
        let Some(time) = time else {
            *known = None;
            return;
        };
        match known {
            Some(due) => {
                due.time = time;
                if due.entry <= time {
                    return;
                }
                due.entry = time;
            }
            None => *known = Some(Due { time, entry: time }),
        }
        self.heap.push(Reverse((time, slot)));
        self.trim();
    }

    /// Whether a room is due now.
    pub(crate) fn is_due(&self, slot: usize, now: Time) -> bool {
        self.due.get(slot).copied().flatten().is_some_and(|due| due.time <= now)
    }

    /// When the next room is due.
    pub(crate) fn next(&mut self) -> Option<Time> {
        while let Some(mut first) = self.heap.peek_mut() {
            let Reverse((entry, slot)) = &mut *first;
            match &mut self.due[*slot] {
                Some(due) if due.entry == *entry && due.time == *entry => return Some(*entry),
                // It was put off: the entry goes down to where it belongs.
                Some(due) if due.entry == *entry => {
                    due.entry = due.time;
                    *entry = due.time;
                }
                _ => drop(PeekMut::pop(first)),
            }
        }
        None
    }

    /// A room that is due now; it has no time until one is set.
    pub(crate) fn pop(&mut self, now: Time) -> Option<usize> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, slot)) = self.heap.pop()?;
        self.due[slot] = None;
        Some(slot)
    }

    /// Rooms have got other slots, by the old one and the new one; there are none from `slots` on. Memory comes back.
    pub(crate) fn move_slots(&mut self, moves: &[(usize, usize)], slots: usize) {
        for (from, to) in moves {
            if *from < self.due.len() {
                self.due[*to] = self.due[*from].take();
            }
        }
        self.due.truncate(slots);
        self.due.shrink_to_fit();
        self.rebuild();
    }

    /// Entries that mean nothing are never more than a few times the rooms.
    fn trim(&mut self) {
        if self.heap.len() > 64 + 4 * self.due.len() {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        self.due.iter_mut().flatten().for_each(|due| due.entry = due.time);
        let entry = |(slot, due): (usize, &Option<Due>)| due.map(|due| Reverse((due.time, slot)));
        self.heap = self.due.iter().enumerate().filter_map(entry).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn only_the_newest_time_of_a_room_counts() {
        let mut timers = Timers::default();
        let (a, b) = (3, 0);
        timers.set(a, Some(Time(5)));
        timers.set(b, Some(Time(7)));
        timers.set(a, Some(Time(9)));
        assert_eq!(timers.next(), Some(Time(7)));
        assert_eq!(timers.pop(Time(6)), None);
        assert!(timers.is_due(b, Time(7)) && !timers.is_due(b, Time(6)) && !timers.is_due(a, Time(7)));
        assert_eq!(timers.pop(Time(7)), Some(b));
        assert_eq!(timers.pop(Time(8)), None);
        timers.set(a, None);
        assert_eq!((timers.next(), timers.pop(Time(99))), (None, None));
    }

    #[test]
    fn changed_times_do_not_pile_up() {
        let mut timers = Timers::default();
        for time in 0..10_000 {
            timers.set(0, Some(Time(time)));
        }
        for time in (10_000..20_000).rev() {
            timers.set(0, Some(Time(time)));
        }
        assert!(timers.heap.len() <= 68);
        assert_eq!(timers.pop(Time(10_000)), Some(0));
    }

    #[test]
    fn rooms_that_move_keep_their_times_and_the_memory_comes_back() {
        let mut timers = Timers::default();
        (0..100_000).for_each(|slot| timers.set(slot, Some(Time(slot as u64))));
        (0..99_998).for_each(|slot| timers.set(slot, None));
        timers.move_slots(&[(99_999, 0), (99_998, 1)], 2);
        assert!(timers.due.capacity() < 10 && timers.heap.capacity() < 10);
        assert_eq!((timers.pop(Time(99_998)), timers.pop(Time(99_998))), (Some(1), None));
        assert_eq!((timers.pop(Time(99_999)), timers.pop(Time(99_999))), (Some(0), None));
        timers.set(5, Some(Time(3)));
        assert_eq!(timers.pop(Time(3)), Some(5));
    }

    #[test]
    fn whatever_is_set_and_put_off_the_earliest_is_next() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut timers, mut expected) = (Timers::default(), HashMap::new());
        for _ in 0..50_000 {
            let room = random.usize(..20);
            match random.u32(..10) {
                0 => {
                    timers.set(room, None);
                    expected.remove(&room);
                }
                1..3 => {
                    let now = Time(random.u64(..1_000));
                    let popped = timers.pop(now);
                    let first = expected.values().min().copied().filter(|first| *first <= now);
                    assert_eq!(popped.and_then(|room| expected.remove(&room)), first);
                }
                _ => {
                    let time = Time(random.u64(..1_000));
                    timers.set(room, Some(time));
                    expected.insert(room, time);
                }
            }
            if random.bool() {
                assert_eq!(timers.next(), expected.values().min().copied());
            }
        }
    }
}
