//! Entries that get another place in memory: everybody who holds their handles is told.
//! Segments with many free cells are emptied that way, a little with every change.

use super::{Shard, hash_of};
use crate::store::entries::Due;

/// Work that one freed entry pays for, where too many cells are free: to move eight. So
/// memory comes back as fast as it is freed, wherever an eighth of a segment is free.
const WORK_PER_FREED: usize = 8 * WORK_PER_MOVE;

/// Work of moving an entry, beside its bytes; that of passing a free cell is 1.
const WORK_PER_MOVE: usize = 4;

/// Bytes whose copying is as much work as passing a free cell.
const BYTES_PER_WORK: usize = 512;

/// Most work at once: some hundred microseconds.
const WORK_MAX: usize = 8 * 1024;

impl Shard {
    /// Gives memory of freed entries back, as much as the operation that ends has to do
    /// for it. Handles that somebody still holds are good no more.
    pub(super) fn evacuate(&mut self) {
        let freed = self.entries.take_freed();
        if freed > 0 && self.entries.arena().has_too_many_free() {
            self.evacuate_some((freed * WORK_PER_FREED).min(WORK_MAX));
        }
    }

    /// The same where nobody frees anything: as much as may be done at once.
    pub(super) fn evacuate_at_leisure(&mut self) {
        if self.entries.arena().has_too_many_free() {
            self.evacuate_some(WORK_MAX);
        }
    }

    fn evacuate_some(&mut self, work: usize) {
        let mut left = work;
        while left > 0
            && let Some(moved) = self.entries.drain()
        {
            let mut cost = 1;
            if let Some((from, to)) = moved {
                let hash = hash_of(&self.entries, self.config.hash_seed, from);
                cost = WORK_PER_MOVE + self.entries.cell_bytes(from) / BYTES_PER_WORK;
                self.moved(from, to, hash);
            }
            left = left.saturating_sub(cost);
        }
    }

    /// An entry was copied to another cell, or was not: tells everybody, and frees the
    /// old cell. Answers the handle that is good.
    pub(super) fn moved(&mut self, from: u32, to: u32, hash: u64) -> u32 {
        if from == to {
            return to;
        }
        let entry = self.entries.get(to);
        let (group, container) = (entry.group().index(), usize::from(entry.container()));
        let row = &self.containers[container].row;
        self.tables.replace(row, hash, from, to);
        self.groups[group].order.moved(&mut self.entries, from, to);
        if let Some(ms) = self.entries.queued_ms(to) {
            self.due.moved(&mut Due(&mut self.entries), ms, from, to);
        }
        self.entries.end_move(from);
        to
    }
}
