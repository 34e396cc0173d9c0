//! When messages are due. Rooms that lie side by side form groups, and a group's messages go out together: they fit
//! into one post.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::feed::Batch;
use crate::plan::Pace;

/// What is due in the rooms of a herd.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    rooms_a_group: usize,
    groups: Vec<Group>,
    /// Batches so far that were due at a rate, all groups together.
    rounds: u64,
    /// Groups whose next message may go out.
    open: VecDeque<usize>,
}

#[derive(Debug)]
struct Group {
    rooms: Range<usize>,
    sent: u64,
    /// Messages that everybody in all of its rooms has seen.
    complete: u64,
    /// The same, room by room.
    by_room: Vec<u64>,
    queued: bool,
}

/// A batch, and when the first and the last of its messages were due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) batch: Batch,
    pub(crate) first: Duration,
    /// Between two messages of one room; zero where the next waits for one before it.
    pub(crate) every: Duration,
}

impl Pacer {
    /// Nothing was sent yet. `rooms_a_group` is at least 1.
    pub(crate) fn new(pace: Pace, rooms: usize, rooms_a_group: usize) -> Self {
        let group = |first: usize| {
            let rooms = first..(first + rooms_a_group).min(rooms);
            Group { by_room: vec![0; rooms.len()], rooms, sent: 0, complete: 0, queued: true }
        };
        let groups: Vec<Group> = (0..rooms).step_by(rooms_a_group).map(group).collect();
        Self { pace, rooms_a_group, open: (0..groups.len()).collect(), groups, rounds: 0 }
    }

    /// Everybody has seen so many more of a room's messages.
    pub(crate) fn handle_complete(&mut self, room: usize, count: u64) {
        let number = room / self.rooms_a_group;
        let group = &mut self.groups[number];
        let seen = &mut group.by_room[room - group.rooms.start];
        let was_last = *seen == group.complete;
        *seen += count;
        if was_last {
            group.complete = group.by_room.iter().copied().min().unwrap_or_default();
        }
        if !group.queued {
            group.queued = true;
            self.open.push_back(number);
        }
    }

    /// Time between two batches.
    fn every(&self) -> Duration {
        match self.pace {
            Pace::Rate(rate) => Duration::from_secs_f64(self.groups[0].rooms.len() as f64 / rate),
            _ => Duration::ZERO,
        }
    }

    /// When something is due, by time alone; `None`: that depends on what clients see.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        matches!(self.pace, Pace::Rate(_)).then(|| self.due_at(self.rounds))
    }

    fn due_at(&self, round: u64) -> Duration {
        self.every().mul_f64(round as f64)
    }

    /// One batch that may go out, if there is any; `now` counts from the start.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Due> {
        match self.pace {
            Pace::InFlight(most) => self.poll_in_flight(most as u64, now),
            Pace::Rate(_) => self.poll_rate(now),
            Pace::Recorded(_) => None,
        }
    }

    fn poll_in_flight(&mut self, most: u64, now: Duration) -> Option<Due> {
        while let Some(number) = self.open.pop_front() {
            let group = &mut self.groups[number];
            group.queued = false;
            let count = most - (group.sent - group.complete);
            if count > 0 {
                let batch = Batch { rooms: group.rooms.clone(), first: group.sent, count };
                group.sent += count;
                return Some(Due { batch, first: now, every: Duration::ZERO });
            }
        }
        None
    }

    fn poll_rate(&mut self, now: Duration) -> Option<Due> {
        let (first, groups, every) =
            (self.due_at(self.rounds), self.groups.len() as u64, self.every() * self.groups.len() as u32);
        if first > now {
            return None;
        }
        // One group's messages of several rounds go together only where it is alone.
        let mut count = 1;
        while groups == 1 && self.due_at(self.rounds + count) <= now {
            count += 1;
        }
        let group = &mut self.groups[(self.rounds % groups) as usize];
        let batch = Batch { rooms: group.rooms.clone(), first: group.sent, count };
        group.sent += count;
        self.rounds += count;
        Some(Due { batch, first, every })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn due(rooms: Range<usize>, first: u64, count: u64, at: u64, every: u64) -> Option<Due> {
        Some(Due { batch: Batch { rooms, first, count }, first: ms(at), every: ms(every) })
    }

    #[test]
    fn in_one_room_the_next_messages_go_out_when_everybody_has_seen_as_many() {
        let mut pacer = Pacer::new(Pace::InFlight(16), 1, 1);
        assert_eq!(pacer.poll(ms(0)), due(0..1, 0, 16, 0, 0));
        assert_eq!((pacer.poll(ms(1)), pacer.next_at()), (None, None));
        pacer.handle_complete(0, 2);
        pacer.handle_complete(0, 1);
        assert_eq!(pacer.poll(ms(5)), due(0..1, 16, 3, 5, 0));
        assert_eq!(pacer.poll(ms(5)), None);
    }

    #[test]
    fn a_group_goes_on_when_all_of_its_rooms_have() {
        let mut pacer = Pacer::new(Pace::InFlight(1), 3, 2);
        assert_eq!(pacer.poll(ms(0)), due(0..2, 0, 1, 0, 0));
        assert_eq!(pacer.poll(ms(0)), due(2..3, 0, 1, 0, 0));
        pacer.handle_complete(1, 1);
        assert_eq!(pacer.poll(ms(1)), None);
        pacer.handle_complete(2, 1);
        assert_eq!(pacer.poll(ms(2)), due(2..3, 1, 1, 2, 0));
        pacer.handle_complete(0, 1);
        assert_eq!(pacer.poll(ms(3)), due(0..2, 1, 1, 3, 0));
    }

    #[test]
    fn at_a_rate_every_message_has_its_moment_whatever_became_of_those_before() {
        let mut pacer = Pacer::new(Pace::Rate(100.0), 1, 1);
        assert_eq!(pacer.poll(ms(0)), due(0..1, 0, 1, 0, 10));
        assert_eq!((pacer.poll(ms(9)), pacer.next_at()), (None, Some(ms(10))));
        assert_eq!(pacer.poll(ms(35)), due(0..1, 1, 3, 10, 10), "those that were late go together");
        assert_eq!(pacer.next_at(), Some(ms(40)));
    }

    #[test]
    fn groups_take_turns_at_the_rate() {
        let mut pacer = Pacer::new(Pace::Rate(400.0), 4, 2);
        assert_eq!(pacer.poll(ms(0)), due(0..2, 0, 1, 0, 10));
        assert_eq!((pacer.poll(ms(2)), pacer.next_at()), (None, Some(ms(5))));
        assert_eq!(pacer.poll(ms(5)), due(2..4, 0, 1, 5, 10));
        assert_eq!((pacer.poll(ms(5)), pacer.poll(ms(10))), (None, due(0..2, 1, 1, 10, 10)));
    }
}
