//! A slot that arrives: what its owner sends is staged, and then put in service.

use bytes::Bytes;
use cached_proto::types::{Epoch, SLOTS, Slot};

use super::{Gone, Place, Shard, hash};
use crate::clock::WallMs;
use crate::faults::{Fault, planted};
use crate::store::container::{Container, Staging, State};
use crate::store::entries::Value;
use crate::store::entry::{Deadline, STAMP_MAX, charge};
use crate::store::eviction::Ordered;
use crate::store::{Applied, Change, ContainerId, GroupId, Purge, SlotSum};

/// Containers of a shard from which on none is staged: of the 65,536 that an entry can
/// name, each slot may open one at any time.
const STAGED_BELOW: usize = (1 << 16) - SLOTS as usize;

/// Removed keys that a staging remembers at no cost: few are removed while a slot moves.
/// Each beyond takes memory.
const REMOVED_FREE: usize = 1024;

/// Bytes that such a key costs: its node in a tree that is two thirds full.
const REMOVED_BYTES: u64 = 24;

/// A staged entry beside its key and value.
struct Arrival {
    seq: u64,
    deadline: Deadline,
    stamp: u64,
}

impl Shard {
    /// An empty container that does not serve.
    pub(crate) fn stage(&mut self, slot: Slot, id: ContainerId, base: Epoch) -> ContainerId {
        if planted(Fault::R5) && self.stage_what_is_left(slot, id) {
            return id;
        }
        if self.containers.len() >= STAGED_BELOW {
            // Whatever is applied to it is refused.
            return id;
        }
        let state = State::Staging(Box::default());
        let container = Container::new(id, slot, base, state);
        let number = self.containers.insert(container);
        self.staged.insert(id, number);
        id
    }

    /// Goes on with what an earlier attempt left, if anything: a planted fault.
    fn stage_what_is_left(&mut self, slot: Slot, id: ContainerId) -> bool {
        let of_slot = |number: u32| self.containers[number as usize].slot == slot;
        let mut staged = self.staged.iter().map(|(id, number)| (*id, *number));
        let Some((earlier, number)) = staged.find(|(_, number)| of_slot(*number)) else {
            return false;
        };
        self.staged.remove(&earlier);
        self.staged.insert(id, number);
        self.containers[number as usize].id = id;
        if let Some(staging) = self.staging(number) {
            staging.is_complete = false;
        }
        true
    }

    /// Takes in a change, iff it is newer than what is there.
    pub(crate) fn apply(&mut self, id: ContainerId, change: Change, reserved: &mut u64) -> Applied {
        let applied = self.apply_one(id, change, reserved);
        self.evacuate();
        applied
    }

    fn apply_one(&mut self, id: ContainerId, change: Change, reserved: &mut u64) -> Applied {
        let Some(number) = self.staged_number(change.slot(), id) else {
            return Applied::No;
        };
        if self
            .staging(number)
            .is_none_or(|staging| staging.is_complete)
        {
            return Applied::Older;
        }
        match change {
            Change::Put {
                group,
                key,
                value,
                seq,
                deadline,
                stamp,
                ..
            } => {
                let arrival = Arrival {
                    seq,
                    deadline: Deadline::at(deadline),
                    stamp: stamp.min(STAMP_MAX),
                };
                let place = self.place_staged(number, group, key.as_bytes());
                self.stage_put(&place, value.as_ref(), &arrival, reserved)
            }
            Change::Remove {
                group, key, seq, ..
            } => {
                let place = self.place_staged(number, group, key.as_bytes());
                self.stage_remove(&place, seq, reserved)
            }
            Change::Use {
                group,
                key,
                stamp,
                deadline,
                ..
            } => {
                let place = self.place_staged(number, group, key.as_bytes());
                self.stage_use(&place, stamp.min(STAMP_MAX), Deadline::at(deadline))
            }
            Change::Seal { seq, sum, .. } => {
                let container = &mut self.containers[number as usize];
                container.seq = container.seq.max(seq);
                container.floor = container.floor.max(sum.wall);
                if let State::Staging(staging) = &mut container.state {
                    staging.is_complete = true;
                    staging.removed.clear();
                    *reserved += std::mem::take(&mut staging.removed_bytes);
                }
                Applied::Yes
            }
        }
    }

