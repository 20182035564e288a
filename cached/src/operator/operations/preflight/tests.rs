//! Plans of a cluster of three, with memory to spare and without.

use std::time::Duration;

use cached_proto::operations::{IntentRecord, OperationState};

use super::*;
use crate::operator::fixture;

/// Each of n1, n2 and n3 holds 9,000 entries of 100 bytes, and may hold `limit` bytes.
fn stats(limit: u64) -> Vec<NodeStats> {
    let node = |name: &str, slots| NodeStats {
        name: name.to_owned(),
        memory_limit_bytes: limit,
        memory_used_bytes: 900_000,
        slots,
        groups: vec![pb::GroupStats {
            keys: 9_000,
            bytes: 900_000,
            ..pb::GroupStats::default()
        }],
        ..NodeStats::default()
    };
    vec![node("n1", 5461), node("n2", 5461), node("n3", 5462)]
}

fn drain_of_n2() -> (ClusterView, OperationRecord) {
    let view = fixture::view(&["n1", "n2", "n3"]);
    let mut record = fixture::operation("op-00000001", OperationState::Planned);
    record.draft = Some(fixture::drained(&view, "n2"));
    (view, record)
}

fn checked(
    stats: &[NodeStats],
    shed: bool,
    change: impl FnOnce(&mut ClusterView),
) -> pb::PlanResponse {
    let (mut view, record) = drain_of_n2();
    change(&mut view);
    let known = Known {
        view: &view,
        stats,
        registry: &fixture::registry(),
        record: &record,
        shed,
    };
    preflight(&known).unwrap()
}

fn result(plan: &pb::PlanResponse, name: &str) -> (CheckResult, String) {
    let check = plan.checks.iter().find(|check| check.name == name).unwrap();
    (check.result(), check.detail.clone())
}

#[test]
fn what_is_sent_is_the_share_of_the_slots() {
    let plan = checked(&stats(2_000_000), false, |_| {});
    assert_eq!((plan.id.as_str(), plan.base_layout), ("op-00000001", 1));
    let slots: u32 = plan.moves.iter().map(|it| it.slots).sum();
    let keys: u64 = plan.moves.iter().map(|it| it.keys).sum();
    assert!(plan.moves.iter().all(|it| it.from == "n2" && it.ranges > 0));
    assert_eq!(slots, 5461);
    assert!((8_998..=9_000).contains(&keys), "{keys}");
    for receiver in &plan.receivers {
        let moved = plan.moves.iter().find(|it| it.to == receiver.name).unwrap();
        assert_eq!(receiver.memory_after_bytes, 900_000 + moved.bytes);
        assert_eq!((receiver.evictions, receiver.keys), (0, moved.keys));
    }
    assert!(plan.checks.iter().all(|it| it.result() == CheckResult::Ok));
}

#[test]
fn without_room_it_is_refused_with_what_lacks_unless_entries_may_go() {
    let plan = checked(&stats(1_000_000), false, |_| {});
    let (memory, detail) = result(&plan, "memory");
    assert_eq!(memory, CheckResult::Refused);
    assert!(
        detail.contains("n1 lacks") && detail.contains("n3 lacks"),
        "{detail}"
    );
    let after: u64 = plan.receivers.iter().map(|it| it.memory_after_bytes).sum();
    let memory = plan.checks.iter().find(|it| it.name == "memory").unwrap();
    assert_eq!(memory.shortfall_bytes, after - 2_000_000);
    for receiver in &plan.receivers {
        let over = receiver.memory_after_bytes - 1_000_000;
        assert_eq!(receiver.evictions, over.div_ceil(100));
    }
    let plan = checked(&stats(1_000_000), true, |_| {});
    assert_eq!(result(&plan, "memory").0, CheckResult::Warning);
}

#[test]
fn who_does_not_answer_is_a_warning() {
    let mut stats = stats(2_000_000);
    for node in &mut stats[..2] {
        node.error = "connection refused".to_owned();
    }
    let plan = checked(&stats, false, |view| view.members[2].record = None);
    let (members, detail) = result(&plan, "members");
    assert_eq!(members, CheckResult::Warning);
    assert!(
        detail.contains("n3 is down and receives nothing"),
        "{detail}"
    );
    assert!(detail.contains("what n2 sends is not counted"), "{detail}");
    assert_eq!(result(&plan, "memory").0, CheckResult::Warning);
    assert_eq!(plan.receivers[0].error, "connection refused");
}

#[test]
fn another_operation_and_a_silent_registry_are_in_the_way() {
    let (mut view, record) = drain_of_n2();
    let open = fixture::operation("op-0000000a", OperationState::Paused);
    view.operations = vec![fixture::known(open, 3)];
    let mut registry = fixture::registry();
    registry.unreachable_for = Some(Duration::from_secs(9));
    let known = Known {
        view: &view,
        stats: &stats(2_000_000),
        registry: &registry,
        record: &record,
        shed: false,
    };
    let plan = preflight(&known).unwrap();
    let (operation, detail) = result(&plan, "operation");
    assert_eq!(operation, CheckResult::Refused);
    assert_eq!(detail, "op-0000000a is paused: drain n2");
    assert_eq!(result(&plan, "registry").0, CheckResult::Refused);
}

#[test]
fn nothing_moves_and_nothing_is_noted() {
    let (view, mut record) = drain_of_n2();
    record.draft = None;
    let mut known = Known {
        view: &view,
        stats: &stats(2_000_000),
        registry: &fixture::registry(),
        record: &record,
        shed: false,
    };
    let plan = preflight(&known).unwrap();
    assert_eq!(result(&plan, "nothing-to-do").0, CheckResult::Warning);
    let mut noted = record.clone();
    let intent = IntentRecord {
        want: Want::Serve,
        inc: None,
        weight: None,
        by: String::new(),
        at_ms: 0,
    };
    noted.intents.insert(NodeName::new("n2").unwrap(), intent);
    known.record = &noted;
    let plan = preflight(&known).unwrap();
    assert_eq!(result(&plan, "nothing-to-do").0, CheckResult::Ok);
}

#[test]
fn somebody_must_be_left_and_the_dead_take_part_in_nothing() {
    let mut view = fixture::view(&["n1", "n2", "n3"]);
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| NodeName::new(name).unwrap())
            .collect()
    };
    let drain = |drained: &[&str]| Ask {
        drain: names(drained),
        ..Ask::default()
    };
    assert!(impossible(&view, &drain(&["n1", "n2"])).is_empty());
    assert!(
        impossible(&view, &drain(&["n9"])).is_empty(),
        "planning says so"
    );
    let refused = impossible(&view, &drain(&["n1", "n2", "n3"]));
    assert!(refused[0].detail.starts_with("nobody would be left"));
    view.members[1].record = None;
    let refused = impossible(&view, &drain(&["n2"]));
    assert!(refused[0].detail.starts_with("n2 is down"), "{refused:?}");
    // Whom an operator wants to be drained does not count, unless asked back now.
    let intent = IntentRecord {
        want: Want::Drain,
        inc: None,
        weight: None,
        by: String::new(),
        at_ms: 0,
    };
    view.intents.insert(NodeName::new("n3").unwrap(), intent);
    view.members[2].record.as_mut().unwrap().state = MemberState::Draining;
    assert!(!impossible(&view, &drain(&["n1"])).is_empty());
    let swap = Ask {
        undrain: names(&["n3"]),
        ..drain(&["n1"])
    };
    assert!(impossible(&view, &swap).is_empty());
}
