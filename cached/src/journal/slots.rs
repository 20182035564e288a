//! Slots that this node gave away and took over between two views. Pure.
//!
//! Of every change of owner one node tells: the giver if it lives, else the taker.

use std::collections::BTreeMap;

use cached_proto::records::MemberState;
use cached_proto::types::{MemberId, NodeName};

use crate::cluster::view::ClusterView;

/// Slots by the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Given to.
    pub(super) given: BTreeMap<NodeName, u32>,
    /// Taken over, empty, from members that are not there any more.
    pub(super) taken: BTreeMap<NodeName, u32>,
}

/// What this node gave and took.
pub(super) fn changed(old: &ClusterView, new: &ClusterView) -> Changed {
    let mut changed = Changed::default();
    let Some(me) = new.me.and_then(|me| new.members.get(usize::from(me))) else {
        return changed;
    };
    if !old.table_loaded || !new.table_loaded {
        return changed;
    }
    for (before, after) in old.owners.iter().zip(&new.owners) {
        let from = old.members.get(usize::from(before.member));
        let to = new.members.get(usize::from(after.member));
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        if from.id == to.id {
            continue;
        }
        if from.id == me.id {
            *changed.given.entry(to.id.name.clone()).or_default() += 1;
        } else if to.id == me.id && !lives(new, &from.id) {
            *changed.taken.entry(from.id.name.clone()).or_default() += 1;
        }
    }
    changed
}

fn lives(view: &ClusterView, id: &MemberId) -> bool {
    let member = view.members.iter().find(|member| member.id == *id);
    let record = member.and_then(|member| member.record.as_ref());
    record.is_some_and(|record| record.state != MemberState::Gone)
}
