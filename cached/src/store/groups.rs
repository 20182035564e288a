//! The groups of a store by name. Looking one up takes no lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cached_proto::types::GroupName;
use parking_lot::Mutex;

use super::budget::Budget;
use super::{GroupId, GroupSettings};

/// A group and what is in use of its bound.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: GroupName,
    pub(crate) settings: GroupSettings,
    pub(crate) budget: Arc<Budget>,
}

/// All groups at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// By number.
    pub(crate) list: Vec<Group>,
    by_name: BTreeMap<GroupName, GroupId>,
}

impl Directory {
    /// The number of a group.
    pub(crate) fn id(&self, name: &GroupName) -> Option<GroupId> {
        self.by_name.get(name).copied()
    }
}

/// The groups of a store. They are never taken away, so numbers stay good.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Held by whoever changes the directory, shards included.
    changing: Mutex<()>,
    current: ArcSwap<Directory>,
}

impl Groups {
    /// The groups as they are.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.current.load()
    }

    /// Creates or changes a group. Nobody learns its number before `prepare` is
    /// done with it.
    pub(crate) fn set(
        &self,
        name: &GroupName,
        settings: GroupSettings,
        prepare: impl FnOnce(GroupId, &Arc<Budget>),
    ) -> GroupId {
        let _changing = self.changing.lock();
        let mut next = Directory::clone(&self.current.load());
        let limit = settings.max_bytes.unwrap_or(u64::MAX);
        let id = match next.id(name) {
            Some(id) => {
                let group = &mut next.list[id.index()];
                let policy = group.settings.policy;
                group.settings = GroupSettings { policy, ..settings };
                group.budget.set_limit(limit);
                id
            }
            None => {
                let number = u16::try_from(next.list.len());
                let id = GroupId(number.expect("callers keep to GROUPS_MAX names"));
                let budget = Arc::new(Budget::new(limit));
                next.list.push(Group {
                    name: name.clone(),
                    settings,
                    budget,
                });
                next.by_name.insert(name.clone(), id);
                id
            }
        };
        prepare(id, &next.list[id.index()].budget);
        self.current.store(Arc::new(next));
        id
    }
}
