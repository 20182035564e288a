//! The registry's keys: one prefix per cluster, one place that spells them.

use crate::limits::LAYOUTS_KEPT;
use crate::table::PageIndex;
use crate::types::{ClusterName, GroupName, NodeName};

/// Spells and reads the keys of one cluster.
#[derive(Clone, Debug)]
pub struct RegistryKeys {
    prefix: String,
}

/// A key, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryKey {
    /// What is fixed at bootstrap.
    Meta,
    /// A living member, on its lease.
    Member(NodeName),
    /// The plan in force.
    Plan,
    /// A plan that is or was in force: by the remainder of its layout number, so that a
    /// new one takes the place of the oldest.
    Layout(u64),
    /// 64 rows of the slot table.
    Page(PageIndex),
    /// A group's settings.
    Group(GroupName),
    /// An operator's blacklist entry.
    Blacklist(NodeName),
    /// The member that plans, on its lease.
    Planner,
    /// What an operator asked of a member.
    Intent(NodeName),
    /// A change of the layout that runs or has run.
    Operation(String),
    /// How far a member is with its part of one.
    Progress(String, NodeName),
}

impl RegistryKeys {
    /// Keys below `/cached/<cluster>/`.
    pub fn new(cluster: &ClusterName) -> Self {
        Self {
            prefix: format!("/cached/{cluster}/"),
        }
    }

    /// What every key of the cluster starts with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Spells a key.
    pub fn key(&self, key: &RegistryKey) -> String {
        let prefix = &self.prefix;
        match key {
            RegistryKey::Meta => format!("{prefix}meta"),
            RegistryKey::Member(name) => format!("{prefix}members/{name}"),
            RegistryKey::Plan => format!("{prefix}plan"),
            RegistryKey::Layout(layout) => format!("{prefix}layouts/{}", layout % LAYOUTS_KEPT),
            RegistryKey::Page(page) => format!("{prefix}table/{page}"),
            RegistryKey::Group(name) => format!("{prefix}groups/{name}"),
            RegistryKey::Blacklist(name) => format!("{prefix}blacklist/{name}"),
            RegistryKey::Planner => format!("{prefix}planner"),
            RegistryKey::Intent(name) => format!("{prefix}intents/{name}"),
            RegistryKey::Operation(id) => format!("{prefix}operations/{id}"),
            RegistryKey::Progress(id, name) => format!("{prefix}operations/{id}/{name}"),
        }
    }

    /// Reads a key; `None` for keys of other clusters and of newer versions.
    pub fn parse(&self, key: &[u8]) -> Option<RegistryKey> {
        let path = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        let (folder, name) = path.split_once('/').unwrap_or((path, ""));
        match (folder, name) {
            ("meta", "") => Some(RegistryKey::Meta),
            ("plan", "") => Some(RegistryKey::Plan),
            ("planner", "") => Some(RegistryKey::Planner),
            ("layouts", place) => {
                let place = place.parse().ok().filter(|place| *place < LAYOUTS_KEPT);
                place.map(RegistryKey::Layout)
            }
            ("members", name) => NodeName::new(name).ok().map(RegistryKey::Member),
            ("table", page) => page.parse().ok().map(RegistryKey::Page),
            ("groups", name) => GroupName::new(name).ok().map(RegistryKey::Group),
            ("blacklist", name) => NodeName::new(name).ok().map(RegistryKey::Blacklist),
            ("intents", name) => NodeName::new(name).ok().map(RegistryKey::Intent),
            ("operations", id) if !id.is_empty() => match id.split_once('/') {
                None => Some(RegistryKey::Operation(id.to_owned())),
                Some((id, name)) => NodeName::new(name)
                    .ok()
                    .map(|name| RegistryKey::Progress(id.to_owned(), name)),
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back() {
        let keys = RegistryKeys::new(&ClusterName::new("prod").unwrap());
        let n1 = NodeName::new("n1").unwrap();
        for key in [
            RegistryKey::Meta,
            RegistryKey::Plan,
            RegistryKey::Planner,
            RegistryKey::Member(n1.clone()),
            RegistryKey::Layout(15),
            RegistryKey::Page(PageIndex::new(255).unwrap()),
            RegistryKey::Group(GroupName::new("g").unwrap()),
            RegistryKey::Blacklist(n1.clone()),
            RegistryKey::Intent(n1),
            RegistryKey::Operation("op-1".to_owned()),
            RegistryKey::Progress("op-1".to_owned(), NodeName::new("n1").unwrap()),
        ] {
            assert_eq!(keys.parse(keys.key(&key).as_bytes()), Some(key));
        }
        let reused = keys.key(&RegistryKey::Layout(LAYOUTS_KEPT + 3));
        assert_eq!(reused, keys.key(&RegistryKey::Layout(3)));
        assert_eq!(keys.parse(b"/cached/other/meta"), None);
        assert_eq!(keys.parse(b"/cached/prod/table/256"), None);
        assert_eq!(keys.parse(b"/cached/prod/layouts/16"), None);
    }
}
