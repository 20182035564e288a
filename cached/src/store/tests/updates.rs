//! Updates and writes of several keys: one step each, whatever they find.

use cached_proto::limits::DEADLINE_MS_MAX;
use cached_proto::update::{Change, Expiry, Guard, Returns, Snapshot, Update, Updated};

use super::super::Unfit;
use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(text: &str) -> Change {
    Change::Put(bytes(text))
}

impl Bed {
    fn try_update(&self, now: u64, update: &Update) -> Result<Updated, Refused> {
        let (key, now) = (key("k"), WallMs(now));
        self.store
            .update(slot(0), self.group, &key, update, 100, now)
    }

    fn update(&self, now: u64, update: Update) -> Updated {
        self.try_update(now, &update).unwrap()
    }

    /// Whether an update of `k` was applied, and the value that it answers.
    fn change(&self, now: u64, change: Change, returns: Returns) -> (bool, Option<Bytes>) {
        let updated = self.update(
            now,
            Update {
                change,
                returns,
                ..Update::default()
            },
        );
        (updated.applied, updated.entry.map(|entry| entry.value))
    }

    fn expire(&self, now: u64, expiry: Expiry, guard: Guard) -> bool {
        let update = Update {
            expiry,
            guard,
            ..Update::default()
        };
        self.update(now, update).applied
    }

    fn look(&self, now: u64) -> Option<Snapshot> {
        self.update(now, Update::default()).entry
    }
}

#[test]
fn counters_count_from_nothing_and_keep_their_time() {
    let bed = Bed::roomy();
    let add = |now, number| bed.change(now, Change::AddInteger(number), Returns::Value);
    assert_eq!(add(1, 5), (true, Some(bytes("5"))));
    assert!(bed.expire(2, Expiry::In(100), Guard::default()));
    assert_eq!(add(3, -7), (true, Some(bytes("-2"))));
    let entry = bed.look(4).unwrap();
    assert_eq!((entry.deadline_ms, entry.ttl_ms), (Some(102), Some(98)));
    assert_eq!((entry.value_bytes, entry.value), (2, Bytes::new()));
    assert_eq!(add(102, 1), (true, Some(bytes("1"))), "its time was over");
    assert_eq!(bed.look(103).unwrap().deadline_ms, None);
}

#[test]
fn what_cannot_be_edited_stays_and_says_why() {
    let bed = Bed::roomy();
    bed.at(1, set("k", "text"));
    let before = bed.entry(1, "k");
    let cases = [
        (Change::AddInteger(1), Unfit::NotAnInteger),
        (Change::AddFloat(bytes("1")), Unfit::NotAFloat),
        (
            Change::Append(Bytes::from(vec![0; 97])),
            Unfit::TooLong {
                bytes: 101,
                limit: 100,
            },
        ),
    ];
    for (change, unfit) in cases {
        let update = Update {
            change,
            ..Update::default()
        };
        assert_eq!(bed.try_update(2, &update), Err(Refused::Unfit(unfit)));
        assert_eq!(bed.entry(1, "k"), before);
    }
}

#[test]
fn an_answer_is_of_before_or_after() {
    let bed = Bed::roomy();
    let previous = Returns::Previous;
    assert_eq!(bed.change(1, put("a"), previous), (true, None));
    assert_eq!(bed.change(1, put("b"), previous), (true, Some(bytes("a"))));
    assert_eq!(
        bed.change(1, put("c"), Returns::Value),
        (true, Some(bytes("c")))
    );
    assert_eq!(
        bed.change(1, Change::Remove, previous),
        (true, Some(bytes("c")))
    );
    assert_eq!(bed.change(1, Change::Remove, previous), (false, None));
    assert_eq!(bed.change(1, Change::Keep, previous), (false, None));
    let counters = bed.counters();
    assert_eq!((counters.hits, counters.misses, counters.sets), (1, 2, 3));
    bed.assert_empty();
}

