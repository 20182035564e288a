//! The containers of a shard by number. Where one stands follows from its number alone,
//! so that its memory can be fetched before anybody looks at it.

use std::ops::{Index, IndexMut};

use cached_proto::types::{Epoch, Slot};

use super::ContainerId;
use super::container::{Container, State};
use super::tables::{Row, Rows};

/// The containers. A number is used again when its container is gone.
#[derive(Default)]
pub(crate) struct Containers {
    all: Vec<Container>,
    vacant: Vec<u32>,
}

impl Containers {
    /// Takes a container in; answers its number.
    pub(crate) fn insert(&mut self, container: Container) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self.all[number as usize] = container;
            return number;
        }
        self.all.push(container);
        self.all.len() as u32 - 1
    }

    /// The container of that number and id, if it is still there.
    pub(crate) fn get(&self, number: u32, id: ContainerId) -> Option<&Container> {
        let container = self.all.get(number as usize);
        container.filter(|container| container.id == id)
    }

    /// Takes a container out.
    pub(crate) fn remove(&mut self, number: u32) -> Container {
        self.vacant.push(number);
        std::mem::replace(&mut self.all[number as usize], nothing())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.vacant.len()
    }

    /// All of them; in place of those that are gone, empty ones.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Container> {
        self.all.iter()
    }
}

/// What stands in the place of a container that is gone. No container has this id.
fn nothing() -> Container {
    let slot = Slot::of_hash(0);
    Container::new(ContainerId(0), slot, Epoch(0), State::Closed)
}

impl Rows for Containers {
    #[inline]
    fn row(&self, container: u32) -> &Row {
        &self[container as usize].row
    }

    #[inline]
    fn row_mut(&mut self, container: u32) -> &mut Row {
        &mut self[container as usize].row
    }
}

impl Index<usize> for Containers {
    type Output = Container;

    #[inline]
    fn index(&self, number: usize) -> &Container {
        &self.all[number]
    }
}

impl IndexMut<usize> for Containers {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut Container {
        &mut self.all[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_ids_tell_who_is_meant() {
        let container =
            |id| Container::new(ContainerId(id), Slot::of_hash(1), Epoch(1), State::Serving);
        let mut containers = Containers::default();
        let numbers = [7, 8].map(|id| containers.insert(container(id)));
        assert_eq!(numbers, [0, 1]);
        assert_eq!(containers.remove(0).id, ContainerId(7));
        assert_eq!(containers.len(), 1);
        assert!(containers.get(0, ContainerId(7)).is_none());
        assert_eq!(containers.insert(container(9)), 0);
        assert!(containers.get(0, ContainerId(7)).is_none());
        assert!(containers.get(0, ContainerId(9)).is_some());
        assert!(containers.get(2, ContainerId(9)).is_none());
        assert_eq!(containers.iter().count(), 2);
    }
}
