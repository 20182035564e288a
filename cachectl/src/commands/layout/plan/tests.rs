//! What people, and scripts, see of a plan.

use cached_client::admin::{PlanMove, PlanReceiver};

use super::*;
use crate::args::Format;
use crate::output::format::render;

fn check(name: &str, result: CheckResult, detail: &str) -> PlanCheck {
    PlanCheck {
        name: name.to_owned(),
        result,
        detail: detail.to_owned(),
        shortfall_bytes: 0,
    }
}

fn plan() -> Plan {
    let moved = |to: &str, slots, keys, bytes| PlanMove {
        from: "n3".to_owned(),
        to: to.to_owned(),
        slots,
        keys,
        bytes,
        ranges: 64,
    };
    let receiver = |name: &str, after| PlanReceiver {
        name: name.to_owned(),
        memory_limit_bytes: 100,
        memory_used_bytes: 62,
        memory_after_bytes: after,
        ..PlanReceiver::default()
    };
    Plan {
        id: "op-7f3a90c1".to_owned(),
        base_layout: 57,
        moves: vec![
            moved("n1", 2064, 900_000, 3 << 30),
            moved("n2", 2060, 870_000, 2 << 30),
        ],
        receivers: vec![receiver("n1", 71), receiver("n2", 68)],
        checks: vec![
            check("memory", CheckResult::Ok, "memory headroom"),
            check(
                "members",
                CheckResult::Warning,
                "n5 is down and receives nothing",
            ),
            check("nothing-to-do", CheckResult::Ok, "slots move"),
        ],
        operation: None,
    }
}

fn shown(plan: &Plan, rate: u64) -> String {
    let bytes = render(&report(plan, rate), Format::Table, None, false).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_plan_is_a_table_of_receivers_with_its_checks_below() {
    let expected = "\
Plan op-7f3a90c1 @ layout 57: 4124 slots, 1.77M keys, 5.0 GiB  (about 1m43s at 50.0 MiB/s)
TO  SLOTS  KEYS     SIZE  MEM NOW  MEM AFTER  EST. EVICTIONS
n1   2064  900k  3.0 GiB    62.0%      71.0%               0
n2   2060  870k  2.0 GiB    62.0%      68.0%               0
Checks   ok memory headroom · WARN n5 is down and receives nothing
";
    let text = shown(&plan(), 50 << 20);
    assert_eq!(text, expected);
    assert!(!shown(&plan(), 0).contains("about"));
}

#[test]
fn what_is_refused_has_an_exit_code_and_a_hint() {
    assert!(refusal(&plan()).is_none());
    let refused = |name: &str| {
        let mut plan = plan();
        plan.checks = vec![check(name, CheckResult::Refused, "it is so")];
        refusal(&plan).unwrap()
    };
    let memory = refused("memory");
    assert_eq!(memory.code, Code::Refused);
    assert!(memory.hint.contains("--shed") && memory.message.contains("it is so"));
    assert_eq!(refused("operation").code, Code::Conflict);
    assert_eq!(refused("members").code, Code::Refused);
}

#[test]
fn a_plan_without_moves_is_no_table() {
    let mut plan = plan();
    plan.moves.clear();
    assert!(!nothing_to_do(&plan), "something is noted");
    plan.checks = vec![check(
        "nothing-to-do",
        CheckResult::Warning,
        "every slot is where it belongs",
    )];
    assert!(nothing_to_do(&plan));
    assert_eq!(
        shown(&plan, 0),
        "Plan op-7f3a90c1 @ layout 57: 0 slots, 0 keys, 0 B\n\
         Checks   WARN every slot is where it belongs\n"
    );
}

#[test]
fn machines_get_raw_numbers() {
    let json = report(&plan(), 0).json;
    assert_eq!(json["name"], "op-7f3a90c1");
    assert_eq!(json["moves"][0]["bytes"], 3_u64 << 30);
    assert_eq!(json["checks"][1]["result"], "warning");
    assert_eq!(json["receivers"][0]["memory_after_bytes"], 71);
}

#[test]
fn a_removal_that_drops_entries_is_severe() {
    let mut severe_one = plan();
    severe_one.operation = Some(super::super::fixture::drain());
    severe_one.checks[0].result = CheckResult::Warning;
    let kinds = [
        (OperationKind::Drain, None),
        (OperationKind::Remove, Some("n3".to_owned())),
        (OperationKind::Mixed, Some("n3".to_owned())),
    ];
    for (kind, expected) in kinds {
        severe_one.operation.as_mut().unwrap().kind = kind;
        severe_one.checks[0].shortfall_bytes = 0;
        assert_eq!(severe(&severe_one), None, "somebody could not be asked");
        severe_one.checks[0].shortfall_bytes = 7;
        assert_eq!(severe(&severe_one), expected);
    }
}

#[test]
fn nothing_is_moved_for_less_than_the_threshold() {
    let moved = |from: &str, to: &str, slots| PlanMove {
        from: from.to_owned(),
        to: to.to_owned(),
        slots,
        keys: 0,
        bytes: 0,
        ranges: 1,
    };
    let plan = Plan {
        moves: vec![moved("n1", "n2", 60), moved("n1", "n3", 40)],
        ..plan()
    };
    // After the plan: 1000, 1000 and 2000.
    let owned = [("n1", 1100), ("n2", 940), ("n3", 1960)];
    let said = |percent| even_enough(&plan, &owned, Percent(percent));
    assert_eq!(said(0.0), None);
    assert_eq!(said(9.9), None);
    let text = said(10.0).unwrap();
    assert!(
        text.contains("within 10% of their share; n1 is 10.0% off"),
        "{text}"
    );
    // One that is to own none is never near enough.
    let last = [("n1", 100), ("n2", 940), ("n3", 1960)];
    assert_eq!(even_enough(&plan, &last, Percent(100.0)), None);
}
