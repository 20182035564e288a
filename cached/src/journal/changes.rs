//! What happened between two looks at the cluster. Pure.

use std::sync::Arc;

use cached_proto::operations::{OperationRecord, OperationState};
use cached_proto::types::NodeName;

use super::event::{Note, Severity};
use super::members;
use crate::blacklist::Listed;
use crate::clock::WallMs;
use crate::cluster::view::{ClusterView, FenceReason, Serving};

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) view: Arc<ClusterView>,
    pub(super) serving: Serving,
    /// Whom this node does not attempt.
    pub(super) listed: Vec<Listed>,
    pub(super) limits: Limits,
    pub(super) wall: WallMs,
}

/// How often limits were hit since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections turned away.
    pub(super) connections_refused: u64,
    /// Entries dropped because a receiver of moving slots had no room.
    pub(super) keys_shed: u64,
}

/// What happened, but for slots and limits.
pub(super) fn changes(old: &Seen, new: &Seen) -> Vec<Note> {
    let mut notes = Vec::new();
    // Before the table is loaded, everything is news, and nothing of it has happened now.
    if old.view.table_loaded && !Arc::ptr_eq(&old.view, &new.view) {
        members::members(&old.view, &new.view, &mut notes);
        plan(&old.view, &new.view, &mut notes);
        operations(&old.view, &new.view, &mut notes);
        listed_by_hand(old, new, &mut notes);
    }
    registry(&old.view, &new.view, &mut notes);
    serving(old.serving, new.serving, &mut notes);
    listed(&old.listed, &new.listed, &mut notes);
    notes
}

fn plan(old: &ClusterView, new: &ClusterView, notes: &mut Vec<Note>) {
    if old.planner != new.planner
        && let Some(planner) = &new.planner
    {
        let note = Note::new(
            Severity::Info,
            "planner",
            planner,
            format!("{planner} plans"),
        );
        notes.push(note.seen_by_all(planner));
    }
    let Some(plan) = new.plan.as_ref().filter(|_| old.layout != new.layout) else {
        return;
    };
    let text = format!("layout {} (plan {}): {}", plan.layout, plan.id, plan.reason);
    let note = Note::new(Severity::Info, "plan", plan.layout, text);
    notes.push(note.seen_by_all(plan.layout));
}

fn operations(old: &ClusterView, new: &ClusterView, notes: &mut Vec<Note>) {
    for known in &new.operations {
        let record = &known.record;
        let before = old.operation(&record.id).map(|known| &known.record);
        let was = before.map(|record| record.state);
        let mut tell = |severity, code, text: String| {
            let note = Note::new(severity, code, &record.id, text);
            notes.push(note.by(&record.by).seen_by_all(&record.id));
        };
        let what = describe(record);
        if was.is_none() && record.state == OperationState::Planned {
            tell(
                Severity::Info,
                "operation-planned",
                format!("{what} is planned"),
            );
        }
        if record.started_ms > 0 && before.is_none_or(|record| record.started_ms == 0) {
            let why = match record.message.as_str() {
                "" => String::new(),
                message => format!(": {message}"),
            };
            tell(
                Severity::Info,
                "operation-started",
                format!("{what} began{why}"),
            );
        }
        if was.is_some_and(OperationState::is_final) {
            continue;
        }
        let because = match record.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        match record.state {
            OperationState::Done => {
                tell(Severity::Info, "operation-done", format!("{what} is done"));
            }
            OperationState::Failed => {
                let text = format!("{what} failed{because}");
                tell(Severity::Error, "operation-failed", text);
            }
            OperationState::Cancelled => {
                let text = format!("{what} was cancelled{because}");
                tell(Severity::Warning, "operation-cancelled", text);
            }
            OperationState::Refused => {
                let text = format!("{what} was refused{because}");
                tell(Severity::Warning, "operation-refused", text);
            }
            _ => {}
        }
    }
}

/// `op-7f3a90c1 (drain n3)`.
fn describe(record: &OperationRecord) -> String {
    let nodes: Vec<&str> = record.nodes.iter().map(NodeName::as_str).collect();
    format!("{} ({} {})", record.id, record.kind, nodes.join(", "))
}

fn listed_by_hand(old: &Seen, new: &Seen, notes: &mut Vec<Note>) {
    for (target, entry) in &new.view.blacklist {
        let before = old.view.blacklist.get(target);
        if before.is_some_and(|before| before.since_ms == entry.since_ms) {
            continue;
        }
        let text = format!("{target} is blacklisted for all nodes: {:?}", entry.reason);
        let note = Note::new(Severity::Warning, "blacklist-added", target, text);
        let what = format!("{target}/{}", entry.since_ms);
        notes.push(note.by(&entry.by).seen_by_all(what));
    }
    for (target, entry) in &old.view.blacklist {
        // Who took it back earlier is noted where it was asked for.
        if !new.view.blacklist.contains_key(target) && entry.expires_ms <= new.wall.0 {
            let text = format!("the blacklist entry of {target} has expired");
            let note = Note::new(Severity::Info, "blacklist-expired", target, text);
            notes.push(note.seen_by_all(format!("{target}/{}", entry.since_ms)));
        }
    }
}

fn registry(old: &ClusterView, new: &ClusterView, notes: &mut Vec<Note>) {
    match (old.registry_lost_since, new.registry_lost_since) {
        (None, Some(_)) => {
            let text = "the registry does not answer: what is owned stays, changes wait";
            let note = Note::new(Severity::Error, "registry-lost", "", text);
            notes.push(note.seen_by_all("registry"));
        }
        (Some(_), None) => {
            let note = Note::new(
                Severity::Info,
                "registry-back",
                "",
                "the registry answers again",
            );
            notes.push(note.seen_by_all("registry"));
        }
        _ => {}
    }
}

fn serving(old: Serving, new: Serving, notes: &mut Vec<Note>) {
    if old == new {
        return;
    }
    notes.push(match new {
        Serving::Yes => Note::new(Severity::Info, "serving", "", "this node serves"),
        Serving::Degraded => {
            let text = "this node serves without having reached the registry lately";
            Note::new(Severity::Warning, "degraded", "", text)
        }
        Serving::Fenced(FenceReason::Stopping) => {
            Note::new(Severity::Info, "stopping", "", "this node has signed off")
        }
        Serving::Fenced(reason) => {
            let why = match reason {
                FenceReason::Starting => "it is starting",
                FenceReason::Removed => "its member key is gone",
                FenceReason::Expired => "the registry has not confirmed it for too long",
                FenceReason::Isolated => "it is cut off, or stood still",
                FenceReason::Stopping => "it has signed off",
            };
            let text = format!("this node serves nothing: {why}");
            Note::new(Severity::Error, "fenced", "", text)
        }
    });
}

fn listed(old: &[Listed], new: &[Listed], notes: &mut Vec<Note>) {
    let is_in = |list: &[Listed], one: &Listed| list.iter().any(|it| it.target == one.target);
    for listed in new.iter().filter(|listed| !is_in(old, listed)) {
        let name = &listed.target.name;
        let text = format!(
            "{name} is not attempted for a while: {} failures in a row, {}",
            listed.failures, listed.last_error
        );
        notes.push(Note::new(Severity::Warning, "blacklisted", name, text));
    }
    for listed in old.iter().filter(|listed| !is_in(new, listed)) {
        let name = &listed.target.name;
        let text = format!("{name} is attempted again");
        notes.push(Note::new(Severity::Info, "unlisted", name, text));
    }
}
