//! Fetches what operations on many keys will look at, before the first of them begins.
//!
//! The way from a key to its value leads over five or six lines of memory, each of which
//! says where the next one is, and in a large store none of them is in a cache of the
//! processor. Here the ways of all keys are gone side by side, one step at a time, and
//! nothing is waited for. All of it is a hint: what changes meanwhile is found later.

use cached_proto::types::Slot;

use super::shard::{self, Shard};
use super::{GroupId, Store};

/// Keys for which it is worth to fetch together: what they look at still fits into the
/// smallest caches when the last one's turn comes.
pub const FETCHED_MAX: usize = 64;

/// Where a key of a group is looked for in this store, as long as the store lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    pub(crate) slot: Slot,
    pub(crate) group: GroupId,
    /// Of group and key.
    pub(crate) hash: u64,
}

impl Spot {
    /// The key's slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The key's group.
    pub fn group(&self) -> GroupId {
        self.group
    }
}

impl Store {
    /// Where a key that lies in this slot is looked for.
    #[inline]
    pub fn spot(&self, slot: Slot, group: GroupId, key: &[u8]) -> Spot {
        let hash = shard::hash(self.hash_seed, group, key);
        Spot { slot, group, hash }
    }

    /// Fetches what operations at these spots will look at; `writes`: some of them change
    /// it. At most [`FETCHED_MAX`]; others are left out.
    pub fn fetch(&self, spots: impl Iterator<Item = Spot> + Clone, writes: bool) {
        let spots = spots.take(FETCHED_MAX);
        for spot in spots.clone() {
            self.look(spot, |shard| shard.fetch_container(spot, writes));
        }
        // What each step found for the next one: bucket, and then entry.
        let mut found = [None; FETCHED_MAX];
        for (spot, found) in spots.clone().zip(&mut found) {
            *found = self.look(spot, |shard| shard.fetch_bucket(spot));
        }
        for (spot, found) in spots.clone().zip(&mut found) {
            let bucket = found.take();
            *found =
                bucket.and_then(|bucket| self.look(spot, |shard| shard.fetch_entry(spot, bucket)));
        }
        for (spot, found) in spots.zip(found) {
            if let Some(entry) = found {
                self.look(spot, |shard| shard.fetch_rest(spot, entry));
            }
        }
    }

    #[inline]
    fn look<R>(&self, spot: Spot, step: impl FnOnce(&Shard) -> R) -> R {
        self.shard(spot.slot).look(step)
    }
}
