//! The entries of one node: shards of whole slots, each a plain data structure
//! behind a lock. It does not know that a cluster exists.
//!
//! ```text
//! Store ── groups: name → number, bound, bytes in use
//!   └─ Mutex<Shard> × n       the slots whose lowest bits are its number
//!        ├─ entries: packed in an arena; large values beside it
//!        ├─ container per slot: key → entry, listable, dropped by identity;
//!        │  others are being filled by another node, or emptied
//!        ├─ order of eviction per group
//!        ├─ due queue: which entries' time is over
//!        └─ fill tokens
//! ```
//! Reading order: `types`, `entry`, `arena`, `table`, `container`, `shard`, then this
//! file; `moves` and `moving` for slots that change hands.
//!
//! One lock is held at a time, for at most some thousand entries. Bounds hold over
//! all shards: a writer evicts in its own shard, and turns to the others when that
//! has nothing left to give. With one shard that is exactly the
//! policy of the group.

mod ahead;
mod arena;
mod budget;
mod container;
mod containers;
mod edit;
mod entries;
mod entry;
mod eviction;
mod expiry;
mod fills;
mod groups;
mod lock;
mod long_double;
mod memory;
mod moves;
mod moving;
mod prefetch;
mod reading;
mod relief;
mod shard;
mod shed;
mod stats;
mod tables;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cached_proto::operation::Operation;
use cached_proto::types::{Epoch, GroupName, Key, SLOTS, Slot};
use cached_proto::update::{Update, Updated};

use crate::clock::WallMs;
use budget::Budget;
use groups::Groups;
use lock::{Held, ShardLock};
use shard::{CHUNK, Scope, Shard, ShardConfig};

pub use ahead::{FETCHED_MAX, Spot};
pub use edit::Unfit;
pub use memory::{MemoryParts, MemoryUse};
pub use moves::{Change, MoveLog, SlotSum};
pub use moving::{Applied, Purge, Scanned};
pub(crate) use prefetch::prefetch;
pub use reading::{Hit, Read, Run};
pub use shed::Shed;
pub use stats::GroupCounters;
pub use types::{
    ContainerId, Executed, Fill, FillToken, Filled, GroupId, GroupSettings, KeyCursor, KeyPage,
    Refused, SlotInfo, StoreConfig,
};

/// The entries of one node. All calls are short and never wait for anything but
/// a shard's lock.
pub struct Store {
    /// By the lowest bits of the slot.
    shards: Box<[ShardLock]>,
    groups: Groups,
    node: Arc<Budget>,
    /// As its shards have it.
    hash_seed: u64,
    last_container: AtomicU64,
    /// The shard at which the next sweep starts.
    sweep_from: AtomicUsize,
}

