//! The life of containers: opened for a slot, listed, counted, emptied.

use cached_proto::types::{Epoch, Key, Slot};

use super::{Gone, Shard};
use crate::store::container::{Container, State};
use crate::store::{ContainerId, GroupId, KeyCursor, KeyPage, Purge, SlotInfo};

impl Shard {
    /// Serves a slot from a new container; the one before serves no more.
    pub(crate) fn open(&mut self, slot: Slot, id: ContainerId, epoch: Epoch) -> Option<Purge> {
        let container = Container::new(id, slot, epoch, State::Serving);
        let container = self.containers.insert(container) as u32;
        self.serve(slot, container)
    }

    /// Serves a slot from this container; the one before serves no more.
    pub(super) fn serve(&mut self, slot: Slot, container: u32) -> Option<Purge> {
        let before = self.container(slot).map(|container| container.id);
        let before = before.and_then(|id| self.detach(slot, id));
        let local = self.local(slot);
        self.serving[local] = Some(container);
        before
    }

    /// Stops serving a slot, if that container serves it. Its tokens die.
    pub(crate) fn detach(&mut self, slot: Slot, id: ContainerId) -> Option<Purge> {
        let number = self.number(slot, id)?;
        let local = self.local(slot);
        self.serving[local] = None;
        self.fills.kill_container(id);
        self.unsettled.retain(|other| *other != number);
        let container = &mut self.containers[number as usize];
        container.state = State::Closed;
        container.log = None;
        container.aside = Vec::new();
        Some(Purge {
            slot,
            keys: container.keys,
            container: number,
            id,
        })
    }

    /// Stops serving a slot that is served under this epoch or an older one.
    pub(crate) fn close(&mut self, slot: Slot, epoch: Epoch) -> Option<Purge> {
        let container = self.container(slot)?;
        let id = (container.epoch <= epoch).then_some(container.id)?;
        self.detach(slot, id)
    }

    /// Frees entries of a container that serves no more, at most so many, and then
    /// itself; answers whether it is gone.
    pub(crate) fn clear(&mut self, purge: &Purge, entries_max: usize) -> bool {
        let number = purge.container as usize;
        for _ in 0..entries_max.max(1) {
            let container = self.containers.get(number);
            let Some(container) = container.filter(|container| container.id == purge.id) else {
                return true;
            };
            match container.last() {
                Some(index) => self.remove(index, Gone::Dropped),
                None => {
                    self.containers.remove(number);
                }
            }
        }
        false
    }

    /// The container that serves a slot.
    pub(crate) fn slot(&self, slot: Slot) -> Option<SlotInfo> {
        self.container(slot).map(Container::info)
    }

    /// All containers that serve, ascending by slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotInfo> {
        let serving = self.serving.iter().flatten();
        serving.map(|container| self.containers[*container as usize].info())
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

    /// The container that serves a slot, sealed or not.
    pub(super) fn container(&self, slot: Slot) -> Option<&Container> {
        self.serving[self.local(slot)].map(|container| &self.containers[container as usize])
    }

    /// The number of the container that serves a slot, if it is that one.
    pub(super) fn number(&self, slot: Slot, id: ContainerId) -> Option<u32> {
        let number = self.serving[self.local(slot)]?;
        (self.containers[number as usize].id == id).then_some(number)
    }

    /// A slot's number within the shard.
    pub(super) fn local(&self, slot: Slot) -> usize {
        slot.index() >> self.config.shards_log2
    }
}
