//! Random steps, against the order of stamps.

use proptest::prelude::*;

use super::*;
use crate::store::eviction::testing::Cells;

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
    /// One gets another handle.
    Move(usize),
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
        3 => any::<usize>().prop_map(Step::Move),
    ]
}

/// An order, and the living entries by stamp, which is what it has to be.
#[derive(Default)]
struct World {
    cells: Cells,
    order: Lru,
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
        self.order.touch(&mut self.cells, index, self.now);
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
                let index = self.cells.add(self.now, 1);
                self.expected.insert((self.now, index));
                self.order.insert(&mut self.cells, index, self.now);
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
                    let stamp = (age * 10_000 + self.cells.len() as u64) * 2;
                    let index = self.cells.add(stamp, 1);
                    self.expected.insert((stamp, index));
                    self.now = self.now.max(stamp + 1);
                    run.push(index);
                }
                self.order.add_strand(&mut self.cells, &run);
            }
            Step::Aside(count, used) => {
                let run: Vec<u32> = (0..count).map_while(|_| self.evict()).collect();
                used.into_iter().for_each(|number| self.touch(number));
                self.order.add_strand(&mut self.cells, &run);
                let run = run.into_iter();
                self.expected
                    .extend(run.map(|index| (self.cells.stamp(index), index)));
            }
            Step::Move(number) => {
                let Some((stamp, from)) = self.nth(number) else {
                    return;
                };
                let to = self.cells.copy(from);
                self.order.moved(&mut self.cells, from, to);
                self.expected.remove(&(stamp, from));
                self.expected.insert((stamp, to));
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
        prop_assert!(world.order.strands.is_empty());
    }
}
