//! Who came and went between two views. Pure.

use cached_proto::records::MemberState;

use super::event::{Note, Severity};
use crate::cluster::view::{ClusterView, MemberView};

/// Notes every member that is in another state than before.
pub(super) fn members(old: &ClusterView, new: &ClusterView, notes: &mut Vec<Note>) {
    for member in &new.members {
        let before = old.members.iter().find(|before| before.id == member.id);
        let was = before.and_then(state);
        notes.extend(change(before.is_some(), was, member));
    }
    for member in &old.members {
        let is_known = new.members.iter().any(|after| after.id == member.id);
        // Whom neither a key nor a row names any more; who signed off was told.
        if !is_known && state(member).is_some_and(|state| state != MemberState::Gone) {
            notes.push(down(member));
        }
    }
}

fn state(member: &MemberView) -> Option<MemberState> {
    member.record.as_ref().map(|record| record.state)
}

fn change(known: bool, was: Option<MemberState>, member: &MemberView) -> Option<Note> {
    let is = state(member);
    if was == is {
        return None;
    }
    let name = &member.id.name;
    let address = member.record.as_ref().map_or("", |record| &record.address);
    let (code, text) = match is {
        // The end of a life that was signed off.
        None if was == Some(MemberState::Gone) => return None,
        None => return Some(down(member)),
        Some(_) if known && was.is_none() => {
            ("member-back", format!("{name} is back at {address}"))
        }
        Some(MemberState::Joining) => ("member-joining", format!("{name} joins at {address}")),
        Some(MemberState::Up) => ("member-up", format!("{name} is up at {address}")),
        Some(MemberState::Draining) => {
            let text = format!("{name} gives its {} slots away", member.slots);
            ("member-draining", text)
        }
        Some(MemberState::Gone) => ("member-left", format!("{name} signed off")),
    };
    Some(told(Severity::Info, code, text, member))
}

fn down(member: &MemberView) -> Note {
    let name = &member.id.name;
    let why = match member.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    let text = format!("{name} is down{why}; it owned {} slots", member.slots);
    told(Severity::Error, "member-down", text, member)
}

fn told(severity: Severity, code: &'static str, text: String, member: &MemberView) -> Note {
    let what = format!("{}/{}", member.id.name, member.id.inc);
    Note::new(severity, code, &member.id.name, text).seen_by_all(what)
}
