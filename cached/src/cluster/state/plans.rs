//! Plans: which members get the slots of the dead, and how any plan is made, checked
//! and written down, together with the operation that carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::operations::{IntentRecord, OperationKind, OperationRecord};
use cached_proto::records::{PlanMember, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::ring::ALGORITHM;
use cached_proto::types::{MemberId, NodeName, Slot};
use rand::Rng;

use super::State;
use super::absence::Absent;
use super::event::{Level, Purpose};
use super::inquiry::Finding;
use super::life::put;
use crate::clock::Moment;
use crate::cluster::plan::{Current, Holder, Movement, NOBODY, difference, plan};
use crate::cluster::plan_check::plan_check;
use crate::cluster::roster::can_own;
use crate::registry::{Compare, Write};

/// How much longer than G the planner waits: a member that was restarted waits G
/// itself before it registers, and shall find its slots not given away.
const RESTART_SLACK: Duration = Duration::from_millis(500);

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
    /// Plans anew when slots of a dead owner are promised to nobody who lives. Answers
    /// whether other plans have to wait.
    pub(super) fn plan_for_orphans(&mut self, now: Moment) -> bool {
        let mut dead = BTreeSet::new();
        let mut waiting = false;
        for id in self.unprovided() {
            let ripe = self
                .absent
                .get(&id)
                .is_some_and(|absent| self.ripe(absent, now));
            if !ripe {
                continue;
            }
            if self.absent.get(&id).is_some_and(|absent| absent.signed_off) {
                dead.insert(id);
                continue;
            }
            // A node that answers "me, not fenced" is never taken (R16), however few or
            // many have vanished.
            match self.inquire(&id, now) {
                Some(Finding::Silent(_)) => drop(dead.insert(id)),
                Some(Finding::Alive) => {}
                None => waiting = true,
            }
        }
        let settled = dead.is_empty() && self.all_owners_listed();
        if settled || waiting {
            return waiting;
        }
        let reason = self.reason(&dead);
        let current = self.current(&dead);
        // Only orphans are given away while nothing else is going on; whatever is goes
        // on among those that are left.
        let moving = self.mirror.open_operation().is_some() || self.unsettled(&current);
        let planned = match moving {
            true => self.plan_freely(&dead, now, reason.clone()),
            false => {
                let eligible = self.eligible(&dead, now);
                self.draft(&current, &eligible, Movement::OrphansOnly, reason.clone())
            }
        };
        let Some(planned) = planned else {
            return true;
        };
        let operation = self.carried_by(&planned, OperationKind::Rebalance, &[], reason);
        self.write_plan(
            Purpose::Plan,
            planned.record,
            Beside {
                operation,
                ..Beside::default()
            },
        );
        true
    }

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

    /// Whether slots of living owners are not where the plan wants them.
    fn unsettled(&self, current: &Current) -> bool {
        let Some(plan) = &self.mirror.plan else {
            return false;
        };
        Slot::all().any(|slot| {
            let holder = current.holder(slot).filter(|holder| holder.living);
            holder.is_some_and(|holder| holder.id != *plan.value.assignment.owner(slot))
        })
    }

    /// Whether the plan knows everybody who owns slots and lives. One that came back in
    /// time, and kept what the plan had given away already, is to be listed again:
    /// otherwise its next absence would be judged by the old plan.
    fn all_owners_listed(&self) -> bool {
        let Some(plan) = &self.mirror.plan else {
            return true;
        };
        let mut owners = self.mirror.rows.keys();
        owners.all(|id| plan.value.lists(id) || self.mirror.living(id).is_none())
    }

    /// Absent owners with slots that the plan does not give to a living member.
    fn unprovided(&self) -> BTreeSet<MemberId> {
        let mut unprovided = BTreeSet::new();
        if self.orphaned().next().is_none() {
            return unprovided;
        }
        let Some(plan) = self.mirror.plan.as_ref().map(|plan| &plan.value) else {
            return unprovided;
        };
        let living: Vec<bool> = plan
            .record
            .members
            .iter()
            .map(|member| self.mirror.living(&member.id).is_some())
            .collect();
        let pages = self.mirror.pages.iter().flatten();
        let rows = pages.flat_map(|page| &page.value.rows);
        for (row, planned) in rows.zip(plan.assignment.owners()) {
            let orphan = self.absent.contains_key(&row.owner);
            if orphan && (!living[usize::from(*planned)] || plan.lists(&row.owner)) {
                unprovided.insert(row.owner.clone());
            }
        }
        unprovided
    }

    /// Whether an owner has been absent for long enough to plan for its slots. After an
    /// outage of the registry, leases that ended in it are no sign of death: members
    /// get two lease times to come back.
    pub(super) fn ripe(&self, absent: &Absent, now: Moment) -> bool {
        let after_outage = self
            .reads
            .back_at
            .is_some_and(|back| now.since(back) < self.config.lease_ttl * 2);
        let excused = after_outage && !absent.signed_off && !absent.removed_here;
        !excused && self.waited(absent, RESTART_SLACK, now)
    }

    fn reason(&self, dead: &BTreeSet<MemberId>) -> String {
        let restarted = |id: &&MemberId| self.mirror.members.contains_key(&id.name);
        let names = |ids: Vec<&MemberId>| {
            ids.iter()
                .map(|id| id.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (back, gone): (Vec<_>, Vec<_>) = dead.iter().partition(restarted);
        match (back.is_empty(), gone.is_empty()) {
            (true, true) => "an owner came back in time".to_owned(),
            (true, _) => format!("gone: {}", names(gone)),
            (false, true) => format!("restarted: {}", names(back)),
            (false, false) => format!("gone: {}; restarted: {}", names(gone), names(back)),
        }
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
        let assignment = match plan(current, eligible, virtual_nodes, movement) {
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
        let findings = plan_check(current, &record, eligible, movement);
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
        self.submit(purpose, compares, writes);
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
