//! What a slot's new owner has no room for: which entries are old, and their end.

use cached_proto::types::Slot;

use super::{Gone, Shard};
use crate::store::ContainerId;

impl Shard {
    /// Shows the last use and the bytes of up to so many entries from a position on;
    /// answers the position at which to go on. Nothing, where that container does not
    /// serve the slot.
    pub(crate) fn ages(
        &self,
        slot: Slot,
        id: ContainerId,
        (from, entries_max): (u64, usize),
        mut visit: impl FnMut(u64, u64),
    ) -> Option<u64> {
        let (entries, next) = self.page(self.number(slot, id)?, from, entries_max);
        for index in entries {
            let entry = self.entries.get(index);
            visit(entry.stamp(), entry.charge());
        }
        next
    }

    /// Of up to so many entries from a position on removes those that were not used after
    /// a stamp; answers how many keys went, and the position at which to go on.
    pub(crate) fn shed(
        &mut self,
        slot: Slot,
        id: ContainerId,
        (from, entries_max): (u64, usize),
        stamp: u64,
    ) -> (u64, Option<u64>) {
        let number = self.number(slot, id);
        let serves = |number: &u32| !self.containers[*number as usize].is_sealed();
        let Some(number) = number.filter(serves) else {
            return (0, None);
        };
        let (entries, next) = self.page(number, from, entries_max);
        let mut keys = 0;
        for index in entries {
            let entry = self.entries.get(index);
            if entry.stamp() <= stamp {
                keys += u64::from(entry.is_key());
                self.remove(index, Gone::Shed);
            }
        }
        self.evacuate();
        (keys, next)
    }
}
