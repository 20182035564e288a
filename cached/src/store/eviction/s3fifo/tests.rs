//! The rules one by one, and random steps after which everything still adds up.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::store::eviction::NONE;
use crate::store::eviction::testing::Cells;

/// Queues with entries whose keys' hashes are their numbers.
#[derive(Default)]
struct World {
    cells: Cells,
    queues: S3Fifo,
    living: BTreeSet<u32>,
    now: u64,
}

fn hash(entry: u32) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&entry.to_le_bytes())
}

impl World {
    /// Of so many entries, of which none has been used.
    fn of(entries: u32) -> Self {
        let mut world = Self::default();
        for _ in 0..entries {
            world.insert(1);
        }
        world
    }

    fn insert(&mut self, charge: u64) -> u32 {
        let entry = self.cells.add(0, charge);
        self.living.insert(entry);
        self.touch(entry);
        entry
    }

    /// Entries from elsewhere, with these bits of their stamps.
    fn arrive(&mut self, bits: &[u64]) -> Vec<u32> {
        let add = |bits: &u64| self.cells.add(1 << 20 | bits, 1);
        let run: Vec<u32> = bits.iter().map(add).collect();
        self.living.extend(&run);
        self.queues.arrive(&mut self.cells, &run);
        run
    }

    fn touch(&mut self, entry: u32) {
        self.now += 8;
        let (now, hash) = (self.now, hash(entry));
        self.queues.touch(&mut self.cells, entry, now, hash);
    }

    fn evict(&mut self, keep: Option<u32>) -> Option<u32> {
        let (_, entry) = self.queues.oldest(&mut self.cells, keep)?;
        assert_ne!(Some(entry), keep);
        if self.living.len() < PASSED_MAX {
            let again = self.queues.oldest(&mut self.cells, keep);
            assert_eq!(again.map(|found| found.1), Some(entry), "it is the first");
        }
        self.remove(entry, true);
        Some(entry)
    }

    fn remove(&mut self, entry: u32, is_evicted: bool) {
        let evicted = is_evicted.then(|| hash(entry));
        self.queues.remove(&mut self.cells, entry, evicted);
        self.living.remove(&entry);
    }

    fn queue(&self, list: u8) -> Vec<u32> {
        let queue = match list {
            SMALL => &self.queues.small,
            _ => &self.queues.main,
        };
        let mut at = queue.oldest();
        let next = || {
            let entry = at?;
            let newer = crate::store::eviction::Linked::links(&self.cells, entry).newer;
            at = (newer != NONE).then_some(newer);
            Some(entry)
        };
        std::iter::from_fn(next).collect()
    }

    /// Everybody is in the queue that he says, and the sums are those of the queues.
    fn check(&self) {
        let mut all = BTreeSet::new();
        let sums = [SMALL, MAIN].map(|list| {
            let queue = self.queue(list);
            all.extend(queue.iter().copied());
            assert!(queue.iter().all(|entry| self.cells.list(*entry) == list));
            let bytes: u64 = queue.iter().map(|entry| self.cells.charge(*entry)).sum();
            (queue.len(), bytes)
        });
        assert_eq!(all, self.living);
        let queues = &self.queues;
        assert_eq!(sums[0].1, queues.small_bytes);
        assert_eq!(sums[1], (queues.main_len, queues.main_bytes));
    }
}

