//! What others are shown: the view that the router works by.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::records::{BlacklistRecord, MemberRecord, MemberState, PlanRecord};
use cached_proto::table::PageIndex;
use cached_proto::types::{MemberId, NodeName, SLOTS};

use super::State;
use super::event::Effect;
use crate::clock::Moment;
use crate::cluster::roster::wanted;
use crate::cluster::view::{ClusterView, MemberView, OperationView, SlotOwner};

/// What the last picture was made of, to see when the next one is due.
#[derive(Debug, Default)]
pub(super) struct Picture {
    number: u64,
    pub(super) suspected: BTreeMap<MemberId, String>,
    /// When the first blacklist entry shown expires, Unix milliseconds.
    expires_ms: Option<u64>,
    /// The plan shown, with its revision.
    plan: Option<(i64, Arc<PlanRecord>)>,
    /// Operations shown, by id.
    operations: BTreeMap<String, Arc<OperationView>>,
}

impl State {
    pub(super) fn step_picture(&mut self, now: Moment) {
        let suspected = self.suspected(now);
        let expired = self.picture.expires_ms.is_some_and(|at| at <= self.wall.0);
        if !self.dirty && !expired && suspected == self.picture.suspected {
            return;
        }
        self.dirty = false;
        self.picture.number += 1;
        self.picture.suspected = suspected;
        self.draw_plan();
        self.draw_operations();
        let view = self.view();
        self.picture.expires_ms = view.blacklist.values().map(|entry| entry.expires_ms).min();
        self.effects.push(Effect::Publish(Box::new(view)));
    }

    fn view(&self) -> ClusterView {
        let members = self.member_views();
        let index: BTreeMap<&MemberId, u16> = members.iter().map(|m| &m.id).zip(0..).collect();
        let me = self.me.as_ref().and_then(|me| index.get(me).copied());
        let owners = self.owners(&index);
        let to_move = match self.mirror.table_loaded() {
            true => self.misplaced(),
            false => 0,
        };
        ClusterView {
            number: self.picture.number,
            meta: self.mirror.meta.as_ref().map(|meta| meta.value.clone()),
            layout: self
                .mirror
                .plan
                .as_ref()
                .map_or(0, |plan| plan.value.record.layout),
            table_loaded: self.mirror.table_loaded(),
            owners,
            me,
            groups: self.mirror.groups.clone(),
            blacklist: self.blacklist(),
            planner: self
                .mirror
                .planner
                .as_ref()
                .map(|planner| planner.value.name.clone()),
            registry_lost_since: self.reads.lost_since,
            plan: self.picture.plan.as_ref().map(|(_, plan)| plan.clone()),
            to_move,
            intents: self
                .mirror
                .intents
                .iter()
                .map(|(name, held)| (name.clone(), held.value.clone()))
                .collect(),
            operations: self.operation_views(),
            members,
        }
    }

    /// The owner of each slot. Neighbours mostly share one, which is then looked up once.
    fn owners(&self, index: &BTreeMap<&MemberId, u16>) -> Box<[SlotOwner]> {
        let mut owners = vec![SlotOwner::NOBODY; usize::from(SLOTS)];
        let mut last: Option<(&MemberId, u16)> = None;
        let pages = PageIndex::all().zip(&self.mirror.pages);
        for (page, held) in pages.filter_map(|(page, held)| Some((page, held.as_ref()?))) {
            for (slot, row) in page.slots().zip(&held.value.rows) {
                let known = last.filter(|(owner, _)| **owner == row.owner);
                let member = known.map_or_else(|| index.get(&row.owner).copied(), |(_, m)| Some(m));
                let member = member.unwrap_or(SlotOwner::NOBODY.member);
                last = Some((&row.owner, member));
                owners[slot.index()] = SlotOwner {
                    member,
                    epoch: row.epoch,
                };
            }
        }
        owners.into()
    }

    fn draw_plan(&mut self) {
        let held = self.mirror.plan.as_ref();
        let shown = self.picture.plan.as_ref().map(|(revision, _)| *revision);
        if held.map(|held| held.mod_revision) != shown {
            let plan = held.map(|held| (held.mod_revision, Arc::new(held.value.record.clone())));
            self.picture.plan = plan;
        }
    }

