//! An assignment: one owner for each slot, as a plan decides it and records it.

use crate::records::{PlanMember, PlanRecord, PlanRun};
use crate::types::{Invalid, MemberId, SLOTS, Slot};

/// One owner for each slot. Every slot has one: that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    members: Vec<PlanMember>,
    owners: Vec<u16>,
}

impl Assignment {
    /// `owners` holds, for each slot in ascending order, an index into `members`.
    pub fn new(members: Vec<PlanMember>, owners: Vec<u16>) -> Result<Self, Invalid> {
        if owners.len() != usize::from(SLOTS) {
            let problem = format!("gives {} slots an owner, of {SLOTS}", owners.len());
            return Err(Invalid::new("plan", problem));
        }
        if let Some(owner) = owners
            .iter()
            .find(|owner| usize::from(**owner) >= members.len())
        {
            return Err(no_member(*owner, members.len()));
        }
        Ok(Self { members, owners })
    }

    /// The members that owners are looked up in; some may own nothing.
    pub fn members(&self) -> &[PlanMember] {
        &self.members
    }

    /// For each slot, the index of its owner in [`Assignment::members`].
    pub fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// The owner of a slot.
    pub fn owner(&self, slot: Slot) -> &MemberId {
        &self.members[usize::from(self.owners[slot.index()])].id
    }

    /// How many slots each of the members owns.
    pub fn slots(&self) -> Vec<u32> {
        let mut slots = vec![0; self.members.len()];
        for owner in &self.owners {
            slots[usize::from(*owner)] += 1;
        }
        slots
    }

    /// The form in which a plan record holds it.
    pub fn runs(&self) -> Vec<PlanRun> {
        let mut runs: Vec<PlanRun> = Vec::new();
        for (slot, owner) in (0..SLOTS).zip(&self.owners) {
            match runs.last_mut() {
                Some(run) if run.2 == *owner => run.1 = slot,
                _ => runs.push(PlanRun(slot, slot, *owner)),
            }
        }
        runs
    }
}

fn no_member(index: u16, members: usize) -> Invalid {
    Invalid::new(
        "plan",
        format!("names member {index}; it has {members} members"),
    )
}

/// Reads the runs of a record: every slot exactly once, in ascending order, and
/// only members that the record has.
impl TryFrom<&PlanRecord> for Assignment {
    type Error = Invalid;
    fn try_from(record: &PlanRecord) -> Result<Self, Invalid> {
        let mut owners: Vec<u16> = Vec::with_capacity(usize::from(SLOTS));
        for PlanRun(first, last, owner) in &record.runs {
            if usize::from(*first) != owners.len() || last < first || *last >= SLOTS {
                let problem = format!(
                    "has the run {first}..{last} where one from {} to at most {} must stand",
                    owners.len(),
                    SLOTS - 1
                );
                return Err(Invalid::new("plan", problem));
            }
            owners.resize(usize::from(*last) + 1, *owner);
        }
        Self::new(record.members.clone(), owners)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Incarnation, NodeName};

    fn record(members: u16, runs: Vec<PlanRun>) -> PlanRecord {
        let member = |number: u16| PlanMember {
            id: MemberId {
                name: NodeName::new(format!("n{number}")).unwrap(),
                inc: Incarnation(number.into()),
            },
            weight: 1,
        };
        PlanRecord {
            layout: 2,
            id: "p".into(),
            reason: String::new(),
            algorithm: 1,
            virtual_nodes: 50,
            base_layout: 1,
            members: (0..members).map(member).collect(),
            excluded: Vec::new(),
            runs,
        }
    }

    proptest! {
        #[test]
        fn assignments_come_back(
            lengths in prop::collection::vec((1usize..3000, 0u16..5), 1..200),
        ) {
            let runs = lengths.iter().cycle();
            let owners = runs.flat_map(|(length, owner)| std::iter::repeat_n(*owner, *length));
            let members = record(5, Vec::new()).members;
            let owners = owners.take(SLOTS.into()).collect();
            let assignment = Assignment::new(members, owners).unwrap();
            let json = serde_json::to_string(&record(5, assignment.runs())).unwrap();
            let read: PlanRecord = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(Assignment::try_from(&read), Ok(assignment));
        }

        #[test]
        fn no_runs_panic(runs in prop::collection::vec(any::<(u16, u16, u16)>(), 0..9)) {
            let runs = runs.into_iter().map(|(first, last, owner)| PlanRun(first, last, owner));
            let _ = Assignment::try_from(&record(2, runs.collect()));
        }
    }

    #[test]
    fn malformed_runs_say_what_is_wrong() {
        for (runs, says) in [
            (vec![], "plan gives 0 slots an owner, of 16384"),
            (
                vec![PlanRun(0, 9, 0)],
                "plan gives 10 slots an owner, of 16384",
            ),
            (
                vec![PlanRun(1, 16383, 0)],
                "plan has the run 1..16383 where one from 0 to at most",
            ),
            (
                vec![PlanRun(0, 9, 0), PlanRun(9, 16383, 1)],
                "plan has the run 9..16383 where one from 10",
            ),
            (
                vec![PlanRun(0, 9, 0), PlanRun(10, 8, 1)],
                "plan has the run 10..8 where one from 10",
            ),
            (
                vec![PlanRun(0, 16384, 0)],
                "plan has the run 0..16384 where one from 0 to at most 16383",
            ),
            (
                vec![PlanRun(0, 16383, 2)],
                "plan names member 2; it has 2 members",
            ),
        ] {
            let problem = Assignment::try_from(&record(2, runs))
                .unwrap_err()
                .to_string();
            assert!(
                problem.starts_with(says),
                "{problem:?} should start with {says:?}"
            );
        }
    }

    #[test]
    fn slots_are_counted_and_found() {
        let record = record(3, vec![PlanRun(0, 9, 2), PlanRun(10, 16383, 0)]);
        let assignment = Assignment::try_from(&record).unwrap();
        assert_eq!(assignment.slots(), [16374, 0, 10]);
        assert_eq!(assignment.owner(Slot::new(9).unwrap()).name.as_str(), "n2");
        assert_eq!(assignment.owner(Slot::new(10).unwrap()).name.as_str(), "n0");
    }
}
