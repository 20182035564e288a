//! One shard: the entries of some slots as a plain data structure. Pure: `&mut
//! self`, `now` passed in, nothing waits. This file keeps entries, containers,
//! orders, due queue and sums in step; its neighbours hold what is done with them.
//! `moving` is a slot's end at its owner, `staging` its beginning at the next.

mod execute;
mod fill;
mod moving;
mod room;
mod slots;
mod staging;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cached_proto::types::{GroupName, Key, Slot, Ttl, Version};
use slab::Slab;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::budget::Budget;
use super::container::{Container, State, fingerprint, name_hash};
use super::entry::{Deadline, Entry, NO_PLACE};
use super::eviction::{Linked, Links, Order, Stamps};
use super::expiry::DueQueue;
use super::fills::{FillKey, FillTable};
use super::{ContainerId, GroupCounters, GroupId, Refused};
use crate::clock::WallMs;
use crate::faults::{Fault, planted};

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
    entries: Slab<Entry>,
    /// Containers that serve, those that are being filled, and those being emptied.
    containers: Slab<Container>,
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
    /// Without groups and containers.
    pub(crate) fn new(config: ShardConfig) -> Self {
        let slots = usize::from(cached_proto::types::SLOTS) >> config.shards_log2;
        Self {
            config,
            entries: Slab::new(),
            containers: Slab::new(),
            serving: vec![None; slots],
            staged: BTreeMap::new(),
            unsettled: Vec::new(),
            groups: Vec::new(),
            due: DueQueue::default(),
            fills: FillTable::default(),
            stamps: Stamps::default(),
            evictions: 0,
        }
    }

    /// Takes in the next group, or changes one that is there.
    pub(crate) fn set_group(
        &mut self,
        id: GroupId,
        name: &GroupName,
        budget: &Arc<Budget>,
        ttl: Option<Ttl>,
    ) {
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.default_ttl = ttl;
            return;
        }
        self.groups.push(GroupPart {
            order: Order::default(),
            counters: GroupCounters::default(),
            budget: budget.clone(),
            default_ttl: ttl,
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

    /// Where an operation on a key takes place, and when.
    fn place<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a Key,
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        let place = self.place_in_any(slot, group, key, now)?;
        if self.containers[place.container as usize].is_sealed() {
            return Err(Refused::Sealed(slot));
        }
        Ok(place)
    }

    /// The same for a read.
    fn place_to_read<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a Key,
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        if planted(Fault::R3) {
            return self.place_in_any(slot, group, key, now);
        }
        self.place(slot, group, key, now)
    }

    /// The same for a write, which is refused where its change could not be sent on.
    fn place_to_write<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a Key,
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        let place = self.place(slot, group, key, now)?;
        match &self.containers[place.container as usize].log {
            Some(log) if log.is_full() => Err(Refused::Congested(slot)),
            _ => Ok(place),
        }
    }

    fn place_in_any<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a Key,
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        let container = self.serving[self.local(slot)].ok_or(Refused::NotServed(slot))?;
        let key = key.as_bytes();
        let hash = hash(self.config.hash_seed, group, key);
        Ok(Place {
            container,
            group,
            key,
            hash,
            now: now.max(self.containers[container as usize].floor),
        })
    }

    fn fill_key(&self, place: &Place<'_>) -> FillKey {
        let container = self.containers[place.container as usize].id;
        FillKey {
            container,
            hash: place.hash,
        }
    }

    /// The entry of a key, whether or not its time is over.
    fn peek(&self, place: &Place<'_>) -> Option<u32> {
        let container = &self.containers[place.container as usize];
        container.find(place.hash, |index| {
            let entry = &self.entries[index as usize];
            entry.group == place.group && entry.key() == place.key
        })
    }

    /// The entry of a key; one whose time is over is removed instead.
    fn find(&mut self, place: &Place<'_>) -> Option<u32> {
        let found = self.peek(place)?;
        if self.entries[found as usize].deadline.has_passed(place.now) {
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
        value: Option<Bytes>,
        deadline: Deadline,
    ) -> Version {
        let index = match found {
            Some(index) => {
                self.discount(index);
                self.entries[index as usize].set_value(value);
                index
            }
            None => self.add(place, value),
        };
        let container = &mut self.containers[place.container as usize];
        let seq = container.next_seq();
        let version = container.version(seq);
        self.entries[index as usize].seq = seq;
        self.count(index);
        self.touch(index, place.now);
        self.set_deadline(index, deadline);
        self.log_put(index);
        self.make_room(place.group, index);
        version
    }

    /// A new entry in its container's table, and nowhere else.
    fn add(&mut self, place: &Place<'_>, value: Option<Bytes>) -> u32 {
        let entry = Entry::new(place.container, place.group, place.key, value);
        let index = self.entries.insert(entry);
        let index = u32::try_from(index).expect("2^32 entries need 800 GB in one shard");
        let Self {
            entries,
            containers,
            config,
            ..
        } = self;
        let container = &mut containers[place.container as usize];
        let member = container.insert(place.hash, index, |other| {
            let entry = &entries[other as usize];
            hash(config.hash_seed, entry.group, entry.key())
        });
        self.entries[index as usize].member = member;
        index
    }

    /// Takes an entry out of everything.
    fn remove(&mut self, index: u32, why: Gone) {
        let bytes = self.take_out(index, why);
        self.config.node.give(bytes);
    }

    /// The same, but the node's bound still counts it: answers with how many bytes.
    fn take_out(&mut self, index: u32, why: Gone) -> u64 {
        self.set_deadline(index, Deadline::NEVER);
        let bytes = self.leave_sums(index);
        let entry = &self.entries[index as usize];
        let (group, member, is_key) = (entry.group, entry.member, entry.is_key());
        let hash = hash(self.config.hash_seed, group, entry.key());
        let container = &mut self.containers[entry.container as usize];
        // Who meets an entry of a closed container only helps to empty it.
        let why = if container.is_closed() {
            Gone::Dropped
        } else {
            why
        };
        if let Some(moved) = container.remove(hash, index, member) {
            self.entries[moved as usize].member = member;
        }
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
        group.order.remove(&mut self.entries, index);
        self.entries.remove(index as usize);
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

    /// Notes a use.
    fn touch(&mut self, index: u32, now: WallMs) {
        let entry = &mut self.entries[index as usize];
        entry.stamp = self.stamps.next(now);
        let group = entry.group.index();
        self.groups[group].order.touch(&mut self.entries, index);
    }

    fn set_deadline(&mut self, index: u32, deadline: Deadline) {
        let entry = &mut self.entries[index as usize];
        let before = std::mem::replace(&mut entry.deadline, deadline);
        if before == deadline {
            return;
        }
        self.unqueue(index, before);
        if let Some(ms) = deadline.wall_ms() {
            self.entries[index as usize].due = self.due.insert(ms, index);
        }
    }

    /// Takes an entry that had this deadline out of the due queue, if it is in there.
    fn unqueue(&mut self, index: u32, deadline: Deadline) {
        let place = std::mem::replace(&mut self.entries[index as usize].due, NO_PLACE);
        if place != NO_PLACE
            && let Some(ms) = deadline.wall_ms()
            && let Some(moved) = self.due.remove(ms, place)
        {
            self.entries[moved as usize].due = place;
        }
    }

    /// Adds an entry to every sum that it is part of.
    fn count(&mut self, index: u32) {
        let bytes = self.enter_sums(index);
        self.config.node.take(bytes);
    }

    /// Takes an entry from every sum that it is part of.
    fn discount(&mut self, index: u32) {
        let bytes = self.leave_sums(index);
        self.config.node.give(bytes);
    }

    /// Adds an entry to the sums of its container and group; answers its bytes. What is
    /// staged counts for its group only when it serves: its owner counts it till then.
    fn enter_sums(&mut self, index: u32) -> u64 {
        let entry = &self.entries[index as usize];
        let (bytes, keys) = (entry.charge(), u64::from(entry.is_key()));
        let group = &mut self.groups[entry.group.index()];
        let container = &mut self.containers[entry.container as usize];
        container.bytes += bytes;
        container.keys += keys;
        let print = fingerprint(group.name_hash, entry.key(), entry.seq);
        container.digest = container.digest.wrapping_add(print);
        if let State::Staging(staging) = &mut container.state {
            let sums = staging.groups.entry(entry.group).or_default();
            *sums = (sums.0 + keys, sums.1 + bytes);
        } else {
            group.counters.keys += keys;
            group.budget.take(bytes);
        }
        bytes
    }

    /// Undoes [`Shard::enter_sums`].
    fn leave_sums(&mut self, index: u32) -> u64 {
        let entry = &self.entries[index as usize];
        let (bytes, keys) = (entry.charge(), u64::from(entry.is_key()));
        let group = &mut self.groups[entry.group.index()];
        let container = &mut self.containers[entry.container as usize];
        container.bytes -= bytes;
        container.keys -= keys;
        let print = fingerprint(group.name_hash, entry.key(), entry.seq);
        container.digest = container.digest.wrapping_sub(print);
        if let State::Staging(staging) = &mut container.state {
            let sums = staging.groups.entry(entry.group).or_default();
            *sums = (sums.0 - keys, sums.1 - bytes);
        } else {
            group.counters.keys -= keys;
            group.budget.give(bytes);
        }
        bytes
    }
}

/// The hash of a key within its container. Same keys of different groups differ.
fn hash(seed: u64, group: GroupId, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, seed ^ u64::from(group.0))
}

impl Linked for Slab<Entry> {
    fn links(&mut self, index: u32) -> &mut Links {
        &mut self[index as usize].links
    }

    fn strand(&mut self, index: u32) -> &mut u16 {
        &mut self[index as usize].strand
    }

    fn stamp(&self, index: u32) -> u64 {
        self[index as usize].stamp
    }
}
