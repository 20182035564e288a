//! The registry's records of one cluster, and the topology that they make. Pure.

use std::collections::BTreeMap;

use cached_proto::operations::{IntentRecord, OperationRecord, ProgressRecord, Want};
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberRecord, MetaRecord, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex};
use cached_proto::types::{GroupName, Invalid, MemberId, NodeName};
use serde::de::DeserializeOwned;

use super::build::Builder;
use super::{Member, Topology};
use crate::config::DEFAULT_GROUP;

/// All records that matter to a client or an operator.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) meta: Option<MetaRecord>,
    pub(super) plan: Option<PlanRecord>,
    pub(super) planner: Option<NodeName>,
    pub(super) members: BTreeMap<NodeName, MemberRecord>,
    pub(super) pages: BTreeMap<PageIndex, Page>,
    pub(super) groups: BTreeMap<GroupName, GroupRecord>,
    pub(super) blacklist: BTreeMap<NodeName, BlacklistRecord>,
    pub(super) intents: BTreeMap<NodeName, IntentRecord>,
    pub(super) operations: BTreeMap<String, OperationRecord>,
    /// By operation and sender.
    pub(super) progress: BTreeMap<(String, NodeName), ProgressRecord>,
}

impl Records {
    /// Takes a change over; `None` deletes. A value that cannot be read changes
    /// nothing and is an error.
    pub(super) fn apply(&mut self, key: RegistryKey, value: Option<&[u8]>) -> Result<(), Invalid> {
        match key {
            RegistryKey::Meta => self.meta = value.map(|json| read("meta", json)).transpose()?,
            RegistryKey::Plan => self.plan = value.map(|json| read("plan", json)).transpose()?,
            RegistryKey::Layout(_) => {}
            RegistryKey::Planner => self.planner = value.and_then(read_planner),
            RegistryKey::Member(name) => change(&mut self.members, name, "member", value)?,
            RegistryKey::Page(page) => change(&mut self.pages, page, "table page", value)?,
            RegistryKey::Group(name) => change(&mut self.groups, name, "group", value)?,
            RegistryKey::Blacklist(name) => change(&mut self.blacklist, name, "blacklist", value)?,
            RegistryKey::Intent(name) => show(&mut self.intents, name, value),
            RegistryKey::Operation(id) => show(&mut self.operations, id, value),
            RegistryKey::Progress(id, name) => show(&mut self.progress, (id, name), value),
        }
        Ok(())
    }

    /// The topology; `None` before the cluster is bootstrapped.
    pub(super) fn topology(&self) -> Result<Option<Topology>, Invalid> {
        let Some(meta) = &self.meta else {
            return Ok(None);
        };
        let mut builder = Builder::new();
        for record in self.members.values() {
            let mut member = member(record);
            let intent = self.intents.get(&record.id.name);
            let intent = intent.filter(|it| it.inc.is_none_or(|inc| inc == record.id.inc));
            member.intent = intent
                .map_or("", |intent| intent_word(intent.want))
                .to_owned();
            builder.member(member)?;
        }
        for (page, rows) in &self.pages {
            for (slot, row) in page.slots().zip(&rows.rows) {
                builder.own(slot..=slot, row.owner.clone(), row.epoch)?;
            }
        }
        let (members, owners) = builder.build()?;
        Ok(Some(Topology {
            cluster: meta.cluster.clone(),
            cluster_uuid: meta.cluster_uuid,
            generation: meta.generation,
            layout: self.plan.as_ref().map_or(0, |plan| plan.layout),
            hash: meta.hash,
            virtual_nodes: meta.virtual_nodes,
            mode: meta.mode,
            default_group: GroupName::new(DEFAULT_GROUP)?,
            members,
            owners,
        }))
    }
}

fn member(record: &MemberRecord) -> Member {
    Member {
        id: record.id.clone(),
        address: record.address.clone(),
        state: Some(record.state),
        weight: record.weight,
        zone: record.zone.clone(),
        version: record.version.clone(),
        started_ms: record.started_ms,
        slots: 0,
        down_for_ms: 0,
        detail: String::new(),
        standby: record.standby,
        intent: String::new(),
    }
}

/// As nodes spell it.
fn intent_word(want: Want) -> &'static str {
    match want {
        Want::Serve => "",
        Want::Drain => "drain",
        Want::Leave => "leave",
    }
}

fn change<K: Ord + std::fmt::Display, V: DeserializeOwned>(
    records: &mut BTreeMap<K, V>,
    key: K,
    kind: &'static str,
    value: Option<&[u8]>,
) -> Result<(), Invalid> {
    match value {
        None => drop(records.remove(&key)),
        Some(json) => {
            let record = read(kind, json)
                .map_err(|bad| Invalid::new(kind, format!("{key} {}", bad.problem)))?;
            records.insert(key, record);
        }
    }
    Ok(())
}

fn read<V: DeserializeOwned>(kind: &'static str, json: &[u8]) -> Result<V, Invalid> {
    serde_json::from_slice(json)
        .map_err(|error| Invalid::new(kind, format!("cannot be read: {error}")))
}

/// Takes over what is shown to people and decides nothing: what cannot be read is not
/// there.
fn show<K: Ord, V: DeserializeOwned>(records: &mut BTreeMap<K, V>, key: K, value: Option<&[u8]>) {
    match value.and_then(|json| serde_json::from_slice(json).ok()) {
        Some(record) => drop(records.insert(key, record)),
        None => drop(records.remove(&key)),
    }
}

/// Who plans is shown to people and decides nothing, so what cannot be read is nobody.
fn read_planner(value: &[u8]) -> Option<NodeName> {
    let id = serde_json::from_slice::<MemberId>(value).map(|id| id.name);
    id.ok()
        .or_else(|| NodeName::new(std::str::from_utf8(value).ok()?).ok())
}
