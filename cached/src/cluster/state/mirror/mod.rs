//! What the registry holds, as far as this process knows. Newer beats older, key by
//! key; only linearizable reads prove that nothing was missed.

mod store;

use std::collections::BTreeMap;

use cached_proto::assignment::Assignment;
use cached_proto::operations::{IntentRecord, OperationRecord, ProgressRecord};
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberRecord, MetaRecord, PlanRecord};
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::table::{PAGES, Page, PageIndex, Row};
use cached_proto::types::{GroupName, MemberId, NodeName, Slot};

use crate::registry::{Change, Range, Record, Snapshot};

/// A value with the revisions of its key.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) value: T,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
}

/// A plan that was read and is usable.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) record: PlanRecord,
    pub(crate) assignment: Assignment,
}

impl Plan {
    fn new(record: PlanRecord) -> Result<Self, String> {
        let assignment = Assignment::try_from(&record).map_err(|invalid| invalid.to_string())?;
        Ok(Self { record, assignment })
    }

    /// Whether the plan was made while this incarnation counted as alive. A plan that
    /// does not list the owner of a row says that its slots may be taken.
    pub(crate) fn lists(&self, id: &MemberId) -> bool {
        self.record.members.iter().any(|member| member.id == *id)
    }
}

/// An operation, and what each sender has moved for it. Either may be known first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operation {
    pub(crate) record: Option<Held<OperationRecord>>,
    pub(crate) progress: BTreeMap<NodeName, Held<ProgressRecord>>,
}

/// A change of the mirror that somebody may have to act on.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    Meta,
    MemberCame(Box<MemberRecord>),
    MemberLeft(Box<Held<MemberRecord>>),
    Page(PageIndex),
    Plan,
    Other,
    /// A value that cannot be used: the key, and why.
    Unreadable(String, String),
}

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Revision of the last change applied.
    revision: i64,
    alive: bool,
}

/// The mirror of one cluster's keys.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) keys: RegistryKeys,
    seen: BTreeMap<String, Seen>,
    /// Every change up to here is applied, proved by a read; 0: nothing is read yet.
    pub(crate) complete_to: i64,
    pub(crate) meta: Option<Held<MetaRecord>>,
    pub(crate) plan: Option<Held<Plan>>,
    pub(crate) members: BTreeMap<NodeName, Held<MemberRecord>>,
    pub(crate) pages: Vec<Option<Held<Page>>>,
    pub(crate) groups: BTreeMap<GroupName, GroupRecord>,
    pub(crate) blacklist: BTreeMap<NodeName, Held<BlacklistRecord>>,
    pub(crate) planner: Option<Held<MemberId>>,
    pub(crate) intents: BTreeMap<NodeName, Held<IntentRecord>>,
    /// By id.
    pub(crate) operations: BTreeMap<String, Operation>,
    /// Keys whose values cannot be used, and why.
    pub(crate) unreadable: BTreeMap<String, String>,
    /// How many rows name each owner.
    pub(crate) rows: BTreeMap<MemberId, u32>,
}

