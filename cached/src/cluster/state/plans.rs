//! Plans: which members get the slots of the dead, and how that is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::records::{MemberState, PlanMember, PlanRecord};
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
use crate::cluster::plan::{Current, Holder, Movement, NOBODY, plan};
use crate::cluster::plan_check::plan_check;
use crate::registry::Compare;

/// How much longer than G the planner waits: a member that was restarted waits G
/// itself before it registers, and shall find its slots not given away.
const RESTART_SLACK: Duration = Duration::from_millis(500);

impl State {
    /// Plans anew when slots of a dead owner are promised to nobody who lives.
    pub(super) fn plan_for_orphans(&mut self, now: Moment) {
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
            return;
        }
        let reason = self.reason(&dead);
        let eligible = self.eligible(&dead, now);
        let current = self.current(&dead);
        let Some(record) = self.draft(&current, &eligible, reason) else {
            return;
        };
        let key = self.mirror.keys.key(&RegistryKey::Plan);
        let mut compares = self.as_planner();
        let known = self
            .mirror
            .plan
            .as_ref()
            .map_or(0, |plan| plan.mod_revision);
        compares.push(Compare::ModRevision(key.clone(), known));
        self.submit(Purpose::Plan, compares, vec![put(key, &record, 0)]);
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
    fn ripe(&self, absent: &Absent, now: Moment) -> bool {
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

    /// Who may be given slots: members that are up, and restarted ones, whose slots
    /// return to them; suspects and joining members only if there is nobody else.
    fn eligible(&self, dead: &BTreeSet<MemberId>, now: Moment) -> Vec<PlanMember> {
        let suspected = self.suspected(now);
        let restarted = |id: &MemberId| dead.iter().any(|dead| dead.name == id.name);
        let up = |id: &MemberId, state| state == MemberState::Up || restarted(id);
        let well = |id: &MemberId| !suspected.contains_key(id);
        let record = |id: &MemberId| self.mirror.living(id).map(|held| held.value.state);
        let is_up = |id: &MemberId| record(id).is_some_and(|state| up(id, state));
        let choices: [Vec<PlanMember>; 4] = [
            self.plan_members(|id| is_up(id) && well(id)),
            self.plan_members(is_up),
            self.plan_members(well),
            self.plan_members(|_| true),
        ];
        choices
            .into_iter()
            .find(|choice| !choice.is_empty())
            .unwrap_or_default()
    }

    pub(super) fn plan_members(&self, fit: impl Fn(&MemberId) -> bool) -> Vec<PlanMember> {
        let living = self.mirror.members.values().map(|member| &member.value);
        living
            .filter(|r| !matches!(r.state, MemberState::Gone | MemberState::Draining) && fit(&r.id))
            .map(|r| PlanMember {
                id: r.id.clone(),
                weight: r.weight.max(1),
            })
            .collect()
    }

    /// The table that a plan starts from. Owners that are absent and not known to be
    /// dead keep their slots.
    fn current(&self, dead: &BTreeSet<MemberId>) -> Current {
        let holders: Vec<Holder> = self
            .mirror
            .rows
            .keys()
            .map(|id| Holder {
                id: id.clone(),
                living: !dead.contains(id),
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
        reason: String,
    ) -> Option<PlanRecord> {
        let virtual_nodes = self.mirror.meta.as_ref()?.value.virtual_nodes;
        let movement = Movement::OrphansOnly;
        let assignment = match plan(current, eligible, virtual_nodes, movement) {
            Ok(assignment) => assignment,
            Err(why) => return self.cannot_plan(format!("no plan for {reason:?}: {why}")),
        };
        let layout = self
            .mirror
            .plan
            .as_ref()
            .map_or(0, |plan| plan.value.record.layout);
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
        Some(record)
    }

    fn cannot_plan(&mut self, why: String) -> Option<PlanRecord> {
        if self.planner.fault.as_ref() != Some(&why) {
            self.log(Level::Error, why.clone());
            self.planner.fault = Some(why);
        }
        None
    }
}
