//! How many slots are to go from whom to whom. Pure.

use std::collections::BTreeMap;

use cached_proto::assignment::Assignment;
use cached_proto::records::PlanRecord;
use cached_proto::types::{Invalid, NodeName, Slot};

use crate::cluster::view::{ClusterView, SlotOwner};

/// What is to go from one member to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Slots, ascending.
    pub(super) slots: Vec<Slot>,
    /// Runs of neighbouring ones.
    pub(super) ranges: u32,
}

/// By sender and receiver.
pub(super) type Pairs = BTreeMap<(NodeName, NodeName), Share>;

/// What is to be moved until every slot is where the plan wants it. Slots that nobody
/// has owned yet are nobody's to send.
pub(super) fn pairs(view: &ClusterView, plan: &PlanRecord) -> Result<Pairs, Invalid> {
    let assignment = Assignment::try_from(plan)?;
    let index_of = |member: &cached_proto::records::PlanMember| {
        let found = view.members.iter().position(|known| known.id == member.id);
        found.and_then(|index| u16::try_from(index).ok())
    };
    // Of the plan's members, the places in the view: rows are compared by number.
    let places: Vec<u16> = assignment
        .members()
        .iter()
        .map(|member| index_of(member).unwrap_or(SlotOwner::NOBODY.member))
        .collect();
    let mut numbers: BTreeMap<(u16, u16), Share> = BTreeMap::new();
    let mut last = None;
    for (slot, to) in Slot::all().zip(assignment.owners()) {
        let from = view.owners[slot.index()].member;
        let stays = from == places[usize::from(*to)];
        if stays || usize::from(from) >= view.members.len() {
            last = None;
            continue;
        }
        let pair = (from, *to);
        let share = numbers.entry(pair).or_default();
        share.slots.push(slot);
        if last.replace(pair) != Some(pair) {
            share.ranges += 1;
        }
    }
    let name_pair = |((from, to), share): ((u16, u16), Share)| {
        let from = view.members[usize::from(from)].id.name.clone();
        let to = assignment.members()[usize::from(to)].id.name.clone();
        ((from, to), share)
    };
    Ok(numbers.into_iter().map(name_pair).collect())
}

/// What is left of the plan in force; nothing before there is one.
pub(super) fn left(view: &ClusterView) -> Pairs {
    match &view.plan {
        Some(plan) if view.table_loaded => pairs(view, plan).unwrap_or_default(),
        _ => Pairs::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::fixture;

    #[test]
    fn slots_go_from_owners_to_where_the_plan_wants_them() {
        let mut view = fixture::view(&["a", "b", "c"]);
        assert!(left(&view).is_empty(), "no plan");
        view.plan = Some(fixture::drained(&view, "a").into());
        let pairs = left(&view);
        assert!(pairs.keys().all(|(from, _)| from.as_str() == "a"));
        let slots: usize = pairs.values().map(|share| share.slots.len()).sum();
        assert_eq!(slots, 5461);
        assert!(pairs.values().all(|share| {
            let breaks = share.slots.windows(2);
            let breaks = breaks.filter(|two| two[0].number() + 1 != two[1].number());
            share.ranges as usize == breaks.count() + 1
        }));
        view.members[0].record = None;
        assert_eq!(left(&view), pairs, "a dead owner's are still to go");
        view.owners[0] = SlotOwner::NOBODY;
        let slots: usize = left(&view).values().map(|share| share.slots.len()).sum();
        assert_eq!(slots, 5460);
    }
}
