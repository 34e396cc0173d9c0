//! A client beside the attackers, who does nothing wrong: what it waits for, and whether all of it is right.
//!
//! Load is open: every request has its moment, and its time counts from that moment, whatever became of those before. So a
//! node that stands still is seen to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use super::asking::Session;
use super::connection::AttackError;
use super::health;
use super::watched::{Notes, Phase, Watched};

/// What a victim does: how often it asks for what, never where `None`.
#[derive(Debug, Clone)]
pub struct VictimPlan {
    /// The node.
    pub address: SocketAddr,
    /// The room that it is in; those that it joins anew have a number behind this name.
    pub room: String,
    /// Between JSON pings.
    pub ping: Option<Duration>,
    /// Between publishes into the room.
    pub publish: Option<Duration>,
    /// Between joins of new rooms, each left at once.
    pub join: Option<Duration>,
    /// Between health checks.
    pub health: Option<Duration>,
}

impl VictimPlan {
    /// JSON pings alone, fifty a second.
    #[must_use]
    pub fn pings(address: SocketAddr, room: &str) -> Self {
        let ping = Some(Duration::from_millis(20));
        Self { address, room: room.to_owned(), ping, publish: None, join: None, health: None }
    }
}

/// A running victim.
pub struct Victim {
    notes: Arc<Notes>,
    threads: Vec<JoinHandle<()>>,
}

impl Victim {
    /// Connects, joins its room, and begins, in [`Phase::Before`].
    ///
    /// # Errors
    /// The node does not let it in.
    pub fn start(plan: &VictimPlan) -> Result<Self, AttackError> {
        let notes = Arc::new(Notes::default());
        let (session, mut reader) = Session::open(plan, &notes)?;
        let mut threads = vec![std::thread::spawn(move || session.ask_all()), std::thread::spawn(move || reader.run())];
        if let Some(every) = plan.health {
            let (address, notes) = (plan.address, Arc::clone(&notes));
            threads.push(std::thread::spawn(move || health::watch(address, every, &notes)));
        }
        Ok(Self { notes, threads })
    }

    /// What is due from now on belongs to this phase.
    pub fn phase(&self, phase: Phase) {
        self.notes.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What was seen so far. What waits for an answer is not in it.
    #[must_use]
    pub fn seen(&self) -> Watched {
        self.notes.with(|watched| watched.clone())
    }

    /// Asks for nothing more, waits for what is missing, and tells what was seen.
    pub fn finish(mut self) -> Watched {
        self.notes.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.notes.with(|watched| watched.fault("a thread of the victim has panicked".to_owned()));
            }
        }
        self.seen()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.notes.stop.store(true, Ordering::Relaxed);
    }
}
