//! Slots on the move: copied out under one order with the changes that happen to them,
//! sealed, staged at the other end, and put in service.

use std::sync::Arc;

use cached_proto::types::{Epoch, Slot};

use super::{Change, ContainerId, KeyCursor, MoveLog, SlotInfo, SlotSum, Store};
use crate::clock::WallMs;

/// A container that serves no more and is to be emptied.
#[derive(Debug)]
pub struct Purge {
    /// The slot that it served.
    pub slot: Slot,
    /// Entries that go, without notes of absence.
    pub keys: u64,
    /// Its number in the shard.
    pub(super) container: u32,
    /// Its identity: its number is given to another when it is gone.
    pub(super) id: ContainerId,
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
    /// The staging had a newer version of the key, or was complete.
    Older,
    /// The staging is gone, or there is no memory for it.
    No,
}

impl Store {
    // ---- at the owner

    /// From now on every change of the slot is appended to `log`, under the shard's lock.
    /// `None`: that container does not serve the slot (any more), or moves already.
    ///
    /// Writes are refused with `Congested` while the log is full. What nobody can be told
    /// to wait for is appended all the same: entries that are evicted, flushed or expire.
    pub fn begin_move(
        &self,
        slot: Slot,
        container: ContainerId,
        log: &Arc<MoveLog>,
    ) -> Option<SlotInfo> {
        self.shard(slot).lock().begin_move(slot, container, log)
    }

    /// Appends entries of the slot to its log, from the cursor on, of about so much weight.
    /// An entry that is there during the whole scan is appended at least once; one whose
    /// time is over is removed instead.
    pub fn scan(&self, slot: Slot, from: Option<KeyCursor>, weight: u64) -> Scanned {
        let next = self.shard(slot).lock().scan(slot, from, weight);
        Scanned { next }
    }

    /// Seals the slot: every operation on it is refused with `Sealed` from now on, nothing
    /// in it expires or is evicted, and its log ends with [`Change::Seal`]. Answers the
    /// slot's number of changes and its sum; `None`: that container does not serve the
    /// slot, or is sealed already.
    pub fn seal(&self, slot: Slot, container: ContainerId, now: WallMs) -> Option<(u64, SlotSum)> {
        self.shard(slot).lock().seal(slot, container, now)
    }

    /// Ends a move, before or after the seal: the slot serves as before, and nothing is
    /// logged any more.
    pub fn end_move(&self, slot: Slot, container: ContainerId) {
        self.shard(slot).lock().end_move(slot, container);
    }

    /// Stops serving a slot if its container serves under this epoch or an older one, without
    /// freeing anything yet.
    pub fn close_slot(&self, slot: Slot, epoch: Epoch) -> Option<Purge> {
        self.shard(slot).lock().close(slot, epoch)
    }

    /// Frees some entries of a closed container; answers whether it is gone.
    pub fn purge(&self, purge: &Purge, entries_max: usize) -> bool {
        self.shard(purge.slot).lock().clear(purge, entries_max)
    }

    // ---- at the receiver

    /// Reserves memory, if there is so much free: it counts as used until given back, or
    /// until [`Store::apply`] fills it. Never evicts.
    ///
    /// The caller keeps the number of bytes in a variable of its own, one for each offer,
    /// which it lends to every `apply` of that offer, and gives back what is left in the
    /// end, however that is.
    pub fn reserve(&self, bytes: u64) -> bool {
        self.node.try_take(bytes)
    }

    /// Gives reserved memory back; at most what is left of it.
    pub fn give_back(&self, bytes: u64) {
        self.node.give(bytes);
    }

    /// A new, empty container for a slot that does not serve yet. A slot may have several;
    /// each is dropped or activated by its identity. Its versions have `base` above.
    pub fn stage(&self, slot: Slot, base: Epoch) -> ContainerId {
        let id = self.next_container();
        self.shard(slot).lock().stage(slot, id, base)
    }

    /// Takes in a change, iff it is newer than what is staged of the key. Staged entries
    /// count as used memory, are never evicted, and do not expire. They count as their
    /// group's only once they serve.
    ///
    /// Memory is taken from `reserved` first (see [`Store::reserve`]), then from what is
    /// free; what a change frees is reserved again.
    pub fn apply(&self, container: ContainerId, change: Change, reserved: &mut u64) -> Applied {
        let mut shard = self.shard(change.slot()).lock();
        shard.apply(container, change, reserved)
    }

    /// What a staging holds; its `wall` is 0.
    pub fn staged(&self, slot: Slot, container: ContainerId) -> Option<SlotSum> {
        self.shard(slot).lock().staged(slot, container)
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
        self.shard(slot).lock().activate(slot, container, epoch)
    }

    /// Links some entries of an activated container into the orders of eviction (by their
    /// stamps: the order is that of the sender) and of expiry; answers whether all are. Until
    /// then they are served, but neither evicted nor swept.
    pub fn settle_in(&self, slot: Slot, container: ContainerId, entries_max: usize) -> bool {
        let mut shard = self.shard(slot).lock();
        shard.settle_in(slot, container, entries_max)
    }

    /// Gives a staging up.
    pub fn discard(&self, slot: Slot, container: ContainerId) -> Option<Purge> {
        self.shard(slot).lock().discard(slot, container)
    }
}
