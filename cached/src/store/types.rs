//! The words of the store's interface.

use bytes::Bytes;
use cached_proto::operation::Reply;
use cached_proto::records::Policy;
use cached_proto::types::{Epoch, Key, Slot, Ttl, Version};

use super::Unfit;

/// How a store is built.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Shards; rounded up to a power of two. More shards, less waiting for locks.
    pub shards: usize,
    /// Bound on keys, values and their overhead, over all groups.
    pub memory_bytes: u64,
}

/// A group's small number inside one store, which alone gives it out: a number of
/// another store may panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);

impl GroupId {
    /// The number, to index tables with.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a group is bound by on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// This node's share of the group's bound; `None`: only the node's memory.
    pub max_bytes: Option<u64>,
    /// Time to live of entries written without one.
    pub default_ttl: Option<Ttl>,
    /// Who goes first when room is short; fixed when the group is created.
    pub policy: Policy,
}

/// Identity of a slot's container: a slot that leaves and comes back gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub u64);

/// A slot's container as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// The slot.
    pub slot: Slot,
    /// Which container.
    pub container: ContainerId,
    /// Epoch of the row under which it serves.
    pub epoch: Epoch,
    /// Upper half of its entries' versions: epoch of the row under which it was empty last.
    pub base: Epoch,
    /// It is sealed.
    pub sealed: bool,
    /// How often it was sealed so far: what happened to all others may have left it out.
    pub seals: u32,
    /// Entries, without those that only say "not there".
    pub keys: u64,
    /// Bytes of keys, values and overhead.
    pub bytes: u64,
}

/// Where a listing of a container's keys goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCursor {
    /// The container that is listed.
    pub container: ContainerId,
    /// Entries at this position or a later one are still to be listed. An entry's
    /// position comes from its key's hash, so it is the same as long as the store lives.
    pub position: u64,
}

/// Some keys of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys, of all groups. May be empty although the listing goes on.
    pub keys: Vec<(GroupId, Key)>,
    /// Where to go on; `None`: that was the last page.
    pub next: Option<KeyCursor>,
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// The reply for the caller.
    Reply(Reply),
    /// A read of a key of which the origin said "not there" a moment ago.
    KnownAbsent,
}

/// Why an operation was not carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The slot has no container here that serves.
    #[error("slot {0} is not served here")]
    NotServed(Slot),
    /// The slot is sealed: it changes hands. Wait for the outcome.
    #[error("slot {0} is changing hands")]
    Sealed(Slot),
    /// The slot is being copied, and its changes cannot be sent as fast as they come.
    #[error("slot {0} is being moved and takes no more writes for a moment")]
    Congested(Slot),
    /// What is there cannot be edited so, or would become too long.
    #[error("{0}")]
    Unfit(Unfit),
    /// The entry alone is larger than its group or the node may hold.
    #[error("the entry needs {needed} bytes with its overhead; {limit} is the limit of {of}")]
    TooLarge {
        /// Bytes of key, value and overhead.
        needed: u64,
        /// The bound that it breaks.
        limit: u64,
        /// Whose bound: "this node's share of the group" or "the node".
        of: &'static str,
    },
}

/// Proof that nothing touched a key since its miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillToken {
    /// The container in which the key was missed.
    pub container: ContainerId,
    /// A number that no other token of the container has.
    pub nonce: u64,
}

/// What an origin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A value.
    Value {
        /// The value.
        value: Bytes,
        /// How long it may be kept; `None`: the group's default, else for ever.
        ttl: Option<Ttl>,
    },
    /// "Not there", to be remembered for a while.
    Absent {
        /// How long.
        ttl: Ttl,
    },
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is stored, under this version.
    Stored(Version),
    /// A write, delete, eviction or flush came first, or the slot left or is sealed.
    Rejected,
}
