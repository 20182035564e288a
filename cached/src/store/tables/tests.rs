use std::collections::BTreeSet;

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// Containers of the properties; an entry's number says to which it belongs.
const CONTAINERS: u32 = 3;

fn home(entry: u32) -> Home {
    let hash = xxh3_64(&entry.to_le_bytes());
    let container = entry % CONTAINERS;
    Home { container, hash }
}

fn insert(tables: &mut Tables, entry: u32) {
    tables.insert(entry, home(entry), home);
}

fn remove(tables: &mut Tables, entry: u32) {
    tables.remove(entry, home(entry), home);
}

/// All entries of a container, and that each address has what belongs to it.
fn walk(tables: &Tables, container: u32) -> Vec<u32> {
    let (mut entries, mut next) = (Vec::new(), Some(0));
    while let Some(position) = next {
        let (page, end) = tables.page(container, position);
        for entry in page {
            let own = home(entry).hash.reverse_bits();
            assert!(position <= own && end.is_none_or(|end| own < end));
            assert_eq!(home(entry).container, container);
            entries.push(entry);
        }
        next = end;
    }
    entries
}

fn check(tables: &Tables, expected: &BTreeSet<u32>) {
    let mut walked = Vec::new();
    for container in 0..CONTAINERS {
        let entries = walk(tables, container);
        assert_eq!(entries.len(), tables.len(container));
        walked.extend(entries);
    }
    assert_eq!(walked.len(), expected.len(), "each once");
    assert_eq!(&walked.into_iter().collect::<BTreeSet<_>>(), expected);
    for entry in expected {
        let found = tables.find(home(*entry), |other| other == *entry);
        assert_eq!(found, Some(*entry));
    }
    let mut chained = BTreeSet::new();
    for row in &tables.rows {
        for (number, bucket) in (0..row.len()).flat_map(|address| tables.chain(row, address)) {
            assert!(chained.insert(number), "no bucket stands in two chains");
            assert!(bucket.len() > 0, "nor is one empty");
        }
    }
    assert_eq!(chained.len(), tables.buckets.len(), "nor is one lost");
    let row_bytes: usize = tables.rows.iter().map(Row::bytes).sum();
    assert_eq!(tables.row_bytes, row_bytes);
}

proptest! {
    #[test]
    fn they_are_sets(steps in prop::collection::vec((any::<bool>(), 0..400_u32), 1..1_500)) {
        let (mut tables, mut expected) = (Tables::default(), BTreeSet::new());
        for (number, (is_insert, entry)) in steps.iter().enumerate() {
            // First they grow, then they shrink.
            let is_insert = *is_insert || number % 4 == 0 && number < steps.len() / 2;
            if is_insert && expected.insert(*entry) {
                insert(&mut tables, *entry);
            } else if !is_insert && expected.remove(entry) {
                remove(&mut tables, *entry);
            }
            if number % 97 == 0 {
                check(&tables, &expected);
            }
        }
        check(&tables, &expected);
        for entry in std::mem::take(&mut expected) {
            remove(&mut tables, entry);
        }
        prop_assert_eq!((tables.len(0), tables.bytes()), (0, 0));
    }

    #[test]
    fn a_walk_meets_what_stays(growing in any::<bool>(), pause in 1..9_usize) {
        let mut tables = Tables::default();
        (0..6_000).for_each(|entry| insert(&mut tables, entry));
        let (mut met, mut next, mut changed) = (BTreeSet::new(), Some(0), 3_000);
        while let Some(position) = next {
            let (page, end) = tables.page(0, position);
            for entry in page.filter(|entry| home(*entry).hash.reverse_bits() >= position) {
                prop_assert!(met.insert(entry), "once");
            }
            next = end;
            for _ in 0..CONTAINERS as usize * pause {
                if growing {
                    insert(&mut tables, changed + 6_000);
                } else if changed < 6_000 {
                    remove(&mut tables, changed);
                }
                changed += 1;
            }
        }
        prop_assert!((0..3_000).step_by(3).all(|entry| met.contains(&entry)));
    }
}

#[test]
fn they_grow_and_shrink_by_thousands() {
    let (mut tables, mut expected) = (Tables::default(), BTreeSet::new());
    for entry in 0..20_000 {
        insert(&mut tables, entry);
        expected.insert(entry);
    }
    check(&tables, &expected);
    // One of the containers goes, and what the others have stays.
    for entry in (0..20_000).filter(|entry| home(*entry).container == 1) {
        remove(&mut tables, entry);
        expected.remove(&entry);
    }
    check(&tables, &expected);
    assert_eq!(tables.len(1), 0);
    for entry in (0..20_000).rev().filter(|entry| home(*entry).container != 1) {
        remove(&mut tables, entry);
    }
    assert_eq!(tables.bytes(), 0);
}

#[test]
fn an_entry_takes_about_8_bytes() {
    for count in [60, 100, 122, 200, 1_000, 1_500, 10_000] {
        let mut tables = Tables::default();
        (0..count * CONTAINERS).for_each(|entry| insert(&mut tables, entry));
        let bytes = tables.bytes() as f64 / f64::from(count * CONTAINERS);
        assert!((6.0..8.75).contains(&bytes), "{bytes} at {count}");
    }
}

#[test]
fn an_entry_is_found_under_its_next_handle() {
    let mut tables = Tables::default();
    let all = |_| home(7);
    (0..100).for_each(|entry| tables.insert(entry, home(7), all));
    tables.replace(home(7), 7, 1_007);
    let find = |entry| tables.find(home(7), |other| other == entry);
    assert_eq!((find(1_007), find(7)), (Some(1_007), None));
}

#[test]
fn who_has_nothing_is_asked_in_vain() {
    let tables = Tables::default();
    assert_eq!(tables.find(home(1), |_| true), None);
    assert_eq!(tables.likely(home(1)), None);
    assert_eq!((tables.len(1), tables.bytes()), (0, 0));
    let (mut page, end) = tables.page(1, 0);
    assert_eq!((page.next(), end), (None, None));
}
