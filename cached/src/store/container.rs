//! One slot: which entries it holds, what they sum up to, and what may be done with it
//! now. Pure; the entries themselves are the shard's.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::types::{Epoch, Slot, Version};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::prefetch::prefetch;
use super::tables::Row;
use super::{ContainerId, GroupId, MoveLog, SlotInfo, SlotSum};
use crate::clock::WallMs;

/// What may be done with a container.
#[derive(Debug)]
pub(crate) enum State {
    /// Everything: it serves its slot.
    Serving,
    /// Nothing: its slot changes hands, and nobody knows yet to whom it belongs.
    Sealed,
    /// It takes in what another node sends.
    Staging(Box<Staging>),
    /// It is emptied.
    Closed,
}

/// What is kept only while a container is filled by another node.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    /// Keys (by their hash) that were removed, and up to which version.
    pub(crate) removed: BTreeMap<u64, u64>,
    /// Bytes that they take of the node's memory.
    pub(crate) removed_bytes: u64,
    /// Keys and bytes of each group, which are not counted as the group's yet.
    pub(crate) groups: BTreeMap<GroupId, (u64, u64)>,
    /// Of the newest use.
    pub(crate) stamp_max: u64,
    /// The last change is in.
    pub(crate) is_complete: bool,
}

/// The entries of one slot in one of its lives.
///
/// In the order in which operations look at it: what a read needs stands in the first line
/// of the processor's cache, and what a write needs beside it in the second.
#[repr(C, align(64))]
pub(crate) struct Container {
    pub(crate) state: State,
    /// Where its changes go while it moves.
    pub(crate) log: Option<Arc<MoveLog>>,
    /// No operation takes place earlier: what had expired at the owner before stays so.
    pub(crate) floor: WallMs,
    /// Where its entries are found, by the hash of group and key.
    pub(crate) row: Row,
    /// Number of the last change.
    pub(crate) seq: u64,
    /// Upper half of its entries' versions: epoch under which it was empty last.
    pub(crate) base: Epoch,
    /// Entries, without notes of absence.
    pub(crate) keys: u64,
    /// Bytes of keys, values and overhead.
    pub(crate) bytes: u64,
    /// Sum of its entries' fingerprints.
    pub(crate) digest: u64,
    pub(crate) id: ContainerId,
    pub(crate) slot: Slot,
    /// How often it was sealed.
    pub(crate) seals: u32,
    /// Epoch of the row under which it serves.
    pub(crate) epoch: Epoch,
    /// From this position on there may be entries that stand in no order or due queue;
    /// in a closed container, entries that are not freed yet.
    pub(crate) unsettled: u64,
    /// Hashes of entries that eviction, flush or sweep met while it was sealed, and took
    /// out of their order or due queue so as not to meet them again.
    pub(crate) aside: Vec<u64>,
}

impl Container {
    /// Without entries.
    pub(crate) fn new(id: ContainerId, slot: Slot, base: Epoch, state: State) -> Self {
        Self {
            id,
            slot,
            epoch: base,
            base,
            state,
            seals: 0,
            log: None,
            seq: 0,
            floor: WallMs(0),
            keys: 0,
            bytes: 0,
            digest: 0,
            aside: Vec::new(),
            unsettled: 0,
            row: Row::default(),
        }
    }

    /// Fetches what its operations look at.
    #[inline]
    pub(crate) fn prefetch(&self, writes: bool) {
        prefetch(self);
        if writes {
            prefetch(&self.seq);
        }
    }

    /// Whether it takes neither operations nor any other change.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.state, State::Sealed)
    }

    /// Whether it is only there to be emptied.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Counts a change of the slot.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The version of an entry with this lower half.
    pub(crate) fn version(&self, seq: u64) -> Version {
        Version {
            epoch: self.base,
            seq,
        }
    }

    /// What it holds.
    pub(crate) fn sum(&self, wall: WallMs) -> SlotSum {
        SlotSum {
            keys: self.row.entries() as u64,
            digest: self.digest,
            wall,
        }
    }

    /// How it is shown.
    pub(crate) fn info(&self) -> SlotInfo {
        SlotInfo {
            slot: self.slot,
            container: self.id,
            epoch: self.epoch,
            base: self.base,
            sealed: self.is_sealed(),
            seals: self.seals,
            keys: self.keys,
            bytes: self.bytes,
        }
    }
}

/// The hash of a group's name for [`fingerprint`].
pub(crate) fn name_hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

/// The hash of an entry for a container's digest: the same in every process.
pub(crate) fn fingerprint(name_hash: u64, key: &[u8], seq: u64) -> u64 {
    // The finish of SplitMix64, so that no sum of near versions looks like another.
    let mut hash = xxh3_64_with_seed(key, name_hash) ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn what_is_looked_at_together_stands_together() {
        let line = |at: usize| at / 64;
        assert_eq!(align_of::<Container>(), 64);
        let near = offset_of!(Container, row) + Row::NEAR_BYTES;
        assert_eq!(line(near - 1), 0);
        let (from, to) = (
            offset_of!(Container, seq),
            offset_of!(Container, digest) + 7,
        );
        assert_eq!(line(from), line(to));
        assert_eq!(size_of::<Container>(), 192);
    }

    #[test]
    fn fingerprints_are_the_same_in_every_process() {
        let name = name_hash("users");
        let shown = [("a", 1), ("a", 2), ("b", 1)].map(|(key, seq)| {
            let print = fingerprint(name, key.as_bytes(), seq);
            format!("{print:016x}")
        });
        assert_eq!(shown, FINGERPRINTS);
        assert_ne!(
            fingerprint(name_hash("user"), b"a", 1),
            fingerprint(name, b"a", 1)
        );
    }

    /// Nodes of one cluster compare these, so they must not change.
    const FINGERPRINTS: [&str; 3] = ["0f015e5421bc4eae", "9162bc4342c7378c", "3d9b775a5fea6388"];
}
