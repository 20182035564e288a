//! How a plan is made, checked and written down, together with the operation that
//! carries it out.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::operations::{IntentRecord, OperationKind, OperationRecord};
use cached_proto::records::{PlanMember, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::ring::ALGORITHM;
use cached_proto::types::{MemberId, NodeName, Slot};
use rand::Rng;

use super::State;
use super::event::{Level, Purpose};
use super::life::put;
use crate::clock::Moment;
use crate::cluster::plan::{Current, Holder, Movement, NOBODY, difference, plan_around};
use crate::cluster::plan_check::plan_check_around;
use crate::cluster::roster::can_own;
use crate::registry::{Compare, Write};

/// A plan that was made and found without fault.
pub(super) struct Planned {
    pub(super) record: PlanRecord,
    /// Living owners have to give slots away for it.
    pub(super) moves: bool,
}

/// What is written together with a plan.
#[derive(Default)]
pub(super) struct Beside {
    /// An operation, with the revision of its last change; 0: it is new.
    pub(super) operation: Option<(OperationRecord, i64)>,
    /// Intents; `None`: to be deleted.
    pub(super) intents: BTreeMap<NodeName, Option<IntentRecord>>,
}

impl State {
    /// The open operation, which goes on under a new plan, or a new one if the plan moves
    /// slots.
    pub(super) fn carried_by(
        &mut self,
        planned: &Planned,
        kind: OperationKind,
        nodes: &[NodeName],
        reason: String,
    ) -> Option<(OperationRecord, i64)> {
        let layout = planned.record.layout;
        if let Some(merged) = self.merge(layout, kind, nodes, reason.clone()) {
            return Some(merged);
        }
        planned.moves.then(|| {
            let operation = self.new_operation(kind, nodes, layout);
            let operation = OperationRecord {
                message: reason,
                ..operation
            };
            (operation, 0)
        })
    }

    /// Who may be given slots of the dead: members that own some or are counted on, and
    /// restarted ones, whose slots return to them; suspects, newcomers, and in the end
    /// those that were asked to own none, only if there is nobody else.
    pub(super) fn eligible(&self, dead: &BTreeSet<MemberId>, now: Moment) -> Vec<PlanMember> {
        let suspected = self.suspected(now);
        let well = |id: &MemberId| !suspected.contains_key(id);
        let restarted = |id: &MemberId| dead.iter().any(|dead| dead.name == id.name);
        let fit = |admitted: &dyn Fn(&MemberId) -> bool, fit: &dyn Fn(&MemberId) -> bool| {
            let none = BTreeMap::new();
            let candidates = self.candidates(dead, admitted, &none);
            let living = candidates
                .into_iter()
                .filter(|c| c.record.is_some() && fit(c.id));
            let members = living.map(|c| PlanMember {
                id: c.id.clone(),
                weight: c.weight(),
            });
            members
                .filter(|member| member.weight > 0)
                .collect::<Vec<_>>()
        };
        let choices = [
            fit(&restarted, &well),
            fit(&restarted, &|_| true),
            fit(&|_| true, &well),
            fit(&|_| true, &|_| true),
        ];
        let choice = choices.into_iter().find(|choice| !choice.is_empty());
        choice.unwrap_or_else(|| self.anybody())
    }

    /// All members: whatever was asked of them, somebody has to own the slots.
    fn anybody(&self) -> Vec<PlanMember> {
        self.members()
            .filter_map(|peer| {
                let weight = self.mirror.living(&peer.id)?.value.weight.max(1);
                Some(PlanMember {
                    id: peer.id,
                    weight,
                })
            })
            .collect()
    }

    /// A plan that moves slots so that everybody has its share.
    pub(super) fn plan_freely(
        &mut self,
        dead: &BTreeSet<MemberId>,
        now: Moment,
        reason: String,
    ) -> Option<Planned> {
        let restarted = |id: &MemberId| dead.iter().any(|dead| dead.name == id.name);
        let mut members = self.roster(dead, &restarted, &BTreeMap::new())?;
        if !can_own(&members) {
            let mut instead = self.eligible(dead, now);
            let listed = |id: &MemberId| instead.iter().any(|member| member.id == *id);
            members.retain(|member| !listed(&member.id));
            let named = |id: &MemberId| members.iter().any(|member| member.id.name == id.name);
            instead.retain(|member| !named(&member.id));
            members.extend(instead);
        }
        self.draft(&self.current(dead), &members, Movement::Free, reason)
    }

    /// The table that a plan starts from. Owners that are absent and not known to be
    /// dead keep their slots; a plan that does not list them knew.
    pub(super) fn current(&self, dead: &BTreeSet<MemberId>) -> Current {
        let plan = self.mirror.plan.as_ref().map(|plan| &plan.value);
        let judged = |id: &MemberId| {
            self.mirror.living(id).is_none() && plan.is_some_and(|plan| !plan.lists(id))
        };
        let holders: Vec<Holder> = self
            .mirror
            .rows
            .keys()
            .map(|id| Holder {
                id: id.clone(),
                living: !dead.contains(id) && !judged(id),
            })
            .collect();
        let index: BTreeMap<&MemberId, u16> = self.mirror.rows.keys().zip(0..).collect();
        let owner = |slot| {
            self.mirror
                .row(slot)
                .and_then(|row| index.get(&row.owner).copied())
        };
        let rows = Slot::all()
            .map(|slot| owner(slot).unwrap_or(NOBODY))
            .collect();
        Current { holders, rows }
    }

    /// A plan as it will be written, if it is without fault.
    pub(super) fn draft(
        &mut self,
        current: &Current,
        eligible: &[PlanMember],
        movement: Movement,
        reason: String,
    ) -> Option<Planned> {
        let virtual_nodes = self.mirror.meta.as_ref()?.value.virtual_nodes;
        let closed = self.closed_among(eligible);
        let assignment = match plan_around(current, eligible, &closed, virtual_nodes, movement) {
            Ok(assignment) => assignment,
            Err(why) => return self.cannot_plan(format!("no plan for {reason:?}: {why}")),
        };
        let layout = self.layout();
        let listed: BTreeSet<&MemberId> = assignment.members().iter().map(|m| &m.id).collect();
        let excluded = self.members().filter(|peer| !listed.contains(&peer.id));
        let excluded: Vec<NodeName> = excluded.map(|peer| peer.id.name).collect();
        let record = PlanRecord {
            layout: layout + 1,
            id: format!("{:08x}", self.rng.random::<u32>()),
            reason,
            algorithm: ALGORITHM,
            virtual_nodes,
            base_layout: layout,
            members: assignment.members().to_vec(),
            excluded,
            runs: assignment.runs(),
        };
        let findings = plan_check_around(current, &record, eligible, &closed, movement);
        if let Some(finding) = findings.first() {
            return self.cannot_plan(format!("a plan was refused: {finding}"));
        }
        self.planner.fault = None;
        let living = |id: &MemberId| current.holders.iter().any(|h| h.living && h.id == *id);
        let moves = difference(current, &assignment);
        let moves = moves.iter().filter_map(|m| m.from.as_ref()).any(living);
        Some(Planned { record, moves })
    }

    /// The layout number of the plan in force.
    pub(super) fn layout(&self) -> u64 {
        let plan = self.mirror.plan.as_ref();
        plan.map_or(0, |plan| plan.value.record.layout)
    }

    fn cannot_plan(&mut self, why: String) -> Option<Planned> {
        if self.planner.fault.as_ref() != Some(&why) {
            self.log(Level::Error, why.clone());
            self.planner.fault = Some(why);
        }
        None
    }

    /// Puts a plan in force if the one that it was made from still is, together with what
    /// belongs to it.
    pub(super) fn write_plan(&mut self, purpose: Purpose, record: PlanRecord, beside: Beside) {
        let key = self.mirror.keys.key(&RegistryKey::Plan);
        let (mut compares, mut writes) = self.beside(beside);
        let known = self.mirror.plan.as_ref();
        let known = known.map_or(0, |plan| plan.mod_revision);
        compares.push(Compare::ModRevision(key.clone(), known));
        writes.push(put(key, &record, 0));
        writes.push(self.kept(&record));
        self.submit(purpose, compares, writes);
    }

    /// The write that keeps a plan for those who look back.
    pub(super) fn kept(&self, record: &PlanRecord) -> Write {
        let key = self.mirror.keys.key(&RegistryKey::Layout(record.layout));
        put(key, record, 0)
    }

    /// The planner's comparisons and writes for operations and intents.
    pub(super) fn beside(&self, beside: Beside) -> (Vec<Compare>, Vec<Write>) {
        let mut compares = self.as_planner();
        let mut writes = Vec::new();
        if let Some((operation, mod_revision)) = beside.operation {
            let key = RegistryKey::Operation(operation.id.clone());
            let key = self.mirror.keys.key(&key);
            compares.push(Compare::ModRevision(key.clone(), mod_revision));
            writes.push(put(key, &operation, 0));
        }
        for (name, intent) in beside.intents {
            let known = self.mirror.intents.get(&name);
            let key = self.mirror.keys.key(&RegistryKey::Intent(name));
            let known = known.map_or(0, |held| held.mod_revision);
            compares.push(Compare::ModRevision(key.clone(), known));
            writes.push(match intent {
                Some(intent) => put(key, &intent, 0),
                None => Write::Delete(key),
            });
        }
        (compares, writes)
    }
}
