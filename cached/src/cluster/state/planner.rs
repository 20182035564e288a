//! The planner: one member, elected by a key on its lease, that bootstraps the
//! cluster and decides who should own what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::records::MetaRecord;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::ring::ALGORITHM;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{Incarnation, MemberId, Slot};
use rand::Rng;

use super::State;
use super::event::Purpose;
use super::life::put;
use super::table::FIRST_EPOCH;
use crate::clock::Moment;
use crate::cluster::plan::{Current, Movement};
use crate::registry::{Compare, Write};

/// How long a member waits for each one before it by name to become the planner
/// first: one transaction instead of a thousand.
const ELECTION_STEP: Duration = Duration::from_millis(200);

/// Longest such wait.
const ELECTION_WAIT_MAX: Duration = Duration::from_secs(2);

/// Pages created by one transaction, below etcd's limit of 128 operations.
const PAGES_PER_TXN: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Duty {
    /// Nobody has held the planner key since then.
    vacant_since: Option<Moment>,
    /// Members that say `gone`, and since when.
    pub(super) gone: BTreeMap<MemberId, Moment>,
    /// Slots have been elsewhere than the plan wants them since then, and nothing moves them.
    pub(super) stragglers_since: Option<Moment>,
    /// Why the last plan could not be made, for people.
    pub(super) fault: Option<String>,
}

impl State {
    pub(super) fn step_planner(&mut self, now: Moment) {
        if !self.settled() || !self.informed() {
            return;
        }
        self.elect(now);
        if !self.is_planner() {
            return;
        }
        let next = [RegistryKey::Meta, RegistryKey::Plan].map(|key| self.mirror.missing(&key));
        match next {
            [true, _] => self.write_meta(),
            [false, true] => self.write_first_plan(now),
            [false, false] if !self.mirror.table_loaded() => self.write_pages(),
            [false, false] => self.step_plans(now),
        }
        self.tidy_up(now);
    }

    /// One change of the plan at a time, the most urgent first.
    fn step_plans(&mut self, now: Moment) {
        let changes = |purpose: &Purpose| matches!(purpose, Purpose::Plan | Purpose::Operation(_));
        if self.txns.keys().any(changes) {
            return;
        }
        let busy = self.plan_for_orphans(now) || self.honour_intents() || self.step_operations(now);
        if !busy {
            self.join_by_itself(now);
        }
    }

    /// The comparison that the plan is still the one that was read.
    pub(super) fn same_plan(&self) -> Option<Compare> {
        let plan = self.mirror.plan.as_ref()?;
        let key = self.mirror.keys.key(&RegistryKey::Plan);
        Some(Compare::ModRevision(key, plan.mod_revision))
    }

    fn elect(&mut self, now: Moment) {
        if self.mirror.planner.is_some() {
            self.planner.vacant_since = None;
            return;
        }
        let since = *self.planner.vacant_since.get_or_insert(now);
        let suspected = self.suspected(now);
        let ahead = self
            .members()
            .filter(|peer| !suspected.contains_key(&peer.id));
        let ahead = ahead
            .take_while(|peer| Some(&peer.id) != self.me.as_ref())
            .count();
        let wait = ELECTION_STEP.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        if now.since(since) < wait.min(ELECTION_WAIT_MAX) {
            return;
        }
        let Some(me) = &self.me else { return };
        let key = self.mirror.keys.key(&RegistryKey::Planner);
        let write = put(key.clone(), me, self.lease());
        self.submit(
            Purpose::Elect,
            vec![Compare::CreateRevision(key, 0)],
            vec![write],
        );
    }

    /// Fixes the cluster's settings, once enough members are there (R44).
    fn write_meta(&mut self) {
        if self.members().count() < self.config.expect.max(1) {
            return;
        }
        let meta = MetaRecord {
            cluster: self.config.cluster.clone(),
            cluster_uuid: Incarnation(self.rng.random()),
            generation: 1,
            mode: self.config.mode,
            replicas: 0,
            algorithm: ALGORITHM,
            hash: self.config.hash,
            virtual_nodes: self.config.virtual_nodes,
            created_ms: self.wall.0,
        };
        self.create(Purpose::Meta, RegistryKey::Meta, &meta, None);
    }

    fn write_first_plan(&mut self, now: Moment) {
        let members = self.eligible(&BTreeSet::new(), now);
        let reason = format!("bootstrap with {} members", members.len());
        let (nobody, movement) = (Current::nobody(), Movement::OrphansOnly);
        if let Some(planned) = self.draft(&nobody, &members, movement, reason) {
            let kept = self.kept(&planned.record);
            self.create(
                Purpose::Plan,
                RegistryKey::Plan,
                &planned.record,
                Some(kept),
            );
        }
    }

    /// Writes the pages that are missing, as the plan says: also after another planner
    /// that died half-way.
    fn write_pages(&mut self) {
        let (Some(meta), Some(plan)) = (&self.mirror.meta, &self.mirror.plan) else {
            return;
        };
        let missing: Vec<PageIndex> = PageIndex::all()
            .filter(|page| self.mirror.missing(&RegistryKey::Page(*page)))
            .collect();
        let mut batches = Vec::new();
        for batch in missing.chunks(PAGES_PER_TXN) {
            let mut compares = self.as_planner();
            let mut writes = Vec::new();
            for page in batch {
                let row = |slot: Slot| {
                    let owner = plan.value.assignment.owner(slot).clone();
                    Row {
                        isr: vec![owner.inc],
                        owner,
                        epoch: FIRST_EPOCH,
                        attempt: 0,
                    }
                };
                let rows = page.slots().map(row).collect();
                let key = self.mirror.keys.key(&RegistryKey::Page(*page));
                compares.push(Compare::CreateRevision(key.clone(), 0));
                writes.push(put(
                    key,
                    &Page {
                        generation: meta.value.generation,
                        rows,
                    },
                    0,
                ));
            }
            batches.push((Purpose::Pages(batch[0]), compares, writes));
        }
        for (purpose, compares, writes) in batches {
            self.submit(purpose, compares, writes);
        }
    }

    fn create<T: serde::Serialize>(
        &mut self,
        purpose: Purpose,
        key: RegistryKey,
        value: &T,
        beside: Option<Write>,
    ) {
        let key = self.mirror.keys.key(&key);
        let mut compares = self.as_planner();
        compares.push(Compare::CreateRevision(key.clone(), 0));
        let writes = [put(key, value, 0)].into_iter().chain(beside).collect();
        self.submit(purpose, compares, writes);
    }
}
