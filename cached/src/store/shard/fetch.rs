//! The steps on the way to an entry, each of which only fetches what the next one reads:
//! see `store::ahead`.

use super::Shard;
use crate::store::ahead::Spot;
use crate::store::eviction::Linked;
use crate::store::prefetch::{prefetch, prefetch_all};
use crate::store::tables::Home;

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
            self.tables.prefetch_row(number);
        }
    }

    /// The bucket in which the key would be.
    pub(crate) fn fetch_bucket(&self, spot: Spot) {
        if let Some(home) = self.home(spot) {
            self.tables.prefetch(home);
        }
    }

    /// The head of the entry that may be the key's.
    pub(crate) fn fetch_entry(&self, spot: Spot) {
        if let Some(index) = self.likely(spot) {
            let cell = self.entries.arena().cell(index);
            prefetch(cell);
            prefetch(&cell[HEAD_BYTES.min(cell.len()) - 1]);
        }
    }

    /// The rest of that entry, and its neighbours in the order of eviction, if a use
    /// changes them.
    pub(crate) fn fetch_rest(&self, spot: Spot) {
        let Some(index) = self.likely(spot) else {
            return;
        };
        let cell = self.entries.arena().cell(index);
        let end = self.entries.cell_bytes(index);
        let end = end.min(HEAD_BYTES + VALUE_BYTES_MAX).min(cell.len());
        if let Some(rest) = cell.get(HEAD_BYTES..end) {
            prefetch_all(rest);
        }
        if self.groups[spot.group.index()].order.is_relinked() {
            let links = self.entries.links(index);
            for neighbour in [links.newer, links.older] {
                if let Some(cell) = self.entries.arena().find(neighbour) {
                    prefetch(cell);
                }
            }
        }
    }

    fn home(&self, spot: Spot) -> Option<Home> {
        let container = self.serving[self.local(spot.slot)]?;
        let hash = spot.hash;
        Some(Home { container, hash })
    }

    fn likely(&self, spot: Spot) -> Option<u32> {
        self.tables.likely(self.home(spot)?)
    }
}
