use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ACTS, Paces};

/// Parts of a table, each with a lock of its own: sessions begin on all cores.
const SHARDS: usize = 16;
/// Entries of a part below which it is not swept.
const FEW: usize = 64;

/// A user or an address: a hash under a random key. Two that have the same one (one pair in 2^63) share their buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(NonZeroU64);

/// Buckets that sessions share, by what they have in common: a user, or an address. A table has only those that owe something,
/// and some that are full and not looked through yet.
#[derive(Debug)]
pub(super) struct Table {
    paces: Paces,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// Of each act, when its bucket is full again.
    buckets: HashMap<Key, [u64; ACTS]>,
    /// Entries at which it is swept.
    sweep_at: usize,
}

impl Table {
    pub(super) fn new(paces: Paces) -> Self {
        Self { paces, hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// What a user or an address has here.
    pub(super) fn key(&self, of: &impl Hash) -> Key {
        Key(NonZeroU64::MIN | self.hasher.hash_one(of))
    }

    /// Whether the owner of a key may do this now; then it counts.
    pub(super) fn take(&self, key: Key, index: usize, now: u64) -> bool {
        let mut shard = self.shard(key);
        if let Some(known) = shard.buckets.get_mut(&key) {
            let next = self.paces[index].take(known[index], now);
            known[index] = next.unwrap_or(known[index]);
            return next.is_some();
        }
        let Some(next) = self.paces[index].take(0, now) else { return false };
        if shard.buckets.len() >= shard.sweep_at.max(FEW) {
            shard.sweep(now);
        }
        shard.buckets.entry(key).or_default()[index] = next;
        true
    }

    /// Takes an act back that was counted. A bucket that is not here is full.
    pub(super) fn give_back(&self, key: Key, index: usize) {
        if let Some(known) = self.shard(key).buckets.get_mut(&key) {
            known[index] = known[index].saturating_sub(self.paces[index].interval);
        }
    }

    /// Forgets what nothing needs any more.
    pub(super) fn sweep(&self, now: u64) {
        self.shards.iter().for_each(|shard| lock(shard).sweep(now));
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        // The map itself uses other bits.
        lock(&self.shards[(key.0.get() >> 60) as usize % SHARDS])
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
    /// Keeps the buckets that are not full yet: else a user that comes back would begin anew.
    fn sweep(&mut self, now: u64) {
        self.buckets.retain(|_, buckets| buckets.iter().any(|full_at| *full_at > now));
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
