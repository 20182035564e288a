//! The receiver's end: staged, put in service, settled, discarded.

use super::*;

/// A put of group `g`, which has number 0 in a bed.
fn put(name: &str, value: &str, seq: u64, deadline: Option<u64>, stamp: u64) -> Change {
    Change::Put {
        slot: slot(5),
        group: GroupId(0),
        key: key(name),
        value: Some(value.to_owned().into()),
        seq,
        deadline: deadline.map(WallMs),
        stamp,
    }
}

fn remove(name: &str, seq: u64) -> Change {
    Change::Remove {
        slot: slot(5),
        group: GroupId(0),
        key: key(name),
        seq,
    }
}

fn used(name: &str, stamp: u64) -> Change {
    Change::Use {
        slot: slot(5),
        group: GroupId(0),
        key: key(name),
        stamp,
        deadline: None,
    }
}

fn seal(bed: &Bed, staged: ContainerId, seq: u64, wall: u64) -> Change {
    let sum = SlotSum {
        wall: WallMs(wall),
        ..bed.store.staged(slot(5), staged).unwrap()
    };
    Change::Seal {
        slot: slot(5),
        seq,
        sum,
    }
}

#[test]
fn changes_are_taken_in_iff_they_are_newer() {
    let bed = Bed::roomy();
    let staged = bed.store.stage(slot(5), Epoch(1));
    let mut reserved = 0;
    let mut apply = |change| bed.store.apply(staged, change, &mut reserved);
    assert_eq!(apply(put("k", "new", 5, None, 50)), Applied::Yes);
    assert_eq!(apply(put("k", "old", 4, None, 40)), Applied::Older);
    assert_eq!(apply(put("k", "same", 5, None, 50)), Applied::Older);
    assert_eq!(apply(used("k", 49)), Applied::Older);
    assert_eq!(apply(used("k", 51)), Applied::Yes);
    assert_eq!(apply(used("other", 51)), Applied::Yes, "its entry may come");
    assert_eq!(apply(remove("k", 4)), Applied::Older);
    assert_eq!(apply(remove("k", 6)), Applied::Yes);
    assert_eq!(apply(put("k", "back", 6, None, 60)), Applied::Older);
    assert_eq!(apply(remove("gone", 7)), Applied::Yes);
    assert_eq!(apply(put("gone", "back", 3, None, 60)), Applied::Older);
    assert_eq!(apply(put("gone", "new", 8, None, 60)), Applied::Yes);
    assert_eq!(apply(seal(&bed, staged, 9, 0)), Applied::Yes);
    assert_eq!(apply(put("late", "v", 10, None, 60)), Applied::Older);
    let elsewhere = Change::Remove {
        slot: slot(6),
        group: GroupId(0),
        key: key("k"),
        seq: 20,
    };
    assert_eq!(apply(elsewhere), Applied::No);
    assert_eq!(bed.store.staged(slot(5), staged).unwrap().keys, 1);
    assert_eq!(bed.store.staged(slot(6), staged), None);

    assert!(bed.store.activate(slot(6), staged, Epoch(7)).is_none());
    assert!(
        bed.store
            .activate(slot(5), staged, Epoch(7))
            .unwrap()
            .is_none()
    );
    assert!(bed.store.activate(slot(5), staged, Epoch(7)).is_none());
    assert_eq!(
        bed.store.apply(staged, remove("gone", 99), &mut 0),
        Applied::No
    );
    let info = bed.store.slot(slot(5)).unwrap();
    assert_eq!((info.epoch, info.base, info.keys), (Epoch(7), Epoch(1), 1));
    let reply = bed.reply(5, bed.group, 0, set("next", "v"));
    let expected = Reply::Set {
        stored: true,
        version: Some(version(1, 10)),
    };
    assert_eq!(reply, expected, "versions go on where the owner's ended");
}

#[test]
fn the_clock_does_not_go_back_with_a_new_owner() {
    let bed = Bed::roomy();
    let staged = bed.store.stage(slot(5), Epoch(1));
    for change in [
        put("k", "v", 1, Some(1_000), 1),
        seal(&bed, staged, 1, 1_200),
    ] {
        bed.store.apply(staged, change, &mut 0);
    }
    bed.store.activate(slot(5), staged, Epoch(2)).unwrap();
    assert!(
        !bed.store
            .contains(slot(5), bed.group, &key("k"), WallMs(900))
    );
    assert_eq!(bed.reply(5, bed.group, 900, get("k")), Reply::Get(None));
    bed.reply(5, bed.group, 900, set_for("l", "v", ttl(100)));
    let container = bed.store.slot(slot(5)).unwrap().container;
    let (_, sum) = bed.store.seal(slot(5), container, WallMs(950)).unwrap();
    assert_eq!(sum.wall, WallMs(1_200), "nor with the next");
}

