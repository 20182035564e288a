//! Fill tokens: what kills them, and notes of absence.

use super::*;
use crate::store::{Fill, FillToken, Filled};

const UNTIL: WallMs = WallMs(3_000);

fn value(text: &'static str) -> Fill {
    Fill::Value {
        value: text.into(),
        ttl: None,
    }
}

fn absent(ms: u64) -> Fill {
    Fill::Absent {
        ttl: Ttl::from_ms(ms).unwrap(),
    }
}

impl Bed {
    fn begin(&self, name: &str) -> FillToken {
        self.store
            .begin_fill(slot(0), self.group, &key(name), UNTIL)
            .unwrap()
    }

    fn fill(&self, now: u64, name: &str, token: FillToken, fill: Fill) -> Filled {
        let (group, now_ms) = (self.group, WallMs(now));
        let alive = self
            .store
            .fill_alive(slot(0), group, &key(name), token, now_ms);
        let filled = self.fill_unasked(now, name, token, fill);
        assert_eq!(
            alive,
            filled != Filled::Rejected,
            "fill_alive tells what fill will do"
        );
        filled
    }

    fn fill_unasked(&self, now: u64, name: &str, token: FillToken, fill: Fill) -> Filled {
        self.store
            .fill(slot(0), self.group, &key(name), token, fill, WallMs(now))
            .unwrap()
    }
}

#[test]
fn a_fill_with_a_living_token_is_stored_once() {
    let bed = Bed::roomy();
    let token = bed.begin("k");
    assert_eq!(bed.store.fill_tokens(), 1);
    assert_eq!(
        bed.fill(UNTIL.0, "k", token, value("v")),
        Filled::Stored(version(1, 1))
    );
    assert_eq!(bed.store.fill_tokens(), 0);
    assert_eq!(bed.entry(0, "k").unwrap().value, "v");
    assert_eq!(bed.fill(0, "k", token, value("w")), Filled::Rejected);
    assert_eq!(bed.entry(0, "k").unwrap().value, "v");
    let counters = bed.counters();
    assert_eq!(
        (counters.keys, counters.sets, counters.fills_rejected),
        (1, 0, 1)
    );
}

#[test]
fn whatever_changes_the_key_kills_the_token() {
    let killers: [Named; 12] = [
        ("set", |bed| {
            bed.at(0, set("k", "new"));
        }),
        ("delete of a missing key", |bed| {
            bed.at(0, delete("k"));
        }),
        ("delete by version", |bed| {
            bed.at(0, delete_if("k", Condition::IfVersion(version(1, 1))));
        }),
        ("set and delete", |bed| {
            bed.at(0, set("k", "new"));
            bed.at(0, delete("k"));
        }),
        ("flush", |bed| {
            bed.store.flush(bed.group);
        }),
        ("drop and open", |bed| {
            let container = bed.store.slot(slot(0)).unwrap().container;
            bed.store.drop_slot(slot(0), container);
            bed.store.open_slot(slot(0), Epoch(2));
        }),
        ("open again", |bed| {
            bed.store.open_slot(slot(0), Epoch(2));
        }),
        ("drop", |bed| {
            let container = bed.store.slot(slot(0)).unwrap().container;
            bed.store.drop_slot(slot(0), container);
        }),
        ("another begin", |bed| {
            bed.begin("k");
        }),
        ("abandon", |bed| {
            let token = bed.begin("k");
            bed.store.abandon_fill(slot(0), bed.group, &key("k"), token);
        }),
        ("the time", |bed| {
            bed.store.sweep(WallMs(UNTIL.0 + 1), 10);
        }),
        ("another fill", |bed| {
            let token = bed.begin("k");
            bed.fill(0, "k", token, value("new"));
        }),
    ];
    for (name, kill) in killers {
        let bed = Bed::roomy();
        let token = bed.begin("k");
        kill(&bed);
        assert_eq!(
            bed.fill(0, "k", token, value("stale")),
            Filled::Rejected,
            "{name}"
        );
        assert_eq!(bed.counters().fills_rejected, 1, "{name}");
        if let Ok(Executed::Reply(Reply::Get(Some(entry)))) = bed.try_at(0, get("k")) {
            assert_eq!(entry.value, "new", "{name}");
        }
    }
}

#[test]
fn an_eviction_kills_the_token() {
    let bed = Bed::new(1, Store::entry_bytes(1, 1));
    bed.at(0, set("k", "v"));
    let token = bed.begin("k");
    bed.at(0, set("x", "v"));
    assert_eq!(bed.fill(0, "k", token, value("s")), Filled::Rejected);
}

#[test]
fn what_changes_nothing_leaves_the_token_alive() {
    let harmless: [Named; 7] = [
        ("get", |bed| {
            bed.at(0, get("k"));
        }),
        ("touch", |bed| {
            bed.at(0, touch("k", ttl(9)));
        }),
        ("failed set", |bed| {
            bed.at(0, set_if("k", "n", Condition::IfPresent));
        }),
        ("set of another key", |bed| {
            bed.at(0, set("other", "v"));
        }),
        ("same key of another group", |bed| {
            let group = bed.another_group("other", None);
            bed.reply(0, group, 0, delete("k"));
            bed.store.flush(group);
        }),
        ("same key of another slot", |bed| {
            bed.store.open_slot(slot(4), Epoch(1));
            bed.reply(4, bed.group, 0, delete("k"));
        }),
        ("a wrong token", |bed| {
            let mut token = bed.begin("other");
            token.nonce += 1_000;
            bed.fill(0, "k", token, value("w"));
            bed.store.abandon_fill(slot(0), bed.group, &key("k"), token);
        }),
    ];
    for (name, act) in harmless {
        let bed = Bed::roomy();
        let token = bed.begin("k");
        act(&bed);
        assert!(
            matches!(bed.fill(0, "k", token, value("v")), Filled::Stored(_)),
            "{name}"
        );
    }
}

