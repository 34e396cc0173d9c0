//! The part of a client that publishes: when, what, and what became of it.

use std::collections::HashMap;
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

/// Evenly spread moments; those of all publishers together are evenly spread, too.
#[derive(Debug, Clone, Copy)]
struct Timetable {
    next: Instant,
    every: Duration,
}

impl Publisher {
    /// Publisher number `index`, before the start.
    pub(crate) fn new(index: usize, traffic: &Traffic) -> Self {
        Self { index, bytes: traffic.bytes, timetable: None, due: HashMap::new() }
    }

    /// Publishing begins.
    pub(crate) fn handle_start(&mut self, start: Instant, traffic: &Traffic) {
        if let Pace::Rate(rate) = traffic.pace {
            let between = Duration::from_secs_f64(1.0 / rate);
            let next = start + between.mul_f64(self.index as f64);
            self.timetable = Some(Timetable { next, every: between.mul_f64(traffic.publishers as f64) });
        }
    }

    /// When the next message is due; `None`: none is, or an acknowledgement must come first.
    pub(crate) fn next_due(&self, room: &Room, session: &Session) -> Option<Instant> {
        let timetable = self.timetable.filter(|_| session.unacknowledged(&room.name) < UNACKNOWLEDGED)?;
        Some(timetable.next)
    }

    /// Publishes everything that is due, as far as the session takes it; the rest is late, and counted as such.
    pub(crate) fn publish_due(&mut self, crowd: &Crowd, room: &Room, session: &mut Session, now: Instant) {
        while let Some(timetable) = self.timetable.as_mut().filter(|timetable| timetable.next <= now) {
            if crowd.is_over() {
                self.timetable = None;
                return;
            }
            if session.unacknowledged(&room.name) >= UNACKNOWLEDGED {
                return;
            }
            let due = timetable.next;
            timetable.next += timetable.every;
            self.publish(crowd, room, session, due);
        }
    }

    /// Publishes a message that was due at that moment.
    pub(crate) fn publish(&mut self, crowd: &Crowd, room: &Room, session: &mut Session, due: Instant) {
        let Some(user) = session.user().cloned() else { return };
        let stamp = Stamp { run: crowd.run, number: crowd.number(), due: due.duration_since(crowd.origin) };
        let (id, body) = (stamp.id(), stamp.body(self.bytes));
        crowd.verifier().handle_publish(self.party(), &user, &room.name, &id, &body);
        self.due.insert(id.clone(), due);
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
    use super::*;

    #[test]
    fn publishers_take_turns_at_the_rate_that_was_asked_for() {
        let traffic = Traffic { publishers: 4, pace: Pace::Rate(2.0), bytes: 100 };
        let start = Instant::now();
        for index in 0..4 {
            let mut publisher = Publisher::new(index, &traffic);
            assert!(publisher.timetable.is_none());
            publisher.handle_start(start, &traffic);
            let timetable = publisher.timetable.unwrap();
            assert_eq!(timetable.next, start + Duration::from_millis(500) * index as u32);
            assert_eq!(timetable.every, Duration::from_secs(2));
        }
    }
}
