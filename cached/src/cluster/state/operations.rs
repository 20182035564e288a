//! The life of operations: put in force or refused, and merged with what comes up
//! meanwhile. How they end is in `endings`.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::assignment::Assignment;
use cached_proto::operations::{OperationKind, OperationRecord, OperationState};
use cached_proto::records::{MemberState, PlanRecord};
use cached_proto::types::{MemberId, NodeName};
use rand::Rng;

use super::State;
use super::drafting::Beside;
use super::event::{Level, Purpose};
use super::mirror::Held;
use crate::clock::Moment;
use crate::cluster::plan::Movement;
use crate::cluster::plan_check::plan_check;

/// Lines of [`OperationRecord::merged`].
const MERGED_MAX: usize = 20;

/// Intents that one operation may write: etcd takes 128 writes in a transaction, and
/// the plan and the operation are written along.
pub(super) const INTENTS_MAX: usize = 120;

/// How long what the cluster does by itself may take: an operation that nobody asked for
/// must not be in the way of others for good.
const AUTO_DEADLINE_MS: u64 = 60 * 60 * 1_000;

/// Who asks for what the cluster does by itself.
pub(super) const AUTO: &str = "auto";

impl State {
    /// An operation that runs from now on, asked for by nobody.
    pub(super) fn new_operation(
        &mut self,
        kind: OperationKind,
        nodes: &[NodeName],
        layout: u64,
    ) -> OperationRecord {
        let deadline_ms = match kind {
            OperationKind::Join | OperationKind::Rebalance => self.wall.0 + AUTO_DEADLINE_MS,
            _ => 0,
        };
        OperationRecord {
            id: format!("op-{:08x}", self.rng.random::<u32>()),
            kind,
            state: OperationState::Running,
            nodes: nodes.to_vec(),
            base_layout: layout.saturating_sub(1),
            layout,
            draft: None,
            intents: BTreeMap::new(),
            before: BTreeMap::new(),
            by: AUTO.to_owned(),
            message: String::new(),
            requested_ms: self.wall.0,
            started_ms: self.wall.0,
            finished_ms: 0,
            deadline_ms,
            max_rate: 0,
            shed: false,
            cancel: false,
            merged: Vec::new(),
            reason: String::new(),
        }
    }

    /// The open operation as it goes on under the plan of that layout, with the
    /// revision of its last change.
    pub(super) fn merge(
        &self,
        layout: u64,
        kind: OperationKind,
        nodes: &[NodeName],
        line: String,
    ) -> Option<(OperationRecord, i64)> {
        let open = self.mirror.open_operation()?;
        let mut operation = open.value.clone();
        operation.layout = layout;
        if !nodes.is_empty() && operation.kind != kind {
            operation.kind = OperationKind::Mixed;
        }
        let new = nodes.iter().filter(|name| !open.value.nodes.contains(name));
        operation.nodes.extend(new.cloned());
        operation.merged.push(line);
        let over = operation.merged.len().saturating_sub(MERGED_MAX);
        operation.merged.drain(..over);
        Some((operation, open.mod_revision))
    }

    /// Moves operations on. Answers whether other plans have to wait.
    pub(super) fn step_operations(&mut self, now: Moment) -> bool {
        if let Some(open) = self.mirror.open_operation().cloned() {
            let operation = open.value;
            let late = operation.deadline_ms > 0 && operation.deadline_ms <= self.wall.0;
            if self.misplaced() == 0 && self.leavers_gone(&operation) {
                self.finish(operation, open.mod_revision);
                return true;
            }
            if operation.cancel {
                let reason = match operation.reason.is_empty() {
                    true => "cancelled".to_owned(),
                    false => operation.reason.clone(),
                };
                let reason = format!("{reason}: {}", self.left_over());
                return self.end(
                    operation,
                    open.mod_revision,
                    OperationState::Cancelled,
                    reason,
                );
            }
            if late {
                let reason = format!("the deadline has passed: {}", self.left_over());
                return self.end(operation, open.mod_revision, OperationState::Failed, reason);
            }
        }
        let requested = self.mirror.operations.values();
        let requested = requested.filter_map(|operation| operation.record.as_ref());
        let requested = requested.filter(|held| held.value.state == OperationState::Requested);
        let Some(oldest) = requested.min_by_key(|held| held.mod_revision).cloned() else {
            return self.replace_lost_targets(now)
                || self.plan_around(now)
                || self.keep_stragglers(now);
        };
        match self.permitted(&oldest.value) {
            Ok(plan) => self.put_in_force(oldest, plan),
            Err(why) => self.refuse(oldest, why),
        }
        true
    }