impl Mirror {
    pub(crate) fn new(keys: RegistryKeys) -> Self {
        Self {
            keys,
            seen: BTreeMap::new(),
            complete_to: 0,
            meta: None,
            plan: None,
            members: BTreeMap::new(),
            pages: vec![None; usize::from(PAGES)],
            groups: BTreeMap::new(),
            blacklist: BTreeMap::new(),
            planner: None,
            intents: BTreeMap::new(),
            operations: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// The ranges of a read: everything, or what changed since the last read and,
    /// because a read of changes does not show deletions, what may be deleted.
    pub(crate) fn ranges(&self, full: bool) -> Vec<Range> {
        let prefix = self.keys.prefix();
        if full || self.complete_to == 0 {
            return vec![Range::Prefix(prefix.to_owned())];
        }
        let deletable = [
            "members/",
            "planner",
            "blacklist/",
            "intents/",
            "operations/",
        ];
        let whole = deletable
            .iter()
            .map(|folder| Range::Prefix(format!("{prefix}{folder}")));
        let changed = Range::PrefixSince(prefix.to_owned(), self.complete_to + 1);
        std::iter::once(changed).chain(whole).collect()
    }

    /// Applies what a read saw. `false`: the registry's revisions ran backwards, it
    /// was restored or replaced; nothing was applied.
    pub(crate) fn read(
        &mut self,
        range: &Range,
        snapshot: Snapshot,
        out: &mut Vec<Notice>,
    ) -> bool {
        if snapshot.revision < self.complete_to {
            return false;
        }
        let whole = match range {
            Range::Prefix(prefix) | Range::Key(prefix) => Some(prefix),
            Range::PrefixSince(..) => None,
        };
        if let Some(prefix) = whole {
            let listed = |key: &String| {
                snapshot
                    .records
                    .binary_search_by(|record| record.key.cmp(key))
                    .is_ok()
            };
            let below = self
                .seen
                .range(prefix.clone()..)
                .take_while(|(k, _)| k.starts_with(prefix));
            let gone: Vec<String> = below
                .filter(|(key, seen)| {
                    seen.alive && seen.revision <= snapshot.revision && !listed(key)
                })
                .map(|(key, _)| key.clone())
                .collect();
            for key in gone {
                self.delete(&key, snapshot.revision, out);
            }
        }
        for record in snapshot.records {
            self.put(record, out);
        }
        true
    }

    /// Everything up to `revision` has been read.
    pub(crate) fn completed(&mut self, revision: i64) {
        self.complete_to = self.complete_to.max(revision);
        self.seen
            .retain(|_, seen| seen.alive || seen.revision > revision);
    }

    /// Applies what a watch told, unless a read has shown it already.
    pub(crate) fn watched(&mut self, change: Change, out: &mut Vec<Notice>) {
        match change {
            Change::Put(record) if record.mod_revision > self.complete_to => self.put(record, out),
            Change::Deleted { key, mod_revision } if mod_revision > self.complete_to => {
                self.delete(&key, mod_revision, out);
            }
            Change::Put(_) | Change::Deleted { .. } => {}
        }
    }

    fn put(&mut self, record: Record, out: &mut Vec<Notice>) {
        if self
            .seen
            .get(&record.key)
            .is_some_and(|seen| seen.revision >= record.mod_revision)
        {
            return;
        }
        let seen = Seen {
            revision: record.mod_revision,
            alive: true,
        };
        self.seen.insert(record.key.clone(), seen);
        let Some(key) = self.keys.parse(record.key.as_bytes()) else {
            return;
        };
        match self.store(key, &record, out) {
            Ok(()) => drop(self.unreadable.remove(&record.key)),
            Err(why) => {
                self.unreadable.insert(record.key.clone(), why.clone());
                out.push(Notice::Unreadable(record.key, why));
            }
        }
    }

    fn delete(&mut self, key: &str, revision: i64, out: &mut Vec<Notice>) {
        if self
            .seen
            .get(key)
            .is_some_and(|seen| seen.revision >= revision)
        {
            return;
        }
        self.seen.insert(
            key.to_owned(),
            Seen {
                revision,
                alive: false,
            },
        );
        self.unreadable.remove(key);
        match self.keys.parse(key.as_bytes()) {
            Some(RegistryKey::Member(name)) => {
                if let Some(member) = self.members.remove(&name) {
                    out.push(Notice::MemberLeft(Box::new(member)));
                }
            }
            Some(RegistryKey::Planner) => {
                self.planner = None;
                out.push(Notice::Other);
            }
            Some(RegistryKey::Blacklist(name)) => {
                self.blacklist.remove(&name);
                out.push(Notice::Other);
            }
            Some(RegistryKey::Group(name)) => {
                self.groups.remove(&name);
                out.push(Notice::Other);
            }
            Some(RegistryKey::Intent(name)) => {
                self.intents.remove(&name);
                out.push(Notice::Other);
            }
            Some(RegistryKey::Operation(id)) => {
                self.change_operation(id, |operation| operation.record = None);
                out.push(Notice::Other);
            }
            Some(RegistryKey::Progress(id, name)) => {
                self.change_operation(id, |operation| drop(operation.progress.remove(&name)));
                out.push(Notice::Other);
            }
            // Table, plan and meta outlive everything: that they are gone says that
            // somebody wiped the registry, and keeping what was known loses nothing.
            _ => {}
        }
    }

    fn change_operation(&mut self, id: String, change: impl FnOnce(&mut Operation)) {
        let operation = self.operations.entry(id.clone()).or_default();
        change(operation);
        if operation.record.is_none() && operation.progress.is_empty() {
            self.operations.remove(&id);
        }
    }

    /// The operation that runs or is paused.
    pub(crate) fn open_operation(&self) -> Option<&Held<OperationRecord>> {
        let mut records = self.operations.values().filter_map(|op| op.record.as_ref());
        records.find(|held| held.value.state.is_open())
    }

    /// The member of that name, if it is this incarnation.
    pub(crate) fn living(&self, id: &MemberId) -> Option<&Held<MemberRecord>> {
        self.members
            .get(&id.name)
            .filter(|member| member.value.id == *id)
    }

    /// The row of a slot, once its page is loaded.
    pub(crate) fn row(&self, slot: Slot) -> Option<&Row> {
        let page = self.pages[PageIndex::of(slot).index()].as_ref()?;
        page.value
            .rows
            .get(slot.index() % page.value.rows.len().max(1))
    }

    /// Whether a key does not exist, as far as is known: one whose value cannot be used
    /// does.
    pub(crate) fn missing(&self, key: &RegistryKey) -> bool {
        self.seen
            .get(&self.keys.key(key))
            .is_none_or(|seen| !seen.alive)
    }

    /// How many pages are loaded.
    pub(crate) fn pages_loaded(&self) -> usize {
        self.pages.iter().flatten().count()
    }

    /// Whether the whole table is loaded.
    pub(crate) fn table_loaded(&self) -> bool {
        self.meta.is_some() && self.pages.iter().all(Option::is_some)
    }
}
