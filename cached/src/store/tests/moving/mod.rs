//! Slots that move from one store to another.

mod random;
mod sealed;
mod staged;
mod threads;

use std::sync::Arc;

use super::*;
use crate::store::{Applied, Change, ContainerId, KeyCursor, MoveLog, SlotSum};

/// More than any test has to send.
const WIDE: u64 = 1 << 40;

/// One slot under way.
struct Moved {
    slot: Slot,
    /// Its container at the owner.
    container: ContainerId,
    /// Its container at the receiver.
    staged: ContainerId,
    cursor: Option<KeyCursor>,
    is_scanned: bool,
}

/// A move of some slots between two stores, whose groups have other numbers.
struct Move<'a> {
    source: &'a Store,
    target: &'a Store,
    log: Arc<MoveLog>,
    slots: Vec<Moved>,
    reserved: u64,
    /// What was applied so far.
    told: Vec<Change>,
}

impl<'a> Move<'a> {
    fn begin(source: &'a Store, target: &'a Store, slots: &[u16], window: u64) -> Self {
        let log = MoveLog::new(window, || {});
        let begin = |number: &u16| {
            let slot = slot(*number);
            let info = source.slot(slot).unwrap();
            let begun = source.begin_move(slot, info.container, &log).unwrap();
            assert_eq!((begun.slot, begun.container), (slot, info.container));
            Moved {
                slot,
                container: info.container,
                staged: target.stage(slot, info.base),
                cursor: None,
                is_scanned: false,
            }
        };
        let slots = slots.iter().map(begin).collect();
        Self {
            source,
            target,
            log,
            slots,
            reserved: 0,
            told: Vec::new(),
        }
    }

    /// Scans on in one of the slots.
    fn scan(&mut self, number: usize, weight: u64) {
        let moved = &mut self.slots[number];
        if !moved.is_scanned {
            moved.cursor = self.source.scan(moved.slot, moved.cursor, weight).next;
            moved.is_scanned = moved.cursor.is_none();
        }
    }

    fn is_scanned(&self) -> bool {
        self.slots.iter().all(|moved| moved.is_scanned)
    }

    /// The number that the target has for a group.
    fn group(&self, group: GroupId) -> GroupId {
        let name = self.source.group_name(group).unwrap();
        self.target.group(&name).unwrap()
    }

    /// Brings some changes over.
    fn deliver(&mut self, weight: u64) {
        for change in self.log.take(weight) {
            let applied = self.apply(change.clone());
            assert_ne!(applied, Applied::No, "{change:?}");
            self.told.push(change);
        }
    }

    fn deliver_all(&mut self) {
        while self.log.queued() > 0 {
            self.deliver(4096);
        }
    }

    fn apply(&mut self, mut change: Change) -> Applied {
        if let Change::Put { group, .. }
        | Change::Remove { group, .. }
        | Change::Use { group, .. } = &mut change
        {
            *group = self.group(*group);
        }
        let mut slots = self.slots.iter();
        let moved = slots.find(|moved| moved.slot == change.slot()).unwrap();
        self.target.apply(moved.staged, change, &mut self.reserved)
    }

    fn copy_all(&mut self) {
        while !self.is_scanned() {
            (0..self.slots.len()).for_each(|number| self.scan(number, 1000));
            self.deliver_all();
        }
    }

    /// Seals all slots, and checks that the target holds the same.
    fn seal(&mut self, now: u64) -> Vec<SlotSum> {
        let seal = |moved: &Moved| {
            let (_, sum) = self
                .source
                .seal(moved.slot, moved.container, WallMs(now))
                .unwrap();
            sum
        };
        let sums: Vec<SlotSum> = self.slots.iter().map(seal).collect();
        self.deliver_all();
        for (moved, sum) in self.slots.iter().zip(&sums) {
            let staged = self.target.staged(moved.slot, moved.staged).unwrap();
            assert_eq!((staged.keys, staged.digest), (sum.keys, sum.digest));
            assert_eq!(staged.wall, WallMs(0));
        }
        sums
    }

    /// Puts all slots in service at the target, and settles them.
    fn activate(&mut self, epoch: u64, step: usize) {
        for moved in &self.slots {
            let before = self
                .target
                .activate(moved.slot, moved.staged, Epoch(epoch))
                .unwrap();
            assert!(before.is_none());
        }
        for moved in &self.slots {
            while !self.target.settle_in(moved.slot, moved.staged, step) {}
        }
        self.target.give_back(std::mem::take(&mut self.reserved));
    }

    fn end(&self) {
        for moved in &self.slots {
            self.source.end_move(moved.slot, moved.container);
        }
    }
}

/// A store with these groups in this order and their bounds, and the slots open.
fn store_with(groups: &[(&str, Option<u64>)], memory_bytes: u64, slots: &[u16]) -> Store {
    let store = Store::new(StoreConfig {
        shards: 1,
        memory_bytes,
    });
    for (name, max_bytes) in groups {
        let settings = GroupSettings {
            max_bytes: *max_bytes,
            ..GroupSettings::default()
        };
        store.set_group(&GroupName::new(*name).unwrap(), settings);
    }
    for number in slots {
        store.open_slot(slot(*number), Epoch(1));
    }
    store
}
