//! What a victim has seen, by what it asked for and when.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::latencies::Latencies;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A JSON ping: `pong`.
    Pong,
    /// A publish: `ack`.
    Ack,
    /// A join of a room that is new each time: `joined`.
    Join,
    /// `GET /healthz` over a connection of its own.
    Health,
}

/// When it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before the attack.
    Before,
    /// While it lasts.
    During,
    /// Behind it.
    After,
}

/// What a victim saw.
#[derive(Default, Clone)]
pub struct Watched {
    /// From when something was due to its answer; what was never answered counts as long as it was waited for.
    pub times: BTreeMap<(Phase, Kind), Latencies>,
    /// Requests that were answered with an error, or refused, by its code.
    pub errors: BTreeMap<(Phase, Kind, String), u64>,
    /// Requests that were never answered.
    pub unanswered: u64,
    /// What must not happen: a connection that ends, numbers out of order, answers that do not fit. At most ten are kept.
    pub faults: Vec<String>,
}

/// Shared by the victim's threads and its owner.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) stop: AtomicBool,
    pub(super) phase: AtomicU8,
    pub(super) watched: Mutex<Watched>,
}

impl Watched {
    /// The times of a kind in a phase; none, if nothing was asked for.
    #[must_use]
    pub fn of(&self, phase: Phase, kind: Kind) -> Latencies {
        self.times.get(&(phase, kind)).cloned().unwrap_or_default()
    }

    /// The longest wait of a kind in a phase.
    #[must_use]
    pub fn worst(&self, phase: Phase, kind: Kind) -> Duration {
        self.of(phase, kind).quantile(1.0)
    }

    /// How many requests of a kind were refused in a phase.
    #[must_use]
    pub fn refused(&self, phase: Phase, kind: Kind) -> u64 {
        let errors = self.errors.iter().filter(|((at, of, _), _)| (*at, *of) == (phase, kind));
        errors.map(|(_, count)| count).sum()
    }

    pub(super) fn fault(&mut self, what: String) {
        if self.faults.len() < 10 {
            self.faults.push(what);
        }
    }

    pub(super) fn took(&mut self, phase: Phase, kind: Kind, time: Duration) {
        self.times.entry((phase, kind)).or_default().record(time);
    }

    pub(super) fn failed(&mut self, phase: Phase, kind: Kind, code: &str) {
        *self.errors.entry((phase, kind, code.to_owned())).or_default() += 1;
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((phase, kind), times) in &self.times {
            writeln!(f, "{phase:?} {kind:?}: {times}")?;
        }
        for ((phase, kind, code), count) in &self.errors {
            writeln!(f, "{phase:?} {kind:?}: {count} times {code}")?;
        }
        write!(f, "{} unanswered; faults: {:?}", self.unanswered, self.faults)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Notes {
    pub(super) fn now(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Before,
            1 => Phase::During,
            _ => Phase::After,
        }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Watched) -> T) -> T {
        act(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
