//! Who sets out when: at a rate, but never more at a time than a server's queue of new connections takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Connections of one loop that may be on their way at a time: below the usual 4,096 of a listening socket.
const UNDER_WAY: usize = 512;
/// After an attempt that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Who of a loop's clients sets out when.
#[derive(Debug)]
pub(crate) struct Dialler {
    clients: usize,
    start: Instant,
    every: Duration,
    next: usize,
    under_way: usize,
    again: VecDeque<(Instant, usize)>,
}

impl Dialler {
    /// So many clients a second from `start` on.
    pub(crate) fn new(clients: usize, rate: f64, start: Instant) -> Self {
        let every = Duration::from_secs_f64(1.0 / rate);
        Self { clients, start, every, next: 0, under_way: 0, again: VecDeque::new() }
    }

    /// The next one to set out, and when that was due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(usize, Instant)> {
        if self.under_way == UNDER_WAY {
            return None;
        }
        let again = self.again.front().copied().filter(|(at, _)| *at <= now);
        let (client, due) = if let Some((at, client)) = again {
            self.again.pop_front();
            (client, at)
        } else {
            let due = self.due()?;
            if due > now {
                return None;
            }
            self.next += 1;
            (self.next - 1, due)
        };
        self.under_way += 1;
        Some((client, due))
    }

    /// When somebody is due next; `None`: everybody has set out.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let again = self.again.front().map(|(at, _)| *at);
        [self.due(), again].into_iter().flatten().min()
    }

    fn due(&self) -> Option<Instant> {
        (self.next < self.clients).then(|| self.start + self.every.mul_f64(self.next as f64))
    }

    /// One of them is there.
    pub(crate) fn handle_there(&mut self) {
        self.under_way -= 1;
    }

    /// One of them came to nothing, and tries again.
    pub(crate) fn handle_failed(&mut self, client: usize, now: Instant) {
        self.under_way -= 1;
        self.again.push_back((now + PAUSE, client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_set_out_at_their_moments_and_try_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut dialler = Dialler::new(3, 100.0, start);
        assert_eq!((dialler.poll(start), dialler.poll(start)), (Some((0, start)), None));
        assert_eq!(dialler.poll(at(25)), Some((1, at(10))));
        dialler.handle_failed(0, at(25));
        assert_eq!(dialler.poll(at(25)), Some((2, at(20))));
        assert_eq!((dialler.poll(at(224)), dialler.next_at()), (None, Some(at(225))));
        assert_eq!((dialler.poll(at(225)), dialler.next_at()), (Some((0, at(225))), None));
    }

    #[test]
    fn no_more_are_on_their_way_than_a_listening_socket_takes() {
        let start = Instant::now();
        let mut dialler = Dialler::new(1_000, 1e6, start);
        let later = start + Duration::from_secs(1);
        assert_eq!(std::iter::from_fn(|| dialler.poll(later)).count(), UNDER_WAY);
        dialler.handle_there();
        assert_eq!(std::iter::from_fn(|| dialler.poll(later)).count(), 1);
    }
}
