//! How operations end: with everything in its place, or before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::operations::{
    IntentRecord, OperationKind, OperationRecord, OperationState, Want,
};
use cached_proto::records::MemberState;
use cached_proto::types::NodeName;

use super::State;
use super::drafting::Beside;
use super::event::{Level, Purpose};
use super::operations::{AUTO, INTENTS_MAX, targets};
use crate::clock::Moment;
use crate::cluster::plan::{Current, Movement};
use crate::cluster::roster::{applies, can_own, empties, planned};

/// How long slots are elsewhere than the plan wants them, with no operation to move them,
/// before it is made anew: what belongs to it may be read a moment later.
const STRAGGLE: Duration = Duration::from_secs(2);

impl State {
    /// Whether every member that the operation asked to end has ended.
    pub(super) fn leavers_gone(&self, operation: &OperationRecord) -> bool {
        !operation.nodes.iter().any(|name| {
            let member = self.mirror.members.get(name).map(|held| &held.value);
            member.is_some_and(|record| {
                let leaves = |intent: &IntentRecord| intent.want == Want::Leave;
                record.state != MemberState::Gone && self.intent(&record.id).is_some_and(leaves)
            })
        })
    }

    /// Ends an operation whose slots are all in their place: it is done if that is what
    /// was asked for, and not only what was still possible.
    pub(super) fn finish(&mut self, operation: OperationRecord, mod_revision: i64) {
        let id = &operation.id;
        let missed = self.missed(&operation);
        let (state, reason) = match &missed {
            None => (OperationState::Done, operation.reason.clone()),
            Some(why) => (OperationState::Failed, why.clone()),
        };
        match missed {
            None => self.log(Level::Info, format!("operation {id} is done")),
            Some(why) => self.log(Level::Warn, format!("operation {id} failed: {why}")),
        }
        let operation = OperationRecord {
            state,
            reason,
            finished_ms: self.wall.0,
            ..operation
        };
        self.write_operation(operation, mod_revision);
    }

    /// The first thing that was asked for and did not happen.
    fn missed(&self, operation: &OperationRecord) -> Option<String> {
        let kind = operation.kind;
        let gives_shares = matches!(kind, OperationKind::Join | OperationKind::Mixed);
        let plan = self.mirror.plan.as_ref().map(|plan| &plan.value.record);
        operation.intents.iter().find_map(|(name, asked)| {
            let member = self.mirror.members.get(name).map(|held| &held.value);
            let living = member.filter(|record| record.state != MemberState::Gone);
            let rows = living.and_then(|record| self.mirror.rows.get(&record.id));
            let rows = rows.copied().unwrap_or(0);
            let restarted = living.is_some_and(|record| Some(record.id.inc) != asked.inc);
            // A very small share is no slot at all.
            let counted = living.zip(plan).and_then(|(r, plan)| planned(plan, &r.id));
            let left_out = living.is_some_and(|r| self.left_out_lately().contains(&r.id));
            let counted = counted.is_some_and(|weight| weight > 0) && !left_out;
            let has_share = rows > 0 || counted;
            match asked.want {
                Want::Drain if rows > 0 => Some(format!("{name} still owns {rows} slots")),
                Want::Leave if restarted && rows > 0 => Some(format!(
                    "{name} was restarted meanwhile and owns {rows} slots"
                )),
                Want::Serve if gives_shares && asked.weight != Some(0) && !has_share => {
                    Some(match living {
                        Some(_) => format!("{name} was given no slots"),
                        None => format!("{name} is no member any more"),
                    })
                }
                _ => None,
            }
        })
    }

    /// Ends an operation before everything is in its place: every slot stays where it is.
    pub(super) fn end(
        &mut self,
        operation: OperationRecord,
        mod_revision: i64,
        state: OperationState,
        reason: String,
    ) -> bool {
        let intents = self.taken_back(&operation);
        let nobody = BTreeSet::new();
        let members = self.roster(&nobody, &|_| false, &intents);
        let Some(mut members) = members else {
            return false;
        };
        if !can_own(&members) {
            members.iter_mut().for_each(|member| member.weight = 1);
        }
        let id = operation.id.clone();
        let why = format!("operation {id} is {}", state.name());
        let current = self.current(&nobody);
        // Whoever owns slots is listed, so only those of the dead are given to others.
        let Some(planned) = self.draft(&current, &members, Movement::OrphansOnly, why) else {
            return false;
        };
        let operation = OperationRecord {
            state,
            reason,
            layout: planned.record.layout,
            finished_ms: self.wall.0,
            ..operation
        };
        let beside = Beside {
            operation: Some((operation, mod_revision)),
            intents,
        };
        self.write_plan(Purpose::Operation(id), planned.record, beside);
        true
    }

