//! The order of one group in one shard: a main list, in which every use makes an entry
//! the newest, and strands: entries that arrived from another node, each strand in the
//! order of their stamps. Together they are exact LRU, because the oldest entry is the
//! oldest end of some list.

use std::collections::BTreeSet;

use slab::Slab;

use super::{IN_MAIN, Linked, Lru, UNLINKED};

/// The order. An entry's strand number says in which list it is, if in any.
#[derive(Debug, Default)]
pub(crate) struct Order {
    main: Lru,
    strands: Slab<Strand>,
    /// Strands by the stamp of their oldest entry.
    by_age: BTreeSet<(u64, u16)>,
}

/// One list that only loses entries.
#[derive(Debug)]
struct Strand {
    list: Lru,
    /// The stamp of its oldest entry, as it stands in `by_age`.
    oldest_stamp: u64,
}

impl Order {
    /// The entry that goes first, with its stamp.
    pub(crate) fn oldest(&self, entries: &impl Linked) -> Option<(u64, u32)> {
        let main = self
            .main
            .oldest()
            .map(|index| (entries.stamp(index), index));
        let Some((stamp, strand)) = self.by_age.first() else {
            return main;
        };
        let strand = self.strands[usize::from(*strand)].list.oldest();
        let strand = strand.map(|index| (*stamp, index));
        [main, strand].into_iter().flatten().min()
    }