    pub(super) fn write_operation(&mut self, operation: OperationRecord, mod_revision: i64) {
        let purpose = Purpose::Operation(operation.id.clone());
        let (mut compares, writes) = self.beside(Beside {
            operation: Some((operation, mod_revision)),
            ..Beside::default()
        });
        // What this was decided on: the plan that was read.
        compares.extend(self.same_plan());
        self.submit(purpose, compares, writes);
    }

    fn refuse(&mut self, held: Held<OperationRecord>, why: String) {
        let id = held.value.id.clone();
        self.log(Level::Warn, format!("operation {id} is refused: {why}"));
        let operation = OperationRecord {
            state: OperationState::Refused,
            finished_ms: self.wall.0,
            reason: why,
            draft: None,
            ..held.value
        };
        self.write_operation(operation, held.mod_revision);
    }

    fn put_in_force(&mut self, held: Held<OperationRecord>, plan: PlanRecord) {
        let named = held.value.intents.keys();
        let before = named.map(|name| {
            let known = self.mirror.intents.get(name);
            (name.clone(), known.map(|held| held.value.clone()))
        });
        let before = before.collect();
        let operation = OperationRecord {
            state: OperationState::Running,
            layout: plan.layout,
            started_ms: self.wall.0,
            draft: None,
            before,
            ..held.value
        };
        let intents = operation.intents.iter();
        let intents = intents.map(|(name, intent)| (name.clone(), Some(intent.clone())));
        let beside = Beside {
            intents: intents.collect(),
            operation: Some((operation.clone(), held.mod_revision)),
        };
        self.write_plan(Purpose::Operation(operation.id), plan, beside);
    }

    /// The plan that a requested operation may put in force, or why it may not.
    fn permitted(&self, operation: &OperationRecord) -> Result<PlanRecord, String> {
        if let Some(open) = self.mirror.open_operation() {
            let id = &open.value.id;
            return Err(format!("operation {id} is {}", open.value.state.name()));
        }
        let layout = self.layout();
        let draft = operation.draft.as_ref().ok_or("it has no plan")?;
        if operation.base_layout != layout || draft.base_layout != layout {
            let base = operation.base_layout;
            return Err(format!(
                "it was planned for layout {base}, and the layout is {layout} now"
            ));
        }
        if operation.intents.len() > INTENTS_MAX {
            let asked = operation.intents.len();
            return Err(format!(
                "it is about {asked} members; the limit is {INTENTS_MAX} at a time"
            ));
        }
        for id in self.mirror.rows.keys() {
            if !draft.members.iter().any(|member| member.id == *id) {
                return Err(format!("{} owns slots and was not planned with", id.name));
            }
        }
        for member in &draft.members {
            let living = self.mirror.living(&member.id);
            if living.is_none_or(|held| held.value.state == MemberState::Gone) {
                let name = &member.id.name;
                return Err(format!("{name} has gone, or was restarted, meanwhile"));
            }
        }
        let current = self.current(&BTreeSet::new());
        let findings = plan_check(&current, draft, &draft.members, Movement::Free);
        match findings.first() {
            Some(finding) => Err(format!("slots have moved since it was planned: {finding}")),
            None => Ok(PlanRecord {
                layout: layout + 1,
                ..draft.clone()
            }),
        }
    }

    /// Plans anew when slots are promised to members that are gone and own nothing:
    /// nobody loses anything by it.
    fn replace_lost_targets(&mut self, now: Moment) -> bool {
        let Some(plan) = self.mirror.plan.as_ref().map(|plan| &plan.value) else {
            return false;
        };
        if self.misplaced() == 0 {
            return false;
        }
        let targets = targets(&plan.assignment).into_iter();
        let lost = targets.filter(|id| {
            let ripe = self.absent.get(*id).is_none_or(|a| self.ripe(a, now));
            ripe && self.mirror.living(id).is_none() && !self.mirror.rows.contains_key(*id)
        });
        let lost: Vec<String> = lost.map(|id| id.name.to_string()).collect();
        if lost.is_empty() {
            return false;
        }
        let reason = format!("gone: {}", lost.join(", "));
        let Some(planned) = self.plan_freely(&BTreeSet::new(), now, reason.clone()) else {
            return false;
        };
        let operation = self.carried_by(&planned, OperationKind::Rebalance, &[], reason);
        let beside = Beside {
            operation,
            ..Beside::default()
        };
        self.write_plan(Purpose::Plan, planned.record, beside);
        true
    }
}

/// Members that an assignment gives slots to.
pub(super) fn targets(assignment: &Assignment) -> BTreeSet<&MemberId> {
    let members = assignment.members().iter().zip(assignment.slots());
    let targets = members.filter(|(_, slots)| *slots > 0);
    targets.map(|(member, _)| &member.id).collect()
}
