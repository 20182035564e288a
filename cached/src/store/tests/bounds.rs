//! Bounds in bytes: who goes, who is refused, and that sums come out.

use super::*;

/// Bytes of an entry with a one-byte key and an empty value.
fn unit() -> u64 {
    Store::entry_bytes(1, 0)
}

fn keys(bed: &Bed, group: GroupId, names: &str) -> String {
    let there = |name: &char| {
        let reply = bed.reply(0, group, 0, head(&name.to_string()));
        matches!(reply, Reply::Get(Some(_)))
    };
    names.chars().filter(there).collect()
}

fn set_all(bed: &Bed, group: GroupId, names: &str) {
    for name in names.chars() {
        bed.reply(0, group, 0, set(&name.to_string(), ""));
    }
}

#[test]
fn the_least_recently_used_goes() {
    let use_by: [(&str, Operation, &str); 6] = [
        ("nothing", head("z"), "bcd"),
        ("read", get("a"), "acd"),
        ("set", set("a", ""), "acd"),
        ("touch", touch("a", None), "acd"),
        ("look at metadata", head("a"), "bcd"),
        ("failed set", set_if("a", "", Condition::IfAbsent), "bcd"),
    ];
    for (name, operation, left) in use_by {
        let bed = Bed::new(1, 3 * unit());
        set_all(&bed, bed.group, "abc");
        bed.at(0, operation);
        set_all(&bed, bed.group, "d");
        assert_eq!(keys(&bed, bed.group, "abcd"), left, "{name}");
        assert_eq!(bed.counters().evictions, 1, "{name}");
        assert_eq!(bed.store.used_bytes(), 3 * unit(), "{name}");
    }
}

#[test]
fn a_group_pays_for_its_own_bound_and_everybody_for_the_node() {
    let bed = Bed::new(1, 5 * unit());
    let small = bed.another_group("small", Some(2 * unit()));
    set_all(&bed, bed.group, "ab");
    set_all(&bed, small, "cde");
    assert_eq!(keys(&bed, bed.group, "ab"), "ab");
    assert_eq!(keys(&bed, small, "cde"), "de");
    set_all(&bed, bed.group, "xy");
    assert_eq!(
        keys(&bed, bed.group, "abxy"),
        "bxy",
        "the oldest of both groups went"
    );
    assert_eq!(keys(&bed, small, "cde"), "de");
    assert_eq!(
        (bed.counters_of(small).evictions, bed.counters().evictions),
        (1, 1)
    );
}

#[test]
fn an_overwrite_counts_the_old_entry_first() {
    let bed = Bed::new(1, 2 * unit() + 10);
    bed.at(0, set("a", ""));
    bed.at(0, set("b", vec![0; 10]));
    bed.at(0, set("b", vec![1; 10]));
    assert_eq!(keys(&bed, bed.group, "ab"), "ab");
    bed.at(0, set("b", vec![1; 11]));
    assert_eq!(keys(&bed, bed.group, "ab"), "b");
}

#[test]
fn what_cannot_fit_is_refused_and_evicts_nothing() {
    let bed = Bed::new(1, 4 * unit());
    let small = bed.another_group("small", Some(2 * unit()));
    set_all(&bed, bed.group, "ab");
    set_all(&bed, small, "cd");
    let before = bed.store.group_counters();
    let too_large = |group, value_bytes, limit, of| {
        let value = vec![0; value_bytes as usize];
        let refused = bed
            .store
            .execute(slot(0), group, &set("b", value), WallMs(0));
        let needed = unit() + value_bytes;
        assert_eq!(refused, Err(Refused::TooLarge { needed, limit, of }));
        assert_eq!(bed.store.group_counters(), before);
    };
    too_large(
        small,
        unit() + 1,
        2 * unit(),
        "this node's share of the group",
    );
    too_large(bed.group, 3 * unit() + 1, 4 * unit(), "the node");
    assert_eq!(
        bed.entry(0, "b").unwrap().value_bytes,
        0,
        "the old value stays"
    );

    bed.at(0, set("b", vec![0; 3 * unit() as usize]));
    assert_eq!(keys(&bed, bed.group, "ab"), "b");
    assert_eq!(bed.store.used_bytes(), 4 * unit());
}

#[test]
fn a_large_value_takes_the_room_of_many() {
    for shards in [1, 4] {
        let bed = Bed::new(shards, 5_000 * Store::entry_bytes(4, 0));
        for number in 0..5_000_u16 {
            let at = number % 4;
            bed.store
                .slot(slot(at))
                .is_none()
                .then(|| bed.store.open_slot(slot(at), Epoch(1)));
            bed.reply(
                at,
                bed.group,
                u64::from(number),
                set(&format!("{number:04}"), ""),
            );
        }
        let value_bytes = 4_000 * Store::entry_bytes(4, 0);
        bed.at(5_000, set("huge", vec![0; value_bytes as usize]));
        assert_eq!(bed.entry(5_000, "huge").unwrap().value_bytes, value_bytes);
        assert_eq!(
            (bed.counters().evictions, bed.counters().keys),
            (4_001, 1_000)
        );
        if shards == 1 {
            let left = bed.reply(1, bed.group, 5_000, get("4001"));
            assert!(matches!(left, Reply::Get(Some(_))), "only the oldest went");
        }
    }
}

