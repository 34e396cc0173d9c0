//! What the loops of a herd share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Position;

use super::Dialect;
use super::feeding::Feeding;
use super::handshake::Handshake;
use crate::crowd::Crowd;
use crate::plan::Plan;

/// How a herd goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Leave {
    #[default]
    Stay,
    /// Each connection ends with a FIN.
    Quietly,
    /// All connections are reset at once.
    Vanish,
}

pub(crate) struct Shared {
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) plan: Plan,
    pub(crate) dialect: Dialect,
    pub(crate) handshake: Handshake,
    /// Clients before these belong to others.
    pub(crate) first_seat: usize,
    pub(crate) threads: usize,
    /// Loops never sleep: whoever sends to them has nobody to wake.
    pub(crate) spin: bool,
    /// Messages that were given to the server, and those of them that everybody has seen.
    pub(crate) sent: AtomicU64,
    pub(crate) complete: AtomicU64,
    /// Something more may be sent. What is sent is counted under this lock, so who ends it knows what there was.
    feeding: Mutex<bool>,
    /// Something below has changed.
    pub(crate) told: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// For the first loop, when it next looks.
    pub(crate) feeding: Option<Feeding>,
    pub(crate) leave: Leave,
    /// Nothing is read.
    pub(crate) dozing: bool,
    /// Where the first client of each room came in.
    pub(crate) entered: Vec<Option<Position>>,
    /// Rooms, and how many more of their messages everybody has seen.
    pub(crate) complete: VecDeque<(usize, u64)>,
    /// Why the feed ended, if it has failed.
    pub(crate) failed: Option<String>,
}

impl Shared {
    pub(crate) fn new(
        crowd: Arc<Crowd>,
        plan: Plan,
        (dialect, threads, spin): (Dialect, usize, bool),
        first_seat: usize,
    ) -> Self {
        let state = State { entered: vec![None; plan.rooms], ..State::default() };
        Self {
            crowd,
            plan,
            dialect,
            handshake: Handshake::new(fastrand::u128(..)),
            first_seat,
            threads,
            spin,
            sent: AtomicU64::new(0),
            complete: AtomicU64::new(0),
            feeding: Mutex::new(false),
            told: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn feeding(&self) -> MutexGuard<'_, bool> {
        self.feeding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all loops look.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.told.fetch_add(1, Ordering::Release);
    }

    /// A client came into a room.
    pub(crate) fn handle_entered(&self, room: usize, position: &Position) {
        let mut state = self.state();
        if state.entered[room].is_none() {
            state.entered[room] = Some(position.clone());
        }
    }

    /// Everybody has seen so many more of a room's messages.
    pub(crate) fn handle_complete(&self, room: usize, count: u64) {
        if let Some(in_flight) = &self.crowd.rooms[room].in_flight {
            in_flight.add_permits(count as usize);
        }
        if self.sent.load(Ordering::Relaxed) > 0 {
            self.state().complete.push_back((room, count));
        }
        self.complete.fetch_add(count, Ordering::Release);
    }

    /// Where each room's clients came in.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.state().entered.iter().map(|entered| entered.clone().unwrap_or_else(Position::start)).collect()
    }
}
