//! The life of containers: opened for a slot, listed, counted, emptied.

use cached_proto::types::{Epoch, Key, Slot};

use super::{Gone, Shard};
use crate::store::container::{Container, State};
use crate::store::{ContainerId, GroupId, KeyCursor, KeyPage, Purge, SlotInfo};

impl Shard {
    /// Serves a slot from a new container; the one before serves no more.
    pub(crate) fn open(&mut self, slot: Slot, id: ContainerId, epoch: Epoch) -> Option<Purge> {
        let container = Container::new(id, slot, epoch, State::Serving);
        let container = self.containers.insert(container);
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
        container.unsettled = 0;
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
        let number = purge.container;
        let Some(container) = self.containers.get(number, purge.id) else {
            return true;
        };
        let (entries, next) = self.page(number, container.unsettled, entries_max.max(1));
        for index in entries {
            self.remove(index, Gone::Dropped);
        }
        self.evacuate();
        match next {
            Some(next) => self.containers[number as usize].unsettled = next,
            None => {
                let gone = self.containers.remove(number);
                debug_assert_eq!(gone.row.entries(), 0, "nobody adds to it");
            }
        }
        next.is_none()
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
        let Some(number) = self.serving[self.local(slot)] else {
            return KeyPage::default();
        };
        let container = self.containers[number as usize].id;
        let from = match from {
            None => 0,
            Some(cursor) if cursor.container == container => cursor.position,
            Some(_) => return KeyPage::default(),
        };
        let (entries, next) = self.page(number, from, limit.max(1));
        let keys = entries.into_iter().filter_map(|index| self.key(index));
        KeyPage {
            keys: keys.collect(),
            next: next.map(|position| KeyCursor {
                container,
                position,
            }),
        }
    }

    fn key(&self, index: u32) -> Option<(GroupId, Key)> {
        let entry = self.entries.get(index);
        entry.is_key().then(|| (entry.group(), self.key_of(index)))
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
