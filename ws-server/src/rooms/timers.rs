use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};

use protocol::RoomName;
use room_core::Time;

/// When each room wants to be looked at again: one time a room. Most times are put off before they come, with every message
/// of a room: that costs no more than remembering the new one.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Of each room that has a time, one entry that is no later than it; and others that mean nothing.
    heap: BinaryHeap<Reverse<(Time, RoomName)>>,
    due: HashMap<RoomName, Due>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    time: Time,
    /// The time of its entry.
    entry: Time,
}

impl Timers {
    /// Sets a room's time; `None`: no more.
    pub(crate) fn set(&mut self, room: &RoomName, time: Option<Time>) {
        let Some(time) = time else {
            self.due.remove(room);
            return;
        };
        match self.due.get_mut(room) {
            Some(due) => {
                due.time = time;
                if due.entry <= time {
                    return;
                }
                due.entry = time;
            }
            None => drop(self.due.insert(room.clone(), Due { time, entry: time })),
        }
        self.heap.push(Reverse((time, room.clone())));
        self.trim();
    }

    /// When the next room is due.
    pub(crate) fn next(&mut self) -> Option<Time> {
        while let Some(mut first) = self.heap.peek_mut() {
            let Reverse((entry, room)) = &mut *first;
            match self.due.get_mut(room) {
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
    pub(crate) fn pop(&mut self, now: Time) -> Option<RoomName> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, room)) = self.heap.pop()?;
        self.due.remove(&room);
        Some(room)
    }

    /// Entries that mean nothing are never more than a few times the rooms.
    fn trim(&mut self) {
        if self.heap.len() > 64 + 4 * self.due.len() {
            self.due.values_mut().for_each(|due| due.entry = due.time);
            self.heap = self.due.iter().map(|(room, due)| Reverse((due.time, room.clone()))).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_time_of_a_room_counts() {
        let mut timers = Timers::default();
        let room = |name: &str| RoomName::new(name).unwrap();
        timers.set(&room("a"), Some(Time(5)));
        timers.set(&room("b"), Some(Time(7)));
        timers.set(&room("a"), Some(Time(9)));
        assert_eq!(timers.next(), Some(Time(7)));
        assert_eq!(timers.pop(Time(6)), None);
        assert_eq!(timers.pop(Time(7)), Some(room("b")));
        assert_eq!(timers.pop(Time(8)), None);
        timers.set(&room("a"), None);
        assert_eq!((timers.next(), timers.pop(Time(99))), (None, None));
    }

    #[test]
    fn changed_times_do_not_pile_up() {
        let mut timers = Timers::default();
        let room = RoomName::new("a").unwrap();
        for time in 0..10_000 {
            timers.set(&room, Some(Time(time)));
        }
        for time in (10_000..20_000).rev() {
            timers.set(&room, Some(Time(time)));
        }
        assert!(timers.heap.len() <= 68);
        assert_eq!(timers.pop(Time(10_000)), Some(room));
    }

    #[test]
    fn whatever_is_set_and_put_off_the_earliest_is_next() {
        let rooms: Vec<RoomName> = (0..20).map(|number| RoomName::new(&format!("r{number}")).unwrap()).collect();
        let mut random = fastrand::Rng::with_seed(3);
        let (mut timers, mut expected) = (Timers::default(), HashMap::new());
        for _ in 0..50_000 {
            let room = random.choice(&rooms).unwrap();
            match random.u32(..10) {
                0 => {
                    timers.set(room, None);
                    expected.remove(room);
                }
                1..3 => {
                    let now = Time(random.u64(..1_000));
                    let popped = timers.pop(now);
                    let first = expected.values().min().copied().filter(|first| *first <= now);
                    assert_eq!(popped.as_ref().and_then(|room| expected.remove(room)), first);
                }
                _ => {
                    let time = Time(random.u64(..1_000));
                    timers.set(room, Some(time));
                    expected.insert(room.clone(), time);
                }
            }
            if random.bool() {
                assert_eq!(timers.next(), expected.values().min().copied());
            }
        }
    }
}
