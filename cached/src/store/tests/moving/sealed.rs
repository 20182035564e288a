//! The owner's end: begun, sealed, ended, closed, shed.

use super::*;

/// Everything that one may ask of a slot.
fn operations() -> [Operation; 6] {
    [
        get("k"),
        head("k"),
        set("k", "w"),
        set_if("k", "w", Condition::IfAbsent),
        delete("k"),
        touch("k", None),
    ]
}

#[test]
fn a_sealed_slot_refuses_everything_until_the_move_ends() {
    let bed = Bed::new(1, 10 * Store::entry_bytes(1, 1));
    bed.store.open_slot(slot(1), Epoch(1));
    bed.at(0, set_for("k", "v", ttl(5)));
    bed.at(0, set("l", "v"));
    let info = bed.store.slot(slot(0)).unwrap();
    let log = MoveLog::new(WIDE, || {});
    assert!(
        bed.store
            .begin_move(slot(0), ContainerId(99), &log)
            .is_none()
    );
    assert!(
        bed.store
            .begin_move(slot(0), info.container, &log)
            .is_some()
    );
    assert!(
        bed.store
            .begin_move(slot(0), info.container, &log)
            .is_none()
    );
    assert_eq!(bed.store.serving_slots().len(), 2);

    assert!(
        bed.store
            .seal(slot(0), ContainerId(99), WallMs(1))
            .is_none()
    );
    let (seq, sum) = bed.store.seal(slot(0), info.container, WallMs(1)).unwrap();
    assert_eq!((seq, sum.keys, sum.wall), (2, 2, WallMs(1)));
    assert!(bed.store.seal(slot(0), info.container, WallMs(1)).is_none());
    let sealed = Change::Seal {
        slot: slot(0),
        seq,
        sum,
    };
    assert_eq!(log.take(WIDE), [sealed]);
    let serving = bed.store.serving_slots();
    assert_eq!(
        serving
            .iter()
            .map(|(slot, _)| slot.number())
            .collect::<Vec<_>>(),
        [1]
    );
    assert!(bed.store.slot(slot(0)).unwrap().sealed);

    for operation in operations() {
        assert_eq!(bed.try_at(2, operation), Err(Refused::Sealed(slot(0))));
    }
    let begun = bed
        .store
        .begin_fill(slot(0), bed.group, &key("k"), WallMs(9));
    assert_eq!(begun, Err(Refused::Sealed(slot(0))));
    assert!(!bed.store.contains(slot(0), bed.group, &key("k"), WallMs(0)));
    // Neither the sweep, nor a flush, nor evictions take anything from it.
    (0..20).for_each(|number| {
        bed.reply(
            1,
            bed.group,
            3,
            set(&char::from(b'a' + number).to_string(), "v"),
        );
    });
    bed.store.sweep(WallMs(10_000), 100);
    assert_eq!(bed.store.flush(bed.group), 8, "those of slot 1");
    let now = bed.store.slot(slot(0)).unwrap();
    assert_eq!((now.keys, now.bytes), (info.keys, info.bytes));
    assert_eq!(log.queued(), 0);

    bed.store.end_move(slot(0), info.container);
    assert_eq!(bed.entry(4, "k").unwrap().ttl_ms, Some(1));
    assert_eq!(bed.store.sweep(WallMs(10_000), 100), 1, "k is due again");
    assert_eq!(bed.store.flush(bed.group), 1);
    bed.assert_empty();
    assert_eq!(log.queued(), 0, "nothing is logged any more");
}

