//! Plans after crashes: which members get the slots of the dead.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::operations::OperationKind;
use cached_proto::types::{MemberId, Slot};

use super::State;
use super::absence::Absent;
use super::drafting::Beside;
use super::event::Purpose;
use super::inquiry::Finding;
use crate::clock::Moment;
use crate::cluster::plan::{Current, Movement};

/// How much longer than G the planner waits: a member that was restarted waits G
/// itself before it registers, and shall find its slots not given away.
const RESTART_SLACK: Duration = Duration::from_millis(500);

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

    /// Whether slots of living owners are not where the plan wants them.
    pub(super) fn unsettled(&self, current: &Current) -> bool {
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
}
