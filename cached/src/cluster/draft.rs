//! What an operator asks for, worked out against what a node knows: the plan, the
//! intents and the moves that it would mean. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::WEIGHT_MAX;
use cached_proto::operations::{
    IntentRecord, OperationKind, OperationRecord, OperationState, Want,
};
use cached_proto::records::{MemberRecord, MemberState, PlanMember, PlanRecord};
use cached_proto::ring::ALGORITHM;
use cached_proto::types::{Invalid, MemberId, NodeName};

use super::plan::{Current, Move, Movement, difference, plan};
use super::roster::{Candidate, applies, can_own, planned, roster};
use super::view::{ClusterView, MemberView};

/// Most members that one operation may be about: what it writes has to fit into one
/// transaction.
pub const NODES_MAX: usize = 100;

/// A change that an operator asks for. Empty: shares as the weights want them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Members that wait, are on standby or were drained: they get their share.
    pub join: BTreeSet<NodeName>,
    /// They give all their slots away, and stay members.
    pub drain: BTreeSet<NodeName>,
    /// They were drained, and get their share again.
    pub undrain: BTreeSet<NodeName>,
    /// They give all their slots away, and end.
    pub remove: BTreeSet<NodeName>,
    /// Shares relative to the others', 0 to [`WEIGHT_MAX`].
    pub weights: BTreeMap<NodeName, u32>,
    /// What does not fit at a receiver may be dropped.
    pub shed: bool,
    /// Who asks, as `user@host`.
    pub by: String,
}

/// What a change would mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The operation, planned, with plan and intents.
    pub record: OperationRecord,
    /// Slots that would change their owner.
    pub moves: Vec<Move>,
}

/// Works a change out. `number` names operation and plan. Fails if a member does not
/// exist, is named in two lists, or nobody would be left to own slots.
pub fn draft(view: &ClusterView, ask: &Ask, number: u32, now_ms: u64) -> Result<Draft, Failure> {
    let lists = [
        ("join", &ask.join),
        ("drain", &ask.drain),
        ("undrain", &ask.undrain),
        ("remove", &ask.remove),
    ];
    check_lists(&lists)?;
    check_weights(ask)?;
    let nodes = nodes(ask)?;
    let intents = intents(view, ask, &nodes, now_ms)?;
    let unready = || Failure::new(FailureCode::Unavailable, "the table is not loaded yet");
    let (Some(meta), Some(in_force)) = (&view.meta, &view.plan) else {
        return Err(unready());
    };
    if !view.table_loaded {
        return Err(unready());
    }
    let current = Current::of_view(view, |member| {
        is_living(member) || planned(in_force, &member.id).is_some()
    });
    let members = members(view, ask, &intents, in_force)?;
    let planning = plan(&current, &members, meta.virtual_nodes, Movement::Free);
    let assignment = planning.map_err(|why| conflict(why.to_string()))?;
    let listed = |id: &MemberId| assignment.members().iter().any(|m| m.id == *id);
    let others = view
        .members
        .iter()
        .filter(|m| is_living(m) && !listed(&m.id));
    let kind = kind(ask);
    let moves = difference(&current, &assignment);
    let record = PlanRecord {
        layout: view.layout + 1,
        id: format!("{number:08x}"),
        reason: reason(kind, &nodes),
        algorithm: ALGORITHM,
        virtual_nodes: meta.virtual_nodes,
        base_layout: view.layout,
        members: assignment.members().to_vec(),
        excluded: others.map(|member| member.id.name.clone()).collect(),
        runs: assignment.runs(),
    };
    let record = OperationRecord {
        id: format!("op-{number:08x}"),
        kind,
        state: OperationState::Planned,
        nodes: nodes.into_iter().collect(),
        base_layout: view.layout,
        layout: 0,
        draft: Some(record),
        intents,
        before: BTreeMap::new(),
        by: ask.by.clone(),
        message: String::new(),
        requested_ms: now_ms,
        started_ms: 0,
        finished_ms: 0,
        deadline_ms: 0,
        max_rate: 0,
        shed: ask.shed,
        cancel: false,
        merged: Vec::new(),
        reason: String::new(),
    };
    Ok(Draft { record, moves })
}

fn is_living(member: &MemberView) -> bool {
    living(member).is_some()
}

/// The record of a member that lives and has not signed off.
pub(super) fn living(member: &MemberView) -> Option<&MemberRecord> {
    let record = member.record.as_ref();
    record.filter(|record| record.state != MemberState::Gone)
}

fn conflict(text: String) -> Failure {
    Failure::new(FailureCode::Conflict, text)
}