#[test]
fn what_was_put_aside_is_evicted_in_its_order() {
    let unit = Store::entry_bytes(1, 0);
    let bed = Bed::new(1, 6 * unit);
    bed.store.open_slot(slot(1), Epoch(1));
    bed.store.open_slot(slot(2), Epoch(1));
    // a, c in slot 0; b, d in slot 1; x, y in slot 2.
    for (number, name) in [(0, "a"), (1, "b"), (0, "c"), (1, "d"), (2, "x"), (2, "y")] {
        bed.reply(number, bed.group, 0, set(name, ""));
    }
    let containers = [0, 1].map(|number| bed.store.slot(slot(number)).unwrap().container);
    for (number, container) in [0, 1].into_iter().zip(containers) {
        bed.store.seal(slot(number), container, WallMs(0)).unwrap();
    }
    bed.reply(2, bed.group, 0, set("z", ""));
    let held = |number: u16| {
        let page = bed.store.keys(slot(number), None, 10);
        let mut keys: Vec<_> = page.keys.iter().map(|(_, key)| key.to_string()).collect();
        keys.sort();
        keys.concat()
    };
    assert_eq!(held(2), "yz", "x went in place of all that is sealed");
    // The one that was sealed later comes back first.
    bed.store.end_move(slot(1), containers[1]);
    bed.store.end_move(slot(0), containers[0]);
    for (number, left) in [(0, "c"), (1, "d"), (0, ""), (1, "")] {
        bed.store.set_memory_bytes(bed.store.used_bytes() - 1);
        assert_eq!(held(number), left);
    }
    assert_eq!(held(2), "yz");
}

#[test]
fn writes_wait_for_room_and_reads_do_not() {
    let bed = Bed::roomy();
    bed.at(0, set("k", "v"));
    let container = bed.store.slot(slot(0)).unwrap().container;
    let window = 400;
    let log = MoveLog::new(window, || {});
    bed.store.begin_move(slot(0), container, &log).unwrap();
    (0..100).for_each(|_| {
        bed.at(0, get("k"));
    });
    assert!(!log.is_full(), "reads alone keep no writer out");
    while !log.is_full() {
        bed.at(0, set("k", "v"));
    }
    let before = bed.store.slot(slot(0));
    for operation in operations() {
        let is_read = matches!(operation, Operation::Get { .. });
        let executed = bed.try_at(0, operation);
        assert_eq!(executed.is_ok(), is_read, "{executed:?}");
        assert!(is_read || executed == Err(Refused::Congested(slot(0))));
    }
    assert_eq!(bed.store.slot(slot(0)), before);
    let token = bed
        .store
        .begin_fill(slot(0), bed.group, &key("k"), WallMs(9))
        .unwrap();
    let fill = crate::store::Fill::Absent {
        ttl: Ttl::from_ms(5).unwrap(),
    };
    let filled = bed
        .store
        .fill(slot(0), bed.group, &key("k"), token, fill, WallMs(0));
    assert_eq!(filled, Err(Refused::Congested(slot(0))));
    // Another slot has nothing to do with it.
    bed.store.open_slot(slot(1), Epoch(1));
    bed.reply(1, bed.group, 0, set("k", "v"));

    (0..100).for_each(|_| {
        bed.at(0, get("k"));
    });
    assert!(log.queued() < window + 100, "uses are not told any more");
    log.take(WIDE);
    bed.at(0, set("k", "w"));
    log.set_window(0);
    assert_eq!(bed.try_at(0, delete("k")), Err(Refused::Congested(slot(0))));
    bed.store.end_move(slot(0), container);
    bed.at(0, delete("k"));
}

