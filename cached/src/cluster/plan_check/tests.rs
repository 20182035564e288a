//! Each finding on a plan that is wrong in one way.

use cached_proto::records::PlanRun;
use cached_proto::ring::{ALGORITHM, VIRTUAL_NODES_DEFAULT};
use cached_proto::types::{Incarnation, NodeName};

use super::*;
use crate::cluster::plan::Holder;

/// An assignment as the registry would hold it.
pub(crate) fn record(assignment: &Assignment) -> PlanRecord {
    PlanRecord {
        layout: 2,
        id: "test".to_owned(),
        reason: String::new(),
        algorithm: ALGORITHM,
        virtual_nodes: VIRTUAL_NODES_DEFAULT,
        base_layout: 1,
        members: assignment.members().to_vec(),
        excluded: Vec::new(),
        runs: assignment.runs(),
    }
}

fn member(name: &str) -> PlanMember {
    let name = NodeName::new(name).unwrap();
    PlanMember {
        id: MemberId {
            name,
            inc: Incarnation(1),
        },
        weight: 1,
    }
}

/// n1 has the lower half of the slots, n2 the upper one; n3 has none.
fn halves() -> (Current, [PlanMember; 3]) {
    let members = ["n1", "n2", "n3"].map(member);
    let holder = |member: &PlanMember| Holder {
        id: member.id.clone(),
        living: true,
    };
    let rows = (0..SLOTS).map(|slot| slot / (SLOTS / 2)).collect();
    (
        Current {
            holders: members[..2].iter().map(holder).collect(),
            rows,
        },
        members,
    )
}

fn findings(
    current: &Current,
    runs: &[(u16, u16, u16)],
    eligible: &[PlanMember],
    movement: Movement,
) -> Vec<String> {
    let all = ["n1", "n2", "n3"].map(member).to_vec();
    let mut record = record(&Assignment::new(all, vec![0; SLOTS.into()]).unwrap());
    record.runs = runs
        .iter()
        .map(|run| PlanRun(run.0, run.1, run.2))
        .collect();
    let findings = plan_check(current, &record, eligible, movement);
    findings.iter().map(Finding::to_string).collect()
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    let (current, members) = halves();
    let keep = [(0, 8191, 0), (8192, 16383, 1)];
    for movement in [Movement::Free, Movement::OrphansOnly] {
        assert_eq!(findings(&current, &keep, &members[..2], movement), [""; 0]);
    }
    // With three eligible members two are above their share, and keep it.
    assert_eq!(
        findings(&current, &keep, &members, Movement::OrphansOnly),
        [""; 0]
    );
}

#[test]
fn slots_without_owner_are_found() {
    let (current, members) = halves();
    assert_eq!(
        findings(&current, &[(0, 99, 0)], &members, Movement::Free),
        ["plan gives 100 slots an owner, of 16384"]
    );
}

#[test]
fn owners_that_are_not_eligible_are_found() {
    let (current, members) = halves();
    let given = [(0, 8191, 0), (8192, 16283, 1), (16284, 16383, 2)];
    let said = findings(&current, &given, &members[..2], Movement::Free);
    assert!(
        said.contains(&"n3 would own 100 slots and is not eligible".to_owned()),
        "{said:?}"
    );
    // n2 drains: it may keep its slots only where nothing can move.
    let keep = [(0, 8191, 0), (8192, 16383, 1)];
    assert_eq!(
        findings(&current, &keep, &members[..1], Movement::OrphansOnly),
        [""; 0]
    );
    assert_eq!(
        findings(&current, &keep, &members[..1], Movement::Free),
        [
            "n1 would own 8192 slots; its share is 16384 to 16384",
            "n2 would own 8192 slots and is not eligible",
        ]
    );
}

#[test]
fn broken_quotas_and_needless_moves_are_found() {
    let (current, members) = halves();
    let given = [(0, 8181, 0), (8182, 16383, 1)];
    assert_eq!(
        findings(&current, &given, &members[..2], Movement::Free),
        [
            "n1 would own 8182 slots; its share is 8192 to 8192",
            "n2 would own 8202 slots; its share is 8192 to 8192",
            "10 slots would move; 0 have to",
        ]
    );
}

#[test]
fn swaps_are_found() {
    let (current, members) = halves();
    let swapped = [(0, 0, 1), (1, 8192, 0), (8193, 16383, 1)];
    assert_eq!(
        findings(&current, &swapped, &members[..2], Movement::Free),
        [
            "n1 would give 1 slots away and be given 1 others",
            "n2 would give 1 slots away and be given 1 others",
            "2 slots would move; 0 have to",
        ]
    );
}

#[test]
fn moves_from_the_living_are_found_where_nothing_can_move() {
    let (mut current, members) = halves();
    let given = [(0, 8191, 0), (8192, 16383, 2)];
    assert_eq!(
        findings(&current, &given, &members, Movement::OrphansOnly),
        [
            "n3 would own 8192 slots; its share is 5461 to 5462",
            "8192 slots would move from n2, which lives, to n3",
        ]
    );
    current.holders[1].living = false;
    assert_eq!(
        findings(&current, &given, &members, Movement::OrphansOnly),
        ["n3 would own 8192 slots; its share is 5461 to 5462"]
    );
}
