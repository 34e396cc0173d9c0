//! How often a session, a user and an address may do something.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm). So it takes little
//! memory, and what refills it is the clock. A session has its own buckets. Those of users and addresses are in tables, and
//! only as long as they are not full: an idle session takes no memory there.

mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use protocol::UserId;

use crate::backplane::count;
use crate::config::{Rate, Rates};
use table::{Key, Table, network};

/// What has a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A publish.
    Publish,
    /// A signal.
    Signal,
    /// A join.
    Join,
    /// A join of a room that this node does not host.
    Open,
    /// A `history` request.
    History,
}

const ACTS: usize = 5;

/// One rate as buckets use it, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// What one act costs; 0: nothing, there is no limit.
    interval: u64,
    /// What may be owed: the burst.
    tolerance: u64,
}

/// The paces of all acts.
type Paces = [Pace; ACTS];

/// Of each act, the time at which its bucket is full again, in nanoseconds since the limiter began.
#[derive(Debug, Default)]
struct Buckets([AtomicU64; ACTS]);

/// The rates of a node, and what its users and addresses have used of theirs.
#[derive(Debug)]
pub(crate) struct Limiter {
    began: Instant,
    session: Paces,
    users: Option<Table>,
    addresses: Option<Table>,
    pub(crate) stats: RateStats,
}

/// What was refused for its rate; all count from the node's start.
#[derive(Debug, Default)]
pub(crate) struct RateStats {
    refused: [AtomicU64; ACTS],
    /// Of these, because of what other sessions of the same user have done.
    pub(crate) by_user: AtomicU64,
    /// Of these, because of what other sessions from the same address have done.
    pub(crate) by_address: AtomicU64,
}

/// What one session may do.
#[derive(Debug)]
pub(crate) struct Allowance {
    limiter: Arc<Limiter>,
    own: Buckets,
    /// What its user and its address have in the tables, if these have limits.
    user: Option<Key>,
    address: Option<Key>,
}

impl RateStats {
    /// How often an act was refused.
    pub(crate) fn refused(&self, act: Act) -> u64 {
        self.refused[act as usize].load(Relaxed)
    }
}

impl Limiter {
    pub(crate) fn new(rates: &Rates) -> Arc<Self> {
        let table = |factor: u32| (factor > 0).then(|| Table::new(paces(rates, factor)));
        Arc::new(Self {
            began: Instant::now(),
            session: paces(rates, 1),
            users: table(rates.user_factor),
            addresses: table(rates.address_factor),
            stats: RateStats::default(),
        })
    }

    /// What a new session of a user may do, from an address if that is known.
    pub(crate) fn session(self: &Arc<Self>, user: &UserId, address: Option<IpAddr>) -> Allowance {
        Allowance {
            limiter: Arc::clone(self),
            own: Buckets::default(),
            user: self.users.as_ref().map(|users| users.key(user)),
            address: self.addresses.as_ref().zip(address).map(|(table, ip)| table.key(&network(ip))),
        }
    }

    /// Forgets users and addresses that owe nothing, and gives their memory back. New ones do so, too, whenever there are
    /// twice as many as were needed.
    pub(crate) fn forget_idle(&self) {
        let now = self.now();
        [&self.users, &self.addresses].into_iter().flatten().for_each(|table| table.sweep(now));
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Allowance {
    /// Whether the session may do this now; counts a refusal. A refusal uses nothing up, neither of the session's own rate nor
    /// of its user's or its address's.
    pub(crate) fn admits(&self, act: Act) -> bool {
        self.admits_at(act, self.limiter.now())
    }

    fn admits_at(&self, act: Act, now: u64) -> bool {
        let (limiter, index) = (&*self.limiter, act as usize);
        let own = limiter.session[index];
        if own.interval == 0 {
            return true;
        }
        let stats = &limiter.stats;
        if !self.own.take(index, own, now) {
            count(&stats.refused[index]);
            return false;
        }
        if !shared(&limiter.users, self.user, index, now) {
            self.own.give_back(index, own);
            count(&stats.refused[index]);
            count(&stats.by_user);
            return false;
        }
        if !shared(&limiter.addresses, self.address, index, now) {
            if let (Some(table), Some(key)) = (&limiter.users, self.user) {
                table.give_back(key, index);
            }
            self.own.give_back(index, own);
            count(&stats.refused[index]);
            count(&stats.by_address);
            return false;
        }
        true
    }

    /// Gives an act back that was admitted, but that the node did not carry out.
    pub(crate) fn give_back(&self, act: Act) {
        let (limiter, index) = (&*self.limiter, act as usize);
        if limiter.session[index].interval == 0 {
            return;
        }
        self.own.give_back(index, limiter.session[index]);
        for (table, key) in [(&limiter.users, self.user), (&limiter.addresses, self.address)] {
            if let (Some(table), Some(key)) = (table, key) {
                table.give_back(key, index);
            }
        }
    }

    /// No limits at all.
    pub(crate) fn unlimited() -> Self {
        Limiter::new(&Rates::default()).session(&UserId::new("anybody").expect("a plain name"), None)
    }
}

/// Takes from the buckets that a session shares with others, if it shares any.
fn shared(table: &Option<Table>, key: Option<Key>, index: usize, now: u64) -> bool {
    let (Some(table), Some(key)) = (table, key) else { return true };
    table.take(key, index, now)
}

impl Pace {
    /// When a bucket is full again after one more act, if there may be one now.
    fn take(self, full_at: u64, now: u64) -> Option<u64> {
        let next = full_at.max(now).saturating_add(self.interval);
        (next - now <= self.tolerance).then_some(next)
    }
}

impl Buckets {
    fn take(&self, index: usize, pace: Pace, now: u64) -> bool {
        self.0[index].try_update(Relaxed, Relaxed, |full_at| pace.take(full_at, now)).is_ok()
    }

    /// Takes an act back that was taken before.
    fn give_back(&self, index: usize, pace: Pace) {
        self.0[index].fetch_sub(pace.interval, Relaxed);
    }
}

fn paces(rates: &Rates, factor: u32) -> Paces {
    const SECOND: u64 = 1_000_000_000;
    let pace = |rate: Rate| {
        let per_second = u64::from(rate.per_second) * u64::from(factor);
        let interval = SECOND.checked_div(per_second).map_or(0, |interval| interval.max(1));
        Pace { interval, tolerance: interval * u64::from(rate.burst) * u64::from(factor) }
    };
    [rates.publishes, rates.signals, rates.joins, rates.opens, rates.histories].map(pace)
}

#[cfg(test)]
mod tests;