    /// Takes in an entry that is in no list, as the newest.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, index: u32) {
        *entries.strand(index) = IN_MAIN;
        self.main.insert(entries, index);
    }

    /// Takes an entry out of its list, if it is in one.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, index: u32) {
        match std::mem::replace(entries.strand(index), UNLINKED) {
            UNLINKED => {}
            IN_MAIN => self.main.remove(entries, index),
            number => self.remove_from_strand(entries, index, number),
        }
    }

    /// Makes an entry the newest, wherever it was.
    pub(crate) fn touch(&mut self, entries: &mut impl Linked, index: u32) {
        if *entries.strand(index) == IN_MAIN {
            self.main.touch(entries, index);
        } else {
            self.remove(entries, index);
            self.insert(entries, index);
        }
    }

    /// Takes in entries that are in no list and have been used elsewhere, sorted from
    /// the oldest on.
    pub(crate) fn add_strand(&mut self, entries: &mut impl Linked, run: &[u32]) {
        let Some(oldest) = run.first() else { return };
        let number = match u16::try_from(self.strands.vacant_key()) {
            Ok(number) if number < IN_MAIN => number,
            // More than 65,000 batches of which each has entries left that nobody used.
            _ => return self.put_back(entries, run),
        };
        let oldest_stamp = entries.stamp(*oldest);
        let mut list = Lru::default();
        for index in run {
            *entries.strand(*index) = number;
            list.insert(entries, *index);
        }
        self.strands.insert(Strand { list, oldest_stamp });
        self.by_age.insert((oldest_stamp, number));
    }

    /// Takes in entries that are in no list, sorted from the oldest on, at their places
    /// in the main list. Passes over all that are older there: it is for entries that
    /// were the oldest when they were taken out.
    pub(crate) fn put_back(&mut self, entries: &mut impl Linked, run: &[u32]) {
        let mut next = self.main.oldest();
        for index in run {
            let stamp = entries.stamp(*index);
            while let Some(other) = next
                && entries.stamp(other) < stamp
            {
                next = self.main.newer(entries, other);
            }
            *entries.strand(*index) = IN_MAIN;
            self.main.insert_before(entries, *index, next);
        }
    }

    fn remove_from_strand(&mut self, entries: &mut impl Linked, index: u32, number: u16) {
        let strand = &mut self.strands[usize::from(number)];
        let was_oldest = strand.list.oldest() == Some(index);
        strand.list.remove(entries, index);
        if !was_oldest {
            return;
        }
        self.by_age.remove(&(strand.oldest_stamp, number));
        match strand.list.oldest() {
            Some(oldest) => {
                strand.oldest_stamp = entries.stamp(oldest);
                self.by_age.insert((strand.oldest_stamp, number));
            }
            None => {
                self.strands.remove(usize::from(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::eviction::Links;

    /// Entries as an order sees them: links, strand and stamp.
    #[derive(Default)]
    struct Cells(Vec<(Links, u16, u64)>);

    impl Linked for Cells {
        fn links(&mut self, index: u32) -> &mut Links {
            &mut self.0[index as usize].0
        }

        fn strand(&mut self, index: u32) -> &mut u16 {
            &mut self.0[index as usize].1
        }

        fn stamp(&self, index: u32) -> u64 {
            self.0[index as usize].2
        }
    }

    impl Cells {
        fn add(&mut self, stamp: u64) -> u32 {
            self.0.push((Links::default(), UNLINKED, stamp));
            self.0.len() as u32 - 1
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert,
        Touch(usize),
        Remove(usize),
        Evict,
        /// A strand with entries of these ages.
        Strand(Vec<u64>),
        /// So many of the oldest are taken out, and some of the rest used meanwhile.
        Aside(usize, Vec<usize>),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Insert),
            4 => any::<usize>().prop_map(Step::Touch),
            2 => any::<usize>().prop_map(Step::Remove),
            3 => Just(Step::Evict),
            2 => prop::collection::vec(0..1_000_u64, 0..6).prop_map(Step::Strand),
            1 => (0..5_usize, prop::collection::vec(any::<usize>(), 0..3))
                .prop_map(|(count, used)| Step::Aside(count, used)),
        ]
    }

    /// An order, and the living entries by stamp, which is what it has to be.
    #[derive(Default)]
    struct World {
        cells: Cells,
        order: Order,
        expected: BTreeSet<(u64, u32)>,
        now: u64,
    }

    impl World {
        fn nth(&self, number: usize) -> Option<(u64, u32)> {
            let len = self.expected.len().max(1);
            self.expected.iter().nth(number % len).copied()
        }

        fn touch(&mut self, number: usize) {
            let Some((stamp, index)) = self.nth(number) else {
                return;
            };
            self.now += 2;
            self.expected.remove(&(stamp, index));
            self.expected.insert((self.now, index));
            self.cells.0[index as usize].2 = self.now;
            self.order.touch(&mut self.cells, index);
        }

        fn evict(&mut self) -> Option<u32> {
            let oldest = self.order.oldest(&self.cells);
            assert_eq!(oldest, self.expected.pop_first());
            self.order.remove(&mut self.cells, oldest?.1);
            Some(oldest?.1)
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Insert => {
                    self.now += 2;
                    let index = self.cells.add(self.now);
                    self.expected.insert((self.now, index));
                    self.order.insert(&mut self.cells, index);
                }
                Step::Touch(number) => self.touch(number),
                Step::Remove(number) => {
                    if let Some((stamp, index)) = self.nth(number) {
                        self.expected.remove(&(stamp, index));
                        self.order.remove(&mut self.cells, index);
                    }
                }
                Step::Evict => {
                    self.evict();
                }
                Step::Strand(mut ages) => {
                    ages.sort_unstable();
                    let mut run = Vec::new();
                    for age in ages {
                        // Even numbers, so that no two stamps are the same.
                        let stamp = (age * 10_000 + self.cells.0.len() as u64) * 2;
                        let index = self.cells.add(stamp);
                        self.expected.insert((stamp, index));
                        self.now = self.now.max(stamp + 1);
                        run.push(index);
                    }
                    self.order.add_strand(&mut self.cells, &run);
                }
                Step::Aside(count, used) => {
                    let run: Vec<u32> = (0..count).map_while(|_| self.evict()).collect();
                    used.into_iter().for_each(|number| self.touch(number));
                    self.order.put_back(&mut self.cells, &run);
                    let run = run.into_iter();
                    self.expected
                        .extend(run.map(|index| (self.cells.stamp(index), index)));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_stamps(steps in prop::collection::vec(any_step(), 1..120)) {
            // Arrivals are older than the uses here, or younger than those before.
            let mut world = World { now: 10_000_001, ..World::default() };
            for step in steps {
                world.step(step);
            }
            while world.evict().is_some() {}
            prop_assert!(world.order.strands.is_empty() && world.order.by_age.is_empty());
        }
    }
}
