//! A slot that leaves: its changes are logged, its entries copied into the same log,
//! and in the end it is sealed.

use std::sync::Arc;

use cached_proto::types::{Key, Slot};

use super::{Gone, Shard};
use crate::clock::WallMs;
use crate::faults::{Fault, planted};
use crate::store::container::State;
use crate::store::entry::{Entry, NO_PLACE};
use crate::store::eviction::{Order, UNLINKED};
use crate::store::{Change, ContainerId, KeyCursor, MoveLog, SlotInfo, SlotSum};

impl Shard {
    /// Begins to log the changes of a container that serves and is not logged yet.
    pub(crate) fn begin_move(
        &mut self,
        slot: Slot,
        id: ContainerId,
        log: &Arc<MoveLog>,
    ) -> Option<SlotInfo> {
        let number = self.number(slot, id)?;
        let container = &mut self.containers[number as usize];
        if container.is_sealed() || container.log.is_some() {
            return None;
        }
        container.log = Some(log.clone());
        Some(container.info())
    }

    /// Appends entries to the log, from the cursor on; answers where to go on. Goes from
    /// the back, as a listing does, so that it meets every entry that stays.
    pub(crate) fn scan(
        &mut self,
        slot: Slot,
        from: Option<KeyCursor>,
        weight: u64,
    ) -> Option<KeyCursor> {
        let container = self.container(slot)?;
        let id = container.id;
        let log = container.log.clone().filter(|_| !container.is_sealed())?;
        let mut place = match from {
            None => container.len(),
            Some(cursor) if cursor.container == id => container.len().min(cursor.below as usize),
            Some(_) => return None,
        };
        let number = self.number(slot, id)? as usize;
        let mut appended = 0;
        while place > 0 && appended < weight.max(1) {
            place -= 1;
            let Some(index) = self.containers[number].at(place) else {
                continue;
            };
            let entry = &self.entries[index as usize];
            let change = put_of(slot, entry);
            appended += change.weight();
            // Also what has expired: only a clock could tell, and both ends know theirs.
            log.append(change);
        }
        (place > 0).then_some(KeyCursor {
            container: id,
            below: place as u32,
        })
    }

    /// Seals a container that serves.
    pub(crate) fn seal(
        &mut self,
        slot: Slot,
        id: ContainerId,
        now: WallMs,
    ) -> Option<(u64, SlotSum)> {
        let number = self.number(slot, id)?;
        let container = &mut self.containers[number as usize];
        if container.is_sealed() {
            return None;
        }
        container.state = State::Sealed;
        container.seals += 1;
        let seq = container.seq;
        let sum = container.sum(now.max(container.floor));
        if let Some(log) = &container.log {
            log.append(Change::Seal { slot, seq, sum });
        }
        Some((seq, sum))
    }

    /// Ends a move: the container serves as before.
    pub(crate) fn end_move(&mut self, slot: Slot, id: ContainerId) {
        let Some(number) = self.number(slot, id) else {
            return;
        };
        let container = &mut self.containers[number as usize];
        container.log = None;
        container.state = State::Serving;
        let aside = std::mem::take(&mut container.aside);
        self.link(aside, Order::add_strand);
    }

    /// Last uses and bytes of up to so many entries below a place, and the place to go
    /// on; `None`: that container does not serve the slot.
    pub(crate) fn ages(
        &self,
        slot: Slot,
        id: ContainerId,
        below: usize,
        entries_max: usize,
    ) -> Option<(Vec<(u64, u64)>, usize)> {
        let container = &self.containers[self.number(slot, id)? as usize];
        let (indexes, rest) = container.below(below, entries_max);
        let ages = indexes.map(|index| {
            let entry = &self.entries[index as usize];
            (entry.stamp, entry.charge())
        });
        Some((ages.collect(), rest))
    }

    /// Of up to so many entries below a place removes those that were not used after a
    /// stamp; answers how many keys went, and the place to go on.
    pub(crate) fn shed(
        &mut self,
        slot: Slot,
        id: ContainerId,
        below: usize,
        entries_max: usize,
        stamp: u64,
    ) -> Option<(u64, usize)> {
        let container = &self.containers[self.number(slot, id)? as usize];
        if container.is_sealed() {
            return None;
        }
        let (indexes, rest) = container.below(below, entries_max);
        let old: Vec<u32> = indexes
            .filter(|index| self.entries[*index as usize].stamp <= stamp)
            .collect();
        let mut keys = 0;
        for index in old {
            keys += u64::from(self.entries[index as usize].is_key());
            self.remove(index, Gone::Shed);
        }
        Some((keys, rest))
    }