#[test]
fn guards_look_at_value_and_time() {
    let later = |at| (Expiry::At(at), Guard::Later);
    let sooner = |at| (Expiry::At(at), Guard::Sooner);
    let cases = [
        // (time before, what is asked, whether it is done)
        (None, (Expiry::At(50), Guard::Persistent), true),
        (Some(40), (Expiry::At(50), Guard::Persistent), false),
        (None, (Expiry::Never, Guard::Expiring), false),
        (Some(40), (Expiry::Never, Guard::Expiring), true),
        (None, later(50), false),
        (Some(40), later(50), true),
        (Some(50), later(50), false),
        (None, sooner(50), true),
        (Some(60), sooner(50), true),
        (Some(50), sooner(50), false),
        (None, (Expiry::At(50), Guard::ExpiringSooner), false),
        (Some(60), (Expiry::At(50), Guard::ExpiringSooner), true),
        (Some(60), (Expiry::At(50), Guard::Equal(bytes("v"))), true),
        (Some(60), (Expiry::At(50), Guard::Equal(bytes("w"))), false),
    ];
    for (before, (expiry, guard), expected) in cases {
        let bed = Bed::roomy();
        assert!(
            !bed.expire(1, expiry, guard.clone()),
            "there is nothing: {guard:?}"
        );
        bed.at(1, set_for("k", "v", before.and_then(|at| ttl(at - 1))));
        assert_eq!(
            bed.expire(1, expiry, guard.clone()),
            expected,
            "{before:?} {expiry:?} {guard:?}"
        );
        let after = match (expected, expiry) {
            (false, _) => before,
            (true, Expiry::At(at)) => Some(at),
            (true, _) => None,
        };
        assert_eq!(bed.look(1).unwrap().deadline_ms, after, "{guard:?}");
    }
}

#[test]
fn a_time_that_is_over_removes() {
    for expiry in [Expiry::At(0), Expiry::At(10), Expiry::In(0)] {
        let bed = Bed::roomy();
        bed.at(1, set("k", "v"));
        assert!(bed.expire(10, expiry, Guard::default()), "{expiry:?}");
        assert_eq!(bed.counters().deletes, 1);
        bed.assert_empty();
        let update = Update {
            change: put("v"),
            expiry,
            ..Update::default()
        };
        let updated = bed.update(10, update);
        assert_eq!((updated.applied, updated.entry), (true, None));
        bed.assert_empty();
    }
    let bed = Bed::roomy();
    bed.at(1, set("k", "v"));
    assert!(bed.expire(10, Expiry::In(u64::MAX), Guard::default()));
    assert_eq!(bed.look(10).unwrap().deadline_ms, Some(DEADLINE_MS_MAX));
}

#[test]
fn a_look_is_no_use() {
    let bed = Bed::roomy();
    bed.at(1_000, set("k", "v"));
    assert_eq!(bed.look(5_000).unwrap().idle_ms, 4_000);
    assert_eq!(bed.look(6_000).unwrap().idle_ms, 5_000);
    bed.change(7_000, Change::Keep, Returns::Value);
    assert_eq!(bed.look(7_500).unwrap().idle_ms, 500);
}

#[test]
fn several_keys_are_written_together_or_not_at_all() {
    let many = |names: &[&str], if_absent| {
        let mut items = names.iter().map(|name| (key(name), bytes(name)));
        Operation::SetMany {
            first: items.next().unwrap(),
            others: items.collect(),
            if_absent,
        }
    };
    let bed = Bed::roomy();
    let stored = |stored| Reply::SetMany { stored };
    assert_eq!(bed.at(1, many(&["a", "b", "a"], true)), stored(true));
    assert_eq!(bed.at(1, many(&["c", "b"], true)), stored(false));
    assert_eq!(bed.entry(1, "c"), None);
    assert_eq!(bed.at(1, many(&["c", "b"], false)), stored(true));
    assert_eq!(bed.entry(1, "c").unwrap().value, "c");
    assert_eq!(bed.counters().keys, 3);
}
