//! What others are shown: the view that the router works by, and what is wrong, for
//! people.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::records::{BlacklistRecord, MemberRecord, MemberState, PlanRecord};
use cached_proto::table::{PAGES, PageIndex};
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
    suspected: BTreeMap<MemberId, String>,
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
        let to_move = self.to_move(&index, &owners);
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

    /// Slots whose owner is another than the plan wants.
    fn to_move(&self, index: &BTreeMap<&MemberId, u16>, owners: &[SlotOwner]) -> u32 {
        let Some(plan) = self.mirror.plan.as_ref().map(|plan| &plan.value) else {
            return 0;
        };
        if !self.mirror.table_loaded() {
            return 0;
        }
        let nobody = SlotOwner::NOBODY.member;
        let shown = |id: &MemberId| index.get(id).copied().unwrap_or(nobody);
        let members = plan.record.members.iter();
        let shown: Vec<u16> = members.map(|member| shown(&member.id)).collect();
        let planned = plan.assignment.owners().iter();
        let pairs = planned.zip(owners);
        let elsewhere = pairs.filter(|(planned, owner)| {
            let planned = shown.get(usize::from(**planned)).copied();
            planned.unwrap_or(nobody) != owner.member
        });
        elsewhere.count() as u32
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
    fn member_views(&self) -> Vec<MemberView> {
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
        match (member.value.state, self.picture.suspected.get(id)) {
            (MemberState::Gone, _) => "signed off".to_owned(),
            (_, Some(_)) if self.returned.contains_key(id) => {
                format!("peers cannot reach {name}, {name} reaches the registry")
            }
            (_, Some(by)) => format!("does not answer the probes of {by}"),
            (MemberState::Joining, None) if self.on_standby(&member.value) => {
                "on standby".to_owned()
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

    fn on_standby(&self, record: &MemberRecord) -> bool {
        record.standby && wanted(record, self.intent(&record.id)) == 0
    }

    /// Whether a member is where it should be although it owns nothing: it was asked to.
    fn at_rest(&self, member: &MemberView) -> bool {
        let Some(record) = &member.record else {
            return false;
        };
        let suspected = self.picture.suspected.contains_key(&member.id);
        !suspected
            && match record.state {
                MemberState::Joining => self.on_standby(record),
                MemberState::Draining => member.slots == 0,
                MemberState::Up | MemberState::Gone => false,
            }
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

    /// Everything that keeps the cluster from being healthy, as this process sees it.
    pub(crate) fn problems(&self, now: Moment) -> Vec<String> {
        let mut problems: Vec<String> = self.refused.iter().cloned().collect();
        problems.extend(self.own_problems());
        problems.extend(self.registry_problems(now));
        problems.extend(self.table_problems());
        problems.extend(self.move_problems(now));
        for member in self.member_views() {
            let name = &member.id.name;
            match (&member.record, member.absent_since) {
                (None, since) => {
                    let seconds = since.map_or(0, |since| now.since(since).as_secs());
                    problems.push(format!("{name} is down for {seconds} s: {}", member.detail));
                }
                (Some(_), _) if !member.detail.is_empty() && !self.at_rest(&member) => {
                    problems.push(format!("{name}: {}", member.detail));
                }
                (Some(_), _) => {}
            }
        }
        problems.extend(self.clocks_off());
        problems
    }

    fn own_problems(&self) -> Option<String> {
        if let Some(other) = self.name_taken_by() {
            let (name, inc, at) = (&other.id.name, other.id.inc, &other.address);
            return Some(format!(
                "the name {name} was taken by incarnation {inc} at {at} while this process was cut \
                 off: it does not serve any more; stop it, or start it under another --name"
            ));
        }
        let waits = self.me.is_some() && self.registered().is_none() && !self.leaving();
        waits.then(|| "this process is not registered and serves nothing until it is".to_owned())
    }

    fn registry_problems(&self, now: Moment) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(since) = self.reads.lost_since {
            let (seconds, error) = (now.since(since).as_secs(), &self.reads.last_error);
            problems.push(format!(
                "the registry has been unreachable for {seconds} s: {error}"
            ));
        }
        for (key, why) in &self.mirror.unreadable {
            problems.push(format!("the registry key {key} is ignored: {why}"));
        }
        problems
    }

    fn table_problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.planner.fault.iter().cloned().collect();
        let (members, pages) = (self.members().count(), self.mirror.pages_loaded());
        if self.mirror.meta.is_none() {
            let expect = self.config.expect;
            problems.push(format!(
                "the cluster is not bootstrapped: {members} of {expect} expected members are here"
            ));
        } else if pages < usize::from(PAGES) {
            problems.push(format!(
                "the table is half written: {pages} of {PAGES} pages"
            ));
        }
        let living = |id: &MemberId| self.mirror.living(id).is_some();
        let unowned = self.mirror.rows.iter().filter(|(id, _)| !living(id));
        let unowned: u32 = unowned.map(|(_, slots)| slots).sum();
        if unowned > 0 {
            problems.push(format!("{unowned} slots have no living owner"));
        }
        problems.extend(self.plan_problems());
        problems
    }

    /// What is not as it was planned, beside the slots of the dead.
    fn plan_problems(&self) -> Option<String> {
        let displaced = self.displaced();
        if let Some(open) = self.mirror.open_operation().map(|held| &held.value) {
            let left: u32 = displaced.values().sum();
            let (id, kind, state) = (&open.id, open.kind.name(), open.state.name());
            let nodes: Vec<&str> = open.nodes.iter().map(NodeName::as_str).collect();
            let nodes = nodes.join(", ");
            return Some(format!(
                "operation {id} ({kind} {nodes}) is {state}: {left} slots left"
            ));
        }
        let living = displaced.iter();
        let living = living.filter(|(id, _)| self.mirror.living(id).is_some());
        let left: u32 = living.map(|(_, slots)| slots).sum();
        (left > 0).then(|| format!("{left} slots are not where the plan wants them"))
    }
}