    /// Whether nothing may happen to an entry now.
    pub(super) fn is_sealed(&self, index: u32) -> bool {
        let container = self.entries[index as usize].container;
        self.containers[container as usize].is_sealed()
    }

    /// Takes an entry of a sealed container out of its order and the due queue, until
    /// the container is unsealed or closed.
    pub(super) fn put_aside(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (group, container, deadline) = (entry.group.index(), entry.container, entry.deadline);
        self.unqueue(index, deadline);
        self.groups[group].order.remove(&mut self.entries, index);
        self.containers[container as usize].aside.push(index);
    }

    /// Puts those of these entries that stand in no order into that of their group, by
    /// their stamps, and those that are not in the due queue and should be into that.
    pub(super) fn link(
        &mut self,
        mut run: Vec<u32>,
        into: impl Fn(&mut Order, &mut slab::Slab<Entry>, &[u32]),
    ) {
        let entries = &mut self.entries;
        run.sort_unstable_by_key(|index| {
            let entry = &entries[*index as usize];
            (entry.group, entry.stamp, *index)
        });
        run.dedup();
        for index in &run {
            let entry = &mut entries[*index as usize];
            if entry.due == NO_PLACE
                && let Some(ms) = entry.deadline.wall_ms()
            {
                entry.due = self.due.insert(ms, *index);
            }
        }
        run.retain(|index| entries[*index as usize].strand == UNLINKED);
        let groups: Vec<_> = run
            .iter()
            .map(|index| entries[*index as usize].group)
            .collect();
        let mut rest = &run[..];
        for same in groups.chunk_by(|one, other| one == other) {
            let (part, after) = rest.split_at(same.len());
            into(&mut self.groups[same[0].index()].order, entries, part);
            rest = after;
        }
    }

    /// Logs an entry as it is now.
    pub(super) fn log_put(&self, index: u32) {
        let entry = &self.entries[index as usize];
        let container = &self.containers[entry.container as usize];
        if let Some(log) = &container.log {
            log.append(put_of(container.slot, entry));
        }
    }

    /// Logs that an entry goes; its seq is that of the change.
    pub(super) fn log_remove(&self, index: u32, why: Gone) {
        let entry = &self.entries[index as usize];
        let container = &self.containers[entry.container as usize];
        if why == Gone::Evicted && planted(Fault::R23) {
            return;
        }
        if let Some(log) = &container.log {
            log.append(Change::Remove {
                slot: container.slot,
                group: entry.group,
                key: key_of(entry),
                seq: container.seq,
            });
        }
    }

    /// Logs a use, and the deadline.
    pub(super) fn log_use(&self, index: u32) {
        let entry = &self.entries[index as usize];
        let container = &self.containers[entry.container as usize];
        if let Some(log) = &container.log {
            log.append(Change::Use {
                slot: container.slot,
                group: entry.group,
                key: key_of(entry),
                stamp: entry.stamp,
                deadline: entry.deadline.wall_ms().map(WallMs),
            });
        }
    }

    /// Logs a use by a read. Reads never wait, so where they are faster than they can be
    /// sent they are not told: then only the order of eviction is less exact there.
    pub(super) fn log_read(&self, index: u32) {
        let container = self.entries[index as usize].container;
        let log = &self.containers[container as usize].log;
        if log.as_ref().is_some_and(|log| !log.is_flooded()) {
            self.log_use(index);
        }
    }
}

fn put_of(slot: Slot, entry: &Entry) -> Change {
    Change::Put {
        slot,
        group: entry.group,
        key: key_of(entry),
        value: entry.value().cloned(),
        seq: entry.seq,
        deadline: entry.deadline.wall_ms().map(WallMs),
        stamp: entry.stamp,
    }
}

pub(super) fn key_of(entry: &Entry) -> Key {
    Key::new(entry.key().to_vec()).expect("it was a key when it was stored")
}