#[test]
fn a_lowered_bound_evicts_at_once() {
    for shards in [1, 4] {
        let bed = Bed::new(shards, 1 << 30);
        for number in 0..64 {
            bed.store.open_slot(slot(number), Epoch(1));
            bed.reply(number, bed.group, u64::from(number), set("k", ""));
        }
        let group = bed.another_group("g", Some(20 * unit()));
        assert_eq!((group, bed.store.used_bytes()), (bed.group, 20 * unit()));
        bed.store.set_memory_bytes(10 * unit() - 1);
        assert_eq!(bed.store.used_bytes(), 9 * unit());
        assert_eq!((bed.counters().evictions, bed.counters().keys), (55, 9));
        bed.store.set_memory_bytes(0);
        bed.assert_empty();
    }
}

#[test]
fn bounds_hold_over_all_shards() {
    let bed = Bed::new(8, 10 * unit());
    let small = bed.another_group("small", Some(3 * unit()));
    for round in 0..10 {
        for number in 0..100 {
            bed.store.open_slot(slot(number), Epoch(round + 1));
            let group = [bed.group, small][usize::from(number % 2)];
            let reply = bed.reply(number, group, round, set("k", ""));
            assert!(matches!(reply, Reply::Set { stored: true, .. }));
            assert!(bed.store.used_bytes() <= 10 * unit());
            assert!(bed.counters_of(small).bytes <= 3 * unit());
        }
    }
    assert_eq!(bed.store.used_bytes(), 10 * unit());
}

#[test]
fn a_shard_without_entries_takes_room_from_the_others() {
    let bed = Bed::new(8, 10 * unit());
    let shard_1 = |number: u16| 1 + 8 * number;
    for number in 0..10 {
        bed.store.open_slot(slot(shard_1(number)), Epoch(1));
        bed.reply(shard_1(number), bed.group, 0, set("k", ""));
    }
    // The clock stands still, so by their stamps these look younger than what
    // another shard is about to write.
    (0..10).for_each(|number| {
        bed.reply(shard_1(number), bed.group, 0, get("k"));
    });
    bed.at(0, set("k", ""));
    assert_eq!(bed.store.used_bytes(), 10 * unit());
    assert!(bed.entry(0, "k").is_some(), "what was just written stays");
    let first = bed.reply(shard_1(0), bed.group, 0, get("k"));
    assert_eq!(first, Reply::Get(None), "the oldest went");
}

/// One shard holds all the room with entries that nobody wants any more; another
/// has all the traffic. It must not be left with crumbs.
#[test]
fn a_shard_that_comes_late_gets_its_room() {
    let bed = Bed::new(2, 100 * unit());
    bed.store.open_slot(slot(1), Epoch(1));
    let name = |number: u64| char::from(b'!' + (number % 90) as u8).to_string();
    (0..100).for_each(|number| {
        bed.reply(1, bed.group, number, set(&format!("{number}"), ""));
    });
    let mut hits = 0;
    for round in 0..60 {
        for number in 0..90 {
            let now = 1_000 + round * 90 + number;
            if let Reply::Get(Some(_)) = bed.reply(0, bed.group, now, get(&name(number))) {
                hits += u64::from(round == 59);
                continue;
            }
            bed.reply(0, bed.group, now, set(&name(number), ""));
        }
    }
    assert_eq!(
        hits, 90,
        "its 90 keys fit, once the other shard has given way"
    );
}

#[test]
fn every_way_out_gives_all_bytes_back() {
    let ways: [Named; 5] = [
        ("delete", |bed| {
            for number in 0..100 {
                bed.at(0, delete(&format!("k{number}")));
            }
        }),
        ("flush", |bed| assert_eq!(bed.store.flush(bed.group), 100)),
        ("drop", |bed| {
            let container = bed.store.slot(slot(0)).unwrap().container;
            assert_eq!(bed.store.drop_slot(slot(0), container), Some(100));
        }),
        ("open again", |bed| {
            bed.store.open_slot(slot(0), Epoch(2));
        }),
        ("sweep", |bed| {
            assert_eq!(bed.store.sweep(WallMs(10_000), 1_000), 100)
        }),
    ];
    for (name, way) in ways {
        let bed = Bed::roomy();
        for number in 0..100 {
            bed.at(
                0,
                set_for(&format!("k{number}"), vec![0; number], ttl(1_000)),
            );
        }
        assert!(bed.store.used_bytes() > 0, "{name}");
        way(&bed);
        bed.assert_empty();
    }
}

#[test]
fn a_flush_is_for_one_group_in_all_slots() {
    let bed = Bed::roomy();
    let other = bed.another_group("other", None);
    for number in 0..10 {
        bed.store.open_slot(slot(number), Epoch(1));
        bed.reply(number, bed.group, 0, set("k", "v"));
        bed.reply(number, other, 0, set("k", "w"));
    }
    assert_eq!(bed.store.flush(bed.group), 10);
    assert_eq!(bed.store.flush(bed.group), 0);
    assert_eq!((bed.counters().keys, bed.counters_of(other).keys), (0, 10));
    assert_eq!(bed.counters_of(other).bytes, bed.store.used_bytes());
}

#[test]
fn debug_shows_no_data() {
    let bed = Bed::roomy();
    bed.at(0, set("password", "hunter2"));
    let shown = format!("{:?}", bed.store);
    assert!(
        !shown.contains("password") && !shown.contains("hunter2"),
        "{shown}"
    );
}
