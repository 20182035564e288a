//! Deleting what nobody needs any more: keys of members that signed off, entries whose
//! time is over, intents of lives that ended, old operations. The planner's duty.

use std::time::Duration;

use cached_proto::operations::{IntentRecord, OperationState, Want};
use cached_proto::records::MemberState;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::{MemberId, NodeName};

use super::State;
use super::event::Purpose;
use super::life::put;
use crate::clock::Moment;
use crate::registry::{Compare, Write};

/// How long the key of a member that signed off may stay before the planner deletes
/// it: the member ends its lease itself, unless it dies in between.
const GONE_FOR: Duration = Duration::from_secs(2);

/// How long a plan that nobody asked for is kept.
pub(crate) const PLANNED_FOR: Duration = Duration::from_secs(15 * 60);

/// Operations of each kind, planned ones and ended ones, that are kept.
const OPERATIONS_KEPT: usize = 20;

/// Keys that one transaction deletes, below etcd's limit of 128 operations.
const DELETED_AT_ONCE: usize = 100;

impl State {
    /// Deletes keys that should not be there any more.
    pub(super) fn tidy_up(&mut self, now: Moment) {
        self.tidy_members(now);
        self.tidy_blacklist();
        self.tidy_intents();
        self.tidy_operations();
    }

    fn tidy_members(&mut self, now: Moment) {
        let members = self.mirror.members.values();
        let gone = members.filter(|member| member.value.state == MemberState::Gone);
        let gone: Vec<(MemberId, i64)> = gone
            .map(|held| (held.value.id.clone(), held.create_revision))
            .collect();
        self.planner
            .gone
            .retain(|id, _| gone.iter().any(|(gone, _)| gone == id));
        for (id, create_revision) in gone {
            let since = *self.planner.gone.entry(id.clone()).or_insert(now);
            if now.since(since) >= GONE_FOR {
                let key = self.member_key(&id.name);
                let mut compares = self.as_planner();
                compares.push(Compare::CreateRevision(key.clone(), create_revision));
                self.submit(Purpose::Remove(id), compares, vec![Write::Delete(key)]);
            }
        }
    }

    fn tidy_blacklist(&mut self) {
        let expired = self.mirror.blacklist.iter();
        let expired: Vec<(NodeName, i64)> = expired
            .filter(|(_, held)| held.value.expires_ms <= self.wall.0)
            .map(|(name, held)| (name.clone(), held.mod_revision))
            .collect();
        for (name, mod_revision) in expired {
            let key = self.mirror.keys.key(&RegistryKey::Blacklist(name.clone()));
            let compares = vec![Compare::ModRevision(key.clone(), mod_revision)];
            self.submit(Purpose::Forget(name), compares, vec![Write::Delete(key)]);
        }
    }

    /// Wishes to leave end with the life that had them; a weight that an operator gave
    /// outlives a stop, and not a removal.
    fn tidy_intents(&mut self) {
        let over = |name: &NodeName, intent: &IntentRecord| {
            let Some(inc) = intent.inc.filter(|_| intent.want == Want::Leave) else {
                return false;
            };
            let name = name.clone();
            let id = MemberId { name, inc };
            self.mirror.living(&id).is_none() && !self.mirror.rows.contains_key(&id)
        };
        let intents = self.mirror.intents.iter();
        let over: Vec<_> = intents
            .filter(|(name, held)| over(name, &held.value))
            .map(|(name, held)| (name.clone(), held.clone()))
            .collect();
        for (name, held) in over {
            let key = self.mirror.keys.key(&RegistryKey::Intent(name.clone()));
            let mut compares = self.as_planner();
            compares.push(Compare::ModRevision(key.clone(), held.mod_revision));
            let stopped = held.value.by == name.as_str();
            let write = match held.value.weight.filter(|_| stopped) {
                Some(_) => {
                    let intent = IntentRecord {
                        want: Want::Serve,
                        inc: None,
                        ..held.value
                    };
                    put(key, &intent, 0)
                }
                None => Write::Delete(key),
            };
            let purpose = Purpose::Tidy(format!("intents/{name}"));
            self.submit(purpose, compares, vec![write]);
        }
    }

    fn tidy_operations(&mut self) {
        for id in self.useless_operations() {
            let Some(operation) = self.mirror.operations.get(&id) else {
                continue;
            };
            let record = RegistryKey::Operation(id.clone());
            let record = self.mirror.keys.key(&record);
            let known = operation.record.as_ref();
            let mut compares = self.as_planner();
            compares.push(Compare::ModRevision(
                record.clone(),
                known.map_or(0, |held| held.mod_revision),
            ));
            let progress = operation.progress.keys().take(DELETED_AT_ONCE);
            let progress = progress.map(|name| RegistryKey::Progress(id.clone(), name.clone()));
            let mut keys: Vec<String> = progress.map(|key| self.mirror.keys.key(&key)).collect();
            // The record goes last, so that nothing of it is forgotten half-way.
            if operation.progress.len() <= DELETED_AT_ONCE && known.is_some() {
                keys.push(record);
            }
            let writes = keys.into_iter().map(Write::Delete).collect();
            self.submit(Purpose::Tidy(format!("operations/{id}")), compares, writes);
        }
    }

    /// Operations that are too old or too many, and progress of none.
    fn useless_operations(&self) -> Vec<String> {
        let mut useless = Vec::new();
        let (mut planned, mut ended) = (Vec::new(), Vec::new());
        let kept_for = u64::try_from(PLANNED_FOR.as_millis()).unwrap_or(u64::MAX);
        for (id, operation) in &self.mirror.operations {
            let Some(held) = &operation.record else {
                useless.push(id.clone());
                continue;
            };
            let record = &held.value;
            match record.state {
                OperationState::Planned if record.requested_ms + kept_for <= self.wall.0 => {
                    useless.push(id.clone());
                }
                OperationState::Planned => planned.push((held.mod_revision, id)),
                state if state.is_final() => ended.push((held.mod_revision, id)),
                _ => {}
            }
        }
        for mut kept in [planned, ended] {
            kept.sort();
            kept.truncate(kept.len().saturating_sub(OPERATIONS_KEPT));
            useless.extend(kept.into_iter().map(|(_, id)| id.clone()));
        }
        useless
    }
}
