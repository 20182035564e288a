//! What was asked of members, and what members ask for: shares for those that join,
//! other places for the slots of those that drain or leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::operations::{
    IntentRecord, OperationKind, OperationRecord, OperationState, Want,
};
use cached_proto::records::{MemberRecord, MemberState, PlanMember};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::{MemberId, NodeName};

use super::State;
use super::drafting::Beside;
use super::event::Purpose;
use super::life::put;
use crate::clock::Moment;
use crate::cluster::plan::Movement;
use crate::cluster::roster::{Candidate, applies, can_own, empties, planned, roster, wanted};
use crate::registry::Compare;

/// How long members that may be given slots wait for others that soon may.
const JOIN_TOGETHER: Duration = Duration::from_secs(1);

/// What is remembered of members' wishes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// This process wants to leave: from then on to its end.
    leave: bool,
    /// Since when this process has seen each member.
    pub(super) first_seen: BTreeMap<MemberId, Moment>,
    /// Until when those that may join wait for others.
    together: Option<Moment>,
}

impl State {
    /// What was asked of this life of a member.
    pub(super) fn intent(&self, id: &MemberId) -> Option<&IntentRecord> {
        let intent = self.mirror.intents.get(&id.name).map(|held| &held.value);
        applies(intent, id)
    }

    /// Whether this process said that it leaves: it is to end, whatever operators do.
    pub(super) fn leaves_by_itself(&self) -> bool {
        let own = self.me.as_ref().and_then(|me| Some((me, self.intent(me)?)));
        own.is_some_and(|(me, said)| said.want == Want::Leave && said.by == me.name.as_str())
    }

