//! Misses on recorded traces, against the definition of LRU.

use std::io::Read;
use std::path::PathBuf;

use super::*;

/// Parts of the distinct keys that the cache holds, in percent.
const SIZES: [usize; 5] = [2, 5, 10, 20, 30];

/// The keys of a trace, numbered by first appearance; `None` where it is not at hand.
fn trace(name: &str) -> Option<Vec<u32>> {
    let folder = std::env::var_os("CACHED_TRACES")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces"));
    let path = folder.join(name).with_extension("keys.xz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!(
            "skipped: no {}; CACHED_TRACES names the folder",
            path.display()
        );
        return None;
    };
    let mut text = String::new();
    xz2::read::XzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    Some(text.lines().map(|line| line.parse().unwrap()).collect())
}

/// Misses of LRU at several sizes, from its definition: a key is missed by a cache
/// of n entries when n or more others were used since its last use. A Fenwick tree
/// over the requests counts those: it has a one at the last use of every key.
fn textbook_misses(trace: &[u32], capacities: &[usize]) -> Vec<u64> {
    let mut tree = vec![0_i32; trace.len() + 1];
    let add = |tree: &mut Vec<i32>, at: usize, by: i32| {
        let mut at = at + 1;
        while at < tree.len() {
            tree[at] += by;
            at += at & at.wrapping_neg();
        }
    };
    let count_below = |tree: &Vec<i32>, at: usize| {
        let (mut at, mut sum) = (at, 0);
        while at > 0 {
            sum += tree[at];
            at -= at & at.wrapping_neg();
        }
        sum as usize
    };
    let mut last_use: Vec<Option<usize>> = Vec::new();
    let mut misses = vec![0; capacities.len()];
    let mut distinct = 0;
    for (now, key) in trace.iter().enumerate() {
        let key = *key as usize;
        last_use.resize(last_use.len().max(key + 1), None);
        let others_since = match last_use[key].replace(now) {
            None => usize::MAX,
            Some(before) => {
                let since = distinct - count_below(&tree, before + 1);
                add(&mut tree, before, -1);
                distinct -= 1;
                since
            }
        };
        add(&mut tree, now, 1);
        distinct += 1;
        for (capacity, misses) in capacities.iter().zip(&mut misses) {
            *misses += u64::from(others_since >= *capacity);
        }
    }
    misses
}

/// Misses of the store, when each is followed by a set of the same size.
fn store_misses(trace: &[u32], distinct: usize, capacity: usize, shards: usize) -> u64 {
    let bed = Bed::new(shards, capacity as u64 * Store::entry_bytes(8, 4));
    let slots = (64 * shards).min(1024) as u16;
    (0..slots).for_each(|number| {
        bed.store.open_slot(slot(number), Epoch(1));
    });
    // Fibonacci hashing spreads the running numbers over the slots.
    let slot_of = |number: u32| slot((number.wrapping_mul(2_654_435_769) >> 16) as u16 % slots);
    let names: Vec<String> = (0..distinct).map(|number| format!("{number:08}")).collect();
    let gets: Vec<Operation> = names.iter().map(|name| get(name)).collect();
    let sets: Vec<Operation> = names.iter().map(|name| set(name, "body")).collect();
    for (now, number) in trace.iter().enumerate() {
        let (at, index, now) = (slot_of(*number), *number as usize, WallMs(now as u64));
        let read = bed.store.execute(at, bed.group, &gets[index], now).unwrap();
        if read == Executed::Reply(Reply::Get(None)) {
            bed.store.execute(at, bed.group, &sets[index], now).unwrap();
        }
    }
    assert!(bed.store.used_bytes() <= bed.store.memory_bytes());
    bed.counters().misses
}

fn replay(name: &str, miss_ratio_at_10: f64) {
    let Some(trace) = trace(name) else { return };
    let distinct = 1 + *trace.iter().max().unwrap() as usize;
    let capacities = SIZES.map(|percent| distinct * percent / 100);
    let textbook = textbook_misses(&trace, &capacities);
    let ratio = |misses: u64| misses as f64 / trace.len() as f64;
    assert!(
        (ratio(textbook[2]) - miss_ratio_at_10).abs() < 0.00005,
        "{}",
        ratio(textbook[2])
    );

    std::thread::scope(|scope| {
        for (capacity, expected) in capacities.into_iter().zip(textbook) {
            let trace = &trace;
            scope.spawn(move || {
                let misses = store_misses(trace, distinct, capacity, 1);
                assert_eq!(misses, expected, "{name}, {capacity} entries, one shard");
            });
            scope.spawn(move || {
                let misses = store_misses(trace, distinct, capacity, 16);
                let off = (ratio(misses) - ratio(expected)).abs();
                println!("{name}, {capacity} entries, 16 shards: off by {off:.5}");
                assert!(
                    off < 0.005,
                    "{name}, {capacity} entries, 16 shards: off by {off}"
                );
            });
        }
    });
}

#[test]
fn web07_is_missed_as_by_the_textbook() {
    replay("web07", 0.4434);
}

#[test]
fn orm_night_is_missed_as_by_the_textbook() {
    replay("orm-night", 0.1813);
}
