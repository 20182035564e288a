//! Many threads at once: bounds hold, sums come out, nothing deadlocks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::store::Fill;

const WRITERS: u64 = 4;
const STEPS: u64 = 10_000;
const SLOTS: u16 = 32;
const VALUE_BYTES_MAX: usize = 2_000;

struct Ground {
    bed: Bed,
    other: GroupId,
    clock: AtomicU64,
    done: AtomicBool,
}

#[test]
fn bounds_and_sums_hold_with_many_threads() {
    let bed = Bed::new(8, 200_000);
    let other = bed.another_group("other", Some(50_000));
    let ground = Ground {
        bed,
        other,
        clock: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    (0..SLOTS).for_each(|number| {
        ground.bed.store.open_slot(slot(number), Epoch(1));
    });

    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&ground));
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                scope.spawn({
                    let ground = &ground;
                    move || write(ground, seed)
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        ground.done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
        assert!(watcher.join().unwrap() > 0);
    });

    let store = &ground.bed.store;
    assert!(store.used_bytes() <= store.memory_bytes());
    let counters = store.group_counters();
    let (keys, bytes) = counters.iter().fold((0, 0), |(keys, bytes), (_, _, c)| {
        (keys + c.keys, bytes + c.bytes)
    });
    assert_eq!(bytes, store.used_bytes());
    assert!(counters[other.index()].2.bytes <= 50_000);
    let slots = store.slots();
    assert_eq!(slots.iter().map(|info| info.bytes).sum::<u64>(), bytes);
    assert_eq!(slots.iter().map(|info| info.keys).sum::<u64>(), keys);
    assert!(
        counters
            .iter()
            .all(|(_, _, c)| c.evictions > 0 && c.expirations > 0)
    );

    store.flush(ground.bed.group);
    store.flush(other);
    ground.bed.assert_empty();
}

/// Looks at the bound all the time; answers how often it could.
fn watch(ground: &Ground) -> u64 {
    let store = &ground.bed.store;
    let in_flight = WRITERS * Store::entry_bytes(8, VALUE_BYTES_MAX);
    let mut looks = 0;
    while !ground.done.load(Ordering::Relaxed) {
        assert!(store.used_bytes() <= store.memory_bytes() + in_flight);
        looks += 1;
        std::thread::yield_now();
    }
    looks
}

fn write(ground: &Ground, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let store = &ground.bed.store;
    for _ in 0..STEPS {
        let now = ground.clock.fetch_add(1, Ordering::Relaxed);
        let number = rng.random_range(0..SLOTS);
        let group = if rng.random_bool(0.5) {
            ground.bed.group
        } else {
            ground.other
        };
        let name = format!("k{}", rng.random_range(0..100));
        match rng.random_range(0..1_000) {
            0 => {
                store.open_slot(slot(number), Epoch(now + 2));
            }
            1 => {
                store.flush(group);
            }
            2..10 => {
                store.sweep(WallMs(now), 20);
            }
            10..100 => fill(ground, number, group, &name, now),
            100..200 => {
                ground.bed.reply(number, group, now, delete(&name));
            }
            200..600 => {
                let value = vec![0; rng.random_range(0..=VALUE_BYTES_MAX)];
                let life = rng
                    .random_bool(0.5)
                    .then(|| ttl(rng.random_range(1..5_000)).unwrap());
                ground
                    .bed
                    .reply(number, group, now, set_for(&name, value, life));
            }
            _ => {
                let read = store.execute(slot(number), group, &get(&name), WallMs(now));
                assert!(read.is_ok());
            }
        }
    }
}

fn fill(ground: &Ground, number: u16, group: GroupId, name: &str, now: u64) {
    let (store, slot, key) = (&ground.bed.store, slot(number), key(name));
    let token = store
        .begin_fill(slot, group, &key, WallMs(now + 100))
        .unwrap();
    let fill = Fill::Value {
        value: "loaded".into(),
        ttl: ttl(1_000),
    };
    store
        .fill(slot, group, &key, token, fill, WallMs(now))
        .unwrap();
}
