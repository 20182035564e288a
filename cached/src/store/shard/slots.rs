//! The life of containers: opened for a slot, listed, counted, emptied.

use cached_proto::types::{Epoch, Key, Slot};

use super::{Gone, Shard};
use crate::store::container::Container;
use crate::store::{ContainerId, GroupId, KeyCursor, KeyPage, SlotInfo};

/// A container that serves no more and has to be emptied.
#[derive(Debug)]
pub(crate) struct Detached {
    /// Its number in the shard.
    container: u32,
    /// Entries that went, without notes of absence.
    pub(crate) keys: u64,
}

impl Shard {
    /// Serves a slot from a new container; the one before serves no more.
    pub(crate) fn open(&mut self, slot: Slot, id: ContainerId, epoch: Epoch) -> Option<Detached> {
        let before = self.container(slot).map(|container| container.id);
        let before = before.and_then(|id| self.detach(slot, id));
        let container = self.containers.insert(Container::new(id, slot, epoch)) as u32;
        let local = self.local(slot);
        self.serving[local] = Some(container);
        before
    }

    /// Stops serving a slot, if that container serves it. Its tokens die.
    pub(crate) fn detach(&mut self, slot: Slot, id: ContainerId) -> Option<Detached> {
        let keys = self
            .container(slot)
            .filter(|container| container.id == id)?
            .keys;
        let local = self.local(slot);
        let container = self.serving[local].take()?;
        self.fills.kill_container(id);
        Some(Detached { container, keys })
    }

    /// Frees entries of a container that serves no more, at most so many, and then
    /// itself; answers whether it is gone.
    pub(crate) fn clear(&mut self, detached: &Detached, entries_max: usize) -> bool {
        let container = detached.container as usize;
        for _ in 0..entries_max {
            let Some(index) = self.containers[container].last() else {
                break;
            };
            self.remove(index, Gone::Dropped);
        }
        let is_empty = self.containers[container].len() == 0;
        if is_empty {
            self.containers.remove(container);
        }
        is_empty
    }

    /// The container that serves a slot.
    pub(crate) fn slot(&self, slot: Slot) -> Option<SlotInfo> {
        self.container(slot).map(info)
    }

    /// All containers that serve, ascending by slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotInfo> {
        let serving = self.serving.iter().flatten();
        serving.map(|container| info(&self.containers[*container as usize]))
    }

    /// Keys of a slot's container, from the cursor on; looks at `limit` entries.
    pub(crate) fn keys(&self, slot: Slot, from: Option<KeyCursor>, limit: usize) -> KeyPage {
        let Some(container) = self.container(slot) else {
            return KeyPage::default();
        };
        let below = match from {
            None => usize::MAX,
            Some(cursor) if cursor.container == container.id => cursor.below as usize,
            Some(_) => return KeyPage::default(),
        };
        let (indexes, rest) = container.below(below, limit.max(1));
        let keys = indexes.filter_map(|index| self.key(index)).collect();
        let next = KeyCursor {
            container: container.id,
            below: rest as u32,
        };
        KeyPage {
            keys,
            next: (rest > 0).then_some(next),
        }
    }

    fn key(&self, index: u32) -> Option<(GroupId, Key)> {
        let entry = &self.entries[index as usize];
        let key = || Key::new(entry.key().to_vec()).expect("it was a key when it was stored");
        entry.is_key().then(|| (entry.group, key()))
    }

    fn container(&self, slot: Slot) -> Option<&Container> {
        self.serving[self.local(slot)].map(|container| &self.containers[container as usize])
    }

    /// A slot's number within the shard.
    pub(super) fn local(&self, slot: Slot) -> usize {
        slot.index() >> self.config.shards_log2
    }
}

fn info(container: &Container) -> SlotInfo {
    SlotInfo {
        slot: container.slot,
        container: container.id,
        epoch: container.epoch,
        base: container.epoch,
        sealed: false,
        keys: container.keys,
        bytes: container.bytes,
    }
}
