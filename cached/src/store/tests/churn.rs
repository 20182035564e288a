//! Entries that come, change their size and go, so that those that stay are moved in
//! memory all the time: none is lost, their order stays, and memory comes back.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::store::{Change, MoveLog};

const SLOTS: u16 = 4;

/// What a store should hold: value, deadline and number of the last use by slot and key.
type Expected = BTreeMap<(u16, String), (Bytes, Option<u64>, u64)>;

/// A store, and what it should hold.
struct Ground {
    bed: Bed,
    rng: StdRng,
    now: u64,
    expected: Expected,
}

impl Ground {
    fn new(seed: u64) -> Self {
        let bed = Bed::new(1, 1 << 30);
        (1..SLOTS).for_each(|number| {
            bed.store.open_slot(slot(number), Epoch(1));
        });
        Self {
            bed,
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            expected: Expected::new(),
        }
    }

    /// So many steps with values up to a length, of which so many percent delete.
    fn steps(&mut self, count: u64, value_bytes_max: usize, deletes: u32) {
        for _ in 0..count {
            self.now += 1;
            let (number, now) = (self.rng.random_range(0..SLOTS), self.now);
            let name = format!("key{}", self.rng.random_range(0..2_000));
            let at = (number, name.clone());
            match self.rng.random_range(0..100) {
                percent if percent < deletes => {
                    self.bed.reply(number, self.bed.group, now, delete(&name));
                    self.expected.remove(&at);
                }
                percent if percent < deletes + 10 => {
                    self.bed.reply(number, self.bed.group, now, get(&name));
                    if let Some(entry) = self.expected.get_mut(&at) {
                        entry.2 = now;
                    }
                }
                percent if percent < deletes + 15 => {
                    let life = self.rng.random_range(1 << 30..1_u64 << 31);
                    self.bed
                        .reply(number, self.bed.group, now, touch(&name, ttl(life)));
                    if let Some(entry) = self.expected.get_mut(&at) {
                        (entry.1, entry.2) = (Some(now + life), now);
                    }
                }
                _ => {
                    let bytes = self.rng.random_range(0..=value_bytes_max);
                    let value = Bytes::from(vec![now as u8; bytes]);
                    let life = self.rng.random_bool(0.3).then_some(1 << 30);
                    let operation = set_for(&name, value.clone(), life.and_then(ttl));
                    self.bed.reply(number, self.bed.group, now, operation);
                    let deadline = life.map(|life| now + life);
                    self.expected.insert(at, (value, deadline, now));
                }
            }
        }
    }

    fn check(&self) {
        for number in 0..SLOTS {
            let mut keys = self.bed.store.keys(slot(number), None, usize::MAX).keys;
            keys.sort();
            let keys = keys.iter().map(|(_, key)| key.to_string());
            let known = self.expected.keys().filter(|(at, _)| *at == number);
            assert!(keys.eq(known.map(|(_, key)| key.clone())));
        }
        for ((number, name), (value, deadline, _)) in &self.expected {
            let read = self.bed.store.read_with(
                slot(*number),
                self.bed.group,
                name.as_bytes(),
                WallMs(self.now),
                |hit| (hit.value == value, hit.ttl_ms),
            );
            let ttl_ms = deadline.map(|deadline| deadline - self.now);
            assert_eq!(read, Ok(crate::store::Read::Hit((true, ttl_ms))));
        }
    }
}

