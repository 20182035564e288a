//! What each operation answers: values, versions, conditions, time.

use super::*;

const STORED: bool = true;

fn set_reply(stored: bool, version: Option<Version>) -> Reply {
    Reply::Set { stored, version }
}

fn deleted(deleted: bool, version: Option<Version>) -> Reply {
    Reply::Delete { deleted, version }
}

#[test]
fn what_is_set_is_read() {
    let bed = Bed::roomy();
    assert_eq!(bed.entry(0, "k"), None);
    assert_eq!(
        bed.at(0, set_for("k", "value", ttl(100))),
        set_reply(STORED, Some(version(1, 1)))
    );
    let entry = Entry {
        value: "value".into(),
        version: Some(version(1, 1)),
        ttl_ms: Some(60),
        value_bytes: 5,
        loaded: false,
        uncached: false,
    };
    assert_eq!(bed.entry(40, "k"), Some(entry.clone()));
    let metadata = Entry {
        value: Bytes::new(),
        ..entry
    };
    assert_eq!(bed.at(40, head("k")), Reply::Get(Some(metadata)));

    let empty = bed.at(40, set("empty", ""));
    assert_eq!(empty, set_reply(STORED, Some(version(1, 2))));
    assert_eq!(
        bed.entry(40, "empty").map(|entry| entry.value),
        Some(Bytes::new())
    );
    assert_eq!(bed.at(40, delete("k")), deleted(true, None));
    assert_eq!(bed.at(40, delete("k")), deleted(false, None));
    let counted = GroupCounters {
        keys: 1,
        bytes: Store::entry_bytes(5, 0),
        hits: 3,
        misses: 1,
        sets: 2,
        deletes: 1,
        ..GroupCounters::default()
    };
    assert_eq!(bed.counters(), counted);
}

#[test]
fn conditions_of_a_set() {
    let v1 = Some(version(1, 1));
    let other = Condition::IfVersion(version(1, 9));
    let same = Condition::IfVersion(version(1, 1));
    let other_epoch = Condition::IfVersion(version(2, 1));
    for (there, condition, stored) in [
        (false, Condition::Always, true),
        (false, Condition::IfAbsent, true),
        (false, Condition::IfPresent, false),
        (false, same, false),
        (true, Condition::Always, true),
        (true, Condition::IfAbsent, false),
        (true, Condition::IfPresent, true),
        (true, same, true),
        (true, other, false),
        (true, other_epoch, false),
    ] {
        let bed = Bed::roomy();
        if there {
            bed.at(0, set("k", "old"));
        }
        let before = bed.store.used_bytes();
        let reply = bed.at(0, set_if("k", "newer", condition));
        let case = format!("{condition:?}, there: {there}");
        let now = if stored {
            version(1, 1 + u64::from(there)).into()
        } else {
            v1.filter(|_| there)
        };
        assert_eq!(reply, set_reply(stored, now), "{case}");
        if !stored {
            assert_eq!(bed.store.used_bytes(), before, "{case}");
            let left = bed.entry(0, "k").map(|entry| entry.value);
            assert_eq!(left, there.then(|| "old".into()), "{case}");
        }
    }
}

#[test]
fn conditions_of_a_delete() {
    let v1 = Some(version(1, 1));
    let same = Condition::IfVersion(version(1, 1));
    let other = Condition::IfVersion(version(1, 2));
    for (there, condition, expected) in [
        (false, Condition::Always, deleted(false, None)),
        (false, same, deleted(false, None)),
        (true, Condition::Always, deleted(true, None)),
        (true, Condition::IfPresent, deleted(true, None)),
        (true, Condition::IfAbsent, deleted(false, v1)),
        (true, same, deleted(true, None)),
        (true, other, deleted(false, v1)),
    ] {
        let bed = Bed::roomy();
        if there {
            bed.at(0, set("k", "v"));
        }
        assert_eq!(
            bed.at(0, delete_if("k", condition)),
            expected,
            "{condition:?}, {there}"
        );
    }
}

#[test]
fn versions_never_go_down() {
    let bed = Bed::roomy();
    let mut last = version(0, 0);
    let mut set_higher = |bed: &Bed| {
        let Reply::Set {
            version: Some(version),
            ..
        } = bed.at(0, set("k", "v"))
        else {
            panic!()
        };
        assert!(version > last, "{version:?} after {last:?}");
        last = version;
    };
    set_higher(&bed);
    set_higher(&bed);
    bed.at(0, delete("k"));
    set_higher(&bed);
    bed.store.flush(bed.group);
    set_higher(&bed);
    bed.store.open_slot(slot(0), Epoch(2));
    set_higher(&bed);
}

#[test]
fn a_delete_advances_the_sequence() {
    let bed = Bed::roomy();
    bed.at(0, set("k", "v"));
    bed.at(0, delete("k"));
    assert_eq!(
        bed.at(0, set("k", "v")),
        set_reply(STORED, Some(version(1, 3)))
    );
    bed.store.flush(bed.group);
    assert_eq!(
        bed.at(0, set("k", "v")),
        set_reply(STORED, Some(version(1, 5)))
    );
}

