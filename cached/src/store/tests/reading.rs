//! Reads in place, runs under one lock, and what the store is told of other memory.

use cached_proto::records::Policy;

use super::*;
use crate::store::Read;

#[test]
fn a_read_in_place_is_a_read() {
    let bed = Bed::new(1, 3 * Store::entry_bytes(1, 40_000));
    let read = |name: &str, now| {
        let copy = |hit: crate::store::Hit<'_>| (hit.value.len(), hit.version, hit.ttl_ms);
        bed.store
            .read_with(slot(0), bed.group, name.as_bytes(), WallMs(now), copy)
    };
    assert_eq!(read("a", 0), Ok(Read::Missed));
    assert_eq!(bed.counters().misses, 0, "its caller counts it");
    bed.at(0, set_for("a", vec![0; 40_000], ttl(50)));
    bed.at(0, set("b", "v"));
    assert_eq!(
        read("a", 20),
        Ok(Read::Hit((40_000, version(1, 1), Some(30))))
    );
    assert_eq!(read("b", 20), Ok(Read::Hit((1, version(1, 2), None))));
    assert_eq!(
        read("a", 20),
        Ok(Read::Hit((40_000, version(1, 1), Some(30))))
    );
    for name in ["c", "d", "e"] {
        bed.at(20, set(name, vec![0; 39_000]));
    }
    assert_eq!(read("b", 20), Ok(Read::Missed), "it was used longest ago");
    assert_eq!(bed.counters().hits, 3);
    let nowhere = bed
        .store
        .read_with(slot(9), bed.group, b"a", WallMs(0), |_| ());
    assert_eq!(nowhere, Err(Refused::NotServed(slot(9))));
}

#[test]
fn a_run_is_for_one_shard_and_ends() {
    let bed = Bed::new(4, 1 << 20);
    bed.store.open_slot(slot(4), Epoch(1));
    bed.store.open_slot(slot(1), Epoch(1));
    let mut run = bed.store.run(slot(0));
    assert!(run.takes(slot(0)) && run.takes(slot(4)) && !run.takes(slot(1)));
    let refused = run.execute(slot(1), bed.group, &set("k", "v"), WallMs(0));
    assert_eq!(refused, Err(Refused::NotServed(slot(1))));
    let mut taken = 0;
    while run.takes(slot(4)) {
        let name = format!("k{taken}");
        run.execute(slot(4), bed.group, &set(&name, "v"), WallMs(0))
            .unwrap();
        let read = run.read_with(slot(4), bed.group, name.as_bytes(), WallMs(0), |hit| {
            hit.value.to_vec()
        });
        assert!(read == Ok(Read::Hit(b"v".to_vec())) || taken == 31);
        taken += 1;
    }
    run.count_miss(bed.group);
    drop(run);
    assert_eq!((taken, bed.counters().sets), (32, 32));
    assert_eq!(bed.counters().misses, 1);
}

#[test]
fn a_run_lets_other_shards_make_room() {
    let unit = Store::entry_bytes(1, 0);
    let bed = Bed::new(2, 10 * unit);
    bed.store.open_slot(slot(1), Epoch(1));
    for number in 0..10 {
        let name = char::from(b'a' + number).to_string();
        bed.reply(1, bed.group, 0, set(&name, ""));
    }
    let mut run = bed.store.run(slot(0));
    run.execute(slot(0), bed.group, &set("k", ""), WallMs(1))
        .unwrap();
    assert!(!run.takes(slot(0)), "room comes first");
    drop(run);
    assert_eq!(bed.store.used_bytes(), 10 * unit);
    assert!(bed.entry(1, "k").is_some());
}

#[test]
fn what_else_takes_memory_is_made_room_for() {
    let unit = Store::entry_bytes(4, 100);
    let bed = Bed::new(2, 100 * unit);
    for number in 0..100 {
        bed.at(number, set(&format!("k{number:03}"), vec![0; 100]));
    }
    bed.store.set_overhead(30 * unit);
    assert_eq!(bed.store.used_bytes(), 70 * unit);
    assert_eq!(bed.store.memory_bytes(), 100 * unit);
    assert_eq!(
        (bed.store.free_bytes(), bed.store.memory().overhead),
        (0, 30 * unit)
    );
    assert!(!bed.store.reserve(1));
    bed.store.set_overhead(u64::MAX);
    assert_eq!(bed.store.used_bytes(), 50 * unit, "half is for entries");
    bed.store.set_overhead(0);
    assert_eq!(bed.store.free_bytes(), 50 * unit);
    let memory = bed.store.memory();
    assert_eq!(memory.charged, bed.store.used_bytes());
    assert!(bed.store.reserve(unit));
    assert_eq!(bed.store.memory().reserved, unit);
}

#[test]
fn what_is_fetched_stays_as_it_is() {
    for policy in [Policy::Lru, Policy::S3Fifo] {
        let bed = Bed::new(4, 1 << 20);
        let settings = GroupSettings {
            policy,
            ..GroupSettings::default()
        };
        let group = bed
            .store
            .set_group(&GroupName::new("fetched").unwrap(), settings);
        let spot = |number: u16, name: &str| bed.store.spot(slot(number), group, name.as_bytes());
        let fetch = |writes| {
            let names = ["a", "b", "missing", "large"].into_iter().cycle().take(100);
            let spots = names.flat_map(|name| [0, 1, 4].map(|number| spot(number, name)));
            bed.store
                .fetch(spots.collect::<Vec<_>>().into_iter(), writes);
        };
        fetch(true);
        bed.store.open_slot(slot(4), Epoch(1));
        fetch(false);
        for (name, bytes) in [("a", 0), ("b", 5_000), ("large", 100_000)] {
            let set =
                bed.store
                    .set_copy(spot(4, name), name.as_bytes(), &vec![7; bytes], WallMs(1));
            assert_eq!(set, Ok(()));
        }
        let before = (bed.store.group_counters(), bed.store.memory());
        fetch(true);
        fetch(false);
        assert_eq!((bed.store.group_counters(), bed.store.memory()), before);
        for (name, bytes) in [("a", 0), ("b", 5_000), ("large", 100_000)] {
            let read = bed
                .store
                .read_at(spot(4, name), name.as_bytes(), WallMs(1), |hit| {
                    (hit.value.to_vec(), hit.version, hit.ttl_ms)
                });
            assert!(matches!(read, Ok(Read::Hit((value, _, None))) if value == vec![7; bytes]));
        }
        let nowhere = bed.store.set_copy(spot(9, "a"), b"a", b"", WallMs(1));
        assert_eq!(nowhere, Err(Refused::NotServed(slot(9))));
    }
}

#[test]
fn entries_may_move_while_they_are_fetched() {
    let bed = Bed::new(1, 4 << 20);
    let names: Vec<_> = (0..4_000).map(|number| format!("k{number}")).collect();
    let spots = names
        .iter()
        .map(|name| bed.store.spot(slot(0), bed.group, name.as_bytes()));
    let spots: Vec<_> = spots.collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..6 {
                for (name, spot) in names.iter().zip(&spots) {
                    let value = vec![0; 40 + (round * 37) % 90];
                    bed.store
                        .set_copy(*spot, name.as_bytes(), &value, WallMs(0))
                        .unwrap();
                }
                for name in names.iter().skip(round % 3).step_by(3) {
                    bed.at(0, delete(name));
                }
            }
        });
        while !writer.is_finished() {
            for some in spots.chunks(64) {
                bed.store.fetch(some.iter().copied(), true);
            }
        }
    });
}