    /// What a staging holds.
    pub(crate) fn staged(&self, slot: Slot, id: ContainerId) -> Option<SlotSum> {
        let number = self.staged_number(slot, id)?;
        Some(self.containers[number as usize].sum(WallMs(0)))
    }

    /// Puts a staging in service.
    pub(crate) fn activate(
        &mut self,
        slot: Slot,
        id: ContainerId,
        epoch: Epoch,
    ) -> Option<Option<Purge>> {
        let number = self.staged_number(slot, id)?;
        self.staged.remove(&id);
        let container = &mut self.containers[number as usize];
        container.epoch = epoch;
        container.unsettled = 0;
        let before = std::mem::replace(&mut container.state, State::Serving);
        if let State::Staging(staging) = before {
            self.stamps.pass(staging.stamp_max);
            self.config.node.give(staging.removed_bytes);
            for (group, (keys, bytes)) in staging.groups {
                let group = &mut self.groups[group.index()];
                group.counters.keys += keys;
                group.budget.take(bytes);
            }
        }
        self.unsettled.push(number);
        Some(self.serve(slot, number))
    }

    /// Links some entries of a container into the orders; answers whether all are.
    pub(crate) fn settle_in(&mut self, slot: Slot, id: ContainerId, entries_max: usize) -> bool {
        let Some(number) = self.number(slot, id) else {
            return true;
        };
        self.settle(number, entries_max)
    }

    /// The same for any container that needs it; answers whether there was one.
    pub(super) fn settle_some(&mut self, entries_max: usize) -> bool {
        let number = self.unsettled.last().copied();
        number.is_some_and(|number| {
            self.settle(number, entries_max);
            true
        })
    }

    fn settle(&mut self, number: u32, entries_max: usize) -> bool {
        let from = self.containers[number as usize].unsettled;
        let (entries, next) = self.page(number, from, entries_max.max(1));
        self.link(entries);
        if let Some(next) = next {
            self.containers[number as usize].unsettled = next;
        } else {
            self.unsettled.retain(|other| *other != number);
        }
        next.is_none()
    }

    /// Gives a staging up.
    pub(crate) fn discard(&mut self, slot: Slot, id: ContainerId) -> Option<Purge> {
        let number = self.staged_number(slot, id)?;
        self.staged.remove(&id);
        let container = &mut self.containers[number as usize];
        if let State::Staging(staging) = &mut container.state {
            staging.removed.clear();
            self.config
                .node
                .give(std::mem::take(&mut staging.removed_bytes));
        }
        Some(Purge {
            slot,
            keys: container.keys,
            container: number,
            id,
        })
    }

    fn staged_number(&self, slot: Slot, id: ContainerId) -> Option<u32> {
        let number = self.staged.get(&id).copied();
        number.filter(|number| self.containers[*number as usize].slot == slot)
    }

    fn staging(&mut self, number: u32) -> Option<&mut Staging> {
        match &mut self.containers[number as usize].state {
            State::Staging(staging) => Some(staging),
            _ => None,
        }
    }

