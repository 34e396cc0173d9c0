use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use mio::Token;

/// What a connection's time has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Its heartbeat.
    Heartbeat,
    /// Its moment to leave a node that drains.
    Leave,
    /// The end of the time that it had to go.
    GiveUp,
}

/// When connections must be looked at. Heartbeats all come after the same time, so they need no order but that in which
/// they are set; everything else is rare.
#[derive(Debug)]
pub(super) struct Clock {
    period: Duration,
    began: Instant,
    /// By nanoseconds since the clock began: every connection has one.
    heartbeats: VecDeque<(u64, Token)>,
    others: BinaryHeap<Reverse<(Instant, Token, Due)>>,
}

impl Clock {
    /// With so much time between two heartbeats.
    pub(super) fn new(period: Duration) -> Self {
        Self { period, began: Instant::now(), heartbeats: VecDeque::new(), others: BinaryHeap::new() }
    }

    /// The next heartbeat of a connection.
    pub(super) fn beat_again(&mut self, token: Token, now: Instant) {
        self.heartbeats.push_back((self.nanos(now + self.period), token));
    }

    /// Anything else, once.
    pub(super) fn set(&mut self, token: Token, due: Due, at: Instant) {
        self.others.push(Reverse((at, token, due)));
    }

    /// When the next connection must be looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        let heartbeat = self.heartbeats.front().map(|(at, _)| self.began + Duration::from_nanos(*at));
        let other = self.others.peek().map(|Reverse((at, ..))| *at);
        [heartbeat, other].into_iter().flatten().min()
    }

    /// A connection whose time has come. It may be gone already.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Token, Due)> {
        if let Some(Reverse((_, token, due))) = self.others.peek().copied().filter(|Reverse((at, ..))| *at <= now) {
            self.others.pop();
            return Some((token, due));
        }
        let now = self.nanos(now);
        let (_, token) = self.heartbeats.pop_front_if(|(at, _)| *at <= now)?;
        Some((token, Due::Heartbeat))
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_its_time() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut clock = Clock::new(10 * second);
        clock.beat_again(Token(1), start);
        clock.beat_again(Token(2), start + second);
        clock.set(Token(2), Due::Leave, start + 5 * second);
        clock.set(Token(1), Due::GiveUp, start + 4 * second);
        assert_eq!(clock.next(), Some(start + 4 * second));
        assert_eq!(clock.pop(start + 3 * second), None);
        assert_eq!(clock.pop(start + 6 * second), Some((Token(1), Due::GiveUp)));
        assert_eq!(clock.pop(start + 6 * second), Some((Token(2), Due::Leave)));
        assert_eq!((clock.next(), clock.pop(start + 9 * second)), (Some(start + 10 * second), None));
        assert_eq!(clock.pop(start + 12 * second), Some((Token(1), Due::Heartbeat)));
        assert_eq!(clock.pop(start + 12 * second), Some((Token(2), Due::Heartbeat)));
        assert_eq!(clock.next(), None);
    }
}
