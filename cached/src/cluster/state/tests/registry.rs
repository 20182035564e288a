//! A registry in a map: enough of one to drive states through, at any speed.

use std::collections::BTreeMap;

use bytes::Bytes;
use cached_proto::records::MemberRecord;
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::types::ClusterName;

use super::super::event::Registration;
use crate::clock::Moment;
use crate::registry::{
    Change, Compare, Range, Record, Snapshot, Txn, TxnOutcome, WatchBatch, Write,
};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Fake {
    pub(super) revision: i64,
    records: BTreeMap<String, Record>,
    log: Vec<(i64, Change)>,
    leases: BTreeMap<i64, Moment>,
    next_lease: i64,
}

pub(super) fn keys() -> RegistryKeys {
    RegistryKeys::new(&ClusterName::new("test").unwrap())
}

pub(super) fn member_key(name: &str) -> String {
    keys().key(&RegistryKey::Member(name.parse().unwrap()))
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            revision: 1,
            records: BTreeMap::new(),
            log: Vec::new(),
            leases: BTreeMap::new(),
            next_lease: 1,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    pub(super) fn put(&mut self, key: &str, value: &impl serde::Serialize, lease: i64) {
        let value = serde_json::to_vec(value).unwrap().into();
        self.revision += 1;
        self.apply(Write::Put {
            key: key.to_owned(),
            value,
            lease,
        });
    }

    pub(super) fn put_raw(&mut self, key: &str, value: &'static [u8]) {
        self.revision += 1;
        let value = Bytes::from_static(value);
        self.apply(Write::Put {
            key: key.to_owned(),
            value,
            lease: 0,
        });
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.apply(Write::Delete(key.to_owned()));
    }

    pub(super) fn read(&self, range: &Range) -> Snapshot {
        let fits = |record: &&Record| match range {
            Range::Key(key) => record.key == *key,
            Range::Prefix(prefix) => record.key.starts_with(prefix),
            Range::PrefixSince(prefix, since) => {
                record.key.starts_with(prefix) && record.mod_revision >= *since
            }
        };
        let records = self.records.values().filter(fits).cloned().collect();
        Snapshot {
            revision: self.revision,
            records,
        }
    }

    pub(super) fn txn(&mut self, txn: Txn) -> TxnOutcome {
        assert!(
            txn.writes.len() <= 128 && txn.compares.len() <= 128,
            "{txn:?}"
        );
        let holds = |compare: &Compare| match compare {
            Compare::CreateRevision(key, revision) => {
                self.records.get(key).map_or(0, |r| r.create_revision) == *revision
            }
            Compare::ModRevision(key, revision) => {
                self.records.get(key).map_or(0, |r| r.mod_revision) == *revision
            }
        };
        let succeeded = txn.compares.iter().all(holds);
        if succeeded {
            self.revision += 1;
            txn.writes.into_iter().for_each(|write| self.apply(write));
        }
        TxnOutcome {
            succeeded,
            revision: self.revision,
        }
    }

    fn apply(&mut self, write: Write) {
        let revision = self.revision;
        let change = match write {
            Write::Put { key, value, lease } => {
                let created = self.records.get(&key).map(|old| old.create_revision);
                let record = Record {
                    key: key.clone(),
                    value,
                    create_revision: created.unwrap_or(revision),
                    mod_revision: revision,
                    lease,
                };
                self.records.insert(key, record.clone());
                Change::Put(record)
            }
            Write::Delete(key) => match self.records.remove(&key) {
                Some(_) => Change::Deleted {
                    key,
                    mod_revision: revision,
                },
                None => return,
            },
        };
        self.log.push((revision, change));
    }

    /// Like `register` of the driver.
    pub(super) fn register(&mut self, member: &MemberRecord, until: Moment) -> Registration {
        let key = member_key(member.id.name.as_str());
        let lease = self.next_lease;
        self.next_lease += 1;
        if let Some(held) = self.records.get(&key) {
            let record: MemberRecord = serde_json::from_slice(&held.value).unwrap();
            let (lease, create_revision) = (held.lease, held.create_revision);
            return match record.id == member.id {
                true => Registration::Ours {
                    lease,
                    create_revision,
                },
                false => Registration::TakenBy(Box::new(record)),
            };
        }
        self.leases.insert(lease, until);
        self.put(&key, member, lease);
        Registration::Ours {
            lease,
            create_revision: self.revision,
        }
    }

    pub(super) fn keep_alive(&mut self, lease: i64, until: Moment) -> bool {
        self.leases.get_mut(&lease).map(|at| *at = until).is_some()
    }

    pub(super) fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        let on_it = |record: &&Record| record.lease == lease;
        let keys: Vec<String> = self
            .records
            .values()
            .filter(on_it)
            .map(|r| r.key.clone())
            .collect();
        keys.iter().for_each(|key| self.delete(key));
    }

    pub(super) fn expire(&mut self, now: Moment) {
        let over = self.leases.iter().filter(|(_, at)| **at <= now);
        let over: Vec<i64> = over.map(|(lease, _)| *lease).collect();
        over.into_iter().for_each(|lease| self.revoke(lease));
    }

    /// As real servers do when they come back: every lease gets its whole time anew.
    pub(super) fn extend_leases(&mut self, until: Moment) {
        self.leases.values_mut().for_each(|at| *at = until);
    }

    pub(super) fn end_all_leases(&mut self) {
        let leases: Vec<i64> = self.leases.keys().copied().collect();
        leases.into_iter().for_each(|lease| self.revoke(lease));
    }

    /// What a watch tells from a revision on.
    pub(super) fn changes(&self, from: i64) -> Option<WatchBatch> {
        let changes = self.log.iter().filter(|(revision, _)| *revision >= from);
        let changes: Vec<Change> = changes.map(|(_, change)| change.clone()).collect();
        (!changes.is_empty()).then_some(WatchBatch {
            revision: self.revision,
            changes,
        })
    }
}

/// The lease time of tests.
pub(super) const LEASE: Duration = Duration::from_secs(30);