    fn place_staged<'a>(&self, container: u32, group: GroupId, key: &'a [u8]) -> Place<'a> {
        Place {
            container,
            group,
            key,
            hash: hash(self.config.hash_seed, group, key),
            now: WallMs(0),
        }
    }

    fn stage_put(
        &mut self,
        place: &Place<'_>,
        value: Option<&Bytes>,
        arrival: &Arrival,
        reserved: &mut u64,
    ) -> Applied {
        let found = self.peek(place);
        let there = found.map(|index| self.entries.get(index));
        let (known, freed) = there.map_or((0, 0), |entry| (entry.seq(), entry.charge()));
        let Some(staging) = self.staging(place.container) else {
            return Applied::No;
        };
        let removed = staging.removed.get(&place.hash).copied().unwrap_or(0);
        if arrival.seq <= known.max(removed) && !planted(Fault::R19) {
            return Applied::Older;
        }
        let needed = charge(place.key.len(), value.map_or(0, Bytes::len));
        if self.entries.arena().is_crowded() || !self.pay(needed, freed, reserved) {
            return Applied::No;
        }
        if let Some(index) = found {
            self.leave_sums(index);
        }
        let value = value.map(Value::Shared);
        let index = self.store(place, found, value, arrival.seq, arrival.deadline);
        self.entries.set_stamp(index, arrival.stamp);
        self.enter_sums(index);
        let container = &mut self.containers[place.container as usize];
        container.seq = container.seq.max(arrival.seq);
        if let Some(staging) = self.staging(place.container) {
            staging.stamp_max = staging.stamp_max.max(arrival.stamp);
            if staging.removed.remove(&place.hash).is_some() && staging.removed_bytes > 0 {
                staging.removed_bytes -= REMOVED_BYTES;
                *reserved += REMOVED_BYTES;
            }
        }
        Applied::Yes
    }

    /// Remembers the removal also where nothing is: an older version may yet come.
    fn stage_remove(&mut self, place: &Place<'_>, seq: u64, reserved: &mut u64) -> Applied {
        let found = self.peek(place);
        if found.is_some_and(|index| self.entries.get(index).seq() > seq) {
            return Applied::Older;
        }
        if let Some(index) = found {
            *reserved += self.take_out(index, Gone::Dropped);
        }
        if !self.remember_removal(place, seq, reserved) {
            return Applied::No;
        }
        let container = &mut self.containers[place.container as usize];
        container.seq = container.seq.max(seq);
        Applied::Yes
    }

    /// Answers whether there is memory for it.
    fn remember_removal(&mut self, place: &Place<'_>, seq: u64, reserved: &mut u64) -> bool {
        let Some(staging) = self.staging(place.container) else {
            return false;
        };
        let is_full = staging.removed.len() >= REMOVED_FREE;
        let cost = match staging.removed.contains_key(&place.hash) {
            false if is_full => REMOVED_BYTES,
            _ => 0,
        };
        if !self.pay(cost, 0, reserved) {
            return false;
        }
        if let Some(staging) = self.staging(place.container) {
            staging.removed_bytes += cost;
            let removed = staging.removed.entry(place.hash).or_default();
            *removed = seq.max(*removed);
        }
        true
    }

    fn stage_use(&mut self, place: &Place<'_>, stamp: u64, deadline: Deadline) -> Applied {
        let Some(index) = self.peek(place) else {
            // Its entry comes with a scan, or has gone again.
            return Applied::Yes;
        };
        if stamp < self.entries.stamp(index) {
            return Applied::Older;
        }
        // Not in the due queue before it is settled.
        let to = self.entries.set_deadline(index, deadline);
        let to = self.moved(index, to, place.hash);
        self.entries.set_stamp(to, stamp);
        if let Some(staging) = self.staging(place.container) {
            staging.stamp_max = staging.stamp_max.max(stamp);
        }
        Applied::Yes
    }

    /// Takes the node's memory for an arrival in place of what it frees: first from what
    /// is reserved, then from what is free.
    fn pay(&self, needed: u64, freed: u64, reserved: &mut u64) -> bool {
        let Some(more) = needed.checked_sub(freed) else {
            *reserved += freed - needed;
            return true;
        };
        let from_reserved = more.min(*reserved);
        let is_paid = self.config.node.try_take(more - from_reserved);
        if is_paid {
            *reserved -= from_reserved;
        }
        is_paid
    }
}
