//! Who counts for how much when a plan is made: members' own words, operators'
//! intents, and what the plan in force says. Pure; the planner and the operator's
//! drafts share it.

use std::collections::BTreeSet;

use cached_proto::operations::{IntentRecord, Want};
use cached_proto::records::{MemberRecord, PlanMember, PlanRecord};
use cached_proto::types::{MemberId, NodeName};

/// One life of a member, as planning sees it.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: &'a MemberId,
    /// Its record; `None`: it is no member, or has signed off.
    pub(super) record: Option<&'a MemberRecord>,
    /// Rows that name it.
    pub(super) rows: u32,
    /// What was asked of this life.
    pub(super) intent: Option<&'a IntentRecord>,
    /// Its weight in the plan in force; `None`: not listed.
    pub(super) planned: Option<u32>,
    /// It may be given slots although it has none yet and the plan does not count on it.
    pub(super) admitted: bool,
}

impl Candidate<'_> {
    /// The weight that it plans with: 0 owns nothing.
    pub(super) fn weight(&self) -> u32 {
        let taken_in = self.rows > 0 || self.planned.is_some_and(|weight| weight > 0);
        match self.record {
            Some(record) if taken_in || self.admitted => wanted(record, self.intent),
            _ => 0,
        }
    }
}

/// The weight of a member that lived long enough: 0 when it drains, leaves, or is on
/// standby and nobody asked it to serve.
pub(super) fn wanted(record: &MemberRecord, intent: Option<&IntentRecord>) -> u32 {
    let weight = intent.and_then(|intent| intent.weight);
    match intent.map(|intent| intent.want) {
        Some(Want::Drain | Want::Leave) => 0,
        None if record.standby => 0,
        Some(Want::Serve) | None => weight.unwrap_or(record.weight),
    }
}

/// An intent, if it speaks of this life of the name.
pub(super) fn applies<'a>(
    intent: Option<&'a IntentRecord>,
    id: &MemberId,
) -> Option<&'a IntentRecord> {
    intent.filter(|intent| intent.inc.is_none_or(|inc| inc == id.inc))
}

/// Whether an intent asks a member to give its slots away.
pub(super) fn empties(intent: Option<&IntentRecord>) -> bool {
    intent.is_some_and(|intent| matches!(intent.want, Want::Drain | Want::Leave))
}

/// The weight of a member in a plan; `None`: not listed.
pub(super) fn planned(plan: &PlanRecord, id: &MemberId) -> Option<u32> {
    let member = plan.members.iter().find(|member| member.id == *id);
    member.map(|member| member.weight)
}

/// The members of the next plan. Whoever owns rows is listed, because a plan that does
/// not list an owner says that its slots may be taken: with weight 0 when it is to own
/// none; owners that are absent with the weight that they had, so that nothing is moved
/// before they are known to be dead. `None`: an absent owner and a living one share a
/// name; a ring has one place for both, and it will be known soon whether one is dead.
pub(super) fn roster(candidates: &[Candidate<'_>]) -> Option<Vec<PlanMember>> {
    let away = |c: &&Candidate<'_>| c.record.is_none() && c.rows > 0;
    let held: BTreeSet<&NodeName> = candidates.iter().filter(away).map(|c| &c.id.name).collect();
    let mut members = Vec::new();
    for candidate in candidates {
        let weight = match candidate.record {
            None if candidate.rows == 0 => continue,
            None if empties(candidate.intent) => 0,
            None => candidate.planned.unwrap_or(1).max(1),
            Some(_) if held.contains(&candidate.id.name) => match candidate.rows {
                0 => continue,
                _ => return None,
            },
            Some(_) => candidate.weight(),
        };
        if weight > 0 || candidate.rows > 0 {
            let id = candidate.id.clone();
            members.push(PlanMember { id, weight });
        }
    }
    Some(members)
}

/// Whether anybody of these may own slots.
pub(super) fn can_own(members: &[PlanMember]) -> bool {
    members.iter().any(|member| member.weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing;

    fn intent(want: Want, weight: Option<u32>) -> IntentRecord {
        IntentRecord {
            want,
            inc: None,
            weight,
            by: "ann@desk".to_owned(),
            at_ms: 0,
        }
    }

    #[test]
    fn weights_follow_intents_standby_and_age() {
        let own = testing::member("n1");
        let standby = MemberRecord {
            standby: true,
            ..own.clone()
        };
        let (serve, drain) = (intent(Want::Serve, Some(7)), intent(Want::Drain, Some(7)));
        let leave = intent(Want::Leave, None);
        for (record, intent, weight) in [
            (&own, None, 1),
            (&own, Some(&serve), 7),
            (&own, Some(&drain), 0),
            (&own, Some(&leave), 0),
            (&standby, None, 0),
            (&standby, Some(&serve), 7),
            (&standby, Some(&drain), 0),
        ] {
            assert_eq!(wanted(record, intent), weight, "{intent:?}");
            let mut candidate = Candidate {
                id: &record.id,
                record: Some(record),
                rows: 0,
                intent,
                planned: None,
                admitted: false,
            };
            assert_eq!(candidate.weight(), 0, "not taken in");
            candidate.planned = Some(0);
            assert_eq!(candidate.weight(), 0, "listed as one that owns nothing");
            candidate.planned = Some(3);
            assert_eq!(candidate.weight(), weight);
            candidate.planned = None;
            candidate.rows = 5;
            assert_eq!(candidate.weight(), weight);
        }
    }

    #[test]
    fn whoever_owns_rows_is_listed() {
        let record = testing::member("n1");
        let mut other = record.id.clone();
        other.inc.0 += 1;
        let drain = intent(Want::Drain, None);
        let living = Candidate {
            id: &record.id,
            record: Some(&record),
            rows: 0,
            intent: None,
            planned: Some(1),
            admitted: false,
        };
        let absent = Candidate {
            id: &other,
            record: None,
            rows: 9,
            planned: Some(4),
            ..living.clone()
        };
        let listed = |candidates: &[Candidate<'_>]| {
            let members = roster(candidates)?;
            Some(
                members
                    .iter()
                    .map(|m| (m.id.inc, m.weight))
                    .collect::<Vec<_>>(),
            )
        };
        let (inc, away) = (record.id.inc, other.inc);
        assert_eq!(listed(std::slice::from_ref(&living)), Some(vec![(inc, 1)]));
        let draining = Candidate {
            intent: Some(&drain),
            rows: 3,
            ..living.clone()
        };
        assert_eq!(
            listed(std::slice::from_ref(&draining)),
            Some(vec![(inc, 0)])
        );
        let drained = Candidate {
            rows: 0,
            ..draining.clone()
        };
        assert_eq!(listed(&[drained]), Some(vec![]));
        // A name stands once: its absent owner counts until it is known to be dead.
        assert_eq!(listed(&[living, absent.clone()]), Some(vec![(away, 4)]));
        assert_eq!(listed(&[draining, absent]), None);
    }
}
