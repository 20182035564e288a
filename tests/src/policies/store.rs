//! The store's own policies, over numbers of keys like the others here: a real store whose
//! entries are all of one size, and which has room for so many of them.

use bytes::Bytes;
use cached::clock::WallMs;
use cached::store::{Executed, GroupId, GroupSettings, Store, StoreConfig};
use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::records;
use cached_proto::types::{Epoch, GroupName, Key, Slot};

use super::Policy;

/// Bytes of a key and of a value.
const KEY_BYTES: usize = 8;
const VALUE: &str = "body";

/// Slots that keys are spread over; each shard gets as many.
const SLOTS: u16 = 256;

/// A store of one group.
#[derive(Debug)]
pub struct Own {
    store: Store,
    group: GroupId,
    slots: Vec<Slot>,
    requests: u64,
}

impl Own {
    /// With room for so many entries.
    ///
    /// # Panics
    ///
    /// Never: what it asks of the store is lawful.
    pub fn new(policy: records::Policy, capacity: usize, shards: usize) -> Self {
        let store = Store::new(StoreConfig {
            shards,
            memory_bytes: capacity as u64 * Store::entry_bytes(KEY_BYTES, VALUE.len()),
        });
        let settings = GroupSettings {
            policy,
            ..GroupSettings::default()
        };
        let name = GroupName::new("g").expect("a name");
        let group = store.set_group(&name, settings);
        let slots = (0..SLOTS).map(|number| Slot::new(number).expect("a slot"));
        let slots: Vec<Slot> = slots.collect();
        for slot in &slots {
            store.open_slot(*slot, Epoch(1));
        }
        Self {
            store,
            group,
            slots,
            requests: 0,
        }
    }

    fn execute(&self, key: u32, operation: &Operation) -> Option<Reply> {
        // Fibonacci hashing spreads running numbers.
        let slot = self.slots[(key.wrapping_mul(2_654_435_769) >> 24) as usize];
        let now = WallMs(self.requests);
        match self.store.execute(slot, self.group, operation, now) {
            Ok(Executed::Reply(reply)) => Some(reply),
            Ok(Executed::KnownAbsent) | Err(_) => None,
        }
    }
}

impl Policy for Own {
    fn request(&mut self, number: u32) -> bool {
        self.requests += 1;
        let key = Key::new(format!("{number:08}")).expect("a key");
        let get = Operation::Get {
            key: key.clone(),
            no_load: true,
            metadata_only: false,
        };
        if matches!(self.execute(number, &get), Some(Reply::Get(Some(_)))) {
            return true;
        }
        let set = Operation::Set {
            key,
            value: Bytes::from_static(VALUE.as_bytes()),
            ttl: None,
            condition: Condition::Always,
        };
        self.execute(number, &set);
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Lru, S3Fifo, miss_ratio, numbered};
    use super::*;
    use crate::trace;

    /// Requests of some kinds, one after the other.
    #[derive(Clone, Debug)]
    enum Part {
        /// So many, of the keys up to the bound, low ones more often.
        Skewed(u32, Vec<u32>),
        /// Keys in a row, each once.
        Scan(u32, u32),
    }

    fn any_part() -> impl Strategy<Value = Part> {
        let skewed = |bound: u32| {
            let seeds = prop::collection::vec(any::<u32>(), 200..3_000);
            seeds.prop_map(move |seeds| Part::Skewed(bound, seeds))
        };
        prop_oneof![
            3 => (50..2_000_u32).prop_flat_map(skewed),
            1 => (0..4_000_u32, 10..500_u32).prop_map(|(from, keys)| Part::Scan(from, keys)),
        ]
    }

    fn requests(part: Part) -> Vec<u32> {
        match part {
            Part::Skewed(bound, seeds) => {
                let key = |seed: u32| {
                    let part = f64::from(seed) / f64::from(u32::MAX);
                    (part * part * part * f64::from(bound)) as u32
                };
                seeds.into_iter().map(key).collect()
            }
            Part::Scan(from, keys) => (from..from + keys).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Names are remembered a little differently, so not to the last miss.
        #[test]
        fn s3fifo_misses_as_the_reference_does(
            parts in prop::collection::vec(any_part(), 1..8),
            tens in 2..40_usize,
        ) {
            let trace: Vec<u32> = parts.into_iter().flat_map(requests).collect();
            let capacity = tens * 10;
            let expected = miss_ratio(&mut S3Fifo::adaptive(capacity, 5_000), &trace);
            let mut own = Own::new(records::Policy::S3Fifo, capacity, 1);
            let ratio = miss_ratio(&mut own, &trace);
            // Of few requests, a few make a large share.
            let bound = 0.02 + 12.0 / trace.len() as f64;
            prop_assert!((ratio - expected).abs() < bound, "{ratio}, the reference {expected}");
        }

        #[test]
        fn lru_misses_exactly_as_the_reference_does(
            parts in prop::collection::vec(any_part(), 1..4),
            capacity in 1..400_usize,
        ) {
            let trace: Vec<u32> = parts.into_iter().flat_map(requests).collect();
            let expected = miss_ratio(&mut Lru::new(capacity, 5_000), &trace);
            let mut own = Own::new(records::Policy::Lru, capacity, 1);
            prop_assert_eq!(miss_ratio(&mut own, &trace), expected);
        }
    }

    #[test]
    fn s3fifo_misses_of_the_traces_are_those_of_the_reference() {
        for name in ["web07", "orm-night"] {
            let Some(keys) = trace::keys(name) else {
                return;
            };
            let (trace, distinct) = numbered(&keys);
            let capacity = distinct / 10;
            let expected = miss_ratio(&mut S3Fifo::adaptive(capacity, distinct), &trace);
            for shards in [1, 16] {
                let mut own = Own::new(records::Policy::S3Fifo, capacity, shards);
                let ratio = miss_ratio(&mut own, &trace);
                let off = (ratio / expected - 1.0).abs();
                assert!(
                    off < 0.02,
                    "{name}, {shards} shards: {ratio}, not {expected}"
                );
            }
        }
    }
}
