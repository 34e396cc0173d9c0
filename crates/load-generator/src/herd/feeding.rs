//! Brings what is due to the server under test, on the herd's first loop.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::feed::{Batch, Feed, Script};
use super::pacer::{Due, Pacer};
use super::shared::Shared;

/// What is due, what it is, and who brings it there.
pub(crate) struct Feeding {
    pub(crate) pacer: Pacer,
    pub(crate) script: Script,
    pub(crate) feed: Box<dyn Feed>,
    /// Since the run's origin.
    pub(crate) start: Duration,
    /// Messages that everybody had seen when that was last looked at.
    pub(crate) known: u64,
}

impl Feeding {
    /// When something is due by time alone, since the run's origin.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.pacer.next_at().map(|at| self.start + at)
    }

    /// Sends what is due. `say` lets a client of a room send a text.
    ///
    /// # Errors
    /// The feed has failed.
    pub(crate) fn turn(&mut self, shared: &Shared, say: &mut dyn FnMut(usize, &str)) -> io::Result<()> {
        let complete = shared.complete.load(Ordering::Acquire);
        if complete != self.known {
            self.known = complete;
            let news = std::mem::take(&mut shared.state().complete);
            news.into_iter().for_each(|(room, count)| self.pacer.handle_complete(room, count));
        }
        while *shared.feeding() && self.feed.is_ready()? {
            let Some(batch) = self.next(shared) else { return Ok(()) };
            self.feed.send(&batch, say)?;
        }
        Ok(())
    }

    /// What is to be sent now, counted and expected; `None`: nothing is due, or the feed has ended meanwhile.
    fn next(&mut self, shared: &Shared) -> Option<Batch> {
        let feeding = shared.feeding();
        if !*feeding {
            return None;
        }
        let due = self.pacer.poll(shared.crowd.now().saturating_sub(self.start))?;
        self.expect(&due, shared);
        shared.sent.fetch_add(due.batch.count * due.batch.rooms.len() as u64, Ordering::Release);
        Some(due.batch)
    }

    /// Lets everybody know what is coming, and when it was due.
    fn expect(&self, due: &Due, shared: &Shared) {
        let batch = &due.batch;
        let now = shared.crowd.now();
        let told_by_server = self.feed.is_told_by_server();
        let mut counts = shared.crowd.stats.of(0);
        for room in batch.rooms.clone() {
            let mut pages = shared.crowd.rooms[room].chronicle.open();
            for index in 0..batch.count {
                let at = self.start + due.first + due.every.mul_f64(index as f64);
                counts.times.late.record(now.saturating_sub(at));
                pages.expect(self.script.frame(room, batch.first + index), told_by_server, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use protocol::{Position, RoomName};

    use super::*;
    use crate::crowd::Crowd;
    use crate::herd::Dialect;
    use crate::plan::{Pace, Plan};
    use crate::wire::Target;

    fn shared() -> Arc<Shared> {
        let target = Target::resolve("ws://127.0.0.1:9").unwrap();
        let plan = Plan { urls: vec!["ws://127.0.0.1:9".to_owned()], clients: 1, ..Plan::empty("herd") };
        let crowd = Crowd::new(&plan, vec![target]).unwrap();
        let shared = Shared::new(crowd, plan, (Dialect::Raw, 1, false), 0);
        *shared.feeding() = true;
        Arc::new(shared)
    }

    /// Takes so many batches; the feed is ended while it is asked for the next.
    struct Ended {
        shared: Arc<Shared>,
        after: u64,
        sent: Arc<AtomicU64>,
    }

    impl Feed for Ended {
        fn is_ready(&mut self) -> io::Result<bool> {
            *self.shared.feeding() = self.sent.load(Ordering::SeqCst) < self.after;
            Ok(true)
        }

        fn send(&mut self, batch: &Batch, _: &mut dyn FnMut(usize, &str)) -> io::Result<()> {
            self.sent.fetch_add(batch.count, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn a_feed_that_is_ended_between_two_looks_sends_nothing_more() {
        for after in [0, 3] {
            let shared = shared();
            let script = Script::new(vec![(RoomName::new("r").unwrap(), Position::start())], 128, 0);
            let sent = Arc::<AtomicU64>::default();
            let feed = Ended { shared: Arc::clone(&shared), after, sent: Arc::clone(&sent) };
            let pacer = Pacer::new(Pace::InFlight(8), 1, 1);
            let mut feeding = Feeding { pacer, script, feed: Box::new(feed), start: Duration::ZERO, known: 0 };
            for _ in 0..10 {
                feeding.turn(&shared, &mut |_, _| {}).unwrap();
                // Everybody has seen it: more would be due.
                let seen = sent.load(Ordering::SeqCst) - shared.complete.load(Ordering::SeqCst);
                shared.handle_complete(0, seen);
            }
            assert_eq!(sent.load(Ordering::SeqCst), shared.sent.load(Ordering::SeqCst));
            // In flight at a time are eight, so a batch may have more than one.
            assert!(sent.load(Ordering::SeqCst) <= after + 8);
            assert_eq!(sent.load(Ordering::SeqCst) == 0, after == 0);
        }
    }
}
