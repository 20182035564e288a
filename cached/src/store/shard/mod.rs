//! One shard: the entries of some slots as a plain data structure. Pure: `&mut
//! self`, `now` passed in, nothing waits. This file keeps entries, containers,
//! orders, due queue and sums in step; its neighbours hold what is done with them.
//! `moving` is a slot's end at its owner, `staging` its beginning at the next.

mod evacuate;
mod execute;
mod fetch;
mod fill;
mod moving;
mod place;
mod room;
mod shed;
mod slots;
mod staging;
mod update;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::types::{GroupName, Ttl, Version};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::arena::Released;
use super::budget::Budget;
use super::container::{State, fingerprint, name_hash};
use super::containers::Containers;
use super::entries::{Due, Entries, Value};
use super::entry::{Body, Deadline, Draft, OVERHEAD_BYTES};
use super::eviction::{Order, Stamps};
use super::expiry::DueQueue;
use super::fills::{FillKey, FillTable};
use super::tables::{Home, Tables};
use super::{ContainerId, GroupCounters, GroupId, GroupSettings, MemoryParts};
use crate::clock::WallMs;

pub(crate) use room::Scope;

/// Entries that are removed in one go under the lock, where there may be many:
/// some hundred microseconds, after which others get their turn.
pub(crate) const CHUNK: usize = 1024;

/// What is the same for all shards of a store.
#[derive(Clone)]
pub(crate) struct ShardConfig {
    /// log2 of the number of shards.
    pub(crate) shards_log2: u32,
    /// Random, so that nobody outside can choose keys that collide.
    pub(crate) hash_seed: u64,
    /// The node's bound.
    pub(crate) node: Arc<Budget>,
}

/// The entries of the slots whose lowest bits are this shard's number.
pub(crate) struct Shard {
    config: ShardConfig,
    entries: Entries,
    /// Containers that serve, those that are being filled, and those being emptied.
    containers: Containers,
    /// The container that serves each slot, by the slot's upper bits.
    serving: Vec<Option<u32>>,
    /// Containers that another node fills.
    staged: BTreeMap<ContainerId, u32>,
    /// Containers that serve, and have entries that stand in no order yet.
    unsettled: Vec<u32>,
    groups: Vec<GroupPart>,
    due: DueQueue,
    fills: FillTable,
    stamps: Stamps,
    /// Counts evictions, to leave some to other shards.
    evictions: u32,
    /// Which entries each container holds.
    tables: Tables,
    /// What all entries are counted with.
    charged: u64,
}

/// What a shard holds of a group.
struct GroupPart {
    order: Order,
    /// This shard's share; `bytes` stays 0, the budget knows.
    counters: GroupCounters,
    budget: Arc<Budget>,
    default_ttl: Option<Ttl>,
    /// Of its name, which is the same on every node.
    name_hash: u64,
}

/// Where a key belongs.
#[derive(Clone, Copy)]
struct Place<'a> {
    container: u32,
    group: GroupId,
    key: &'a [u8],
    hash: u64,
    /// The time for everything that is done there.
    now: WallMs,
}

impl Place<'_> {
    fn home(&self) -> Home {
        Home {
            container: self.container,
            hash: self.hash,
        }
    }
}

/// Why an entry goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// By delete or flush.
    Removed,
    Evicted,
    Expired,
    /// Because its slot goes to a node that has no room for it.
    Shed,
    /// With its container.
    Dropped,
}

impl Shard {
    /// Memory that is not needed any more since this was last called.
    #[inline]
    pub(super) fn take_released(&mut self) -> Released {
        self.entries.take_released()
    }

    /// Without groups and containers.
    pub(crate) fn new(config: ShardConfig) -> Self {
        let slots = usize::from(cached_proto::types::SLOTS) >> config.shards_log2;
        Self {
            config,
            entries: Entries::default(),
            containers: Containers::default(),
            serving: vec![None; slots],
            staged: BTreeMap::new(),
            unsettled: Vec::new(),
            groups: Vec::new(),
            due: DueQueue::default(),
            fills: FillTable::default(),
            stamps: Stamps::default(),
            evictions: 0,
            tables: Tables::default(),
            charged: 0,
        }
    }

