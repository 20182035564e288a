//! One entry: a key with its value, version and time, and its places in the
//! shard's structures. How it is laid out is nobody else's business.

use bytes::Bytes;
use cached_proto::types::Ttl;

use super::GroupId;
use super::eviction::{Links, UNLINKED};
use crate::clock::WallMs;

/// When an entry's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// For entries without a time to live.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// So long after now.
    pub(crate) fn after(now: WallMs, ttl: Option<Ttl>) -> Self {
        ttl.map_or(Self::NEVER, |ttl| Self(now.0.saturating_add(ttl.as_ms())))
    }

    /// Whether the time is over.
    pub(crate) fn has_passed(self, now: WallMs) -> bool {
        self != Self::NEVER && self.0 <= now.0
    }

    /// Unix time in milliseconds, if it ever comes.
    pub(crate) fn wall_ms(self) -> Option<u64> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// At this time, if ever.
    pub(crate) fn at(wall: Option<WallMs>) -> Self {
        wall.map_or(Self::NEVER, |wall| Self(wall.0))
    }

    /// Milliseconds left, if it ever comes.
    pub(crate) fn left_ms(self, now: WallMs) -> Option<u64> {
        self.wall_ms().map(|at| at.saturating_sub(now.0))
    }
}

/// In place of a place in the due queue: it is not in there.
pub(crate) const NO_PLACE: u32 = u32::MAX;

/// An entry in a shard's slab.
pub(crate) struct Entry {
    key: Box<[u8]>,
    /// `None`: the origin said that there is nothing under this key.
    value: Option<Bytes>,
    /// Lower half of the version; the upper is the container's.
    pub(crate) seq: u64,
    pub(crate) deadline: Deadline,
    /// When it was last used; see [`Stamps`](super::eviction::Stamps).
    pub(crate) stamp: u64,
    /// Neighbours in its group's order of eviction.
    pub(crate) links: Links,
    /// Its container's number in the shard.
    pub(crate) container: u32,
    /// Its place in the container's list.
    pub(crate) member: u32,
    /// Its place in the due queue, or [`NO_PLACE`].
    pub(crate) due: u32,
    /// In which list of its group's order it is.
    pub(crate) strand: u16,
    pub(crate) group: GroupId,
}

impl Entry {
    /// An entry that stands nowhere yet.
    pub(crate) fn new(container: u32, group: GroupId, key: &[u8], value: Option<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.map(own),
            seq: 0,
            deadline: Deadline::NEVER,
            stamp: 0,
            links: Links::default(),
            container,
            member: 0,
            due: NO_PLACE,
            strand: UNLINKED,
            group,
        }
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value; `None`: known to be absent.
    pub(crate) fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// Puts another value in.
    pub(crate) fn set_value(&mut self, value: Option<Bytes>) {
        self.value = value.map(own);
    }

    /// Whether it is an entry to the outside, and not only a note of absence.
    pub(crate) fn is_key(&self) -> bool {
        self.value.is_some()
    }

    /// What it costs.
    pub(crate) fn charge(&self) -> u64 {
        charge(self.key.len(), self.value.as_ref().map_or(0, Bytes::len))
    }
}

/// Values up to this length are copied when they are stored. They arrive as slices of
/// the buffer that their connection was read into (at most about 400 KiB in hyper),
/// and a slice keeps the whole buffer; longer ones have a buffer of their own.
const COPIED_BYTES_MAX: usize = 512 * 1024;

fn own(value: Bytes) -> Bytes {
    match value.len() {
        0..=COPIED_BYTES_MAX => Bytes::copy_from_slice(&value),
        _ => value,
    }
}

/// Bytes that an entry costs beside its key and value:
/// - its cell in the slab, which doubles when full, so is 3/4 full on average;
/// - its slot in the container's hash table: 4 + 1 bytes at two thirds load;
/// - 4 bytes each in the container's list and in the due queue, which double too;
/// - two allocations, for key and value, with 16 bytes each for the allocator's
///   header and rounding, and the value's reference count: 32 with its own.
pub(crate) const OVERHEAD_BYTES: u64 = {
    let cell = size_of::<Entry>() as u64 * 4 / 3;
    let table_slot = 8;
    let places = 2 * (4 * 4 / 3 + 1);
    let allocations = 2 * 16 + 32;
    cell + table_slot + places + allocations
};

/// What an entry with so long a key and value costs, in bytes.
pub(crate) fn charge(key_bytes: usize, value_bytes: usize) -> u64 {
    OVERHEAD_BYTES + key_bytes as u64 + value_bytes as u64
}
