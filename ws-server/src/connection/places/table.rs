//! Which connections have a place, and in which order they go when places are short.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use slab::Slab;

use super::{Places, Pool};
use crate::backplane::count;

const POOLS: usize = 4;

/// What a place and the table share.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    pub(super) key: AtomicUsize,
    /// The place was given to another connection. Changes only while the table is locked.
    pub(super) gone: AtomicBool,
    /// Wakes what serves the connection when the place is gone.
    pub(super) waker: AtomicWaker,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Slab<Entry>,
    /// Connections that may go from some moment on, the first to go first.
    waiting: [BTreeSet<(Instant, usize)>; POOLS],
    used: [usize; POOLS],
    /// Connections of each address, if that is limited.
    pub(super) addresses: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pool: Pool,
    /// When it may go; `None`: its request is in flight.
    pub(super) waits: Option<Instant>,
    pub(super) ticket: Arc<Ticket>,
    /// The address that it counts for, if that is limited.
    pub(super) address: Option<IpAddr>,
}

impl Table {
    /// The pool that a connection may go into; another one may have to go for it. Its own entry must not be here.
    pub(super) fn room(&mut self, places: &Places, from: Option<Pool>, to: Pool, now: Instant) -> Option<Pool> {
        let sizes = places.sizes;
        let has_room = |table: &Self, pool: Pool| table.used[pool as usize] < sizes.of(pool);
        let is_open = |table: &Self| table.used[Pool::Lobby as usize] + table.used[Pool::General as usize] < sizes.open;
        match to {
            Pool::Lobby => (is_open(self) || self.evict(places, &[Pool::Lobby, Pool::General], now)).then_some(to),
            Pool::General => {
                let fits = has_room(self, to) || self.evict(places, &[Pool::General], now);
                let fits = fits && (is_open(self) || self.evict(places, &[Pool::Lobby, Pool::General], now));
                fits.then_some(to)
            }
            Pool::Health | Pool::Sns => {
                if has_room(self, to) {
                    return Some(to);
                }
                if from == Some(Pool::General) || (has_room(self, Pool::General) && is_open(self)) {
                    return Some(Pool::General);
                }
                if self.evict(places, &[to], now) {
                    return Some(to);
                }
                self.room(places, from, Pool::General, now)
            }
        }
    }

    /// Takes the place of the connection of these pools that has waited longest. Returns whether there is one.
    fn evict(&mut self, places: &Places, pools: &[Pool], now: Instant) -> bool {
        let first = pools.iter().filter_map(|pool| self.waiting[*pool as usize].first().copied()).min();
        let Some((_, key)) = first.filter(|(since, _)| *since <= now) else { return false };
        let Some(entry) = self.take_out(key) else { return false };
        self.forget_address(entry.address);
        entry.ticket.gone.store(true, Ordering::SeqCst);
        entry.ticket.waker.wake();
        count(&places.stats.evicted);
        true
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let place = self.entries.vacant_entry();
        let key = place.key();
        entry.ticket.key.store(key, Ordering::Relaxed);
        entry.ticket.gone.store(false, Ordering::SeqCst);
        self.used[entry.pool as usize] += 1;
        if let Some(since) = entry.waits {
            self.waiting[entry.pool as usize].insert((since, key));
        }
        place.insert(entry);
    }

    /// Removes an entry; its address keeps its count.
    pub(super) fn take_out(&mut self, key: usize) -> Option<Entry> {
        let entry = self.entries.try_remove(key)?;
        self.used[entry.pool as usize] -= 1;
        if let Some(since) = entry.waits {
            self.waiting[entry.pool as usize].remove(&(since, key));
        }
        Some(entry)
    }

    pub(super) fn wait(&mut self, key: usize, waits: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let queue = &mut self.waiting[entry.pool as usize];
        if let Some(since) = std::mem::replace(&mut entry.waits, waits) {
            queue.remove(&(since, key));
        }
        if let Some(since) = waits {
            queue.insert((since, key));
        }
    }

    pub(super) fn forget_address(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address
            && let Some(some) = self.addresses.get_mut(&address)
        {
            *some -= 1;
            if *some == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}
