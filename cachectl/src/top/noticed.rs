//! What is worth a line in the log: differences between what is known and what is told. Pure.

use std::collections::BTreeSet;

use super::message::{Source, Update};
use super::shape::{Node, NodeState, Shape};
use super::state::{Kind, State};
use crate::units;

/// Writes down what `update`, which is not taken over yet, changes.
pub fn notice(state: &mut State, update: &Update) {
    // The nodes' own journals tell it better.
    if state.links.of(Source::Events).heard.is_some() {
        return;
    }
    let lines = match update {
        Update::Topology(new) => match &state.data.shape {
            Some(old) => shape_changes(old, new),
            None => Vec::new(),
        },
        Update::Status(new) => registry_changes(state, new.registry.reachable, &new.registry.kind),
        Update::Operation(new) => {
            let old = state.data.operations.get(&new.id).map(|old| old.state);
            // What ended long ago is no news to somebody who has just begun to look.
            let news = old.is_some() || !new.state.is_final();
            let changed = old != Some(new.state) && news;
            let text = format!(
                "{} {} {} is {} (by {}){}",
                new.id,
                new.kind,
                new.nodes.join(" "),
                new.state,
                new.by,
                if new.reason.is_empty() {
                    String::new()
                } else {
                    format!(": {}", new.reason)
                },
            );
            let failed = matches!(new.state.name(), "failed" | "refused");
            let kind = if failed { Kind::Error } else { Kind::Info };
            changed.then_some((kind, text)).into_iter().collect()
        }
        _ => Vec::new(),
    };
    for (kind, text) in lines {
        state.log(kind, text);
    }
}

fn registry_changes(state: &State, reachable: bool, kind: &str) -> Vec<(Kind, String)> {
    let before = state.data.status.as_ref().map(|old| old.registry.reachable);
    match (before, reachable) {
        (Some(true) | None, false) => vec![(Kind::Error, format!("{kind} is unreachable"))],
        (Some(false), true) => vec![(Kind::Info, format!("{kind} is reachable again"))],
        _ => Vec::new(),
    }
}

fn shape_changes(old: &Shape, new: &Shape) -> Vec<(Kind, String)> {
    let mut lines = Vec::new();
    for node in &new.nodes {
        let before = old.nodes.iter().find(|it| it.id() == node.id());
        match before {
            None if node.state != NodeState::Down => {
                lines.push((
                    Kind::Info,
                    format!("{} is there: {}", node.name, node.state.name()),
                ));
            }
            Some(before) if before.state != node.state => lines.push(became(node)),
            _ => {}
        }
    }
    for node in &old.nodes {
        let gone = !new.nodes.iter().any(|it| it.id() == node.id());
        if gone {
            lines.push((Kind::Info, format!("{} is gone", node.name)));
        }
    }
    if old.layout != new.layout {
        let moved = changed_slots(old, new);
        let moved = match moved {
            0 => String::new(),
            moved => format!("; {moved} slots have other owners"),
        };
        let text = format!("layout {} is in force{moved}", new.layout);
        lines.push((Kind::Info, text));
    }
    lines
}

fn became(node: &Node) -> (Kind, String) {
    let kind = match node.state {
        NodeState::Down => Kind::Error,
        NodeState::Gone | NodeState::Draining => Kind::Warn,
        _ => Kind::Info,
    };
    let why = if node.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", node.detail)
    };
    let slots = match node.slots {
        0 => "owns nothing".to_owned(),
        slots => format!("owns {} slots", units::count(slots.into())),
    };
    let text = format!("{} is {}{why}; {slots}", node.name, node.state.name());
    (kind, text)
}

/// What there is to say when not everybody runs the same version, `own` being this
/// program's; `None`: all do.
pub fn skew(shape: &Shape, own: &str) -> Option<String> {
    let told = shape.nodes.iter().map(|node| node.version.as_str());
    let versions: BTreeSet<&str> = told.filter(|version| !version.is_empty()).collect();
    if versions.iter().all(|version| *version == own) {
        return None;
    }
    let versions: Vec<&str> = versions.into_iter().collect();
    Some(format!(
        "versions differ: nodes {}, this program {own}; what one does not know of the other is left out",
        versions.join(" and ")
    ))
}

/// Slots whose owner has another name.
fn changed_slots(old: &Shape, new: &Shape) -> usize {
    let name = |shape: &Shape, owner: u16| {
        let node = shape.nodes.get(usize::from(owner));
        node.map(|node| node.name.clone())
    };
    let names = |shape: &Shape| -> Vec<Option<String>> {
        (0..shape.nodes.len())
            .map(|index| name(shape, index as u16))
            .collect()
    };
    let (old_names, new_names) = (names(old), names(new));
    let pairs = old.owners().into_iter().zip(new.owners());
    pairs
        .filter(|(one, other)| {
            old_names.get(usize::from(*one)) != new_names.get(usize::from(*other))
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_differ_are_named() {
        let node = |version: &str| Node {
            version: version.to_owned(),
            ..Node::default()
        };
        let shape = |versions: &[&str]| Shape {
            nodes: versions.iter().map(|version| node(version)).collect(),
            ..Shape::default()
        };
        // Of one that is down nobody knows it.
        assert_eq!(skew(&shape(&["1.2.0", "", "1.2.0"]), "1.2.0"), None);
        let text = skew(&shape(&["1.2.0", "1.3.0", "1.2.0"]), "1.2.0").unwrap();
        assert!(
            text.contains("nodes 1.2.0 and 1.3.0, this program 1.2.0"),
            "{text}"
        );
        assert!(skew(&shape(&["1.3.0"]), "1.2.0").is_some());
    }
}
