//! Places of connections that have no session: how many there may be, and which one goes when there are more.
//!
//! A connection waits in the lobby until its first request is known. Requests of health checks and of SNS have pools of
//! their own, so that a flood of other requests cannot refuse them. When a pool is full, its connection that has waited
//! longest for a request goes; a request in flight is never cut. A response whose write does not move counts as waiting.

mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::client_address::counted_as;
use crate::backplane::count;
use table::{Entry, Table, Ticket};

/// A write that has not moved for this long counts as waiting.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(1);

/// What a connection is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// It has sent nothing yet.
    Lobby,
    /// Any request that has no pool of its own.
    General,
    /// Health checks.
    Health,
    /// Posts of SNS, to a path that only SNS knows.
    Sns,
}

/// Connections that each pool holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSizes {
    /// Of the lobby and the general pool together.
    open: usize,
    general: usize,
    health: usize,
    sns: usize,
}

/// What became of connections; all count from the node's start.
#[derive(Debug, Default)]
pub(crate) struct PlaceStats {
    /// Connections or requests that found no place.
    pub(crate) refused: AtomicU64,
    /// Connections that made place for others after they had waited longest.
    pub(crate) evicted: AtomicU64,
    /// Connections refused because their address had as many as one address may have.
    pub(crate) address_refused: AtomicU64,
    /// Connections ended because a write did not move.
    pub(crate) writes_stuck: AtomicU64,
    /// Connections ended because the long heads of all together took too much memory.
    pub(crate) heads_refused: AtomicU64,
    /// Connections closed unheard because the process had no file left.
    pub(crate) without_file: AtomicU64,
}

/// All places of a port.
#[derive(Debug)]
pub(crate) struct Places {
    table: Mutex<Table>,
    sizes: PoolSizes,
    /// Connections of one address; 0: no limit.
    per_address: usize,
    /// Bytes of long heads that all connections hold, and may hold; `None`: as many as they like.
    heads: AtomicUsize,
    most_heads: Option<usize>,
    pub(crate) stats: Arc<PlaceStats>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    ticket: Arc<Ticket>,
    /// The other side of the connection: a client, or a proxy.
    peer: IpAddr,
}

impl PoolSizes {
    /// Divides the places of a public port: an eighth for SNS, a sixteenth for health checks, and of the others an eighth
    /// for connections that have sent nothing yet.
    pub(crate) fn of_public(places: usize) -> Self {
        let sns = places / 8;
        let health = (places / 16).max(usize::from(places >= 8));
        let open = places - sns - health;
        Self { open, general: (open - (open / 8).max(1)).max(1), health, sns }
    }

    /// Of a port whose requests are all alike.
    pub(crate) fn of_private(places: usize) -> Self {
        Self { open: places, general: places, health: 0, sns: 0 }
    }

    fn of(self, pool: Pool) -> usize {
        match pool {
            Pool::Lobby => self.open,
            Pool::General => self.general,
            Pool::Health => self.health,
            Pool::Sns => self.sns,
        }
    }
}

