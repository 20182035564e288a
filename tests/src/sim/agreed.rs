//! What the cluster agrees on, as the desk hears it from the registry.

use std::collections::{BTreeMap, BTreeSet};

use cached::registry::Record;
use cached_proto::operations::OperationRecord;
use cached_proto::records::{MemberRecord, MemberState, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{GroupName, Incarnation, MemberId, NodeName, SLOTS, Slot};

use super::scene::{Scene, now};
use crate::history::Loss;

/// How long after a change the desk may hear of it.
pub(super) const HEARSAY: u64 = 300_000;

/// What the cluster agrees on, as the registry tells it.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    pub(super) members: BTreeMap<NodeName, (MemberRecord, i64)>,
    pub(super) plan: Option<PlanRecord>,
    pub(super) pages: BTreeMap<usize, (Page, i64)>,
    pub(super) operations: BTreeMap<String, OperationRecord>,
    pub(super) groups: BTreeSet<GroupName>,
}

/// Who should own each slot.
pub(super) fn wanted(plan: &PlanRecord) -> Vec<Option<&MemberId>> {
    let mut wanted = vec![None; usize::from(SLOTS)];
    for run in &plan.runs {
        let owner = plan
            .members
            .get(usize::from(run.2))
            .map(|member| &member.id);
        for slot in run.0..=run.1 {
            wanted[usize::from(slot)] = owner;
        }
    }
    wanted
}

impl Agreed {
    pub(super) fn row(&self, slot: u16) -> Option<&Row> {
        let index = PageIndex::of(Slot::new(slot).ok()?).index();
        let (page, _) = self.pages.get(&index)?;
        page.rows.get(usize::from(slot) % page.rows.len())
    }

    pub(super) fn lives(&self, id: &MemberId) -> bool {
        let member = self.members.get(&id.name);
        member
            .is_some_and(|(record, _)| record.id.inc == id.inc && record.state != MemberState::Gone)
    }

    pub(super) fn put(&mut self, scene: &Scene, key: Option<RegistryKey>, record: &Record) {
        match key {
            Some(RegistryKey::Member(name)) => {
                if let Ok(member) = serde_json::from_slice::<MemberRecord>(&record.value) {
                    tracing::info!(%name, state = %member.state, inc = %member.id.inc, "member");
                    self.members.insert(name, (member, record.lease));
                }
            }
            Some(RegistryKey::Plan) => match serde_json::from_slice(&record.value) {
                Ok(plan) => {
                    let plan: PlanRecord = plan;
                    tracing::info!(layout = plan.layout, reason = plan.reason, "plan");
                    self.plan = Some(plan);
                }
                Err(error) => scene.problem(format!("the plan cannot be read: {error}")),
            },
            Some(RegistryKey::Group(name)) => {
                self.groups.insert(name);
            }
            Some(RegistryKey::Page(index)) => match serde_json::from_slice(&record.value) {
                Ok(page) => self.put_page(scene, index, page, record.mod_revision),
                Err(error) => scene.problem(format!("page {index} cannot be read: {error}")),
            },
            Some(RegistryKey::Operation(id)) => match serde_json::from_slice(&record.value) {
                Ok(operation) => {
                    let operation: OperationRecord = operation;
                    tracing::info!(id, state = ?operation.state, kind = ?operation.kind, nodes = ?operation.nodes, reason = operation.reason, "operation");
                    self.operations.insert(id, operation);
                }
                Err(error) => scene.problem(format!("operation {id} cannot be read: {error}")),
            },
            _ => {}
        }
    }

    /// The operation that is open.
    pub(super) fn operation(&self) -> Option<String> {
        let mut open = self
            .operations
            .values()
            .filter(|operation| operation.state.is_open());
        open.next().map(|operation| operation.id.clone())
    }

    fn put_page(&mut self, scene: &Scene, index: PageIndex, page: Page, revision: i64) {
        let known = self.pages.get(&index.index());
        if known.is_some_and(|(_, seen)| *seen >= revision) {
            return;
        }
        let mut lost: BTreeSet<u16> = BTreeSet::new();
        let mut from: BTreeSet<(NodeName, Incarnation)> = BTreeSet::new();
        for (slot, row) in index.slots().zip(&page.rows) {
            let Some((known, _)) = known else { break };
            let before = &known.rows[usize::from(slot.number()) % known.rows.len()];
            let changes = row.owner != before.owner;
            if row.epoch < before.epoch || (changes && row.epoch == before.epoch) {
                scene.problem(format!(
                    "I2: the epoch of slot {slot} goes from {:?} to {:?}",
                    before, row
                ));
            }
            if changes {
                scene.witness.passed(slot, &before.owner, &row.owner);
            }
            if changes && !self.lives(&before.owner) {
                lost.insert(slot.number());
                from.insert((before.owner.name.clone(), before.owner.inc));
            }
        }
        if !lost.is_empty() {
            let now = now();
            scene.lose(Loss {
                slots: Some(lost),
                from: now.saturating_sub(HEARSAY),
                to: now,
                reason: format!("taken over from {from:?}"),
            });
        }
        self.pages.insert(index.index(), (page, revision));
    }
}