    /// Plans that slots stay where they are when no operation is open that would move them.
    /// A batch that was sealed when its operation was ended is moved all the same; and a
    /// slot may be taken over from the dead by one member while the planner, who had not
    /// heard of it yet, gives it to another.
    pub(super) fn keep_stragglers(&mut self, now: Moment) -> bool {
        let Some(current) = self.left_behind() else {
            self.planner.stragglers_since = None;
            return false;
        };
        let since = *self.planner.stragglers_since.get_or_insert(now);
        if now.since(since) < STRAGGLE {
            return false;
        }
        let Some(mut members) = self.roster(&BTreeSet::new(), &|_| false, &BTreeMap::new()) else {
            return false;
        };
        if !can_own(&members) {
            members.iter_mut().for_each(|member| member.weight = 1);
        }
        let why = "slots had moved when it was planned".to_owned();
        let Some(planned) = self.draft(&current, &members, Movement::OrphansOnly, why) else {
            return false;
        };
        self.write_plan(Purpose::Plan, planned.record, Beside::default());
        true
    }

    /// The table, if slots are not where the plan wants them and nothing will move them.
    fn left_behind(&self) -> Option<Current> {
        let plan = &self.mirror.plan.as_ref()?.value;
        if self.misplaced() == 0 || self.mirror.open_operation().is_some() {
            return None;
        }
        let mut targets = targets(&plan.assignment).into_iter();
        if !targets.all(|id| self.mirror.living(id).is_some()) {
            return None;
        }
        let current = self.current(&BTreeSet::new());
        self.unsettled(&current).then_some(current)
    }

    /// What members shall do when an operation is ended: those that own slots serve on,
    /// those that were to get their first ones wait until they are asked for. Their
    /// weights are again those of before.
    fn taken_back(&self, operation: &OperationRecord) -> BTreeMap<NodeName, Option<IntentRecord>> {
        let mut intents = BTreeMap::new();
        let plan = self.mirror.plan.as_ref().map(|plan| &plan.value);
        let targets = plan
            .map(|plan| targets(&plan.assignment))
            .unwrap_or_default();
        let names: BTreeSet<&NodeName> = operation
            .nodes
            .iter()
            .chain(operation.before.keys())
            .collect();
        for name in names.into_iter().take(INTENTS_MAX) {
            let Some(record) = self.mirror.members.get(name).map(|held| &held.value) else {
                continue;
            };
            let intent = self.intent(&record.id);
            // Not when somebody asked for something else meanwhile.
            let written = self.mirror.intents.get(name).map(|held| &held.value);
            let unchanged = written == operation.intents.get(name);
            let before = operation.before.get(name).filter(|_| unchanged);
            let earlier = match before {
                Some(before) => applies(before.as_ref(), &record.id),
                None => intent,
            };
            let weight = earlier.and_then(|intent| intent.weight);
            let asked = |want| IntentRecord {
                want,
                inc: None,
                weight,
                by: AUTO.to_owned(),
                at_ms: self.wall.0,
            };
            let serves = || (record.standby || weight.is_some()).then(|| asked(Want::Serve));
            match (self.mirror.rows.contains_key(&record.id), empties(intent)) {
                (true, true) => drop(intents.insert(name.clone(), serves())),
                (false, false) if targets.contains(&record.id) => {
                    intents.insert(name.clone(), Some(asked(Want::Drain)));
                }
                (true, false) if earlier != intent && !empties(earlier) => {
                    drop(intents.insert(name.clone(), earlier.cloned().or_else(serves)));
                }
                // It serves on what it was given, though it gave all away before.
                (true, false) if earlier != intent => drop(intents.insert(name.clone(), serves())),
                _ if earlier != intent && empties(earlier) => {
                    intents.insert(name.clone(), earlier.cloned());
                }
                _ => {}
            }
        }
        intents
    }

    /// Which slots are not where the plan wants them, for people.
    pub(super) fn left_over(&self) -> String {
        let left = self.displaced();
        let total: u32 = left.values().sum();
        let owners = left
            .iter()
            .map(|(id, slots)| format!("{} ({slots})", id.name));
        match total {
            0 => "no slots left".to_owned(),
            _ => format!(
                "{total} slots left: {}",
                owners.collect::<Vec<_>>().join(", ")
            ),
        }
    }
}