/// One member can be asked for one thing.
fn check_lists(lists: &[(&'static str, &BTreeSet<NodeName>)]) -> Result<(), Failure> {
    for (at, (field, names)) in lists.iter().enumerate() {
        for (other, others) in &lists[..at] {
            if let Some(name) = names.intersection(others).next() {
                return Err(
                    Invalid::new(field, format!("names {name}, and so does {other}")).into(),
                );
            }
        }
    }
    Ok(())
}

fn check_weights(ask: &Ask) -> Result<(), Failure> {
    for (name, weight) in &ask.weights {
        let problem = if *weight > WEIGHT_MAX {
            format!("of {name} is {weight}; the limit is {WEIGHT_MAX}")
        } else if ask.drain.contains(name) || ask.remove.contains(name) {
            format!("of {name} is {weight}, and {name} shall own nothing")
        } else {
            continue;
        };
        return Err(Invalid::new("weight", problem).into());
    }
    Ok(())
}

/// Everybody whom the change is about.
fn nodes(ask: &Ask) -> Result<BTreeSet<NodeName>, Failure> {
    let named = [&ask.join, &ask.drain, &ask.undrain, &ask.remove];
    let named = named.into_iter().flatten().chain(ask.weights.keys());
    let nodes: BTreeSet<NodeName> = named.cloned().collect();
    if nodes.len() > NODES_MAX {
        let count = nodes.len();
        let problem = format!("are {count} members; the limit is {NODES_MAX} at a time");
        return Err(Invalid::new("nodes", problem).into());
    }
    Ok(nodes)
}

/// What each member that is named shall do from then on.
fn intents(
    view: &ClusterView,
    ask: &Ask,
    nodes: &BTreeSet<NodeName>,
    now_ms: u64,
) -> Result<BTreeMap<NodeName, IntentRecord>, Failure> {
    let mut intents = BTreeMap::new();
    for name in nodes {
        let mut members = view.members.iter().filter_map(living);
        let Some(record) = members.find(|record| record.id.name == *name) else {
            let text = format!("there is no living member {name}");
            return Err(Failure::new(FailureCode::NotFound, text));
        };
        let before = applies(view.intents.get(name), &record.id);
        let want = if ask.drain.contains(name) {
            Want::Drain
        } else if ask.remove.contains(name) {
            Want::Leave
        } else if ask.join.contains(name) || ask.undrain.contains(name) {
            Want::Serve
        } else {
            before.map_or(Want::Serve, |before| before.want)
        };
        let called = ask.join.contains(name) || ask.undrain.contains(name);
        if record.standby && before.is_none() && want == Want::Serve && !called {
            let problem = format!("is given for {name}, which is on standby: join it");
            return Err(Invalid::new("weight", problem).into());
        }
        let weight = ask.weights.get(name).copied();
        let intent = IntentRecord {
            want,
            inc: (want == Want::Leave).then_some(record.id.inc),
            weight: weight.or(before.and_then(|before| before.weight)),
            by: ask.by.clone(),
            at_ms: now_ms,
        };
        intents.insert(name.clone(), intent);
    }
    Ok(intents)
}

/// The members of the plan.
fn members(
    view: &ClusterView,
    ask: &Ask,
    intents: &BTreeMap<NodeName, IntentRecord>,
    in_force: &PlanRecord,
) -> Result<Vec<PlanMember>, Failure> {
    let candidate = |member| candidate(member, view, ask, intents, in_force);
    let candidates: Vec<_> = view.members.iter().filter_map(candidate).collect();
    let members = roster(&candidates).ok_or_else(|| {
        conflict("a member was restarted, and its slots are not given back yet".to_owned())
    })?;
    if can_own(&members) {
        return Ok(members);
    }
    let field = match (ask.drain.is_empty(), ask.remove.is_empty()) {
        (true, true) => "weight",
        (true, false) => "remove",
        (false, _) => "drain",
    };
    let problem = "would leave no member that can own slots; the entries have nowhere to go";
    Err(Invalid::new(field, problem).into())
}

fn candidate<'a>(
    member: &'a MemberView,
    view: &'a ClusterView,
    ask: &Ask,
    intents: &'a BTreeMap<NodeName, IntentRecord>,
    in_force: &PlanRecord,
) -> Option<Candidate<'a>> {
    let (id, record) = (&member.id, living(member));
    let weight = planned(in_force, id);
    if record.is_none() && weight.is_none() {
        // The plan in force gives its slots away already.
        return None;
    }
    let intent = intents.get(&id.name).or_else(|| view.intents.get(&id.name));
    let intent = applies(intent, id);
    Some(Candidate {
        id,
        record,
        rows: member.slots,
        intent,
        planned: weight,
        admitted: ask.join.contains(&id.name) || ask.undrain.contains(&id.name),
    })
}

fn kind(ask: &Ask) -> OperationKind {
    let joins = !ask.join.is_empty() || !ask.undrain.is_empty();
    let own = |name: &NodeName| ask.join.contains(name) || ask.undrain.contains(name);
    let weighs = ask.weights.keys().any(|name| !own(name));
    match (joins, !ask.drain.is_empty(), !ask.remove.is_empty(), weighs) {
        (true, false, false, false) => OperationKind::Join,
        (false, true, false, false) => OperationKind::Drain,
        (false, false, true, false) => OperationKind::Remove,
        (false, false, false, _) => OperationKind::Rebalance,
        _ => OperationKind::Mixed,
    }
}

fn reason(kind: OperationKind, nodes: &BTreeSet<NodeName>) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    match names.is_empty() {
        true => kind.name().to_owned(),
        false => format!("{} {}", kind.name(), names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