#[test]
fn nothing_is_lost_and_memory_comes_back() {
    for seed in 0..3 {
        let mut ground = Ground::new(seed);
        for (steps, value_bytes_max, deletes) in
            [(20_000, 300, 10), (10_000, 3_000, 30), (20_000, 20, 45)]
        {
            ground.steps(steps, value_bytes_max, deletes);
            let memory = ground.bed.store.memory();
            assert!(memory.free <= 2 * memory.free_allowed, "{memory:?}");
            let before = ground.expected.clone();
            ground.check();
            assert_eq!(before.len(), ground.expected.len());
        }
        let memory = ground.bed.store.memory();
        let keys = ground.expected.len() as u64;
        assert!(memory.tables <= 12 * keys, "{memory:?}");
        ground.bed.store.flush(ground.bed.group);
        (0..20).for_each(|_| {
            ground.bed.store.sweep(WallMs(0), 1);
        });
        let memory = ground.bed.store.memory();
        assert_eq!(
            (memory.charged, memory.entries, memory.tables),
            (0, 0, 0),
            "{memory:?}"
        );
        assert!(memory.free <= memory.free_allowed, "{memory:?}");
    }
}

#[test]
fn the_oldest_go_first_also_when_they_were_moved() {
    let mut ground = Ground::new(7);
    ground.steps(10_000, 2_000, 20);
    ground.steps(20_000, 50, 40);
    let store = &ground.bed.store;
    store.set_memory_bytes(store.used_bytes() / 2);
    let left: usize = store.slots().iter().map(|info| info.keys as usize).sum();
    let mut by_use: Vec<_> = ground.expected.iter().collect();
    by_use.sort_by_key(|(_, (_, _, used))| std::cmp::Reverse(*used));
    let young: Expected = by_use
        .into_iter()
        .take(left)
        .map(|(at, entry)| (at.clone(), entry.clone()))
        .collect();
    ground.expected = young;
    ground.check();
    let late = ground.now + (2 << 30);
    let due = ground
        .expected
        .values()
        .filter(|(_, due, _)| due.is_some())
        .count();
    assert_eq!(
        ground.bed.store.sweep(WallMs(late + (2 << 30)), usize::MAX),
        due
    );
}

/// Other slots change while one is sealed and one is copied: the sealed one's entries
/// move in memory, and a scan meets everything once.
#[test]
fn a_scan_meets_every_entry_once_while_entries_move() {
    let mut ground = Ground::new(11);
    ground.steps(15_000, 1_000, 10);
    let store = &ground.bed.store;
    let log = MoveLog::new(1 << 40, || {});
    let containers = [0, 1].map(|number| store.slot(slot(number)).unwrap().container);
    for (number, container) in [0, 1].into_iter().zip(containers) {
        store.begin_move(slot(number), container, &log).unwrap();
    }
    let (_, sum) = store.seal(slot(1), containers[1], WallMs(0)).unwrap();
    log.take(u64::MAX);
    let (mut from, mut scanned) = (None, BTreeMap::new());
    loop {
        let next = ground.bed.store.scan(slot(0), from, 2_000).next;
        for change in log.take(u64::MAX) {
            if let Change::Put { key, .. } = change {
                *scanned.entry(key).or_insert(0) += 1;
            }
        }
        for _ in 0..300 {
            let name = format!("other{}", ground.rng.random_range(0..3_000));
            let operation = if ground.rng.random_bool(0.5) {
                delete(&name)
            } else {
                set(&name, vec![0; ground.rng.random_range(0..900)])
            };
            let number = ground.rng.random_range(2..SLOTS);
            ground
                .bed
                .reply(number, ground.bed.group, ground.now, operation);
        }
        from = next;
        if from.is_none() {
            break;
        }
    }
    let expected = ground.expected.keys().filter(|(number, _)| *number == 0);
    assert!(scanned.values().all(|count| *count == 1));
    assert_eq!(scanned.len(), expected.count());
    let store = &ground.bed.store;
    // All others go, and the sealed ones are put aside.
    store.flush(ground.bed.group);
    store.end_move(slot(1), containers[1]);
    let keys = ground.expected.keys().filter(|(number, _)| *number == 1);
    assert_eq!(sum.keys, keys.count() as u64);
    ground.expected.retain(|(number, _), _| *number == 1);
    ground.check();
    assert_eq!(ground.bed.store.flush(ground.bed.group), sum.keys);
    ground.bed.assert_empty();
}
