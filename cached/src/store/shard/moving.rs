//! A slot that leaves: its changes are logged, its entries copied into the same log,
//! and in the end it is sealed.

use std::sync::Arc;

use cached_proto::types::{Key, Slot};

use super::walk::Walk;
use super::{Gone, Shard, hash_of};
use crate::clock::WallMs;
use crate::faults::{Fault, planted};
use crate::store::container::{Container, State};
use crate::store::entries::Entries;
use crate::store::eviction::Ordered;
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

    /// Appends entries to the log, from the cursor on; answers where to go on.
    pub(crate) fn scan(
        &mut self,
        slot: Slot,
        from: Option<KeyCursor>,
        weight: u64,
    ) -> Option<KeyCursor> {
        let number = self.serving[self.local(slot)]?;
        let container = &self.containers[number as usize];
        let id = container.id;
        let log = container.log.as_ref().filter(|_| !container.is_sealed())?;
        let from = match from {
            None => 0,
            Some(cursor) if cursor.container == id => cursor.position,
            Some(_) => return None,
        };
        let mut appended = 0;
        let next = self.walk(number, from, |index| {
            // Also what has expired: only a clock could tell, and both ends know theirs.
            let change = self.put_of(slot, index);
            appended += change.weight();
            log.append(change);
            if appended < weight {
                Walk::On
            } else {
                Walk::Enough
            }
        });
        next.map(|position| KeyCursor {
            container: id,
            position,
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
        let row = &self.containers[number as usize].row;
        let mut loose = Vec::new();
        for hash in aside {
            self.tables.find(row, hash, |index| {
                loose.push(index);
                false
            });
        }
        self.link(loose);
    }

    /// Whether nothing may happen to an entry now.
    pub(super) fn is_sealed(&self, index: u32) -> bool {
        let container = self.entries.get(index).container();
        self.containers[usize::from(container)].is_sealed()
    }

    /// Takes an entry of a sealed container out of its order and the due queue, until
    /// the container is unsealed or closed.
    pub(super) fn put_aside(&mut self, index: u32) {
        let hash = hash_of(&self.entries, self.config.hash_seed, index);
        let entry = self.entries.get(index);
        let (group, container) = (entry.group().index(), usize::from(entry.container()));
        self.unqueue(index);
        self.groups[group]
            .order
            .remove(&mut self.entries, index, None);
        self.containers[container].aside.push(hash);
    }

    /// Puts those of these entries that stand in no order into that of their group, by
    /// their stamps, and those that are not in the due queue and should be into that.
    pub(super) fn link(&mut self, mut run: Vec<u32>) {
        for index in &run {
            if self.entries.queued_ms(*index).is_none() {
                self.queue(*index);
            }
        }
        let entries = &mut self.entries;
        run.retain(|index| !entries.is_linked(*index));
        let of = |entries: &Entries, index: u32| entries.get(index).group();
        run.sort_unstable_by_key(|index| (of(entries, *index), entries.stamp(*index), *index));
        run.dedup();
        let mut rest = &run[..];
        while let Some(first) = rest.first() {
            let group = of(entries, *first);
            let end = rest.partition_point(|index| of(entries, *index) == group);
            let (same, after) = rest.split_at(end);
            self.groups[group.index()].order.arrive(entries, same);
            rest = after;
        }
    }

    /// Logs an entry as it is now.
    pub(super) fn log_put(&self, index: u32) {
        let container = self.container_of(index);
        if let Some(log) = &container.log {
            log.append(self.put_of(container.slot, index));
        }
    }

    /// Logs that an entry goes; its seq is that of the change.
    pub(super) fn log_remove(&self, index: u32, why: Gone) {
        let container = self.container_of(index);
        if why == Gone::Evicted && planted(Fault::R23) {
            return;
        }
        if let Some(log) = &container.log {
            log.append(Change::Remove {
                slot: container.slot,
                group: self.entries.get(index).group(),
                key: self.key_of(index),
                seq: container.seq,
            });
        }
    }

    /// Logs a use, and the deadline.
    pub(super) fn log_use(&self, index: u32) {
        let container = self.container_of(index);
        if let Some(log) = &container.log {
            let entry = self.entries.get(index);
            log.append(Change::Use {
                slot: container.slot,
                group: entry.group(),
                key: self.key_of(index),
                stamp: entry.stamp(),
                deadline: entry.deadline().wall_ms().map(WallMs),
            });
        }
    }

    /// Logs a use by a read. Reads never wait, so where they are faster than they can be
    /// sent they are not told: then only the order of eviction is less exact there.
    pub(super) fn log_read(&self, index: u32) {
        let log = &self.container_of(index).log;
        if log.as_ref().is_some_and(|log| !log.is_flooded()) {
            self.log_use(index);
        }
    }

    /// The key of an entry.
    pub(super) fn key_of(&self, index: u32) -> Key {
        Key::new(self.entries.key_bytes(index)).expect("it was a key when it was stored")
    }

    fn container_of(&self, index: u32) -> &Container {
        &self.containers[usize::from(self.entries.get(index).container())]
    }

    fn put_of(&self, slot: Slot, index: u32) -> Change {
        let entry = self.entries.get(index);
        Change::Put {
            slot,
            group: entry.group(),
            key: self.key_of(index),
            value: self.entries.value(index),
            seq: entry.seq(),
            deadline: entry.deadline().wall_ms().map(WallMs),
            stamp: entry.stamp(),
        }
    }
}
