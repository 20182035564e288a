//! Containers: opened, counted, listed, dropped by identity.

use std::collections::BTreeSet;

use super::*;
use crate::store::{ContainerId, KeyCursor};

#[test]
fn slots_are_counted_one_by_one() {
    let bed = Bed::roomy();
    let other = bed.another_group("other", None);
    let seven = bed.store.open_slot(slot(7), Epoch(3));
    let five = bed.store.open_slot(slot(5), Epoch(4));
    bed.reply(7, bed.group, 0, set("a", "12"));
    bed.reply(7, other, 0, set("a", "123"));
    let infos = bed.store.slots();
    let shown: Vec<_> = infos
        .iter()
        .map(|info| (info.slot.number(), info.epoch.0))
        .collect();
    assert_eq!(shown, [(0, 1), (5, 4), (7, 3)]);
    let info = bed.store.slot(slot(7)).unwrap();
    assert_eq!(info, infos[2]);
    assert_eq!((info.container, info.keys), (seven, 2));
    assert_eq!(
        info.bytes,
        Store::entry_bytes(1, 2) + Store::entry_bytes(1, 3)
    );
    assert_ne!(seven, five);
    assert_eq!(bed.store.slot(slot(8)), None);
}

#[test]
fn a_container_is_dropped_by_identity_only() {
    let bed = Bed::roomy();
    let first = bed.store.slot(slot(0)).unwrap().container;
    bed.at(0, set("k", "v"));
    let second = bed.store.open_slot(slot(0), Epoch(2));
    assert_ne!(first, second);
    bed.assert_empty();
    bed.at(0, set("k", "w"));
    assert_eq!(bed.store.drop_slot(slot(0), first), None);
    assert_eq!(bed.store.drop_slot(slot(1), second), None);
    assert_eq!(bed.entry(0, "k").unwrap().value, "w");
    assert_eq!(bed.store.drop_slot(slot(0), second), Some(1));
    assert_eq!(bed.store.drop_slot(slot(0), second), None);
    assert_eq!(bed.try_at(0, get("k")), Err(Refused::NotServed(slot(0))));
    bed.assert_empty();
}

#[test]
fn dropping_one_slot_leaves_its_neighbours() {
    let bed = Bed::new(1, 1 << 30);
    let doomed = bed.store.open_slot(slot(1), Epoch(1));
    for number in 0..3_000 {
        bed.reply(
            number % 2,
            bed.group,
            0,
            set_for(&format!("k{number}"), "v", ttl(5_000)),
        );
    }
    assert_eq!(bed.store.drop_slot(slot(1), doomed), Some(1_500));
    for number in (0..3_000).step_by(2) {
        assert!(bed.entry(0, &format!("k{number}")).is_some());
    }
    assert_eq!(bed.counters().keys, 1_500);
    assert_eq!(bed.store.sweep(WallMs(10_000), 10_000), 1_500);
    bed.assert_empty();
}

/// Lists to the end; between pages, `meanwhile` may change things.
fn list(bed: &Bed, limit: usize, mut meanwhile: impl FnMut(usize)) -> Vec<String> {
    let mut listed = Vec::new();
    let mut from = None;
    for page_number in 0.. {
        let page = bed.store.keys(slot(0), from, limit);
        assert!(page.keys.len() <= limit);
        listed.extend(
            page.keys
                .iter()
                .map(|(group, key)| format!("{}{key}", group.0)),
        );
        meanwhile(page_number);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    listed
}

#[test]
fn a_listing_has_every_key_once() {
    let bed = Bed::roomy();
    let other = bed.another_group("other", None);
    let mut expected = Vec::new();
    for number in 0..50 {
        bed.at(0, set(&format!("k{number}"), "v"));
        bed.reply(0, other, 0, set(&format!("k{number}"), "v"));
        expected.extend([format!("0k{number}"), format!("1k{number}")]);
    }
    expected.sort();
    for limit in [1, 7, 100, 1_000] {
        let mut listed = list(&bed, limit, |_| {});
        listed.sort();
        assert_eq!(listed, expected, "limit {limit}");
    }
    assert_eq!(bed.store.keys(slot(9), None, 10), Default::default());
}

#[test]
fn a_key_that_stays_is_listed_whatever_else_happens() {
    for limit in [1, 3, 10] {
        let bed = Bed::roomy();
        for number in 0..100 {
            bed.at(0, set(&format!("k{number:02}"), "v"));
        }
        // Keys that end in 0 stay; the others go, in an order far from that of the
        // listing, and new ones come.
        let listed = list(&bed, limit, |page| {
            for step in 0..3 {
                let number = (page * 3 + step) * 37 % 100;
                if number % 10 != 0 {
                    bed.at(0, delete(&format!("k{number:02}")));
                }
                bed.at(0, set(&format!("new{page}-{step}"), "v"));
            }
        });
        let listed: BTreeSet<String> = listed.into_iter().collect();
        for number in (0..100).step_by(10) {
            assert!(
                listed.contains(&format!("0k{number:02}")),
                "{number} at limit {limit}"
            );
        }
    }
}

#[test]
fn a_listing_ends_with_its_container() {
    let bed = Bed::roomy();
    (0..10).for_each(|number| {
        bed.at(0, set(&format!("k{number}"), "v"));
    });
    let page = bed.store.keys(slot(0), None, 5);
    assert_eq!(page.keys.len(), 5);
    bed.store.open_slot(slot(0), Epoch(2));
    bed.at(0, set("k", "v"));
    assert_eq!(bed.store.keys(slot(0), page.next, 5), Default::default());
    let nonsense = KeyCursor {
        container: ContainerId(99),
        position: 0,
    };
    assert_eq!(
        bed.store.keys(slot(0), Some(nonsense), 5),
        Default::default()
    );
}
