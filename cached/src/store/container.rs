//! The table of one slot: which entries it holds, by key and in a listable order.
//! Pure; the entries themselves are the shard's.

use cached_proto::types::{Epoch, Slot, Version};
use hashbrown::HashTable;

use super::ContainerId;

/// The entries of one slot in one of its lives.
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) slot: Slot,
    /// Upper half of its entries' versions.
    pub(crate) epoch: Epoch,
    /// Number of the last change.
    seq: u64,
    /// Entries, without notes of absence.
    pub(crate) keys: u64,
    /// Bytes of keys, values and overhead.
    pub(crate) bytes: u64,
    table: HashTable<u32>,
    /// The same entries in an order that changes little: see [`Container::remove`].
    members: Vec<u32>,
}

impl Container {
    /// Without entries.
    pub(crate) fn new(id: ContainerId, slot: Slot, epoch: Epoch) -> Self {
        Self {
            id,
            slot,
            epoch,
            seq: 0,
            keys: 0,
            bytes: 0,
            table: HashTable::new(),
            members: Vec::new(),
        }
    }

    /// Counts a change of the slot.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The version of an entry with this lower half.
    pub(crate) fn version(&self, seq: u64) -> Version {
        Version {
            epoch: self.epoch,
            seq,
        }
    }

    /// The entry with this hash that is the one.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.table.find(hash, |index| is_it(*index)).copied()
    }

    /// Takes an entry in; answers its place in the list.
    pub(crate) fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) -> u32 {
        self.table
            .insert_unique(hash, index, |other| hash_of(*other));
        self.members.push(index);
        self.members.len() as u32 - 1
    }

    /// Takes an entry out; answers which entry stands at its place in the list now.
    /// That was the last one: entries only ever move towards the front, so a
    /// listing from the back meets each at least once.
    pub(crate) fn remove(&mut self, hash: u64, index: u32, member: u32) -> Option<u32> {
        if let Ok(found) = self.table.find_entry(hash, |other| *other == index) {
            found.remove();
        }
        self.members.swap_remove(member as usize);
        self.members.get(member as usize).copied()
    }

    /// How many entries, with notes of absence.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The last entry of the list.
    pub(crate) fn last(&self) -> Option<u32> {
        self.members.last().copied()
    }

    /// Up to `count` entries below a place, from the back, and the place to go on.
    pub(crate) fn below(&self, place: usize, count: usize) -> (impl Iterator<Item = u32>, usize) {
        let end = place.min(self.members.len());
        let start = end.saturating_sub(count);
        (self.members[start..end].iter().rev().copied(), start)
    }
}
