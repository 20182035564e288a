//! A slot's whole way while others write, read, sweep and flush.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const SLOTS: u16 = 12;
const MOVED: [u16; 6] = [0, 1, 2, 5, 8, 9];
const TRIES: u64 = 6;
/// Writes and reads that have to get in between, so that there is something to move.
const STEPS_PER_TRY: u64 = 3_000;

struct Ground {
    source: Store,
    target: Store,
    steps: AtomicU64,
    done: AtomicBool,
}

#[test]
fn both_ends_are_equal_after_a_move_amid_threads() {
    let store = |memory_bytes| {
        let store = Store::new(StoreConfig {
            shards: 4,
            memory_bytes,
        });
        store.set_group(&GroupName::new("g").unwrap(), GroupSettings::default());
        store
    };
    let ground = Ground {
        source: store(80_000),
        target: store(1 << 30),
        steps: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    (0..SLOTS).for_each(|number| {
        ground.source.open_slot(slot(number), Epoch(1));
    });
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let ground = &ground;
            scope.spawn(move || work(ground, seed));
        }
        let mover = scope.spawn(|| {
            for number in 0..TRIES {
                travel(&ground, number);
            }
        });
        let moved = mover.join();
        ground.done.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
    let source = &ground.source;
    let infos = source.slots();
    let counters = source.group_counters()[0].2;
    assert_eq!(
        infos.iter().map(|info| info.keys).sum::<u64>(),
        counters.keys
    );
    assert_eq!(
        infos.iter().map(|info| info.bytes).sum::<u64>(),
        counters.bytes
    );
    assert_eq!(source.used_bytes(), counters.bytes);
    assert!(source.used_bytes() <= source.memory_bytes());
    assert!(counters.evictions > 0 && counters.expirations > 0 && counters.deletes > 0);
    source.flush(GroupId(0));
    assert_eq!((source.used_bytes(), ground.target.used_bytes()), (0, 0));
}

/// Moves the slots, compares both ends, and leaves the source the owner.
fn travel(ground: &Ground, number: u64) {
    let (source, target) = (&ground.source, &ground.target);
    let until = ground.steps.load(Ordering::Relaxed) + STEPS_PER_TRY;
    let mut moving = Move::begin(source, target, &MOVED, 8_192);
    while !moving.is_scanned() || ground.steps.load(Ordering::Relaxed) < until {
        (0..MOVED.len()).for_each(|number| moving.scan(number, 2_000));
        moving.deliver(10_000);
    }
    let now = ground.steps.load(Ordering::Relaxed);
    moving.seal(now);
    let before: Vec<_> = source
        .slots()
        .into_iter()
        .filter(|info| info.sealed)
        .collect();
    assert_eq!(before.len(), MOVED.len());
    let until = now + STEPS_PER_TRY;
    while ground.steps.load(Ordering::Relaxed) < until {
        std::thread::yield_now();
    }
    let after: Vec<_> = source
        .slots()
        .into_iter()
        .filter(|info| info.sealed)
        .collect();
    assert_eq!(after, before, "nothing changes while it is sealed");
    moving.activate(number + 2, 100);
    for info in before {
        let there = target.slot(info.slot).unwrap();
        assert_eq!((there.keys, there.bytes), (info.keys, info.bytes));
        let purge = target.close_slot(info.slot, Epoch(number + 2)).unwrap();
        while !target.purge(&purge, 50) {}
    }
    moving.end();
}

fn work(ground: &Ground, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (store, group) = (&ground.source, GroupId(0));
    while !ground.done.load(Ordering::Relaxed) {
        let now = WallMs(ground.steps.fetch_add(1, Ordering::Relaxed));
        let at = slot(rng.random_range(0..SLOTS));
        let name = format!("k{}", rng.random_range(0..150));
        let operation = match rng.random_range(0..1_000) {
            0 => {
                store.flush(group);
                continue;
            }
            1..10 => {
                store.sweep(now, 20);
                continue;
            }
            10..100 => delete(&name),
            100..150 => touch(&name, ttl(rng.random_range(1..5_000))),
            150..500 => {
                let life = rng.random_bool(0.5).then(|| rng.random_range(1..5_000));
                let value = vec![0; rng.random_range(0..=500)];
                set_for(&name, value, life.and_then(ttl))
            }
            _ => get(&name),
        };
        match store.execute(at, group, &operation, now) {
            Ok(_) => {}
            Err(Refused::Sealed(sealed) | Refused::Congested(sealed)) => {
                assert!(MOVED.contains(&sealed.number()));
                std::thread::yield_now();
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}
