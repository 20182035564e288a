//! The order of one group in one shard, by the group's policy.

use cached_proto::records::Policy;

use super::Ordered;
use super::lru::Lru;
use super::s3fifo::S3Fifo;

/// The order. A group keeps the policy that it began with.
#[derive(Debug)]
pub(crate) enum Order {
    Lru(Lru),
    S3Fifo(Box<S3Fifo>),
}

impl Order {
    /// Without entries.
    pub(crate) fn new(policy: Policy) -> Self {
        match policy {
            Policy::Lru => Self::Lru(Lru::default()),
            Policy::S3Fifo => Self::S3Fifo(Box::default()),
        }
    }

    /// The entry that goes first but `keep`, with a stamp by which it is compared with
    /// those of other orders. A policy may settle here what it put off.
    pub(crate) fn oldest(
        &mut self,
        entries: &mut impl Ordered,
        keep: Option<u32>,
    ) -> Option<(u64, u32)> {
        match self {
            Self::Lru(lru) => lru
                .oldest(entries)
                .filter(|(_, entry)| Some(*entry) != keep),
            Self::S3Fifo(queues) => queues.oldest(entries, keep),
        }
    }

    /// Some entry, for whoever removes all of them.
    pub(crate) fn any(&self, entries: &impl Ordered) -> Option<u32> {
        match self {
            Self::Lru(lru) => lru.oldest(entries).map(|(_, entry)| entry),
            Self::S3Fifo(queues) => queues.any(),
        }
    }

    /// Notes a use, of an entry whose key has this hash; one that is in no list is taken
    /// in.
    #[inline]
    pub(crate) fn touch(
        &mut self,
        entries: &mut impl Ordered,
        entry: u32,
        stamp: u64,
        key_hash: u64,
    ) {
        match self {
            Self::Lru(lru) => lru.touch(entries, entry, stamp),
            Self::S3Fifo(queues) => queues.touch(entries, entry, stamp, key_hash),
        }
    }

    /// Whether a use changes an entry's neighbours.
    pub(crate) fn is_relinked(&self) -> bool {
        matches!(self, Self::Lru(_))
    }

    /// Takes an entry out of its list, if it is in one. `evicted`: for want of room, with
    /// the hash of its key.
    pub(crate) fn remove(&mut self, entries: &mut impl Ordered, entry: u32, evicted: Option<u64>) {
        match self {
            Self::Lru(lru) => lru.remove(entries, entry),
            Self::S3Fifo(queues) => queues.remove(entries, entry, evicted),
        }
    }

    /// Takes in entries that are in no list and have been used elsewhere, sorted from
    /// the oldest on.
    pub(crate) fn arrive(&mut self, entries: &mut impl Ordered, run: &[u32]) {
        match self {
            Self::Lru(lru) => lru.add_strand(entries, run),
            Self::S3Fifo(queues) => queues.arrive(entries, run),
        }
    }

    /// An entry has another handle now, and stands there already.
    pub(crate) fn moved(&mut self, entries: &mut impl Ordered, from: u32, to: u32) {
        match self {
            Self::Lru(lru) => lru.moved(entries, from, to),
            Self::S3Fifo(queues) => queues.moved(entries, from, to),
        }
    }

    /// An entry costs something else now than `before`.
    pub(crate) fn resized(&mut self, entries: &impl Ordered, entry: u32, before: u64) {
        if let Self::S3Fifo(queues) = self {
            queues.resized(entries, entry, before);
        }
    }

    /// Bytes that it takes beside what stands in the entries.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Lru(_) => 0,
            Self::S3Fifo(queues) => queues.bytes(),
        }
    }
}
