use std::collections::BTreeSet;

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// Containers of the properties; an entry's number says to which it belongs.
const CONTAINERS: u32 = 3;

/// Tables with their rows.
#[derive(Default)]
struct Bed {
    tables: Tables,
    rows: Vec<Row>,
}

impl Rows for Vec<Row> {
    fn row(&self, container: u32) -> &Row {
        &self[container as usize]
    }

    fn row_mut(&mut self, container: u32) -> &mut Row {
        &mut self[container as usize]
    }
}

fn bed() -> Bed {
    Bed {
        tables: Tables::default(),
        rows: vec![Row::default(); CONTAINERS as usize],
    }
}

fn home(entry: u32) -> Home {
    let hash = xxh3_64(&entry.to_le_bytes());
    let container = entry % CONTAINERS;
    Home { container, hash }
}

fn insert(bed: &mut Bed, entry: u32) {
    bed.tables.insert(&mut bed.rows, home(entry), entry, home);
}

fn remove(bed: &mut Bed, entry: u32) {
    bed.tables.remove(&mut bed.rows, home(entry), entry, home);
}

fn find(bed: &Bed, home: Home, entry: u32) -> Option<u32> {
    let row = bed.rows.row(home.container);
    bed.tables.find(row, home.hash, |other| other == entry)
}

/// All entries of a container, and that each address has what belongs to it.
fn walk(bed: &Bed, container: u32) -> Vec<u32> {
    let (mut entries, mut next) = (Vec::new(), Some(0));
    while let Some(position) = next {
        let (page, end) = bed.tables.page(bed.rows.row(container), position);
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

fn check(bed: &Bed, expected: &BTreeSet<u32>) {
    let mut walked = Vec::new();
    for container in 0..CONTAINERS {
        let entries = walk(bed, container);
        assert_eq!(entries.len(), bed.rows[container as usize].entries());
        walked.extend(entries);
    }
    assert_eq!(walked.len(), expected.len(), "each once");
    assert_eq!(&walked.into_iter().collect::<BTreeSet<_>>(), expected);
    for entry in expected {
        assert_eq!(find(bed, home(*entry), *entry), Some(*entry));
    }
    let mut chained = BTreeSet::new();
    for row in &bed.rows {
        for (number, bucket) in (0..row.len()).flat_map(|address| bed.tables.chain(row, address)) {
            assert!(chained.insert(number), "no bucket stands in two chains");
            assert!(bucket.len() > 0, "nor is one empty");
        }
    }
    assert_eq!(chained.len(), bed.tables.buckets.len(), "nor is one lost");
    let row_bytes: usize = bed.rows.iter().map(Row::bytes).sum();
    assert_eq!(bed.tables.row_bytes, row_bytes);
}

proptest! {
    #[test]
    fn they_are_sets(steps in prop::collection::vec((any::<bool>(), 0..400_u32), 1..1_500)) {
        let (mut bed, mut expected) = (bed(), BTreeSet::new());
        for (number, (is_insert, entry)) in steps.iter().enumerate() {
            // First they grow, then they shrink.
            let is_insert = *is_insert || number % 4 == 0 && number < steps.len() / 2;
            if is_insert && expected.insert(*entry) {
                insert(&mut bed, *entry);
            } else if !is_insert && expected.remove(entry) {
                remove(&mut bed, *entry);
            }
            if number % 97 == 0 {
                check(&bed, &expected);
            }
        }
        check(&bed, &expected);
        for entry in std::mem::take(&mut expected) {
            remove(&mut bed, entry);
        }
        prop_assert_eq!((bed.rows[0].entries(), bed.tables.bytes()), (0, 0));
    }

    #[test]
    fn a_walk_meets_what_stays(growing in any::<bool>(), pause in 1..9_usize) {
        let mut bed = bed();
        (0..6_000).for_each(|entry| insert(&mut bed, entry));
        let (mut met, mut next, mut changed) = (BTreeSet::new(), Some(0), 3_000);
        while let Some(position) = next {
            let (page, end) = bed.tables.page(bed.rows.row(0), position);
            for entry in page.filter(|entry| home(*entry).hash.reverse_bits() >= position) {
                prop_assert!(met.insert(entry), "once");
            }
            next = end;
            for _ in 0..CONTAINERS as usize * pause {
                if growing {
                    insert(&mut bed, changed + 6_000);
                } else if changed < 6_000 {
                    remove(&mut bed, changed);
                }
                changed += 1;
            }
        }
        prop_assert!((0..3_000).step_by(3).all(|entry| met.contains(&entry)));
    }
}

#[test]
fn they_grow_and_shrink_by_thousands() {
    let (mut bed, mut expected) = (bed(), BTreeSet::new());
    for entry in 0..20_000 {
        insert(&mut bed, entry);
        expected.insert(entry);
    }
    check(&bed, &expected);
    // One of the containers goes, and what the others have stays.
    for entry in (0..20_000).filter(|entry| home(*entry).container == 1) {
        remove(&mut bed, entry);
        expected.remove(&entry);
    }
    check(&bed, &expected);
    assert_eq!(bed.rows[1].entries(), 0);
    for entry in (0..20_000)
        .rev()
        .filter(|entry| home(*entry).container != 1)
    {
        remove(&mut bed, entry);
    }
    assert_eq!(bed.tables.bytes(), 0);
}

#[test]
fn an_entry_takes_about_8_bytes() {
    for count in [60, 100, 122, 200, 1_000, 1_500, 10_000] {
        let mut bed = bed();
        (0..count * CONTAINERS).for_each(|entry| insert(&mut bed, entry));
        let bytes = bed.tables.bytes() as f64 / f64::from(count * CONTAINERS);
        assert!((6.0..8.75).contains(&bytes), "{bytes} at {count}");
    }
}

#[test]
fn an_entry_is_found_under_its_next_handle() {
    let mut bed = bed();
    for entry in 0..100 {
        let all = |_| home(7);
        bed.tables.insert(&mut bed.rows, home(7), entry, all);
    }
    let row = bed.rows.row(home(7).container);
    bed.tables.replace(row, home(7).hash, 7, 1_007);
    assert_eq!(find(&bed, home(7), 1_007), Some(1_007));
    assert_eq!(find(&bed, home(7), 7), None);
}

#[test]
fn who_has_nothing_is_asked_in_vain() {
    let bed = bed();
    let row = bed.rows.row(1);
    assert_eq!(find(&bed, home(1), 1), None);
    assert_eq!(bed.tables.prefetch(row, 1), None);
    assert_eq!(bed.tables.likely(0, 1), None);
    assert_eq!((row.entries(), bed.tables.bytes()), (0, 0));
    let (mut page, end) = bed.tables.page(row, 0);
    assert_eq!((page.next(), end), (None, None));
}
