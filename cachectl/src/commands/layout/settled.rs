//! What is so already, and what is being done already: a change that is asked for twice
//! is made once. Pure.

use cached_client::admin::{Operation, PlanAsk};
use cached_client::operations::{OperationKind, OperationState};
use cached_client::records::MemberState;
use cached_client::topology::{Member, Topology};
use cached_client::types::NodeName;

/// Whether there is anything to ask for.
#[derive(Debug)]
pub(super) enum Settled<'a> {
    /// There is; these sentences are about the rest.
    Not(Vec<String>),
    /// There is not.
    Already(String),
    /// This operation does it.
    Runs(&'a Operation),
}

/// Looks what of a change is so already, and takes that out of it.
pub(super) fn settled<'a>(
    topology: &Topology,
    operations: &'a [Operation],
    kind: OperationKind,
    ask: &mut PlanAsk,
) -> Settled<'a> {
    let names: Vec<NodeName> = asked(ask).cloned().collect();
    if let Some(open) = operations.iter().find(|it| does(it, kind, &names, ask)) {
        return Settled::Runs(open);
    }
    let member = |name: &NodeName| living(topology, name);
    let mut notes = Vec::new();
    let mut settle = |list: &mut Vec<NodeName>, is: &dyn Fn(&NodeName) -> Option<String>| {
        list.retain(|name| match is(name) {
            Some(note) => {
                notes.push(note);
                false
            }
            None => true,
        });
    };
    settle(&mut ask.drain, &|name| {
        let drained = member(name).is_some_and(|it| it.intent == "drain" && it.slots == 0);
        drained.then(|| format!("{name} already drained"))
    });
    settle(&mut ask.undrain, &|name| {
        let serves = member(name).is_some_and(|it| it.intent.is_empty());
        serves.then(|| format!("{name} is not drained"))
    });
    let weights = !ask.weights.is_empty();
    settle(&mut ask.join, &|name| {
        let serves =
            |it: &Member| it.intent.is_empty() && it.slots > 0 && it.state == Some(MemberState::Up);
        let joined = !weights && member(name).is_some_and(serves);
        joined.then(|| format!("{name} already joined"))
    });
    settle(&mut ask.remove, &|name| match member(name) {
        Some(_) => None,
        None if topology.members.iter().any(|it| it.id.name == *name) => Some(format!(
            "{name} is down: its slots return by themselves, there is nothing to remove"
        )),
        None => was_removed(operations, name).then(|| format!("{name} already removed")),
    });
    if !names.is_empty() && asked(ask).next().is_none() {
        return Settled::Already(notes.join("\n"));
    }
    Settled::Not(notes)
}

fn asked(ask: &PlanAsk) -> impl Iterator<Item = &NodeName> {
    let lists = [&ask.join, &ask.drain, &ask.undrain, &ask.remove];
    lists.into_iter().flatten()
}

/// Whether an operation is doing what is asked.
fn does(operation: &Operation, kind: OperationKind, names: &[NodeName], ask: &PlanAsk) -> bool {
    let open = matches!(
        operation.state,
        OperationState::Requested | OperationState::Running | OperationState::Paused
    );
    let all = names
        .iter()
        .all(|name| operation.nodes.iter().any(|it| it == name.as_str()));
    open && !operation.cancelling && operation.kind == kind && all && ask.weights.is_empty()
}

fn living<'a>(topology: &'a Topology, name: &NodeName) -> Option<&'a Member> {
    let alive = |it: &&Member| !matches!(it.state, None | Some(MemberState::Gone));
    let mut members = topology.members.iter().filter(alive);
    members.find(|it| it.id.name == *name)
}

fn was_removed(operations: &[Operation], name: &NodeName) -> bool {
    operations.iter().any(|it| {
        it.kind == OperationKind::Remove
            && it.state == OperationState::Done
            && it.nodes.iter().any(|node| node == name.as_str())
    })
}

#[cfg(test)]
mod tests;