#[test]
fn a_slot_is_closed_by_epoch_and_purged_by_identity() {
    let bed = Bed::roomy();
    (0..10).for_each(|number| {
        bed.at(0, set_for(&format!("k{number}"), "v", ttl(5)));
    });
    assert!(bed.store.close_slot(slot(0), Epoch(0)).is_none());
    let container = bed.store.slot(slot(0)).unwrap().container;
    let log = MoveLog::new(WIDE, || {});
    bed.store.begin_move(slot(0), container, &log).unwrap();
    bed.store.seal(slot(0), container, WallMs(0)).unwrap();
    log.take(WIDE);
    let purge = bed.store.close_slot(slot(0), Epoch(1)).unwrap();
    assert_eq!((purge.slot, purge.keys), (slot(0), 10));
    assert_eq!(bed.try_at(0, get("k1")), Err(Refused::NotServed(slot(0))));
    assert!(bed.store.close_slot(slot(0), Epoch(9)).is_none());
    // It comes back before the old one is gone, and the old one's end is not the new one's.
    bed.store.open_slot(slot(0), Epoch(3));
    bed.at(0, set("k1", "new"));
    bed.store.end_move(slot(0), container);
    assert!(!bed.store.purge(&purge, 4));
    assert_eq!(bed.counters().keys, 7);
    assert_eq!(bed.store.sweep(WallMs(10_000), 2), 2, "a sweep helps");
    assert_eq!(
        bed.counters().expirations,
        0,
        "but they left, and did not expire"
    );
    while !bed.store.purge(&purge, 4) {}
    assert!(bed.store.purge(&purge, 4), "it is gone");
    let again = bed.store.open_slot(slot(4), Epoch(3));
    bed.reply(4, bed.group, 0, set("k", "v"));
    assert!(bed.store.purge(&purge, 4), "its number is another's now");
    assert_eq!(bed.store.slot(slot(4)).unwrap().container, again);
    assert_eq!(bed.entry(0, "k1").unwrap().value, "new");
    assert_eq!((bed.counters().keys, log.queued()), (2, 0));
}

#[test]
fn the_coldest_are_shed_over_all_slots() {
    let unit = Store::entry_bytes(3, 0);
    let bed = Bed::new(4, 1 << 20);
    let slots: Vec<_> = (0..4)
        .map(|number| (slot(number), bed.store.open_slot(slot(number), Epoch(1))))
        .collect();
    for number in 0..100_u16 {
        let name = format!("{number:03}");
        bed.reply(number % 4, bed.group, u64::from(number), set(&name, ""));
    }
    bed.reply(0, bed.group, 200, get("000"));
    let log = MoveLog::new(WIDE, || {});
    bed.store.begin_move(slot(1), slots[1].1, &log).unwrap();
    assert_eq!(bed.store.shed(&slots, 100 * unit), 0);
    assert_eq!(bed.store.shed(&slots, 20 * unit + 5), 80);
    for number in 0..100_u16 {
        let found = bed.reply(number % 4, bed.group, 300, head(&format!("{number:03}")));
        let is_young = number == 0 || number > 80;
        assert_eq!(found != Reply::Get(None), is_young, "{number}");
    }
    let removed = log.take(WIDE);
    assert_eq!(removed.len(), 20);
    assert!(
        removed
            .iter()
            .all(|change| matches!(change, Change::Remove { .. }))
    );
    let counters = bed.counters();
    assert_eq!(
        (counters.keys, counters.evictions, counters.deletes),
        (20, 0, 0)
    );
    assert_eq!(bed.store.shed(&slots, 0), 20);
    bed.assert_empty();
}

#[test]
fn entries_whose_time_is_over_are_copied_as_they_are() {
    let bed = Bed::roomy();
    bed.at(0, set_for("old", "v", ttl(5)));
    bed.at(0, set("new", "v"));
    let container = bed.store.slot(slot(0)).unwrap().container;
    let log = MoveLog::new(WIDE, || {});
    bed.store.begin_move(slot(0), container, &log).unwrap();
    bed.at(9, get("new"));
    assert_eq!(bed.store.scan(slot(0), None, WIDE).next, None);
    let mut told: Vec<String> = log.take(WIDE).iter().map(told).collect();
    assert_eq!(told[0], "use new");
    told.sort();
    assert_eq!(told, ["put new", "put old", "use new"]);
    assert_eq!(bed.counters().expirations, 0);
    let stale = KeyCursor {
        container: ContainerId(99),
        position: 9,
    };
    assert_eq!(bed.store.scan(slot(0), Some(stale), WIDE).next, None);
    assert_eq!(bed.store.scan(slot(7), None, WIDE).next, None);
    assert_eq!(log.queued(), 0);
}

fn told(change: &Change) -> String {
    match change {
        Change::Put { key, .. } => format!("put {key}"),
        Change::Remove { key, .. } => format!("remove {key}"),
        Change::Use { key, .. } => format!("use {key}"),
        Change::Seal { .. } => "seal".to_owned(),
    }
}
