//! Brings what is due to the server under test, on the herd's first loop.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::feed::{Feed, Script};
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
        while shared.feeding.load(Ordering::Relaxed) && self.feed.is_ready()? {
            let now = shared.crowd.now().saturating_sub(self.start);
            let Some(due) = self.pacer.poll(now) else { return Ok(()) };
            self.expect(&due, shared);
            let batch = &due.batch;
            shared.sent.fetch_add(batch.count * batch.rooms.len() as u64, Ordering::Release);
            self.feed.send(batch, say)?;
        }
        Ok(())
    }

    /// Lets everybody know what is coming, and when it was due.
    fn expect(&self, due: &Due, shared: &Shared) {
        let batch = &due.batch;
        let now = shared.crowd.now();
        let mut counts = shared.crowd.stats.of(0);
        for room in batch.rooms.clone() {
            let mut pages = shared.crowd.rooms[room].chronicle.open();
            for index in 0..batch.count {
                let at = self.start + due.first + due.every.mul_f64(index as f64);
                counts.times.late.record(now.saturating_sub(at));
                pages.expect(self.script.frame(room, batch.first + index), at);
            }
        }
    }
}
