//! Eviction policies as their authors describe them, over numbers of keys: what the
//! store's own are compared with. They count entries, not bytes, and hold no values.

mod list;
mod lru;
mod s3fifo;
mod sieve;
mod sketch;
mod store;
mod tinylfu;

use cached_proto::records;

pub use lru::Lru;
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;
pub use store::Own;
pub use tinylfu::WTinyLfu;

/// A cache of a fixed number of entries.
pub trait Policy: std::fmt::Debug {
    /// A key is read, and stored where it was missed; true: it was there.
    fn request(&mut self, key: u32) -> bool;
}

/// A policy's name and how a cache with it is made: for so many entries, over keys below
/// a bound.
pub type Maker = (&'static str, fn(usize, usize) -> Box<dyn Policy>);

/// Every policy.
pub const ALL: [Maker; 4] = [
    ("LRU", |capacity, keys| Box::new(Lru::new(capacity, keys))),
    ("S3-FIFO", |capacity, keys| {
        Box::new(S3Fifo::new(capacity, keys))
    }),
    ("SIEVE", |capacity, keys| {
        Box::new(Sieve::new(capacity, keys))
    }),
    ("W-TinyLFU", |capacity, keys| {
        Box::new(WTinyLfu::new(capacity, keys))
    }),
];

/// The store's own, with one shard and with as many as a node has on 4 cores.
pub const OWN: [Maker; 3] = [
    ("`lru`", |capacity, _| {
        Box::new(Own::new(records::Policy::Lru, capacity, 1))
    }),
    ("`s3fifo`", |capacity, _| {
        Box::new(Own::new(records::Policy::S3Fifo, capacity, 1))
    }),
    ("`s3fifo`, 16 shards", |capacity, _| {
        Box::new(Own::new(records::Policy::S3Fifo, capacity, 16))
    }),
];

/// The share of a trace's requests that a cache misses.
pub fn miss_ratio(policy: &mut dyn Policy, trace: &[u32]) -> f64 {
    let misses = trace.iter().filter(|key| !policy.request(**key)).count();
    misses as f64 / trace.len().max(1) as f64
}

/// A trace's keys as numbers by first appearance, and how many there are.
pub fn numbered(keys: &[String]) -> (Vec<u32>, usize) {
    let mut numbers = std::collections::HashMap::new();
    let number = |key| {
        let next = numbers.len() as u32;
        *numbers.entry(key).or_insert(next)
    };
    let trace = keys.iter().map(number).collect();
    (trace, numbers.len())
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::trace;

    #[test]
    fn every_policy_keeps_its_bound_and_hits_what_it_holds() {
        let mut random = StdRng::seed_from_u64(3);
        let trace: Vec<u32> = (0..20_000).map(|_| random.random_range(0..300)).collect();
        for (name, make) in ALL {
            // Everything fits: only first appearances are missed.
            let misses = miss_ratio(&mut *make(300, 300), &trace) * trace.len() as f64;
            assert_eq!(misses.round(), 300.0, "{name}");
            // Without a pattern, hits are the share of the keys that is held.
            let ratio = miss_ratio(&mut *make(150, 300), &trace);
            assert!((0.45..0.55).contains(&ratio), "{name}: {ratio}");
        }
    }

    #[test]
    fn a_loop_over_more_than_fits_defeats_lru_alone() {
        let trace: Vec<u32> = (0..50).flat_map(|_| 0..120).collect();
        assert_eq!(miss_ratio(&mut Lru::new(100, 120), &trace), 1.0);
        assert!(miss_ratio(&mut WTinyLfu::new(100, 120), &trace) < 0.5);
    }

    #[test]
    fn lru_misses_of_the_traces_as_they_were_published() {
        for (name, published) in [("web07", 0.4434), ("orm-night", 0.1813)] {
            let Some(keys) = trace::keys(name) else {
                return;
            };
            let (trace, distinct) = numbered(&keys);
            let ratio = miss_ratio(&mut Lru::new(distinct / 10, distinct), &trace);
            assert!((ratio - published).abs() < 0.000_06, "{name}: {ratio}");
        }
    }
}
