//! Slots on the move: copied out under one order with the changes that happen to them,
//! sealed, staged at the other end, and put in service.

use std::sync::Arc;

use cached_proto::types::{Epoch, Slot};

use super::{Change, ContainerId, KeyCursor, MoveLog, SlotInfo, SlotSum, Store};
use crate::clock::WallMs;

/// A container that serves no more and is to be emptied in steps.
#[derive(Debug)]
pub struct Purge {
    /// The slot that it served.
    pub slot: Slot,
    /// Entries that go, without notes of absence.
    pub keys: u64,
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Where to go on; `None`: everything was appended to the log.
    pub next: Option<KeyCursor>,
}

/// What became of a received change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was taken in.
    Yes,
    /// The staging had a newer version of the key.
    Older,
    /// The staging is gone, or there is no memory for it.
    No,
}

impl Store {
    // ---- at the owner

    /// From now on every change of the slot is appended to `log`, under the shard's lock.
    /// `None`: that container does not serve the slot (any more), or moves already.
    pub fn begin_move(
        &self,
        slot: Slot,
        container: ContainerId,
        log: &Arc<MoveLog>,
    ) -> Option<SlotInfo> {
        todo!("{slot} {container:?} {log:?}")
    }

    /// Appends entries of the slot to its log, from the cursor on, of about so much weight.
    /// An entry that is there during the whole scan is appended at least once.
    pub fn scan(&self, slot: Slot, from: Option<KeyCursor>, weight: u64) -> Scanned {
        todo!("{slot} {from:?} {weight}")
    }

    /// Seals the slot: every operation on it is refused with `Sealed` from now on, nothing
    /// in it expires or is evicted, and its log ends with [`Change::Seal`].
    pub fn seal(&self, slot: Slot, container: ContainerId, now: WallMs) -> Option<(u64, SlotSum)> {
        todo!("{slot} {container:?} {now:?}")
    }

    /// Ends a move: the slot serves as before, and nothing is logged any more.
    pub fn end_move(&self, slot: Slot, container: ContainerId) {
        todo!("{slot} {container:?}")
    }

    /// Removes the least recently used entries of these slots until what is left is at most
    /// `keep_bytes`; answers how many entries went, without notes of absence.
    pub fn shed(&self, slots: &[(Slot, ContainerId)], keep_bytes: u64) -> u64 {
        todo!("{slots:?} {keep_bytes}")
    }

    /// Stops serving a slot if its container serves under this epoch or an older one, without
    /// freeing anything yet.
    pub fn close_slot(&self, slot: Slot, epoch: Epoch) -> Option<Purge> {
        todo!("{slot} {epoch:?}")
    }

    /// Frees some entries of a closed container; answers whether it is gone.
    pub fn purge(&self, purge: &Purge, entries_max: usize) -> bool {
        todo!("{purge:?} {entries_max}")
    }

    // ---- at the receiver

    /// Reserves memory, if there is so much free: it counts as used until given back.
    pub fn reserve(&self, bytes: u64) -> bool {
        todo!("{bytes}")
    }

    /// Gives reserved memory back.
    pub fn give_back(&self, bytes: u64) {
        todo!("{bytes}")
    }

    /// A new, empty container for a slot that does not serve yet. A slot may have several;
    /// each is dropped or activated by its identity.
    pub fn stage(&self, slot: Slot, base: Epoch) -> ContainerId {
        todo!("{slot} {base:?}")
    }

    /// Takes in a change, iff it is newer than what is staged of the key. Staged entries
    /// count as used memory, are never evicted, and do not expire.
    pub fn apply(&self, container: ContainerId, change: Change) -> Applied {
        todo!("{container:?} {change:?}")
    }

    /// What a staging holds; its `wall` is 0.
    pub fn staged(&self, slot: Slot, container: ContainerId) -> Option<SlotSum> {
        todo!("{slot} {container:?}")
    }

    /// Puts a staging in service under the row's epoch, at once with all its entries:
    /// O(1). A container that served the slot before is answered to be purged. `None`: there
    /// is no such staging. Entries are linked into the orders by [`Store::settle_in`].
    pub fn activate(
        &self,
        slot: Slot,
        container: ContainerId,
        epoch: Epoch,
    ) -> Option<Option<Purge>> {
        todo!("{slot} {container:?} {epoch:?}")
    }

    /// Links some entries of an activated container into the orders of eviction (by their
    /// stamps: the order is that of the sender) and of expiry; answers whether all are. Until
    /// then they are served, but neither evicted nor swept.
    pub fn settle_in(&self, slot: Slot, container: ContainerId, entries_max: usize) -> bool {
        todo!("{slot} {container:?} {entries_max}")
    }

    /// Gives a staging up.
    pub fn discard(&self, slot: Slot, container: ContainerId) -> Option<Purge> {
        todo!("{slot} {container:?}")
    }
}