    /// Makes the pictures of operations that have changed.
    fn draw_operations(&mut self) {
        let (known, shown) = (&self.mirror.operations, &mut self.picture.operations);
        shown.retain(|id, _| known.get(id).is_some_and(|op| op.record.is_some()));
        for (id, operation) in known {
            let Some(record) = &operation.record else {
                continue;
            };
            let progress = operation.progress.values().map(|held| held.mod_revision);
            let revision = progress.fold(record.mod_revision, i64::max);
            let same = shown.get(id).is_some_and(|view| {
                view.revision == revision
                    && view.mod_revision == record.mod_revision
                    && view.progress.len() == operation.progress.len()
            });
            if same {
                continue;
            }
            let progress = operation.progress.iter();
            let view = OperationView {
                record: record.value.clone(),
                mod_revision: record.mod_revision,
                revision,
                progress: progress
                    .map(|(name, held)| (name.clone(), held.value.clone()))
                    .collect(),
            };
            shown.insert(id.clone(), Arc::new(view));
        }
    }

    /// Operations, oldest first.
    fn operation_views(&self) -> Vec<Arc<OperationView>> {
        let mut views: Vec<_> = self.picture.operations.values().cloned().collect();
        views.sort_by(|a, b| {
            let key = |view: &OperationView| (view.record.requested_ms, view.record.id.clone());
            key(a).cmp(&key(b))
        });
        views
    }

    /// Living members and those that rows name, by name and incarnation.
    pub(super) fn member_views(&self) -> Vec<MemberView> {
        let living = self
            .mirror
            .members
            .values()
            .map(|member| member.value.id.clone());
        let named = self.mirror.rows.keys().cloned();
        let mut ids: Vec<MemberId> = living.chain(named).collect();
        ids.sort();
        ids.dedup();
        let view = |id: MemberId| {
            let record = self.mirror.living(&id).map(|member| member.value.clone());
            let absent = self.absent.get(&id).filter(|_| record.is_none());
            MemberView {
                absent_since: absent.map(|absent| absent.since),
                slots: self.mirror.rows.get(&id).copied().unwrap_or(0),
                detail: self.detail(&id),
                record,
                id,
            }
        };
        ids.into_iter().map(view).collect()
    }

    fn detail(&self, id: &MemberId) -> String {
        let Some(member) = self.mirror.living(id) else {
            return self
                .absent
                .get(id)
                .map(|absent| absent.detail.clone())
                .unwrap_or_default();
        };
        let name = &id.name;
        let refusal = self.refusal(id);
        match (member.value.state, self.picture.suspected.get(id)) {
            (MemberState::Gone, _) => "signed off".to_owned(),
            (_, None) if let Some(why) = refusal => {
                let me = self
                    .me
                    .as_ref()
                    .map_or("this gateway", |me| me.name.as_str());
                format!("refuses the calls of {me}: {why}")
            }
            (_, Some(_)) if self.returned.contains_key(id) => {
                format!("peers cannot reach {name}, {name} reaches the registry")
            }
            (_, Some(by)) => format!("does not answer the probes of {by}"),
            (MemberState::Joining, None) if self.wants_none(&member.value) => {
                match member.value.standby {
                    true => "on standby".to_owned(),
                    false => "its weight is 0".to_owned(),
                }
            }
            (MemberState::Joining, None) if self.mirror.table_loaded() => {
                "waits to be given slots".to_owned()
            }
            (MemberState::Draining, None) if self.mirror.rows.contains_key(id) => {
                "gives its slots away".to_owned()
            }
            (MemberState::Draining, None) => "drained".to_owned(),
            _ => String::new(),
        }
    }

    /// Whether a member is to own nothing.
    pub(super) fn wants_none(&self, record: &MemberRecord) -> bool {
        wanted(record, self.intent(&record.id)) == 0
    }

    /// Operators' entries that are in force: not expired, and of the life in which the
    /// target was listed.
    fn blacklist(&self) -> BTreeMap<NodeName, BlacklistRecord> {
        let entries = self
            .mirror
            .blacklist
            .iter()
            .map(|(name, held)| (name, &held.value));
        entries
            .filter(|(_, entry)| entry.expires_ms > self.wall.0)
            .filter(|(name, entry)| {
                let target = self.mirror.members.get(*name);
                target.is_none_or(|target| target.value.id.inc == entry.inc)
            })
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect()
    }
}