#[test]
fn who_is_used_twice_on_probation_stays() {
    let mut world = World::of(20);
    world.touch(0);
    world.touch(1);
    world.touch(1);
    let gone: Vec<_> = (0..10).filter_map(|_| world.evict(None)).collect();
    assert_eq!(gone, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(world.queue(MAIN), [1]);
    world.check();
}

#[test]
fn who_comes_back_soon_goes_to_the_main_queue() {
    let mut world = World::of(20);
    (0..2).for_each(|entry| (0..3).for_each(|_| world.touch(entry)));
    assert_eq!(world.evict(None), Some(2));
    // The same key again, at the same handle.
    world.cells.set_stamp(2, 0);
    world.living.insert(2);
    world.touch(2);
    assert_eq!(world.queue(MAIN), [0, 1, 2]);
    world.cells.set_stamp(2, 0);
    world.remove(2, false);
    world.living.insert(2);
    world.touch(2);
    assert_eq!(world.cells.list(2), SMALL, "deleted is not evicted");
}

#[test]
fn a_use_is_a_round_more_in_the_main_queue() {
    let mut world = World::default();
    world.arrive(&[IN_MAIN | 2, IN_MAIN, IN_MAIN, IN_MAIN]);
    assert_eq!(world.evict(None), Some(1));
    assert_eq!(world.queue(MAIN), [2, 3, 0]);
    assert_eq!(world.evict(None), Some(2));
    assert_eq!(world.evict(None), Some(3));
    assert_eq!(world.evict(Some(0)), None, "it is to be kept");
    assert_eq!(world.evict(None), Some(0));
    world.check();
}

#[test]
fn a_search_ends_although_everything_was_used() {
    let mut world = World::of(5_000);
    (0..5_000).for_each(|entry| (0..3).for_each(|_| world.touch(entry)));
    let gone = world.evict(None).unwrap();
    assert_eq!(gone as usize, PASSED_MAX, "so many were passed over");
    world.check();
}

#[test]
fn the_small_queue_is_bound_by_bytes() {
    let mut world = World::default();
    world.arrive(&[IN_MAIN; 90]);
    let large = [world.insert(45), world.insert(44)];
    assert_eq!(world.evict(Some(large[1])), Some(large[0]));
    assert_eq!(world.evict(Some(large[1])), Some(0), "the other may stay");
    assert_eq!(world.evict(None), Some(1), "alone in its queue");
}

#[test]
fn arrivals_come_into_the_queue_that_they_were_in() {
    let mut world = World::of(10);
    let run = world.arrive(&[0, IN_MAIN | 2, 1, IN_MAIN]);
    assert_eq!(world.queue(MAIN), [run[1], run[3]]);
    assert_eq!(world.queue(SMALL)[10..], [run[0], run[2]]);
    assert_eq!(world.cells.stamp(run[1]) & USES, 2);
    world.check();
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Touch(usize),
    Remove(usize),
    Evict(Option<usize>),
    Resize(usize, u64),
    Move(usize),
    Arrive(Vec<u64>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..50_u64).prop_map(Step::Insert),
        6 => any::<usize>().prop_map(Step::Touch),
        2 => any::<usize>().prop_map(Step::Remove),
        4 => any::<Option<usize>>().prop_map(Step::Evict),
        1 => (any::<usize>(), 1..90_u64).prop_map(|(entry, charge)| Step::Resize(entry, charge)),
        2 => any::<usize>().prop_map(Step::Move),
        1 => prop::collection::vec(0..8_u64, 0..6).prop_map(Step::Arrive),
    ]
}

impl World {
    fn nth(&self, number: usize) -> Option<u32> {
        let len = self.living.len().max(1);
        self.living.iter().nth(number % len).copied()
    }

    fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Insert(charge) => {
                self.insert(charge);
            }
            Step::Touch(number) => self.touch(self.nth(number)?),
            Step::Remove(number) => self.remove(self.nth(number)?, false),
            Step::Evict(keep) => {
                let keep = keep.and_then(|number| self.nth(number));
                let others = self.living.len() - usize::from(keep.is_some());
                assert_eq!(self.evict(keep).is_some(), others > 0);
            }
            Step::Resize(number, charge) => {
                let entry = self.nth(number)?;
                let before = self.cells.charge(entry);
                self.cells.set_charge(entry, charge);
                self.queues.resized(&self.cells, entry, before);
            }
            Step::Move(number) => {
                let from = self.nth(number)?;
                let to = self.cells.copy(from);
                self.queues.moved(&mut self.cells, from, to);
                self.living.remove(&from);
                self.living.insert(to);
            }
            Step::Arrive(bits) => drop(self.arrive(&bits)),
        }
        Some(())
    }
}

proptest! {
    #[test]
    fn everything_adds_up(steps in prop::collection::vec(any_step(), 1..150)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
            world.check();
        }
        while world.evict(None).is_some() {}
        world.check();
        prop_assert!(world.living.is_empty());
    }
}