#[test]
fn memory_is_reserved_used_and_given_back() {
    let unit = Store::entry_bytes(1, 1);
    let bed = Bed::new(1, 10 * unit);
    (0..4).for_each(|number| {
        bed.at(0, set(&number.to_string(), "v"));
    });
    assert!(!bed.store.reserve(7 * unit), "nothing is evicted for it");
    assert!(bed.store.reserve(5 * unit));
    assert_eq!(bed.store.used_bytes(), 9 * unit);
    let mut reserved = 5 * unit;
    let staged = bed.store.stage(slot(5), Epoch(1));
    let mut apply = |change| bed.store.apply(staged, change, &mut reserved);
    for seq in 1..=5 {
        assert_eq!(
            apply(put(&seq.to_string(), "v", seq, None, 1)),
            Applied::Yes
        );
    }
    assert_eq!(bed.store.used_bytes(), 9 * unit);
    assert_eq!(
        apply(put("6", "v", 6, None, 1)),
        Applied::Yes,
        "one unit was free"
    );
    assert_eq!(apply(put("7", "v", 7, None, 1)), Applied::No);
    assert_eq!(apply(put("6", "vv", 8, None, 1)), Applied::No);
    assert_eq!(apply(remove("5", 9)), Applied::Yes);
    assert_eq!(bed.store.used_bytes(), 10 * unit, "reserved again");
    bed.at(0, set("9", "v"));
    assert_eq!(bed.counters().evictions, 1, "residents pay for writes only");
    assert_eq!(apply(put("7", "v", 10, None, 1)), Applied::Yes);
    assert_eq!(reserved, 0);
    assert_eq!(bed.counters().keys, 4, "the owner counts what is staged");

    let purge = bed.store.discard(slot(5), staged).unwrap();
    assert_eq!(purge.keys, 6);
    assert!(bed.store.discard(slot(5), staged).is_none());
    assert_eq!(
        bed.store.apply(staged, remove("7", 99), &mut 0),
        Applied::No
    );
    while !bed.store.purge(&purge, 2) {}
    assert_eq!(bed.store.used_bytes(), 4 * unit);
    let counters = bed.counters();
    assert_eq!((counters.keys, counters.bytes), (4, 4 * unit));
    assert_eq!((counters.deletes, counters.evictions), (0, 1));
    assert!(bed.store.reserve(6 * unit));
    bed.store.give_back(6 * unit);
    assert_eq!(bed.store.used_bytes(), 4 * unit);
}

#[test]
fn remembered_removals_take_memory_and_give_it_back() {
    let bed = Bed::new(1, 10_000);
    let mut reserved = 2_000;
    assert!(bed.store.reserve(reserved));
    let staged = bed.store.stage(slot(5), Epoch(1));
    let mut removed = 0;
    while bed
        .store
        .apply(staged, remove(&format!("k{removed}"), 7), &mut reserved)
        == Applied::Yes
    {
        removed += 1;
    }
    assert!(
        (1_100..2_000).contains(&removed),
        "{removed}: a few are free"
    );
    assert!(reserved < 24 && bed.store.used_bytes() > 9_950);
    let again = bed.store.apply(staged, remove("k1", 8), &mut reserved);
    assert_eq!(again, Applied::Yes, "it is remembered already");
    let newer = bed
        .store
        .apply(staged, put("k1", "", 9, None, 1), &mut reserved);
    assert_eq!(newer, Applied::No, "there is no memory for it");
    bed.store.discard(slot(5), staged).unwrap();
    assert_eq!(bed.store.used_bytes(), reserved);

    let staged = bed.store.stage(slot(5), Epoch(1));
    for number in 0..1_100 {
        let change = remove(&format!("k{number}"), 7);
        assert_eq!(bed.store.apply(staged, change, &mut reserved), Applied::Yes);
    }
    let complete = seal(&bed, staged, 9, 0);
    bed.store.apply(staged, complete, &mut reserved);
    assert_eq!(bed.store.used_bytes(), reserved, "nothing else is in use");
}