/// Shows sizes only: keys and values are nobody's business in a log.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Store");
        shown.field("shards", &self.shards.len());
        shown.field("node", &self.node);
        shown.finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store without groups and slots.
    pub fn new(config: StoreConfig) -> Self {
        let shards = config
            .shards
            .clamp(1, usize::from(SLOTS))
            .next_power_of_two();
        let node = Arc::new(Budget::new(config.memory_bytes));
        let hash_seed = RandomState::new().hash_one(0);
        let shard = ShardConfig {
            shards_log2: shards.ilog2(),
            hash_seed,
            node: node.clone(),
        };
        Self {
            shards: (0..shards)
                .map(|_| ShardLock::new(Shard::new(shard.clone())))
                .collect(),
            groups: Groups::default(),
            node,
            hash_seed,
            last_container: AtomicU64::new(0),
            sweep_from: AtomicUsize::new(0),
        }
    }

    /// Creates a group or changes its settings; lowering a bound evicts at once. A
    /// changed time to live is for entries written from now on, and a changed policy for
    /// stores to come. At most
    /// [`GROUPS_MAX`](cached_proto::limits::GROUPS_MAX) names, which the caller checks.
    pub fn set_group(&self, name: &GroupName, settings: GroupSettings) -> GroupId {
        let id = self.groups.set(name, settings, |id, budget| {
            for shard in &self.shards {
                let mut shard = shard.lock();
                shard.set_group(id, name, budget, settings);
            }
        });
        self.relieve(Scope::Group(id), None);
        id
    }

    /// The number of a group. Takes no lock.
    pub fn group(&self, name: &GroupName) -> Option<GroupId> {
        self.groups.load().id(name)
    }

    /// The name of a group.
    pub fn group_name(&self, group: GroupId) -> Option<GroupName> {
        self.groups
            .load()
            .list
            .get(group.index())
            .map(|group| group.name.clone())
    }

    /// Changes the node's bound; lowering it evicts at once.
    pub fn set_memory_bytes(&self, bytes: u64) {
        self.node.set_limit(bytes);
        self.relieve(Scope::Node, None);
    }

    /// Starts to serve a slot with an empty container. A container that is there
    /// is dropped. Versions start anew, so the epoch must be one under which the
    /// slot never took a write before.
    pub fn open_slot(&self, slot: Slot, epoch: Epoch) -> ContainerId {
        let id = self.next_container();
        let mut shard = self.shard(slot).lock();
        if let Some(before) = shard.open(slot, id, epoch) {
            in_chunks(&mut shard, |shard| shard.clear(&before, CHUNK));
        }
        id
    }

    /// Stops serving a slot and frees its entries, if it is that container.
    /// Answers how many entries went, without those that only say "not there".
    /// Takes time by the entries of the slot, but lets others in between.
    pub fn drop_slot(&self, slot: Slot, container: ContainerId) -> Option<u64> {
        let mut shard = self.shard(slot).lock();
        let purge = shard.detach(slot, container)?;
        in_chunks(&mut shard, |shard| shard.clear(&purge, CHUNK));
        Some(purge.keys)
    }

    /// The container that serves a slot, sealed or not.
    pub fn slot(&self, slot: Slot) -> Option<SlotInfo> {
        self.shard(slot).lock().slot(slot)
    }

    /// Slots that are served and not sealed, ascending, each with its container.
    pub fn serving_slots(&self) -> Vec<(Slot, ContainerId)> {
        let slots = self.slots().into_iter().filter(|info| !info.sealed);
        slots.map(|info| (info.slot, info.container)).collect()
    }

    /// All containers that serve, sealed ones included, ascending by slot.
    pub fn slots(&self) -> Vec<SlotInfo> {
        let mut slots = Vec::new();
        // A small one, because the system gives memory slowly, and others wait meanwhile.
        let mut of_shard = Vec::with_capacity(usize::from(SLOTS) / self.shards.len());
        for shard in &self.shards {
            of_shard.extend(shard.lock().slots());
            slots.append(&mut of_shard);
        }
        slots.sort_unstable_by_key(|info| info.slot);
        slots
    }

    /// Some keys of a slot, from the cursor on: looks at up to `limit` entries (at
    /// least 1) and leaves out those that only say "not there". A key that is there
    /// during the whole listing is listed at least once; one that comes or goes
    /// meanwhile may be, and so may one whose time is over until it is swept. The
    /// listing ends, however much is written, and when its container goes.
    pub fn keys(&self, slot: Slot, from: Option<KeyCursor>, limit: usize) -> KeyPage {
        self.shard(slot).lock().keys(slot, from, limit)
    }

    /// Carries out one operation.
    ///
    /// Reads of a value, sets and touches count as a use of the entry; reads of
    /// metadata do not. A set whose condition fails, or that is refused, evicts
    /// nothing. A delete kills the key's fill token also where it finds nothing; its
    /// conditions other than `Always` and `IfVersion` hold as they do for a set.
    ///
    /// Key and value are copied; only a value of more than 512 KiB is not: one that is a
    /// slice of a larger buffer keeps that buffer in memory, so callers hand in such
    /// values as buffers of their own.
    pub fn execute(
        &self,
        slot: Slot,
        group: GroupId,
        operation: &Operation,
        now: WallMs,
    ) -> Result<Executed, Refused> {
        let mut shard = self.shard(slot).lock();
        let executed = shard.execute(slot, group, operation, now);
        let may_grow = matches!(
            operation,
            Operation::Set { .. } | Operation::Update { .. } | Operation::SetMany { .. }
        );
        if may_grow {
            self.settle(shard, slot, group);
        }
        executed
    }

    /// Carries out an [`Operation::Update`] that may make the value so long;
    /// [`Store::execute`] sets no bound but that of memory.
    pub fn update(
        &self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        update: &Update,
        value_bytes_max: usize,
        now: WallMs,
    ) -> Result<Updated, Refused> {
        let mut shard = self.shard(slot).lock();
        let updated = shard.update(slot, group, key, update, value_bytes_max, now);
        self.settle(shard, slot, group);
        updated
    }

    /// Carries out a `Get` whose miss may yet be loaded: as `execute`, but a miss is
    /// `None` and not counted. Whoever answers it as a miss or with a load says
    /// [`Store::count_miss`], so that every request counts once.
    pub fn try_get(
        &self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        metadata_only: bool,
        now: WallMs,
    ) -> Result<Option<Executed>, Refused> {
        let mut shard = self.shard(slot).lock();
        shard.try_get(slot, group, key.as_bytes(), metadata_only, now)
    }

    /// Counts a read that [`Store::try_get`] did not find.
    pub fn count_miss(&self, slot: Slot, group: GroupId) {
        self.shard(slot).lock().count_miss(group);
    }

    /// Whether a read would find an entry, or a remembered "not there". Counts and
    /// touches nothing.
    pub fn contains(&self, slot: Slot, group: GroupId, key: &Key, now: WallMs) -> bool {
        self.shard(slot)
            .lock()
            .contains(slot, group, key.as_bytes(), now)
    }

    /// Announces a load of a key that was missed. A write, delete, eviction or
    /// flush of the key, or the end of the container, kills the token; so does
    /// another `begin_fill` of the same key, and the time after `until`.
    pub fn begin_fill(
        &self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        until: WallMs,
    ) -> Result<FillToken, Refused> {
        self.shard(slot)
            .lock()
            .begin_fill(slot, group, key.as_bytes(), until)
    }

    /// Whether a token would still be taken by [`Store::fill`].
    pub fn fill_alive(
        &self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        token: FillToken,
        now: WallMs,
    ) -> bool {
        let shard = self.shard(slot).lock();
        shard.fill_alive(slot, group, key.as_bytes(), token, now)
    }

    /// Stores what a load brought, if its token still lives. The token is used up. Where
    /// the slot is sealed the fill is rejected; where it is congested the fill is refused,
    /// and what was loaded is good for whoever waits for it, if its token lived.
    pub fn fill(
        &self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        token: FillToken,
        fill: Fill,
        now: WallMs,
    ) -> Result<Filled, Refused> {
        let mut shard = self.shard(slot).lock();
        let filled = shard.fill(slot, group, key.as_bytes(), token, fill, now);
        self.settle(shard, slot, group);
        filled
    }

    /// Takes a token back after a load that failed.
    pub fn abandon_fill(&self, slot: Slot, group: GroupId, key: &Key, token: FillToken) {
        self.shard(slot)
            .lock()
            .abandon_fill(slot, group, key.as_bytes(), token);
    }

    /// Removes every entry and token of a group; answers how many entries, without
    /// those that only say "not there". Goes shard by shard and lets others in
    /// between; an entry written meanwhile may stay or go.
    pub fn flush(&self, group: GroupId) -> u64 {
        self.flush_in_steps(group).sum()
    }

    /// The same in short steps, each taken when it is asked for; each answers how many
    /// entries it removed. What is sealed or staged stays.
    pub fn flush_in_steps(&self, group: GroupId) -> impl Iterator<Item = u64> + Send {
        // Ends, because each step removes far more than the few writers that get in
        // between can add.
        self.shards
            .iter()
            .flat_map(move |shard| std::iter::from_fn(move || shard.lock().flush(group, CHUNK)))
    }

    /// Removes entries whose time is over, at most `budget`; answers how many. Looks
    /// at no others, and may leave those of the last second or so to the next call.
    /// Those that are sealed stay, and count once as removed.
    pub fn sweep(&self, now: WallMs, budget: usize) -> usize {
        let from = self.sweep_from.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let (before, after) = self.shards.split_at(from);
        let mut left = budget;
        for shard in after.iter().chain(before) {
            in_chunks(&mut shard.lock(), |shard| {
                let chunk = left.min(CHUNK);
                let removed = shard.sweep(now, chunk);
                left -= removed;
                left == 0 || removed < chunk
            });
        }
        budget - left
    }

    /// Counters of every group, in the order of their numbers.
    pub fn group_counters(&self) -> Vec<(GroupName, GroupSettings, GroupCounters)> {
        let groups = self.groups.load();
        let mut sums = vec![GroupCounters::default(); groups.list.len()];
        for shard in &self.shards {
            let shard = shard.lock();
            for (number, sum) in sums.iter_mut().enumerate() {
                sum.add(shard.counters(GroupId(number as u16)));
            }
        }
        let counted = groups.list.iter().zip(sums);
        let counted = counted.map(|(group, sum)| {
            let sum = GroupCounters {
                bytes: group.budget.used(),
                ..sum
            };
            (group.name.clone(), group.settings, sum)
        });
        counted.collect()
    }

    /// Bytes of keys, values and overhead over all groups.
    pub fn used_bytes(&self) -> u64 {
        self.node.used()
    }

    /// The node's bound, on entries and all else: see [`Store::set_overhead`].
    pub fn memory_bytes(&self) -> u64 {
        self.node.configured()
    }

    /// Bytes that an entry with so long a key and value is counted with.
    pub fn entry_bytes(key_bytes: usize, value_bytes: usize) -> u64 {
        entry::charge(key_bytes, value_bytes)
    }

    /// Fill tokens that live, and some whose time was over since the last sweep.
    pub fn fill_tokens(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.lock().fill_tokens() as u64)
            .sum()
    }

    fn next_container(&self) -> ContainerId {
        ContainerId(self.last_container.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn is_same_shard(&self, one: Slot, other: Slot) -> bool {
        (one.index() ^ other.index()) & (self.shards.len() - 1) == 0
    }

    fn shard(&self, slot: Slot) -> &ShardLock {
        &self.shards[slot.index() & (self.shards.len() - 1)]
    }
}

/// Repeats a step until it says that it is done, letting others that wait for the
/// lock in between.
fn in_chunks(shard: &mut Held<'_>, mut step: impl FnMut(&mut Shard) -> bool) {
    while !step(shard) {
        shard.bump();
    }
}
