//! What operators may ask for, and what it comes to.

use std::sync::Arc;

use cached_proto::records::MetaRecord;
use cached_proto::types::{Epoch, SLOTS};

use super::*;
use crate::cluster::plan_check::plan_check;
use crate::cluster::testing;
use crate::cluster::view::SlotOwner;

/// A settled cluster of `owners`; the others wait, or are on standby.
fn view(owners: &[&str], waiting: &[&str], standby: &[&str]) -> ClusterView {
    let mut view = ClusterView::empty();
    let config = testing::config("n1");
    let names = owners.iter().chain(waiting).chain(standby);
    for name in names {
        let mut record = testing::member(name);
        record.standby = standby.contains(name);
        view.members.push(MemberView {
            id: record.id.clone(),
            record: Some(record),
            absent_since: None,
            slots: 0,
            detail: String::new(),
        });
    }
    view.members.sort_by(|a, b| a.id.cmp(&b.id));
    let member = |name: &&str| PlanMember {
        id: testing::member(name).id,
        weight: 1,
    };
    let members: Vec<PlanMember> = owners.iter().map(member).collect();
    let assignment = plan(
        &Current::nobody(),
        &members,
        config.virtual_nodes,
        Movement::Free,
    );
    let assignment = assignment.unwrap();
    view.owners = cached_proto::types::Slot::all()
        .map(|slot| {
            let id = assignment.owner(slot);
            let member = view.members.iter().position(|m| m.id == *id).unwrap();
            view.members[member].slots += 1;
            SlotOwner {
                member: member as u16,
                epoch: Epoch(1),
            }
        })
        .collect();
    view.meta = Some(MetaRecord {
        virtual_nodes: config.virtual_nodes,
        ..testing::meta(&config)
    });
    view.plan = Some(Arc::new(PlanRecord {
        layout: 5,
        id: "00000005".to_owned(),
        reason: String::new(),
        algorithm: ALGORITHM,
        virtual_nodes: config.virtual_nodes,
        base_layout: 4,
        members: assignment.members().to_vec(),
        excluded: Vec::new(),
        runs: assignment.runs(),
    }));
    view.layout = 5;
    view.table_loaded = true;
    view
}

