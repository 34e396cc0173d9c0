use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Buckets, Paces};

/// Parts of a table, each with a lock of its own: sessions begin on all cores.
const SHARDS: usize = 16;
/// Entries of a part below which it is not swept.
const FEW: usize = 64;

/// Buckets that sessions share, by what they have in common: a user, or an address.
///
/// Only the beginning of a session looks here; afterwards it holds its buckets. Keys are hashes under a random key: two users
/// that have the same one (one pair in 2^64) share their buckets.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) paces: Paces,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<u64, Arc<Buckets>>,
    /// Entries at which it is swept.
    sweep_at: usize,
}

impl Table {
    pub(super) fn new(paces: Paces) -> Self {
        Self { paces, hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The buckets of a key.
    pub(super) fn enter(&self, key: &impl Hash, now: u64) -> Arc<Buckets> {
        let hash = self.hasher.hash_one(key);
        // The map itself uses other bits.
        let mut shard = lock(&self.shards[(hash >> 60) as usize % SHARDS]);
        if let Some(known) = shard.buckets.get(&hash) {
            return Arc::clone(known);
        }
        if shard.buckets.len() >= shard.sweep_at.max(FEW) {
            shard.sweep(now);
        }
        Arc::clone(shard.buckets.entry(hash).or_default())
    }

    /// Forgets what nothing needs any more.
    pub(super) fn sweep(&self, now: u64) {
        self.shards.iter().for_each(|shard| lock(shard).sweep(now));
    }

    #[cfg(test)]
    pub(super) fn len_and_capacity(&self) -> (usize, usize) {
        let sizes = self.shards.iter().map(|shard| {
            let shard = lock(shard);
            (shard.buckets.len(), shard.buckets.capacity())
        });
        sizes.fold((0, 0), |(len, capacity), (l, c)| (len + l, capacity + c))
    }
}

impl Shard {
    /// Keeps the buckets that a session holds, and those that are not full yet: else a user that comes back would begin anew.
    fn sweep(&mut self, now: u64) {
        self.buckets.retain(|_, buckets| Arc::strong_count(buckets) > 1 || !buckets.are_full(now));
        self.sweep_at = 2 * self.buckets.len();
        self.buckets.shrink_to(self.sweep_at);
    }
}

/// What counts as one address: of IPv6, the network of 64 bits that a client may choose its addresses from.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing panics while the lock is held; should it happen, the table is still consistent.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