    /// Everybody who lives or owns rows, except the dead, by id. `changed` are intents
    /// that are about to be written, or deleted.
    pub(super) fn candidates<'a>(
        &'a self,
        dead: &BTreeSet<MemberId>,
        admitted: &dyn Fn(&MemberId) -> bool,
        changed: &'a BTreeMap<NodeName, Option<IntentRecord>>,
    ) -> Vec<Candidate<'a>> {
        let members = self.mirror.members.values().map(|held| &held.value);
        let members = members.filter(|record| record.state != MemberState::Gone);
        let living: BTreeMap<&MemberId, &MemberRecord> = members.map(|r| (&r.id, r)).collect();
        let plan = self.mirror.plan.as_ref().map(|plan| &plan.value);
        // Absent owners that the plan does not list were found dead when it was made.
        let judged = |id: &MemberId| {
            self.mirror.living(id).is_none() && plan.is_some_and(|plan| !plan.lists(id))
        };
        let owners = self.mirror.rows.keys();
        let owners = owners.filter(|id| !dead.contains(*id) && !judged(id));
        let ids: BTreeSet<&MemberId> = living.keys().copied().chain(owners).collect();
        let weights: BTreeMap<&MemberId, u32> = plan
            .iter()
            .flat_map(|plan| &plan.record.members)
            .map(|member| (&member.id, member.weight))
            .collect();
        let candidate = |id: &'a MemberId| Candidate {
            id,
            record: living.get(id).copied(),
            rows: self.mirror.rows.get(id).copied().unwrap_or(0),
            intent: match changed.get(&id.name) {
                Some(changed) => applies(changed.as_ref(), id),
                None => self.intent(id),
            },
            planned: weights.get(id).copied(),
            admitted: admitted(id),
        };
        ids.into_iter().map(candidate).collect()
    }

    /// The members of a plan that may move slots; `None`: not now.
    pub(super) fn roster(
        &self,
        dead: &BTreeSet<MemberId>,
        admitted: &dyn Fn(&MemberId) -> bool,
        changed: &BTreeMap<NodeName, Option<IntentRecord>>,
    ) -> Option<Vec<PlanMember>> {
        roster(&self.candidates(dead, admitted, changed))
    }

    /// Plans anew when a member that is to own nothing is still counted on. Answers
    /// whether other plans have to wait.
    pub(super) fn honour_intents(&mut self) -> bool {
        let asked = self.unhonoured();
        if asked.is_empty() {
            return false;
        }
        let nobody = BTreeSet::new();
        let none = BTreeMap::new();
        let mut members = self.roster(&nobody, &|_| false, &none);
        if members.as_ref().is_some_and(|members| !can_own(members)) {
            // Better those that have just come than nobody.
            members = self.roster(&nobody, &|_| true, &none);
        }
        // With nobody to receive there is nothing to plan: whoever leaves just goes.
        let Some(members) = members.filter(|members| can_own(members)) else {
            return false;
        };
        let nodes: Vec<NodeName> = asked.iter().map(|(id, _)| id.name.clone()).collect();
        let leaves = |(_, intent): &&(MemberId, IntentRecord)| intent.want == Want::Leave;
        let leavers = asked.iter().filter(leaves).count();
        let kind = match leavers {
            0 => OperationKind::Drain,
            all if all == asked.len() => OperationKind::Remove,
            _ => OperationKind::Mixed,
        };
        let verb = if leavers == 0 { "drains" } else { "leaves" };
        let reason = nodes.iter().map(|name| format!("{name} {verb}"));
        let reason = reason.collect::<Vec<_>>().join(", ");
        let current = self.current(&nobody);
        let Some(planned) = self.draft(&current, &members, Movement::Free, reason.clone()) else {
            return false;
        };
        let by = asked.first().map(|(_, intent)| intent.by.clone());
        let operation = self.carried_by(&planned, kind, &nodes, reason);
        let operation = operation.map(|(mut operation, mod_revision)| {
            // What is merged into the operation of somebody else drops nothing of others'.
            if mod_revision == 0 {
                operation.shed = leavers > 0;
                operation.by = by.unwrap_or_default();
                operation.message.clear();
            }
            (operation, mod_revision)
        });
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

    /// Members that were asked to own nothing and that the plan still counts on, or that
    /// own slots and nothing is being done about it.
    fn unhonoured(&self) -> Vec<(MemberId, IntentRecord)> {
        let Some(plan) = self.mirror.plan.as_ref().map(|plan| &plan.value.record) else {
            return Vec::new();
        };
        let idle = self.mirror.open_operation().is_none();
        let named = self.mirror.intents.keys();
        let living = named.filter_map(|name| Some(&self.mirror.members.get(name)?.value));
        let living = living.filter(|record| record.state != MemberState::Gone);
        let asked = living.filter_map(|record| {
            let intent = self.intent(&record.id).filter(|i| empties(Some(i)))?;
            let counted = planned(plan, &record.id).is_some_and(|weight| weight > 0);
            let owns = self.mirror.rows.contains_key(&record.id);
            (counted || owns && idle).then(|| (record.id.clone(), intent.clone()))
        });
        asked.collect()
    }

    /// Plans for newcomers that have lived long enough, all together.
    pub(super) fn join_by_itself(&mut self, now: Moment) {
        if !self.quiet() {
            return;
        }
        let waiting = self.joiners(now);
        let ripe = |(_, left): &&(MemberId, Duration)| left.is_zero();
        if !waiting.iter().any(|joiner| ripe(&joiner)) {
            self.wishes.together = None;
            return;
        }
        let soon = |(_, left): &&(MemberId, Duration)| !left.is_zero() && *left <= JOIN_TOGETHER;
        let until = match self.wishes.together {
            Some(until) => until,
            None if waiting.iter().any(|joiner| soon(&joiner)) => now + JOIN_TOGETHER,
            None => now,
        };
        self.wishes.together = Some(until);
        if now < until {
            return;
        }
        let joiners: BTreeSet<MemberId> = waiting
            .iter()
            .filter(ripe)
            .map(|(id, _)| id.clone())
            .collect();
        let nobody = BTreeSet::new();
        let members = self.roster(&nobody, &|id| joiners.contains(id), &BTreeMap::new());
        let Some(members) = members.filter(|members| can_own(members)) else {
            return;
        };
        let nodes: Vec<NodeName> = joiners.into_iter().map(|id| id.name).collect();
        let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let reason = format!("joined: {}", names.join(", "));
        let current = self.current(&nobody);
        let Some(planned) = self.draft(&current, &members, Movement::Free, reason) else {
            return;
        };
        let operation = self.new_operation(OperationKind::Join, &nodes, planned.record.layout);
        self.wishes.together = None;
        let beside = Beside {
            operation: Some((operation, 0)),
            ..Beside::default()
        };
        self.write_plan(Purpose::Plan, planned.record, beside);
    }

    /// Members that wait for their first slots, and how long each still has to live
    /// before it is given any.
    fn joiners(&self, now: Moment) -> Vec<(MemberId, Duration)> {
        let suspected = self.suspected(now);
        let left_out = self.left_out_lately();
        let members = self.mirror.members.values().map(|held| &held.value);
        let waits = |record: &&MemberRecord| {
            record.state == MemberState::Joining
                && !self.mirror.rows.contains_key(&record.id)
                && !suspected.contains_key(&record.id)
                && !left_out.contains(&record.id)
                && wanted(record, self.intent(&record.id)) > 0
        };
        let delay = self.config.join_delay;
        let left = |record: &MemberRecord| {
            let seen = self.wishes.first_seen.get(&record.id);
            let seen = seen.map_or(Duration::ZERO, |seen| now.since(*seen));
            let age = Duration::from_millis(self.wall.0.saturating_sub(record.started_ms));
            delay.saturating_sub(seen.min(age))
        };
        members
            .filter(waits)
            .map(|r| (r.id.clone(), left(r)))
            .collect()
    }

    /// Nothing is going on: every slot is where it should be, nobody is missing, and no
    /// operator's change is under way.
    fn quiet(&self) -> bool {
        let open = |record: &OperationRecord| {
            record.state.is_open() || record.state == OperationState::Requested
        };
        let operations = self.mirror.operations.values();
        let mut records = operations.filter_map(|op| op.record.as_ref());
        self.misplaced() == 0
            && self.orphaned().next().is_none()
            && !records.any(|held| open(&held.value))
    }

    /// This process shall end: its slots are to go elsewhere first.
    pub(super) fn on_leave(&mut self) {
        self.wishes.leave = true;
    }

    /// Says in the registry that this process leaves, until that is read.
    pub(super) fn say_leave(&mut self) {
        let Some((me, _)) = self.registered().filter(|_| self.wishes.leave) else {
            return;
        };
        let me = me.clone();
        let known = self.mirror.intents.get(&me.name);
        let said = applies(known.map(|held| &held.value), &me);
        // One that drains gives its slots away already, and drains again when it is back.
        // The wish stays: it is said again when an operation's end takes it back.
        if empties(said) {
            return;
        }
        let weight = said.and_then(|said| said.weight);
        if !self.settled() || !self.informed() || !self.somebody_receives(&me) {
            return;
        }
        let intent = IntentRecord {
            want: Want::Leave,
            inc: Some(me.inc),
            weight,
            by: me.name.to_string(),
            at_ms: self.wall.0,
        };
        let known = known.map_or(0, |held| held.mod_revision);
        let key = self.mirror.keys.key(&RegistryKey::Intent(me.name));
        let compares = vec![Compare::ModRevision(key.clone(), known)];
        self.submit(Purpose::SayLeave, compares, vec![put(key, &intent, 0)]);
    }

    /// Whether anybody else may be given the slots of a member that leaves.
    fn somebody_receives(&self, me: &MemberId) -> bool {
        let members = self.mirror.members.values().map(|held| &held.value);
        members
            .filter(|record| record.state != MemberState::Gone && record.id != *me)
            .any(|record| wanted(record, self.intent(&record.id)) > 0)
    }
}