#[test]
fn a_touch_changes_time_and_nothing_else() {
    let bed = Bed::roomy();
    assert_eq!(bed.at(0, touch("k", ttl(5))), Reply::Touch { found: false });
    bed.at(0, set_for("k", "v", ttl(10)));
    for (now, to, left) in [
        (5, ttl(100), Some(100)),
        (6, ttl(1), Some(1)),
        (6, None, None),
    ] {
        assert_eq!(bed.at(now, touch("k", to)), Reply::Touch { found: true });
        let entry = bed.entry(now, "k").unwrap();
        assert_eq!((entry.ttl_ms, entry.version), (left, Some(version(1, 1))));
    }
    assert!(bed.entry(u64::MAX, "k").is_some(), "it never expires now");
}

#[test]
fn time_is_over_at_the_deadline_for_every_operation() {
    let absent = deleted(false, None);
    for (operation, expected) in [
        (get("k"), Reply::Get(None)),
        (head("k"), Reply::Get(None)),
        (touch("k", None), Reply::Touch { found: false }),
        (delete("k"), absent),
        (
            set_if("k", "w", Condition::IfPresent),
            set_reply(false, None),
        ),
        (
            set_if("k", "w", Condition::IfAbsent),
            set_reply(STORED, Some(version(1, 2))),
        ),
    ] {
        let bed = Bed::roomy();
        bed.at(0, set_for("k", "v", ttl(10)));
        assert_eq!(bed.entry(9, "k").unwrap().ttl_ms, Some(1));
        assert_eq!(bed.at(10, operation.clone()), expected, "{operation:?}");
        assert_eq!(bed.counters().expirations, 1, "{operation:?}");
    }
}

#[test]
fn a_group_says_how_long_where_a_set_does_not() {
    let bed = Bed::roomy();
    let settings = GroupSettings {
        default_ttl: ttl(50),
        ..GroupSettings::default()
    };
    let group = bed.store.set_group(&GroupName::new("g").unwrap(), settings);
    assert_eq!(group, bed.group);
    bed.at(0, set("k", "v"));
    assert_eq!(bed.entry(0, "k").unwrap().ttl_ms, Some(50));
    bed.at(0, set_for("k", "v", ttl(7)));
    assert_eq!(bed.entry(0, "k").unwrap().ttl_ms, Some(7));
}

#[test]
fn sweeping_removes_what_is_due_within_its_budget() {
    let bed = Bed::roomy();
    for number in 0..100 {
        bed.at(0, set_for(&format!("short{number}"), "v", ttl(1_000)));
        bed.at(0, set_for(&format!("long{number}"), "v", ttl(10_000)));
        bed.at(0, set(&format!("ever{number}"), "v"));
    }
    assert_eq!(bed.store.sweep(WallMs(999), 1_000), 0);
    assert_eq!(bed.store.sweep(WallMs(2_048), 30), 30);
    assert_eq!(bed.store.sweep(WallMs(2_048), 1_000), 70);
    assert_eq!(bed.store.sweep(WallMs(2_048), 1_000), 0);
    assert_eq!(bed.counters().expirations, 100);
    assert_eq!(bed.store.sweep(WallMs(u64::MAX), 1_000), 100);
    assert_eq!(bed.counters().keys, 100);
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let bed = Bed::roomy();
    bed.at(1_000_000, set_for("k", "v", ttl(10)));
    assert_eq!(bed.entry(1_000_010, "k"), None);
    assert_eq!(bed.entry(5, "k"), None);
    bed.at(5, set_for("k", "v", ttl(10)));
    assert!(bed.entry(0, "k").is_some());
    assert_eq!(bed.store.sweep(WallMs(0), 10), 0);
    assert_eq!(bed.entry(15, "k"), None);
    bed.assert_empty();
}

#[test]
fn a_slot_that_is_not_open_is_refused() {
    let bed = Bed::roomy();
    for operation in [get("k"), set("k", "v"), delete("k"), touch("k", None)] {
        let refused = bed.store.execute(slot(1), bed.group, &operation, WallMs(0));
        assert_eq!(refused, Err(Refused::NotServed(slot(1))));
    }
    bed.assert_empty();
    assert_eq!(bed.counters(), GroupCounters::default());
}

#[test]
fn a_read_that_may_be_loaded_leaves_its_miss_uncounted() {
    let bed = Bed::roomy();
    let try_get = |now| {
        bed.store
            .try_get(slot(0), bed.group, &key("k"), false, WallMs(now))
    };
    let contains = |now| {
        bed.store
            .contains(slot(0), bed.group, &key("k"), WallMs(now))
    };
    assert_eq!((try_get(0), contains(0)), (Ok(None), false));
    assert_eq!(bed.counters(), GroupCounters::default());
    bed.store.count_miss(slot(0), bed.group);
    assert_eq!(bed.counters().misses, 1);

    bed.at(0, set_for("k", "v", ttl(10)));
    let found = try_get(9).unwrap().unwrap();
    assert_eq!(found, Executed::Reply(bed.at(9, get("k"))));
    let before = bed.counters();
    assert_eq!((contains(9), contains(10)), (true, false));
    assert_eq!(bed.counters(), before, "a look counts and removes nothing");
    assert_eq!(try_get(10), Ok(None));
    assert_eq!(bed.counters().expirations, 1);

    let elsewhere = bed
        .store
        .try_get(slot(1), bed.group, &key("k"), false, WallMs(0));
    assert_eq!(elsewhere, Err(Refused::NotServed(slot(1))));
    assert!(!bed.store.contains(slot(1), bed.group, &key("k"), WallMs(0)));
}
