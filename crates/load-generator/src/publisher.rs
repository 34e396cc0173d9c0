//! The part of a client that publishes: when, what, and what became of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Session;
use client::verifier::Party;
use protocol::MessageId;
use tokio::sync::Semaphore;

use crate::crowd::{Crowd, Room};
use crate::plan::{Pace, Traffic};
use crate::stamp::Stamp;

/// Publishes that may be unacknowledged: below what a session takes.
const UNACKNOWLEDGED: usize = 400;

/// One publisher's messages.
pub(crate) struct Publisher {
    /// Its place among all publishers.
    index: usize,
    bytes: usize,
    timetable: Option<Timetable>,
    /// When the messages were due that have no acknowledgement yet.
    due: HashMap<MessageId, Instant>,
}

/// When messages are due.
#[derive(Debug, Clone)]
enum Timetable {
    /// Evenly spread moments; those of all publishers together are evenly spread, too.
    Even { next: Instant, every: Duration },
    /// Those of a recorded room, with the lengths of its messages; the first is the next.
    Recorded(VecDeque<(Instant, usize)>),
}

impl Timetable {
    fn next(&self) -> Option<Instant> {
        match self {
            Self::Even { next, .. } => Some(*next),
            Self::Recorded(left) => left.front().map(|(at, _)| *at),
        }
    }

    /// The message that is due by now, with its length if that was recorded.
    fn poll(&mut self, now: Instant) -> Option<(Instant, Option<usize>)> {
        let due = self.next().filter(|at| *at <= now)?;
        match self {
            Self::Even { next, every } => {
                *next += *every;
                Some((due, None))
            }
            Self::Recorded(left) => left.pop_front().map(|(at, bytes)| (at, Some(bytes))),
        }
    }
}

impl Publisher {
    /// Publisher number `index`, before the start.
    pub(crate) fn new(index: usize, traffic: &Traffic) -> Self {
        Self { index, bytes: traffic.bytes, timetable: None, due: HashMap::new() }
    }

    /// Publishing begins.
    pub(crate) fn handle_start(&mut self, start: Instant, traffic: &Traffic) {
        self.timetable = match &traffic.pace {
            Pace::Rate(rate) => {
                let between = Duration::from_secs_f64(1.0 / rate);
                let next = start + between.mul_f64(self.index as f64);
                Some(Timetable::Even { next, every: between.mul_f64(traffic.publishers as f64) })
            }
            Pace::InFlight(_) => None,
            Pace::Recorded(recorded) => {
                let lines = recorded.trace.lines.iter().filter(|line| line.room == self.index);
                let lines = lines.map(|line| (start + line.at.div_f64(recorded.speed), line.bytes));
                Some(Timetable::Recorded(lines.collect()))
            }
        };
    }

    /// When the next message is due; `None`: none is, or an acknowledgement must come first.
    pub(crate) fn next_due(&self, room: &Room, session: &Session) -> Option<Instant> {
        let timetable = self.timetable.as_ref().filter(|_| session.unacknowledged(&room.name) < UNACKNOWLEDGED)?;
        timetable.next()
    }

    /// Publishes everything that is due, as far as the session takes it; the rest is late, and counted as such.
    pub(crate) fn publish_due(&mut self, crowd: &Crowd, room: &Room, session: &mut Session, now: Instant) {
        if crowd.is_over() {
            self.timetable = None;
        }
        while session.unacknowledged(&room.name) < UNACKNOWLEDGED
            && let Some((due, bytes)) = self.timetable.as_mut().and_then(|timetable| timetable.poll(now))
        {
            self.publish_one(crowd, room, session, (due, bytes.unwrap_or(self.bytes)));
        }
    }

    /// Publishes a message that was due at that moment.
    pub(crate) fn publish(&mut self, crowd: &Crowd, room: &Room, session: &mut Session, due: Instant) {
        self.publish_one(crowd, room, session, (due, self.bytes));
    }

    fn publish_one(&mut self, crowd: &Crowd, room: &Room, session: &mut Session, (due, bytes): (Instant, usize)) {
        let Some(user) = session.user().cloned() else { return };
        let stamp = Stamp { run: crowd.run, number: crowd.number(), due: due.duration_since(crowd.origin) };
        let (id, body) = (stamp.id(), stamp.body(bytes));
        if !crowd.expect(|verifier| verifier.handle_publish(self.party(), &user, &room.name, &id, &body)) {
            return;
        }
        self.due.insert(id.clone(), due);
        crowd.stats.of(self.index).times.late.record(due.elapsed());
        if let Err(refusal) = session.handle_publish(&room.name, id, body) {
            crowd.stats.of(self.index).handle_refusal(format!("publisher {}: {refusal}", self.index));
        }
    }

    /// Whether another message may go out where messages in flight are counted.
    pub(crate) fn may_publish(session: &Session, room: &Room) -> Option<Arc<Semaphore>> {
        let open = session.position(&room.name).is_some() && session.unacknowledged(&room.name) < UNACKNOWLEDGED;
        room.in_flight.clone().filter(|_| open)
    }

    /// How long it took from when a message was due to its acknowledgement.
    pub(crate) fn handle_acked(&mut self, id: &MessageId, now: Instant) -> Option<Duration> {
        self.due.remove(id).map(|due| now.saturating_duration_since(due))
    }

    /// The verifier's name for it.
    pub(crate) fn party(&self) -> Party {
        Party(u32::try_from(self.index).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::Recorded;
    use crate::trace::Trace;

    use super::*;

    #[test]
    fn publishers_take_turns_at_the_rate_that_was_asked_for() {
        let traffic = Traffic { publishers: 4, pace: Pace::Rate(2.0), bytes: 100 };
        let start = Instant::now();
        for index in 0..4 {
            let mut publisher = Publisher::new(index, &traffic);
            assert!(publisher.timetable.is_none());
            publisher.handle_start(start, &traffic);
            let timetable = publisher.timetable.as_mut().unwrap();
            let first = start + Duration::from_millis(500) * index as u32;
            assert_eq!((timetable.poll(first), timetable.poll(first)), (Some((first, None)), None));
            assert_eq!(timetable.next(), Some(first + Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_recording_has_a_publisher_for_each_of_its_rooms() {
        let trace = Arc::new(Trace::parse("at_ms,room,author,bytes\n0,a,1,5\n600,b,2,6\n1200,a,3,7").unwrap());
        let pace = Pace::Recorded(Recorded { trace, speed: 6.0 });
        let traffic = Traffic { publishers: 2, pace, bytes: 1 };
        let start = Instant::now();
        let mut publisher = Publisher::new(0, &traffic);
        publisher.handle_start(start, &traffic);
        let timetable = publisher.timetable.as_mut().unwrap();
        let last = start + Duration::from_millis(200);
        assert_eq!(timetable.poll(start), Some((start, Some(5))));
        assert_eq!((timetable.poll(start), timetable.poll(last)), (None, Some((last, Some(7)))));
        assert_eq!(timetable.next(), None);
    }
}
