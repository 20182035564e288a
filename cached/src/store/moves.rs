//! Words for slots on the move: changes in order, sums to compare, and the log in which
//! an owner's changes wait for the sender.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cached_proto::types::{Key, Slot};
use parking_lot::Mutex;

use super::GroupId;
use crate::clock::WallMs;

/// One change of a slot that moves, in the order in which it happened. Scanned entries
/// are changes, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry as it is from here on.
    Put {
        /// Its slot.
        slot: Slot,
        /// Its group.
        group: GroupId,
        /// Its key.
        key: Key,
        /// Its value; `None`: a note that the origin has nothing under the key.
        value: Option<Bytes>,
        /// Lower half of its version.
        seq: u64,
        /// When its time is over.
        deadline: Option<WallMs>,
        /// Of its last use.
        stamp: u64,
    },
    /// An entry is there no more, for whatever reason.
    Remove {
        /// Its slot.
        slot: Slot,
        /// Its group.
        group: GroupId,
        /// Its key.
        key: Key,
        /// The slot's number of changes by then.
        seq: u64,
    },
    /// An entry was used, or has another deadline.
    Use {
        /// Its slot.
        slot: Slot,
        /// Its group.
        group: GroupId,
        /// Its key.
        key: Key,
        /// Of this use.
        stamp: u64,
        /// When its time is over.
        deadline: Option<WallMs>,
    },
    /// The last change of its slot.
    Seal {
        /// The slot.
        slot: Slot,
        /// The slot's number of changes.
        seq: u64,
        /// What it holds.
        sum: SlotSum,
    },
}

impl Change {
    /// The slot that changed.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Put { slot, .. }
            | Self::Remove { slot, .. }
            | Self::Use { slot, .. }
            | Self::Seal { slot, .. } => *slot,
        }
    }

    /// Bytes of key and value: what windows and rates count, with something for the rest.
    pub fn weight(&self) -> u64 {
        const REST: usize = 48;
        let bytes = match self {
            Self::Put { key, value, .. } => {
                key.as_bytes().len() + value.as_ref().map_or(0, Bytes::len)
            }
            Self::Remove { key, .. } | Self::Use { key, .. } => key.as_bytes().len(),
            Self::Seal { .. } => 0,
        };
        (bytes + REST) as u64
    }
}

/// What a slot holds, to be compared by both ends (I13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSum {
    /// Entries, notes of absence included.
    pub keys: u64,
    /// Over group names, keys and versions of all entries; their order does not matter,
    /// and it is the same in every process.
    pub digest: u64,
    /// The owner's clock at the seal: nothing that has expired by it lives again (R33).
    /// Not compared.
    pub wall: WallMs,
}

/// Changes of the slots of one batch that wait to be sent. Shards append while they
/// hold their lock, so the order of each slot's changes is that in which they happened
/// (R19); the sender takes from the front without any shard's lock.
pub struct MoveLog {
    /// Guards the queue only. Taken while a shard's lock is held, never the other way round.
    queue: Mutex<VecDeque<Change>>,
    /// Weight of what is queued.
    queued: AtomicU64,
    /// Writers find no room above this weight.
    window: AtomicU64,
    /// Told when something was appended to an empty queue.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for MoveLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoveLog")
            .field("queued", &self.queued)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl MoveLog {
    /// An empty log; `wake` is called under a shard's lock, so it must be quick.
    pub fn new(window: u64, wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            queued: AtomicU64::new(0),
            window: AtomicU64::new(window),
            wake: Box::new(wake),
        })
    }

    /// Takes changes from the front, some of so much weight together (at least one, if
    /// there is any).
    pub fn take(&self, weight_max: u64) -> Vec<Change> {
        let mut queue = self.queue.lock();
        let (mut taken, mut weight) = (Vec::new(), 0);
        while weight < weight_max
            && let Some(change) = queue.pop_front()
        {
            weight += change.weight();
            taken.push(change);
        }
        self.queued.fetch_sub(weight, Ordering::Relaxed);
        taken
    }

    /// Weight of what waits.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether writers have to wait.
    pub fn is_full(&self) -> bool {
        self.queued() >= self.window.load(Ordering::Relaxed)
    }

    /// Whether so much waits that uses are not worth to be told any more: long before
    /// writers have to wait, or reads could keep them out.
    pub(crate) fn is_flooded(&self) -> bool {
        self.queued() >= self.window.load(Ordering::Relaxed) / 2
    }

    /// Narrows or widens the window for writers (R21).
    pub fn set_window(&self, weight: u64) {
        self.window.store(weight, Ordering::Relaxed);
    }

    /// Appends; called under the lock of the change's shard.
    pub(crate) fn append(&self, change: Change) {
        let mut queue = self.queue.lock();
        let was_empty = queue.is_empty();
        self.queued.fetch_add(change.weight(), Ordering::Relaxed);
        queue.push_back(change);
        drop(queue);
        if was_empty {
            (self.wake)();
        }
    }
}
