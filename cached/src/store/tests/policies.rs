//! Groups of another policy than LRU keep the same bounds.

use cached_proto::records::Policy;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn bed(shards: usize, max_bytes: Option<u64>) -> Bed {
    let mut bed = Bed::new(shards, 1 << 20);
    let settings = GroupSettings {
        max_bytes,
        policy: Policy::S3Fifo,
        ..GroupSettings::default()
    };
    bed.group = bed
        .store
        .set_group(&GroupName::new("s3").unwrap(), settings);
    for number in 1..64 {
        bed.store.open_slot(slot(number), Epoch(1));
    }
    bed
}

#[test]
fn what_is_written_is_there_and_bounds_hold() {
    for (shards, max_bytes) in [(1, None), (1, Some(40_000)), (8, None)] {
        let bed = bed(shards, max_bytes);
        let mut random = StdRng::seed_from_u64(1);
        let limit = max_bytes.unwrap_or(1 << 20);
        for now in 0..20_000 {
            let number = random.random_range(0..6_000_u32);
            let (at, name) = ((number % 64) as u16, format!("k{number}"));
            match random.random_range(0..8) {
                0 => drop(bed.reply(at, bed.group, now, delete(&name))),
                1..4 => drop(bed.reply(at, bed.group, now, get(&name))),
                _ => {
                    let bytes = random.random_range(0..600) * random.random_range(0..4);
                    let written = set(&name, vec![0; bytes]);
                    bed.reply(at, bed.group, now, written);
                    if shards == 1 {
                        let there = bed.reply(at, bed.group, now, head(&name));
                        assert!(matches!(there, Reply::Get(Some(_))), "{name} at {now}");
                    }
                }
            }
            assert!(bed.store.used_bytes() <= limit, "at {now}");
        }
        assert!(bed.store.memory().names > 0);
        let counters = bed.store.group_counters();
        let (_, settings, counters) = counters.last().unwrap();
        assert_eq!(settings.policy, Policy::S3Fifo);
        assert!(
            counters.evictions > 100 && counters.keys > 10,
            "{counters:?}"
        );
        bed.store.flush(bed.group);
        assert_eq!(bed.store.used_bytes(), 0);
    }
}

#[test]
fn a_scan_does_not_drive_out_what_is_used() {
    let bed = bed(1, Some(200 * Store::entry_bytes(4, 1)));
    let name = |number: u32| format!("{number:04}");
    for round in 0..3 {
        for number in 0..100 {
            if round == 0 {
                bed.at(round, set(&name(number), "v"));
            } else {
                bed.at(round, get(&name(number)));
            }
        }
    }
    (1_000..5_000).for_each(|number| drop(bed.at(9, set(&name(number), "v"))));
    let kept = |number| bed.at(10, head(&name(number))) != Reply::Get(None);
    assert_eq!((0..100).filter(|number| kept(*number)).count(), 100);
}

#[test]
fn a_group_keeps_the_policy_that_it_began_with() {
    let bed = bed(1, None);
    let name = GroupName::new("s3").unwrap();
    bed.store.set_group(&name, GroupSettings::default());
    let counters = bed.store.group_counters();
    assert_eq!(counters.last().unwrap().1.policy, Policy::S3Fifo);
}

#[test]
fn groups_of_both_policies_share_the_node() {
    let bed = bed(1, None);
    let lru = bed.another_group("lru", None);
    for now in 0..40_000_u64 {
        let group = if now % 2 == 0 { bed.group } else { lru };
        bed.reply(0, group, now, set(&format!("{now}"), vec![0; 60]));
    }
    let counters = bed.store.group_counters();
    let keys: Vec<u64> = counters
        .iter()
        .map(|(_, _, counters)| counters.keys)
        .collect();
    assert!(keys[1] > 3_000 && keys[2] > 3_000, "{keys:?}");
}