impl Places {
    /// `per_address`: connections of one address, 0 for no limit.
    pub(crate) fn new(sizes: PoolSizes, per_address: usize, stats: Arc<PlaceStats>) -> Arc<Self> {
        let (table, heads) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { table, sizes, per_address, heads, most_heads: None, stats })
    }

    /// The same for a public port, whose connections hold at most `heads` bytes of long heads, all together.
    pub(crate) fn of_public(connections: usize, per_address: usize, heads: usize, stats: Arc<PlaceStats>) -> Arc<Self> {
        let sizes = PoolSizes::of_public(connections);
        let (table, used) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { table, sizes, per_address, heads: used, most_heads: Some(heads), stats })
    }

    /// A place for a new connection, which waits for its first request from now on. `is_proxy`: many clients share the
    /// address, so it has no limit. Returns whether another connection had to go, too.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr, is_proxy: bool, first: Pool) -> Option<(Arc<Place>, bool)> {
        let address = (self.per_address > 0 && !is_proxy).then(|| counted_as(peer));
        let (mut table, now) = (self.lock(), Instant::now());
        if address.is_some_and(|address| table.addresses.get(&address).is_some_and(|some| *some >= self.per_address)) {
            count(&self.stats.address_refused);
            return None;
        }
        let before = table.entries.len();
        let Some(pool) = table.room(self, None, first, now) else {
            count(&self.stats.refused);
            return None;
        };
        let evicted = table.entries.len() < before;
        let ticket = Arc::new(Ticket::default());
        if let Some(address) = address {
            *table.addresses.entry(address).or_default() += 1;
        }
        table.insert(Entry { pool, waits: Some(now), ticket: Arc::clone(&ticket), address });
        drop(table);
        Some((Arc::new(Place { places: Arc::clone(self), ticket, peer }), evicted))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the lock is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(crate) fn stats(&self) -> &PlaceStats {
        &self.places.stats
    }

    /// Whether the connections of this port share a bound on what they send before it can be answered.
    pub(crate) fn counts_heads(&self) -> bool {
        self.places.most_heads.is_some()
    }

    /// Bytes of a long head have come. Returns whether there is memory for them; they count in any case.
    pub(crate) fn hold_head(&self, bytes: usize) -> bool {
        let held = self.places.heads.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = self.places.most_heads.is_none_or(|most| held <= most);
        if !fits {
            count(&self.places.stats.heads_refused);
        }
        fits
    }

    /// They are held no more.
    pub(crate) fn release_head(&self, bytes: usize) {
        self.places.heads.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Wakes this waker when the place is given to another connection.
    pub(crate) fn wake_when_gone(&self, waker: &Waker) {
        self.ticket.waker.register(waker);
    }

    /// Whether the place was given to another connection. A request that has come all the same may ask for another.
    pub(crate) fn is_gone(&self) -> bool {
        self.ticket.gone.load(Ordering::SeqCst)
    }

    /// The beginning of a request has come: the connection belongs to this pool, and still waits. Returns whether there is
    /// a place.
    pub(crate) fn enter(&self, pool: Pool) -> bool {
        self.shift(pool, true)
    }

    /// A request has come whole and is answered now. Returns whether there is a place.
    pub(crate) fn ask(&self, pool: Pool) -> bool {
        self.shift(pool, false)
    }

    /// The connection waits for a request from now on.
    pub(crate) fn rest(&self) {
        self.wait_from(Some(Instant::now()));
    }

    /// A write does not move from now on.
    pub(crate) fn stick(&self) {
        self.wait_from(Some(Instant::now() + STUCK_AFTER));
    }

    /// A write moves again.
    pub(crate) fn unstick(&self) {
        self.wait_from(None);
    }

    fn wait_from(&self, waits: Option<Instant>) {
        let mut table = self.places.lock();
        if !self.is_gone() {
            table.wait(self.key(), waits);
        }
    }

    fn shift(&self, pool: Pool, waits: bool) -> bool {
        let (mut table, now) = (self.places.lock(), Instant::now());
        // In no queue while there is made room: it must not be the one to go.
        let old = if self.is_gone() { None } else { table.take_out(self.key()) };
        let from = old.as_ref().map(|entry| entry.pool);
        let into = if from == Some(pool) { Some(pool) } else { table.room(&self.places, from, pool, now) };
        if let Some(pool) = into {
            let entry = match old {
                Some(entry) => Entry { pool, waits: if waits { entry.waits } else { None }, ..entry },
                None => Entry { pool, waits: waits.then_some(now), ticket: Arc::clone(&self.ticket), address: None },
            };
            table.insert(entry);
        } else {
            count(&self.places.stats.refused);
            if let Some(entry) = old {
                table.insert(entry);
            }
        }
        into.is_some()
    }

    fn key(&self) -> usize {
        self.ticket.key.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.lock();
        if !self.is_gone()
            && let Some(entry) = table.take_out(self.key())
        {
            table.forget_address(entry.address);
        }
    }
}
