//! The life of a breaker, step by step.

use std::time::Duration;

use cached_proto::types::{Incarnation, MemberId, NodeName};

use super::breaker::{Admission, BreakerConfig, BreakerTable};
use crate::clock::{Moment, WallMs};

fn member(name: &str, inc: u128) -> MemberId {
    MemberId {
        name: NodeName::new(name).unwrap(),
        inc: Incarnation(inc),
    }
}

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

fn fail(table: &mut BreakerTable, target: &MemberId, ms: u64) -> bool {
    table.failure(target, "refused", at(ms), at(ms), WallMs(1_000_000 + ms))
}

fn allowed(table: &mut BreakerTable, target: &MemberId, ms: u64) -> bool {
    table.admit(target, at(ms)) == Admission::Allowed
}

#[test]
fn three_failures_in_a_row_open_it_and_a_success_between_does_not_count() {
    let (mut table, n1) = (BreakerTable::default(), member("n1", 1));
    assert!(!fail(&mut table, &n1, 0));
    assert!(!fail(&mut table, &n1, 1));
    table.success(&n1);
    assert!(!fail(&mut table, &n1, 2));
    assert!(!fail(&mut table, &n1, 3));
    assert!(allowed(&mut table, &n1, 3));
    assert!(fail(&mut table, &n1, 4), "the third opens it");
    assert!(!fail(&mut table, &n1, 5), "it opens once");
    assert_eq!(
        table.admit(&n1, at(6)),
        Admission::Listed {
            failures: 4,
            next_probe_in: Duration::from_millis(998),
            last_error: "refused".into()
        }
    );
    assert!(
        allowed(&mut table, &member("n2", 1), 6),
        "others are not concerned"
    );
}

#[test]
fn attempts_that_fail_together_count_once() {
    let (mut table, n1) = (BreakerTable::default(), member("n1", 1));
    let mut fail = |began: u64, now: u64| {
        let wall = WallMs(1_000_000 + now);
        table.failure(&n1, "reset", at(began), at(now), wall)
    };
    for began in 0..10 {
        assert!(!fail(began, 10), "one connection, one failure");
    }
    assert!(!fail(10, 20), "the second");
    assert!(!fail(19, 21), "under way when the second failed");
    assert!(fail(20, 22), "the third opens it");
}

#[test]
fn probes_come_after_1_s_and_double_to_30_s_until_5_min_are_over() {
    let (mut table, n1) = (BreakerTable::default(), member("n1", 1));
    for _ in 0..3 {
        fail(&mut table, &n1, 0);
    }
    let mut probes = Vec::new();
    for second in 0..300 {
        if allowed(&mut table, &n1, second * 1000) {
            probes.push(second);
            fail(&mut table, &n1, second * 1000);
        }
    }
    assert_eq!(probes[..8], [1, 3, 7, 15, 31, 61, 91, 121]);
    assert!(allowed(&mut table, &n1, 300_000), "its time is over");
    assert_eq!(table.listed(at(300_000)), []);
    assert!(!fail(&mut table, &n1, 300_001), "counting starts again");
    assert!(allowed(&mut table, &n1, 300_001));
}

#[test]
fn one_probe_at_a_time_and_its_success_clears() {
    let (mut table, n1) = (BreakerTable::default(), member("n1", 1));
    for _ in 0..3 {
        fail(&mut table, &n1, 0);
    }
    assert!(allowed(&mut table, &n1, 1000));
    assert!(!allowed(&mut table, &n1, 1000), "the probe is on its way");
    table.success(&n1);
    assert!(allowed(&mut table, &n1, 1001));
    assert_eq!(table.listed(at(1001)), []);
}

#[test]
fn a_new_incarnation_is_never_listed() {
    let mut table = BreakerTable::default();
    let (old, new) = (member("n1", 1), member("n1", 2));
    for _ in 0..3 {
        fail(&mut table, &old, 0);
    }
    assert!(!allowed(&mut table, &old, 1));
    assert!(allowed(&mut table, &new, 1));
    table.success(&new);
    assert!(
        !allowed(&mut table, &old, 1),
        "the other life's success says nothing"
    );
    assert!(!fail(&mut table, &new, 2), "it starts from zero");
    assert!(allowed(&mut table, &new, 2));
}

#[test]
fn the_list_says_since_when_for_how_long_and_why() {
    let (mut table, n1) = (BreakerTable::default(), member("n1", 1));
    for ms in [0, 10, 20] {
        table.failure(&n1, &"x".repeat(1000), at(ms), at(ms), WallMs(5000 + ms));
    }
    let listed = table.listed(at(520));
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].target, n1);
    assert_eq!(listed[0].failures, 3);
    assert_eq!(listed[0].since, WallMs(5020));
    assert_eq!(listed[0].expires_in, Duration::from_millis(299_500));
    assert_eq!(listed[0].next_probe_in, Duration::from_millis(500));
    assert_eq!(listed[0].last_error.len(), 200, "errors are kept short");
}

#[test]
fn sweeping_forgets_what_is_over_and_nothing_else() {
    let mut table = BreakerTable::new(BreakerConfig {
        after: 1,
        ..Default::default()
    });
    fail(&mut table, &member("old", 1), 0);
    fail(&mut table, &member("young", 1), 200_000);
    assert_eq!(table.sweep(at(299_999)), []);
    let names: Vec<_> = table
        .sweep(at(300_000))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["old"]);
    assert_eq!(table.listed(at(300_000)).len(), 1);
}
