use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use protocol::RoomName;
use room_core::Time;

/// When each room wants to be looked at again: one time a room, the earliest wins.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, RoomName)>>,
    due: HashMap<RoomName, Time>,
}

impl Timers {
    /// Sets a room's time; `None`: no more.
    pub(crate) fn set(&mut self, room: &RoomName, time: Option<Time>) {
        match time {
            None => {
                self.due.remove(room);
            }
            Some(time) => {
                if self.due.get(room) == Some(&time) {
                    return;
                }
                self.due.insert(room.clone(), time);
                self.heap.push(Reverse((time, room.clone())));
                self.trim();
            }
        }
    }

    /// When the next room is due.
    pub(crate) fn next(&mut self) -> Option<Time> {
        while let Some(Reverse((time, room))) = self.heap.peek() {
            if self.due.get(room) == Some(time) {
                return Some(*time);
            }
            self.heap.pop();
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

    /// Times that were changed leave the old ones in the heap: never more than a few times the rooms.
    fn trim(&mut self) {
        if self.heap.len() > 64 + 4 * self.due.len() {
            self.heap = self.due.iter().map(|(room, time)| Reverse((*time, room.clone()))).collect();
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
        assert!(timers.heap.len() <= 68);
        assert_eq!(timers.pop(Time(10_000)), Some(room));
    }
}
