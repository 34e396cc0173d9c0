//! Counts and times, spread over several locks so that clients do not wait for each other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::session::Violation;

use crate::herd::Fault;
use crate::latencies::Latencies;

/// Locks.
const SHARDS: usize = 8;
/// Broken promises that are told in full; the others are counted.
const TOLD: usize = 10;

/// What happened so far.
#[derive(Default)]
pub(crate) struct Stats([Mutex<Counts>; SHARDS]);

/// What happened to some of the clients.
#[derive(Default, Clone)]
pub(crate) struct Counts {
    /// Messages that came in order and once.
    pub(crate) delivered: u64,
    /// Those of them that came in a replay.
    pub(crate) replayed: u64,
    /// Times that numbers were skipped.
    pub(crate) gaps: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    /// Times that a client could not go on where it was.
    pub(crate) resets: u64,
    /// Other breaches of the protocol.
    pub(crate) breaches: u64,
    /// Some of these, in words.
    pub(crate) told: Vec<String>,
    /// Connections that were greeted.
    pub(crate) connects: u64,
    /// Attempts to connect that came to nothing.
    pub(crate) failed_attempts: u64,
    /// Connections that the load ended by force.
    pub(crate) cuts: u64,
    /// Connections that ended otherwise, by their close codes; `None` is an end without one.
    pub(crate) closes: BTreeMap<Option<u16>, u64>,
    /// Errors that answered nothing, by their codes.
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// Clients that must not try again.
    pub(crate) given_up: u64,
    /// Returns after which everything that was missed had come.
    pub(crate) caught_up: u64,
    /// Newcomers that were due while too many others were on their way.
    pub(crate) skipped: u64,
    pub(crate) times: Times,
    pub(crate) window: Window,
}

/// How long things took, over the whole run.
#[derive(Default, Clone)]
pub(crate) struct Times {
    /// From dialling to the greeting.
    pub(crate) connect: Latencies,
    /// From the TCP connection to `joined`, of those who come for the first time.
    pub(crate) join: Latencies,
    /// The same, of those who come back.
    pub(crate) rejoin: Latencies,
    /// From starting to reconnect to the last message that was missed.
    pub(crate) replay: Latencies,
    /// From when a message was due to a client that was there.
    pub(crate) live: Latencies,
    /// From when a message was due to its acknowledgement.
    pub(crate) ack: Latencies,
    /// From when a message was due to its sending: how far the load itself was behind.
    pub(crate) late: Latencies,
}

/// How long things took since the last sample.
#[derive(Debug, Default, Clone)]
pub(crate) struct Window {
    pub(crate) connect: Vec<Duration>,
    pub(crate) join: Vec<Duration>,
    pub(crate) replay: Vec<Duration>,
}

impl Stats {
    /// Where a client's counts go.
    pub(crate) fn of(&self, seat: usize) -> MutexGuard<'_, Counts> {
        self.0[seat % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far. The windows begin anew.
    pub(crate) fn sample(&self) -> (Totals, Window) {
        let (mut totals, mut window) = (Totals::default(), Window::default());
        for shard in 0..SHARDS {
            let mut counts = self.of(shard);
            let Window { connect, join, replay } = std::mem::take(&mut counts.window);
            window.connect.extend(connect);
            window.join.extend(join);
            window.replay.extend(replay);
            totals.delivered += counts.delivered;
            totals.connects += counts.connects;
            totals.caught_up += counts.caught_up;
        }
        (totals, window)
    }

    /// How long things took is counted anew from here.
    pub(crate) fn forget_times(&self) {
        (0..SHARDS).for_each(|shard| self.of(shard).times = Times::default());
    }

    /// Everything so far, times included.
    pub(crate) fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        (0..SHARDS).for_each(|shard| sum.add(&self.of(shard)));
        sum
    }
}

/// What the line for people says.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) delivered: u64,
    pub(crate) connects: u64,
    pub(crate) caught_up: u64,
}

impl Counts {
    /// A client has noticed that the protocol was broken.
    pub(crate) fn handle_violation(&mut self, seat: usize, violation: &Violation) {
        match violation {
            Violation::Gap { .. } => self.gaps += 1,
            Violation::Repeat { .. } => self.repeated += 1,
            Violation::Reordered { .. } => self.reordered += 1,
            _ => self.breaches += 1,
        }
        self.tell(format!("client {seat}: {violation}"));
    }

    /// Two clients saw different messages under one number.
    pub(crate) fn handle_difference(&mut self, seat: usize, seq: u64) {
        self.breaches += 1;
        self.tell(format!("client {seat}: message {seq} is another one than others saw"));
    }

    /// A client of the herd saw what it must not see. `reordered`: it had been missed before.
    pub(crate) fn handle_fault(&mut self, seat: usize, fault: &Fault, reordered: bool) {
        match fault {
            Fault::Missing { .. } => self.gaps += 1,
            Fault::Late { .. } if reordered => self.reordered += 1,
            Fault::Late { .. } => self.repeated += 1,
            _ => self.breaches += 1,
        }
        self.tell(format!("client {seat}: {fault}"));
    }

    /// Something that was refused for good.
    pub(crate) fn handle_refusal(&mut self, what: String) {
        self.breaches += 1;
        self.tell(what);
    }

    /// Every promise that was broken, a line for each kind, and some of them in full.
    pub(crate) fn broken(&self) -> Vec<String> {
        let counted = [
            (self.gaps, "times numbers were skipped"),
            (self.repeated, "messages came again"),
            (self.reordered, "messages came out of their place"),
            (self.resets, "times a client could not go on where it was"),
            (self.breaches, "other breaches"),
            (self.given_up, "clients were told not to come back"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        counted.map(|(count, what)| format!("{count} {what}")).chain(self.told.iter().cloned()).collect()
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }

    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.replayed += other.replayed;
        self.gaps += other.gaps;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.resets += other.resets;
        self.breaches += other.breaches;
        self.connects += other.connects;
        self.failed_attempts += other.failed_attempts;
        self.cuts += other.cuts;
        self.given_up += other.given_up;
        self.caught_up += other.caught_up;
        self.skipped += other.skipped;
        other.told.iter().for_each(|what| self.tell(what.clone()));
        other.closes.iter().for_each(|(code, count)| *self.closes.entry(*code).or_default() += count);
        other.errors.iter().for_each(|(code, count)| *self.errors.entry(code).or_default() += count);
        self.times.add(&other.times);
    }
}

impl Times {
    fn add(&mut self, other: &Self) {
        self.connect.add(&other.connect);
        self.join.add(&other.join);
        self.rejoin.add(&other.rejoin);
        self.replay.add(&other.replay);
        self.live.add(&other.live);
        self.ack.add(&other.ack);
        self.late.add(&other.late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_clients_say_is_summed_up() {
        let stats = Stats::default();
        for seat in 0..100 {
            let mut counts = stats.of(seat);
            counts.delivered += 1;
            counts.times.live.record(Duration::from_millis(5));
            counts.window.join.push(Duration::from_millis(1));
            counts.handle_difference(seat, 7);
            *counts.closes.entry(Some(1012)).or_default() += 1;
        }
        let sum = stats.sum();
        assert_eq!((sum.delivered, sum.breaches, sum.told.len(), sum.times.live.count()), (100, 100, TOLD, 100));
        assert_eq!(sum.closes, BTreeMap::from([(Some(1012), 100)]));
        assert_eq!(stats.sample().1.join.len(), 100);
        assert!(stats.sample().1.join.is_empty(), "a window ends with its sample");
    }
}