    /// Takes in the next group, or changes one that is there.
    pub(crate) fn set_group(
        &mut self,
        id: GroupId,
        name: &GroupName,
        budget: &Arc<Budget>,
        settings: GroupSettings,
    ) {
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.default_ttl = settings.default_ttl;
            return;
        }
        self.groups.push(GroupPart {
            order: Order::new(settings.policy),
            counters: GroupCounters::default(),
            budget: budget.clone(),
            default_ttl: settings.default_ttl,
            name_hash: name_hash(name.as_str()),
        });
    }

    /// This shard's share of a group's counters, without its bytes.
    pub(crate) fn counters(&self, group: GroupId) -> &GroupCounters {
        &self.groups[group.index()].counters
    }

    /// Fill tokens held.
    pub(crate) fn fill_tokens(&self) -> usize {
        self.fills.len()
    }

    /// Adds this shard's memory.
    pub(crate) fn add_memory(&self, parts: &mut MemoryParts) {
        let arena = self.entries.arena();
        parts.charged += self.charged;
        parts.entries += arena.used_bytes();
        parts.free += arena.free_bytes();
        parts.free_allowed += arena.free_bytes_allowed();
        parts.tables += self.tables.bytes() as u64;
        parts.due += self.due.bytes();
        parts.large += self.entries.large_bytes();
        parts.fills += self.fills.bytes();
        let names = self.groups.iter().map(|group| group.order.bytes());
        parts.names += names.sum::<u64>();
    }

    /// Bytes of keys and values in service, and of those that are staged. Looks at every
    /// container.
    pub(crate) fn payload_bytes(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for container in self.containers.iter() {
            let entries = container.row.entries() as u64;
            let bytes = container.bytes.saturating_sub(entries * OVERHEAD_BYTES);
            match container.state {
                State::Staging(_) => sums.1 += bytes,
                State::Serving | State::Sealed | State::Closed => sums.0 += bytes,
            }
        }
        sums
    }

    /// The entry of a key, whether or not its time is over.
    fn peek(&self, place: &Place<'_>) -> Option<u32> {
        let row = &self.containers[place.container as usize].row;
        self.tables.find(row, place.hash, |index| {
            let entry = self.entries.get(index);
            entry.key() == place.key && entry.group() == place.group
        })
    }

    /// The entry of a key; one whose time is over is removed instead.
    fn find(&mut self, place: &Place<'_>) -> Option<u32> {
        let found = self.peek(place)?;
        if self.entries.get(found).deadline().has_passed(place.now) {
            if !self.containers[place.container as usize].is_sealed() {
                self.remove(found, Gone::Expired);
            }
            return None;
        }
        Some(found)
    }

    /// Puts a value (or a note of absence) under a key, over the entry that was
    /// found there, makes it the newest, and makes room for it.
    fn put(
        &mut self,
        place: &Place<'_>,
        found: Option<u32>,
        value: Option<Value<'_>>,
        deadline: Deadline,
    ) -> Version {
        let before = found.map(|index| self.leave_counts(index));
        let container = &mut self.containers[place.container as usize];
        let seq = container.next_seq();
        let version = container.version(seq);
        let index = self.store(place, found, value, seq, deadline);
        let after = self.enter_counts(index);
        let group = &mut self.groups[place.group.index()];
        for budget in [&*group.budget, &*self.config.node] {
            budget.change(before.unwrap_or_default(), after);
        }
        if let Some(before) = before {
            group.order.resized(&self.entries, index, before);
        }
        self.touch(place, index);
        self.queue(index);
        self.log_put(index);
        self.make_room(place.group, index);
        version
    }

    /// Writes an entry over the one that was found, whose place in its order it takes, or
    /// a new one that stands in its container's table only. In no case it is in the due
    /// queue, or part of a sum.
    fn store(
        &mut self,
        place: &Place<'_>,
        found: Option<u32>,
        value: Option<Value<'_>>,
        seq: u64,
        deadline: Deadline,
    ) -> u32 {
        let draft = Draft {
            container: u16::try_from(place.container).expect("few are staged, see STAGED_BELOW"),
            group: place.group,
            key: place.key,
            body: Body::Absent,
            seq,
            deadline,
            stamp: 0,
        };
        if let Some(index) = found {
            self.unqueue(index);
            let to = self.entries.rewrite(index, draft, value);
            return self.moved(index, to, place.hash);
        }
        let index = self.entries.insert(draft, value);
        let (tables, rows, home_of) = self.tables();
        tables.insert(rows, place.home(), index, home_of);
        index
    }

    /// Takes an entry out of everything.
    fn remove(&mut self, index: u32, why: Gone) {
        let bytes = self.take_out(index, why);
        self.config.node.give(bytes);
    }

    /// The same, but the node's bound still counts it: answers with how many bytes.
    fn take_out(&mut self, index: u32, why: Gone) -> u64 {
        self.unqueue(index);
        let bytes = self.leave_sums(index);
        let entry = self.entries.get(index);
        let (group, number, is_key) = (entry.group(), entry.container(), entry.is_key());
        let hash = hash(self.config.hash_seed, group, entry.key());
        let (tables, rows, home_of) = self.tables();
        let container = u32::from(number);
        tables.remove(rows, Home { container, hash }, index, home_of);
        let container = &mut self.containers[usize::from(number)];
        // Who meets an entry of a closed container only helps to empty it.
        let why = if container.is_closed() {
            Gone::Dropped
        } else {
            why
        };
        if matches!(why, Gone::Removed | Gone::Evicted | Gone::Shed) {
            self.fills.kill(FillKey {
                container: container.id,
                hash,
            });
        }
        if why == Gone::Removed {
            container.next_seq();
        }
        self.log_remove(index, why);
        let group = &mut self.groups[group.index()];
        let evicted = (why == Gone::Evicted).then_some(hash);
        group.order.remove(&mut self.entries, index, evicted);
        self.entries.remove(index);
        if is_key {
            match why {
                Gone::Removed => group.counters.deletes += 1,
                Gone::Evicted => group.counters.evictions += 1,
                Gone::Expired => group.counters.expirations += 1,
                Gone::Shed | Gone::Dropped => {}
            }
        }
        bytes
    }

    /// The tables, their rows, and how they find where an entry belongs.
    fn tables(&mut self) -> (&mut Tables, &mut Containers, impl Fn(u32) -> Home) {
        let (entries, seed) = (&self.entries, self.config.hash_seed);
        let home_of = move |index| Home {
            container: u32::from(entries.get(index).container()),
            hash: hash_of(entries, seed, index),
        };
        (&mut self.tables, &mut self.containers, home_of)
    }

    /// Notes a use.
    fn touch(&mut self, place: &Place<'_>, index: u32) {
        let stamp = self.stamps.next(place.now);
        let order = &mut self.groups[place.group.index()].order;
        order.touch(&mut self.entries, index, stamp, place.hash);
    }

    /// Changes when an entry's time is over; answers its handle, which may be another.
    fn set_deadline(&mut self, index: u32, deadline: Deadline) -> u32 {
        let entry = self.entries.get(index);
        if entry.deadline() == deadline {
            return index;
        }
        let hash = hash(self.config.hash_seed, entry.group(), entry.key());
        self.unqueue(index);
        let to = self.entries.set_deadline(index, deadline);
        let to = self.moved(index, to, hash);
        self.queue(to);
        to
    }

    /// Takes an entry into the due queue, if it has a deadline.
    fn queue(&mut self, index: u32) {
        if let Some(ms) = self.entries.get(index).deadline().wall_ms() {
            self.due.insert(&mut Due(&mut self.entries), ms, index);
        }
    }

    /// Takes an entry out of the due queue, if it is in there.
    fn unqueue(&mut self, index: u32) {
        if let Some(ms) = self.entries.queued_ms(index) {
            self.due.remove(&mut Due(&mut self.entries), ms, index);
            self.entries.set_not_queued(index);
        }
    }

    /// Adds an entry to the sums of its container and group; answers its bytes. What is
    /// staged counts for its group only when it serves: its owner counts it till then.
    fn enter_sums(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let (group, keys) = (entry.group(), u64::from(entry.is_key()));
        let number = usize::from(entry.container());
        if let State::Staging(staging) = &mut self.containers[number].state {
            let bytes = entry.charge();
            let sums = staging.groups.entry(group).or_default();
            *sums = (sums.0 + keys, sums.1 + bytes);
            self.enter_container(index)
        } else {
            let bytes = self.enter_counts(index);
            self.groups[group.index()].budget.take(bytes);
            bytes
        }
    }

    /// Undoes [`Shard::enter_sums`].
    fn leave_sums(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let (group, keys) = (entry.group(), u64::from(entry.is_key()));
        let number = usize::from(entry.container());
        if let State::Staging(staging) = &mut self.containers[number].state {
            let bytes = entry.charge();
            let sums = staging.groups.entry(group).or_default();
            *sums = (sums.0 - keys, sums.1 - bytes);
            self.leave_container(index)
        } else {
            let bytes = self.leave_counts(index);
            self.groups[group.index()].budget.give(bytes);
            bytes
        }
    }

    /// Adds an entry in service to all sums but those of the bounds; answers its bytes.
    fn enter_counts(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let keys = u64::from(entry.is_key());
        self.groups[entry.group().index()].counters.keys += keys;
        self.enter_container(index)
    }

    /// Undoes [`Shard::enter_counts`].
    fn leave_counts(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let keys = u64::from(entry.is_key());
        self.groups[entry.group().index()].counters.keys -= keys;
        self.leave_container(index)
    }

    /// Adds an entry to the sums of its container; answers its bytes.
    fn enter_container(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let bytes = entry.charge();
        let name_hash = self.groups[entry.group().index()].name_hash;
        let container = &mut self.containers[usize::from(entry.container())];
        self.charged += bytes;
        container.bytes += bytes;
        container.keys += u64::from(entry.is_key());
        let print = fingerprint(name_hash, entry.key(), entry.seq());
        container.digest = container.digest.wrapping_add(print);
        bytes
    }

    /// Undoes [`Shard::enter_container`].
    fn leave_container(&mut self, index: u32) -> u64 {
        let entry = self.entries.get(index);
        let bytes = entry.charge();
        let name_hash = self.groups[entry.group().index()].name_hash;
        let container = &mut self.containers[usize::from(entry.container())];
        self.charged -= bytes;
        container.bytes -= bytes;
        container.keys -= u64::from(entry.is_key());
        let print = fingerprint(name_hash, entry.key(), entry.seq());
        container.digest = container.digest.wrapping_sub(print);
        bytes
    }
}

/// The hash of a key within its container. Same keys of different groups differ; the
/// factor sees to it that near groups do not make near keys the same.
#[inline]
pub(crate) fn hash(seed: u64, group: GroupId, key: &[u8]) -> u64 {
    let group = u64::from(group.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    xxh3_64_with_seed(key, seed ^ group)
}

/// The same of an entry.
fn hash_of(entries: &Entries, seed: u64, index: u32) -> u64 {
    let entry = entries.get(index);
    hash(seed, entry.group(), entry.key())
}