#[test]
fn a_fill_after_its_time_is_refused() {
    let bed = Bed::roomy();
    let token = bed.begin("k");
    assert_eq!(
        bed.fill(UNTIL.0 + 1, "k", token, value("v")),
        Filled::Rejected
    );
    assert_eq!(bed.store.fill_tokens(), 0);
}

#[test]
fn a_slot_that_is_not_open_gives_no_token() {
    let bed = Bed::roomy();
    let refused = bed.store.begin_fill(slot(1), bed.group, &key("k"), UNTIL);
    assert_eq!(refused, Err(Refused::NotServed(slot(1))));
}

#[test]
fn a_fill_that_cannot_fit_is_refused() {
    let bed = Bed::new(1, Store::entry_bytes(1, 1));
    bed.at(0, set("x", "v"));
    let token = bed.begin("k");
    let refused = bed
        .store
        .fill(slot(0), bed.group, &key("k"), token, value("vv"), WallMs(0));
    assert!(matches!(refused, Err(Refused::TooLarge { .. })));
    assert!(bed.entry(0, "x").is_some());
    assert_eq!(
        bed.fill(0, "k", token, value("v")),
        Filled::Rejected,
        "it is used up"
    );
}

#[test]
fn the_group_says_how_long_where_an_origin_does_not() {
    let bed = Bed::roomy();
    let settings = GroupSettings {
        default_ttl: ttl(50),
        ..GroupSettings::default()
    };
    bed.store.set_group(&GroupName::new("g").unwrap(), settings);
    for (given, left) in [(None, Some(50)), (ttl(7), Some(7))] {
        let token = bed.begin("k");
        bed.fill(
            0,
            "k",
            token,
            Fill::Value {
                value: "v".into(),
                ttl: given,
            },
        );
        assert_eq!(bed.entry(0, "k").unwrap().ttl_ms, left);
    }
}

/// A store in which the origin said of `k` that it is not there.
fn bed_without_k() -> Bed {
    let bed = Bed::roomy();
    let token = bed.begin("k");
    assert_eq!(
        bed.fill(0, "k", token, absent(100)),
        Filled::Stored(version(1, 1))
    );
    bed
}

#[test]
fn absence_is_remembered_for_a_while() {
    let bed = bed_without_k();
    assert_eq!(bed.try_at(99, get("k")), Ok(Executed::KnownAbsent));
    assert_eq!(bed.try_at(99, head("k")), Ok(Executed::KnownAbsent));
    let counters = bed.counters();
    assert_eq!(
        (counters.keys, counters.bytes),
        (0, Store::entry_bytes(1, 0))
    );
    assert_eq!(
        (counters.negative_hits, counters.hits, counters.misses),
        (2, 0, 0)
    );
    let info = bed.store.slot(slot(0)).unwrap();
    assert_eq!((info.keys, info.bytes), (0, Store::entry_bytes(1, 0)));
    assert_eq!(bed.store.keys(slot(0), None, 10).keys, []);
    assert_eq!(bed.entry(100, "k"), None);
    assert_eq!(bed.counters().expirations, 0);
    bed.assert_empty();
}

#[test]
fn a_note_of_absence_is_nothing_to_a_writer() {
    let v1 = Condition::IfVersion(version(1, 1));
    let stored = Reply::Set {
        stored: true,
        version: Some(version(1, 2)),
    };
    let failed = Reply::Set {
        stored: false,
        version: None,
    };
    let not_there = Reply::Delete {
        deleted: false,
        version: None,
    };
    for (operation, expected, is_left) in [
        (set("k", "v"), stored.clone(), false),
        (set_if("k", "v", Condition::IfAbsent), stored, false),
        (set_if("k", "v", Condition::IfPresent), failed.clone(), true),
        (set_if("k", "v", v1), failed, true),
        (delete("k"), not_there.clone(), false),
        (delete_if("k", v1), not_there, false),
        (touch("k", None), Reply::Touch { found: false }, true),
    ] {
        let bed = bed_without_k();
        assert_eq!(bed.at(0, operation.clone()), expected, "{operation:?}");
        let known = bed.try_at(0, get("k")) == Ok(Executed::KnownAbsent);
        assert_eq!(known, is_left, "{operation:?}");
        assert_eq!(bed.counters().deletes, 0, "{operation:?}");
    }
}

#[test]
fn notes_of_absence_take_part_in_eviction_and_flush() {
    let bed = Bed::new(1, 2 * Store::entry_bytes(1, 0));
    let token = bed.begin("k");
    bed.fill(0, "k", token, absent(100));
    bed.at(0, set("a", ""));
    bed.at(0, set("b", ""));
    assert_eq!(bed.entry(0, "k"), None);
    assert_eq!(bed.counters().evictions, 0, "no entry was evicted");
    assert_eq!(bed.store.flush(bed.group), 2);

    let bed = bed_without_k();
    assert_eq!(bed.store.flush(bed.group), 0);
    bed.assert_empty();
}