fn names(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn drafted(view: &ClusterView, ask: &Ask) -> Result<Draft, Failure> {
    let drafted = draft(view, ask, 0xabc, 1_000)?;
    let plan = drafted.record.draft.as_ref().unwrap();
    let current = Current::of_view(view, |_| true);
    assert_eq!(
        plan_check(&current, plan, &plan.members, Movement::Free),
        []
    );
    Ok(drafted)
}

fn moved(drafted: &Draft) -> u32 {
    drafted.moves.iter().map(|m| m.slots).sum()
}

fn refusal(view: &ClusterView, ask: &Ask) -> (FailureCode, String) {
    let failure = drafted(view, ask).unwrap_err();
    (failure.code, failure.message)
}

#[test]
fn a_draft_says_what_would_move() {
    let view = view(&["n1", "n2", "n3"], &["n4"], &["n5"]);
    let ask = Ask {
        drain: names(&["n2"]),
        by: "ann@desk".to_owned(),
        ..Ask::default()
    };
    let drained = drafted(&view, &ask).unwrap();
    assert_eq!(
        (drained.record.id.as_str(), drained.record.base_layout),
        ("op-00000abc", 5)
    );
    assert_eq!(drained.record.kind, OperationKind::Drain);
    assert_eq!(moved(&drained), 5461, "all of n2 and nothing else");
    assert_eq!(drained.moves.len(), 2, "to n1 and n3");
    let plan = drained.record.draft.unwrap();
    let listed: Vec<_> = plan.members.iter().map(|m| m.weight).collect();
    assert_eq!((listed, plan.layout), (vec![1, 0, 1], 6));
    assert_eq!(
        plan.excluded,
        ["n4", "n5"].map(|name| name.parse().unwrap())
    );
    let ask = Ask {
        join: names(&["n4", "n5"]),
        remove: names(&["n1"]),
        ..Ask::default()
    };
    let mixed = drafted(&view, &ask).unwrap();
    assert_eq!(mixed.record.kind, OperationKind::Mixed);
    let leave = &mixed.record.intents[&"n1".parse().unwrap()];
    assert_eq!(
        (leave.want, leave.inc),
        (Want::Leave, Some(testing::member("n1").id.inc))
    );
    // n1 gives all it has, n2 and n3 what they have above a quarter.
    assert_eq!(moved(&mixed), 5462 + 2 * (5461 - 4096));
}

#[test]
fn weights_shift_shares() {
    let view = view(&["n1", "n2"], &[], &["n3"]);
    let ask = Ask {
        weights: [("n2".parse().unwrap(), 3)].into(),
        ..Ask::default()
    };
    let weighed = drafted(&view, &ask).unwrap();
    assert_eq!(weighed.record.kind, OperationKind::Rebalance);
    assert_eq!(moved(&weighed), u32::from(SLOTS) / 4);
    let weight = |name: &str, weight| Ask {
        weights: [(name.parse().unwrap(), weight)].into(),
        ..Ask::default()
    };
    let (code, text) = refusal(&view, &weight("n2", WEIGHT_MAX + 1));
    assert_eq!(code, FailureCode::Invalid);
    assert!(
        text.ends_with("weight of n2 is 101; the limit is 100"),
        "{text}"
    );
    let (_, text) = refusal(&view, &weight("n3", 2));
    assert!(text.contains("n3, which is on standby: join it"), "{text}");
    let both = Ask {
        join: names(&["n3"]),
        ..weight("n3", 2)
    };
    let joined = drafted(&view, &both).unwrap();
    assert_eq!(
        (joined.record.kind, moved(&joined)),
        (OperationKind::Join, 8192)
    );
    let nothing = drafted(&view, &Ask::default()).unwrap();
    assert_eq!(
        (nothing.record.kind, nothing.moves),
        (OperationKind::Rebalance, vec![])
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let view = view(&["n1", "n2"], &[], &["n3"]);
    let ask = |drain: &[&str], remove: &[&str]| Ask {
        drain: names(drain),
        remove: names(remove),
        ..Ask::default()
    };
    let (code, text) = refusal(&view, &ask(&["n9"], &[]));
    assert_eq!(code, FailureCode::NotFound);
    assert_eq!(text, "there is no living member n9");
    let (code, text) = refusal(&view, &ask(&["n2"], &["n2"]));
    assert_eq!(code, FailureCode::Invalid);
    assert!(
        text.ends_with("remove names n2, and so does drain"),
        "{text}"
    );
    let (_, text) = refusal(&view, &ask(&["n1", "n2"], &[]));
    assert!(
        text.contains("drain would leave no member that can own slots"),
        "{text}"
    );
    let (_, text) = refusal(&view, &ask(&[], &["n1", "n2"]));
    assert!(text.contains("remove would leave no member"), "{text}");
    let many = Ask {
        drain: (0..=NODES_MAX)
            .map(|n| format!("n{n}").parse().unwrap())
            .collect(),
        ..Ask::default()
    };
    let (_, text) = refusal(&view, &many);
    assert!(
        text.contains("nodes are 101 members; the limit is 100"),
        "{text}"
    );
    let mut early = view.clone();
    early.table_loaded = false;
    assert_eq!(refusal(&early, &Ask::default()).0, FailureCode::Unavailable);
}

#[test]
fn absent_owners_keep_their_slots_until_a_plan_says_otherwise() {
    let mut view = view(&["n1", "n2", "n3"], &["n4"], &[]);
    let absent = &mut view.members[1];
    absent.record = None;
    let ask = Ask {
        join: names(&["n4"]),
        ..Ask::default()
    };
    let joined = drafted(&view, &ask).unwrap();
    assert_eq!(moved(&joined), 4096, "n2 counts");
    let members = joined.record.draft.unwrap().members;
    assert_eq!(members.len(), 4);
}