#[test]
fn a_slot_that_comes_back_has_nothing_of_before() {
    let groups = [("g", None)];
    let a = store_with(&groups, 1 << 20, &[0]);
    let b = store_with(&groups, 1 << 20, &[]);
    let write = |store: &Store, name: &str, value: &str| {
        store
            .execute(slot(0), GroupId(0), &set(name, value.to_owned()), WallMs(0))
            .unwrap();
    };
    write(&a, "one", "a");
    write(&a, "two", "a");
    let mut there = Move::begin(&a, &b, &[0], WIDE);
    there.copy_all();
    there.seal(0);
    there.activate(2, 10);
    let first = a.close_slot(slot(0), Epoch(1)).unwrap();

    // A staging that came to nothing is no beginning for the next.
    b.execute(slot(0), GroupId(0), &delete("two"), WallMs(0))
        .unwrap();
    write(&b, "one", "b");
    let mut lost = Move::begin(&b, &a, &[0], WIDE);
    lost.copy_all();
    write(&b, "three", "b");
    lost.deliver_all();
    lost.end();
    b.execute(slot(0), GroupId(0), &delete("three"), WallMs(0))
        .unwrap();
    let mut back = Move::begin(&b, &a, &[0], WIDE);
    back.copy_all();
    back.seal(0);
    back.activate(3, 10);
    let lost = a.discard(slot(0), lost.slots[0].staged).unwrap();
    for purge in [first, lost] {
        while !a.purge(&purge, 1) {}
    }
    let info = a.slot(slot(0)).unwrap();
    assert_eq!((info.keys, info.epoch, info.base), (1, Epoch(3), Epoch(1)));
    let read = a
        .execute(slot(0), GroupId(0), &get("one"), WallMs(0))
        .unwrap();
    let Executed::Reply(Reply::Get(Some(entry))) = read else {
        panic!("{read:?}")
    };
    assert_eq!(
        (entry.value, entry.version),
        ("b".into(), Some(version(1, 4)))
    );
    assert_eq!(a.used_bytes(), info.bytes);
    // The old owner's copy under an older epoch is not closed for a newer one's sake.
    assert!(a.close_slot(slot(0), Epoch(2)).is_none());
    assert!(b.close_slot(slot(0), Epoch(2)).is_some());
}

#[test]
fn an_activated_slot_replaces_the_one_before() {
    let bed = Bed::roomy();
    bed.store.open_slot(slot(5), Epoch(1));
    bed.reply(5, bed.group, 0, set("k", "before"));
    let staged = bed.store.stage(slot(5), Epoch(1));
    bed.store
        .apply(staged, put("k", "after", 1, Some(50), 1), &mut 0);
    assert_eq!(bed.counters().keys, 1);
    let purge = bed
        .store
        .activate(slot(5), staged, Epoch(2))
        .unwrap()
        .unwrap();
    assert_eq!(bed.counters().keys, 2, "until the old one is purged");
    while !bed.store.purge(&purge, 10) {}
    assert_eq!(bed.counters().keys, 1);
    // Not settled yet: read, and neither swept nor lost to a flush.
    assert_eq!(bed.store.sweep(WallMs(9_000), 10), 0);
    assert!(bed.store.contains(slot(5), bed.group, &key("k"), WallMs(0)));
    assert_eq!(bed.store.flush(bed.group), 1);
    assert!(bed.store.settle_in(slot(5), staged, 10));
    bed.assert_empty();
}

#[test]
fn what_nobody_settled_is_evicted_where_nothing_else_is_left() {
    let unit = Store::entry_bytes(1, 1);
    let bed = Bed::new(1, 4 * unit);
    let staged = bed.store.stage(slot(5), Epoch(1));
    for (seq, name) in [(1, "c"), (2, "a"), (3, "b")] {
        let stamp = u64::from(name.as_bytes()[0]);
        bed.store
            .apply(staged, put(name, "v", seq, None, stamp), &mut 0);
    }
    bed.store.activate(slot(5), staged, Epoch(2)).unwrap();
    bed.reply(5, bed.group, 0, get("a"));
    bed.reply(5, bed.group, 0, set("d", "v"));
    bed.reply(5, bed.group, 0, set("e", "v"));
    let left = |name: &&str| bed.reply(5, bed.group, 0, head(name)) != Reply::Get(None);
    let left: String = ["a", "b", "c", "d", "e"].into_iter().filter(left).collect();
    assert_eq!(left, "bcde", "a was in order already, and alone");
    while !bed.store.settle_in(slot(5), staged, 1) {}
    bed.reply(5, bed.group, 0, set("f", "v"));
    assert_eq!(bed.reply(5, bed.group, 0, head("b")), Reply::Get(None));
}
