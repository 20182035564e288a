//! What the load consists of: the next operation, for whichever client is free. Pure,
//! and the same for the same seed.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::keys::{KeyChooser, Sizes};
use super::mix::{Kind, Mix};
use super::written::Written;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What to do.
    pub kind: Kind,
    /// Number of the key.
    pub key: u64,
    /// Length of the value, should one be written.
    pub value_bytes: usize,
}

/// Where operations come from.
#[derive(Debug)]
pub struct Source {
    what: What,
    sizes: Sizes,
    random: StdRng,
    seed: u64,
    /// Operations left.
    left: u64,
}

#[derive(Debug)]
enum What {
    /// Any number of operations by chance.
    Mixed(Mix, KeyChooser),
    /// Reads in the order of a trace, each on so many copies of its key.
    Trace {
        order: Arc<[u32]>,
        copies: u64,
        next: u64,
    },
    /// Each key of a set once.
    Sweep { kind: Kind, keys: Keys, next: u64 },
}

/// A set of keys.
#[derive(Clone, Debug)]
pub enum Keys {
    /// From 0 up to this one, which is not in it.
    Below(u64),
    /// These.
    These(Written),
}

impl Keys {
    fn len(&self) -> u64 {
        match self {
            Self::Below(end) => *end,
            Self::These(keys) => keys.count(),
        }
    }

    fn at_or_after(&self, from: u64) -> Option<u64> {
        match self {
            Self::Below(end) => (from < *end).then_some(from),
            Self::These(keys) => keys.at_or_after(from),
        }
    }
}

impl Source {
    /// Operations by chance, at most `operations`.
    pub fn mixed(mix: Mix, chooser: KeyChooser, sizes: Sizes, seed: u64, operations: u64) -> Self {
        Self::new(What::Mixed(mix, chooser), sizes, seed, operations)
    }

    /// Reads in the order of a trace, at most `operations`. Key `k` of the trace stands
    /// for the keys `k * copies .. (k + 1) * copies`, which are read one after another.
    pub fn trace(order: Arc<[u32]>, copies: u32, sizes: Sizes, seed: u64, operations: u64) -> Self {
        let copies = u64::from(copies.max(1));
        let operations = operations.min(order.len() as u64 * copies);
        let what = What::Trace {
            order,
            copies,
            next: 0,
        };
        Self::new(what, sizes, seed, operations)
    }

    /// The same operation on each key of a list.
    pub fn sweep(kind: Kind, keys: Keys, sizes: Sizes, seed: u64) -> Self {
        let operations = keys.len();
        let what = What::Sweep {
            kind,
            keys,
            next: 0,
        };
        Self::new(what, sizes, seed, operations)
    }

    fn new(what: What, sizes: Sizes, seed: u64, left: u64) -> Self {
        Self {
            what,
            sizes,
            random: StdRng::seed_from_u64(seed),
            seed,
            left,
        }
    }

    /// Operations that are left.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Iterator for Source {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        self.left = self.left.checked_sub(1)?;
        let (kind, key) = match &mut self.what {
            What::Mixed(mix, chooser) => {
                let kind = mix.choose(self.random.random_range(0..mix.total()));
                let key = chooser.next(&mut self.random);
                let value_bytes = self.sizes.choose(self.random.random());
                return Some(Work {
                    kind,
                    key,
                    value_bytes,
                });
            }
            What::Trace {
                order,
                copies,
                next,
            } => {
                let key = *order.get((*next / *copies) as usize)?;
                let key = u64::from(key) * *copies + *next % *copies;
                *next += 1;
                (Kind::Get, key)
            }
            What::Sweep { kind, keys, next } => {
                let key = keys.at_or_after(*next)?;
                *next = key + 1;
                (*kind, key)
            }
        };
        // Whoever writes a key of a trace, and however often, writes the same length.
        let value_bytes = self.sizes.choose(spread_bits(key ^ self.seed));
        Some(Work {
            kind,
            key,
            value_bytes,
        })
    }
}

/// The finalizer of splitmix64: neighbours become as different as chance would have it.
fn spread_bits(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { min: 10, max: 20 };

    fn mixed(seed: u64) -> Vec<Work> {
        let chooser = KeyChooser::new("uniform".parse().unwrap(), 100).unwrap();
        Source::mixed("get=1,set=1".parse().unwrap(), chooser, SIZES, seed, 50).collect()
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(mixed(1), mixed(1));
        assert_ne!(mixed(1), mixed(2));
        assert_eq!(mixed(1).len(), 50);
        assert!(
            mixed(1)
                .iter()
                .all(|it| (10..=20).contains(&it.value_bytes))
        );
    }

    #[test]
    fn a_trace_is_read_in_its_order_and_copied() {
        let order: Arc<[u32]> = [0, 1, 0].into();
        let keys = |copies, limit| {
            let source = Source::trace(order.clone(), copies, SIZES, 1, limit);
            source.map(|it| it.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(1, u64::MAX), [0, 1, 0]);
        assert_eq!(keys(2, u64::MAX), [0, 1, 2, 3, 0, 1]);
        assert_eq!(keys(2, 3), [0, 1, 2]);
        // The same key has the same length each time.
        let source = Source::trace(order, 1, SIZES, 1, u64::MAX);
        let lengths: Vec<_> = source.map(|it| it.value_bytes).collect();
        assert_eq!(lengths[0], lengths[2]);
    }

    #[test]
    fn a_sweep_takes_each_key_once() {
        let sweep = |keys| Source::sweep(Kind::Delete, keys, SIZES, 1);
        let keys: Vec<_> = sweep(Keys::Below(3)).map(|it| it.key).collect();
        assert_eq!(keys, [0, 1, 2]);
        let mut written = Written::new(10);
        [7, 3].into_iter().for_each(|key| written.add(key));
        let mut these = sweep(Keys::These(written));
        assert_eq!(
            these.next().map(|it| (it.kind, it.key)),
            Some((Kind::Delete, 3))
        );
        assert_eq!((these.left(), these.count()), (1, 1));
    }
}
