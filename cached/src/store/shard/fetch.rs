//! The steps on the way to an entry, each of which only fetches what the next one reads:
//! see `store::ahead`. What one step found may be gone, or be somebody else's, when the
//! next one looks at it.

use super::Shard;
use crate::store::ahead::Spot;
use crate::store::arena::u32_at;
use crate::store::entry::likely_bytes;
use crate::store::prefetch::{prefetch, prefetch_all};

/// Bytes of an entry that are fetched at first: what stands before the key, and the
/// beginning of the key.
const HEAD_BYTES: usize = 64;

/// Bytes of a value that are fetched: the processor itself goes on with a longer one.
const VALUE_BYTES_MAX: usize = 512;

impl Shard {
    /// What a slot's operations look at first.
    pub(crate) fn fetch_container(&self, spot: Spot, writes: bool) {
        if let Some(number) = self.serving[self.local(spot.slot)] {
            self.containers[number as usize].prefetch(writes);
        }
    }

    /// The bucket in which the key would be; answers its number.
    #[inline]
    pub(crate) fn fetch_bucket(&self, spot: Spot) -> Option<u32> {
        let container = self.container(spot.slot)?;
        self.tables.prefetch(&container.row, spot.hash)
    }

    /// The head of the entry in this bucket that may be the key's; answers its handle.
    #[inline]
    pub(crate) fn fetch_entry(&self, spot: Spot, bucket: u32) -> Option<u32> {
        let index = self.tables.likely(bucket, spot.hash)?;
        let cell = self.entries.arena().find(index)?;
        prefetch(cell);
        if let Some(end) = cell.get(HEAD_BYTES - 1) {
            prefetch(end);
        }
        Some(index)
    }

    /// The rest of the entry that had this handle, and its neighbours in the order of
    /// eviction, if a use changes them.
    #[inline]
    pub(crate) fn fetch_rest(&self, spot: Spot, index: u32) {
        let arena = self.entries.arena();
        let Some(cell) = arena.find(index).filter(|cell| cell.len() >= HEAD_BYTES) else {
            return;
        };
        let end = likely_bytes(cell).min(HEAD_BYTES + VALUE_BYTES_MAX);
        let end = end.min(cell.len());
        if let Some(rest) = cell.get(HEAD_BYTES..end) {
            prefetch_all(rest);
        }
        if self.groups[spot.group.index()].order.is_relinked() {
            for neighbour in [u32_at(cell, 0), u32_at(cell, 4)] {
                if let Some(cell) = arena.find(neighbour) {
                    prefetch(cell);
                }
            }
        }
    }
}
