//! Which slots a flush has met, whom it still has to ask, and what it tells. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::admin::v1::flush_group_response::Node;
use cached_proto::types::{MemberId, SLOTS};

use super::fan_out::{Whom, everyone};
use crate::cluster::view::ClusterView;
use crate::peers::Flushed;

/// Failures in a row after which a member is not asked again: the first may be an accident.
const FAILURES_MAX: u32 = 2;

/// A flush so far.
#[derive(Debug)]
pub(super) struct Coverage {
    /// One for each slot: it was dropped at its owner since the flush began.
    covered: Vec<bool>,
    asked: BTreeMap<MemberId, Asked>,
}

/// What one member said.
#[derive(Debug, Default)]
struct Asked {
    keys: u64,
    /// In a row.
    failures: u32,
    last: Option<Failure>,
}

impl Coverage {
    /// Nothing covered, nobody asked.
    pub(super) fn new() -> Self {
        Self {
            covered: vec![false; usize::from(SLOTS)],
            asked: BTreeMap::new(),
        }
    }

    /// Owners of slots that are not covered and may still answer.
    pub(super) fn to_ask(&self, view: &ClusterView) -> Vec<Whom> {
        let left = self.left_by_owner(view);
        let mut owners = everyone(view);
        let mut index = 0;
        owners.retain(|whom| {
            let asked = self.asked.get(&whom.member().id);
            // Who is away cannot answer, today or in a second.
            let hopeless = asked.is_some_and(|asked| {
                asked.failures >= FAILURES_MAX
                    || asked.failures > 0 && matches!(whom, Whom::Away(_))
            });
            index += 1;
            left.contains_key(&(index - 1)) && !hopeless
        });
        owners
    }

    /// How many slots of each owner, by its place in the view, are not covered.
    fn left_by_owner(&self, view: &ClusterView) -> BTreeMap<u16, u64> {
        let mut left = BTreeMap::new();
        let owners = view.owners.iter().zip(&self.covered);
        for (owner, _) in owners.filter(|(_, covered)| !**covered) {
            *left.entry(owner.member).or_default() += 1;
        }
        left
    }

    /// What a member said.
    pub(super) fn answered(&mut self, member: MemberId, answer: Result<Flushed, Failure>) {
        let asked = self.asked.entry(member).or_default();
        match answer {
            Ok(flushed) => {
                asked.keys += flushed.keys;
                asked.failures = 0;
                asked.last = None;
                for slot in flushed.slots {
                    self.covered[slot.index()] = true;
                }
            }
            Err(failure) => {
                asked.failures += 1;
                asked.last = Some(failure);
            }
        }
    }

    /// Whether every slot is covered.
    pub(super) fn is_complete(&self) -> bool {
        self.covered.iter().all(|covered| *covered)
    }

    /// What is told of each member: of owners of slots that are not covered a failure.
    pub(super) fn into_nodes(mut self, view: &ClusterView) -> Vec<Node> {
        let mut behind = BTreeSet::new();
        for (index, slots) in self.left_by_owner(view) {
            let Some(member) = view.members.get(usize::from(index)) else {
                continue;
            };
            behind.insert(member.id.clone());
            let name = &member.id.name;
            let asked = self.asked.entry(member.id.clone()).or_default();
            asked.last.get_or_insert_with(|| {
                let message =
                    format!("{slots} slots of {name} were changing hands meanwhile; flush again");
                Failure::new(FailureCode::Unavailable, message).maybe_applied()
            });
        }
        let node = |(member, asked): (MemberId, Asked)| Node {
            name: member.name.to_string(),
            keys: asked.keys,
            // Of others all slots were met elsewhere since.
            failure: asked
                .last
                .filter(|_| behind.contains(&member))
                .map(Into::into),
        };
        self.asked.into_iter().map(node).collect()
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::types::Slot;

    use super::*;
    use crate::operator::fixture::view;

    fn slots(range: std::ops::Range<u16>) -> Vec<Slot> {
        Slot::all()
            .filter(|slot| range.contains(&slot.number()))
            .collect()
    }

    fn names(whom: &[Whom]) -> Vec<&str> {
        whom.iter()
            .map(|whom| whom.member().id.name.as_str())
            .collect()
    }

    fn flushed(keys: u64, range: std::ops::Range<u16>) -> Result<Flushed, Failure> {
        let slots = slots(range);
        Ok(Flushed { keys, slots })
    }

    fn unreachable() -> Result<Flushed, Failure> {
        Err(Failure::new(FailureCode::Unavailable, "connection reset"))
    }

    #[test]
    fn a_slot_on_its_way_is_met_at_its_new_owner() {
        let mut view = view(&["n1", "n2"]);
        let id = |n: usize, view: &ClusterView| view.members[n].id.clone();
        let mut coverage = Coverage::new();
        assert_eq!(names(&coverage.to_ask(&view)), ["n1", "n2"]);
        coverage.answered(id(0, &view), flushed(3, 0..8191));
        coverage.answered(id(1, &view), flushed(4, 8192..16384));
        assert!(!coverage.is_complete());
        assert_eq!(names(&coverage.to_ask(&view)), ["n1"]);
        view.owners[8191].member = 1;
        assert_eq!(names(&coverage.to_ask(&view)), ["n2"]);
        coverage.answered(id(1, &view), flushed(1, 8191..16384));
        assert!(coverage.is_complete() && coverage.to_ask(&view).is_empty());
        let nodes = coverage.into_nodes(&view);
        let told: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.keys)).collect();
        assert_eq!(told, [("n1", 3), ("n2", 5)]);
        assert!(nodes.iter().all(|node| node.failure.is_none()));
    }

    #[test]
    fn what_was_not_met_is_counted_and_owned_up_to() {
        let view = view(&["n1", "n2"]);
        let id = |n: usize| view.members[n].id.clone();
        let mut coverage = Coverage::new();
        coverage.answered(id(0), flushed(3, 0..8190));
        for failures in 0..3 {
            assert_eq!(
                names(&coverage.to_ask(&view)).len(),
                if failures < 2 { 2 } else { 1 }
            );
            coverage.answered(id(1), unreachable());
        }
        let nodes = coverage.into_nodes(&view);
        let failure = |n: usize| -> Failure { nodes[n].failure.clone().unwrap().into() };
        assert!(
            failure(0)
                .message
                .starts_with("2 slots of n1 were changing hands")
        );
        assert!(failure(0).message.ends_with("flush again"));
        assert!(failure(1).message.contains("connection reset"));
    }
}
