//! What operators change: groups and blacklist entries, each in one transaction.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::GROUPS_MAX;
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberState};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::{Invalid, NodeName};

use super::shared::Shared;
use super::view::ClusterView;
use crate::registry::{Compare, Range, RegistryError, Txn, Write};

/// Shortest and longest life of an operator's blacklist entry: a second is the least
/// that can have an effect; what should last longer than a day is a removal.
pub const BLACKLIST_MS_MIN: u64 = 1_000;
/// See [`BLACKLIST_MS_MIN`].
pub const BLACKLIST_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Longest reason of a blacklist entry, in bytes: it stands in a table's column.
pub const REASON_BYTES_MAX: usize = 256;

/// How long a change may take to be seen in the own view after it was written.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn create_group(&self, group: GroupRecord) -> Result<GroupRecord, Failure> {
        if let Some(known) = self.view.load().groups.get(&group.name) {
            return same_or_conflict(known, &group);
        }
        if self.view.load().groups.len() >= GROUPS_MAX {
            let text = format!("the cluster has {GROUPS_MAX} groups, the most it may have");
            return Err(Failure::new(FailureCode::Conflict, text));
        }
        let key = self.keys.key(&RegistryKey::Group(group.name.clone()));
        let put = self.put(key.clone(), &group);
        if self
            .change(vec![Compare::CreateRevision(key.clone(), 0)], put)
            .await?
        {
            self.seen(|view| view.groups.contains_key(&group.name))
                .await;
            return Ok(group);
        }
        // Somebody was quicker, or this process is no member any more.
        let held = self.registry.read(Range::Key(key)).await.map_err(unread)?;
        let held = held
            .records
            .first()
            .and_then(|r| serde_json::from_slice(&r.value).ok());
        held.map_or_else(
            || Err(not_a_member()),
            |known| same_or_conflict(&known, &group),
        )
    }

    pub(super) async fn add_blacklist(&self, entry: BlacklistRecord) -> Result<(), Failure> {
        check_blacklist(&entry, &self.view.load(), self.clock.wall().0)?;
        let key = self.keys.key(&RegistryKey::Blacklist(entry.target.clone()));
        let put = self.put(key, &entry);
        if !self.change(Vec::new(), put).await? {
            return Err(not_a_member());
        }
        self.seen(|view| view.blacklist.get(&entry.target) == Some(&entry))
            .await;
        Ok(())
    }

    pub(super) async fn remove_blacklist(&self, target: &NodeName) -> Result<bool, Failure> {
        let key = self.keys.key(&RegistryKey::Blacklist(target.clone()));
        let held = self
            .registry
            .read(Range::Key(key.clone()))
            .await
            .map_err(unread)?;
        let Some(record) = held.records.first() else {
            return Ok(false);
        };
        let same = Compare::ModRevision(key.clone(), record.mod_revision);
        if !self.change(vec![same], Write::Delete(key)).await? {
            let text = format!("the entry of {target} was changed meanwhile; look again");
            return Err(Failure::new(FailureCode::Conflict, text));
        }
        self.seen(|view| !view.blacklist.contains_key(target)).await;
        Ok(true)
    }

    pub(super) fn put<T: serde::Serialize>(&self, key: String, value: &T) -> Write {
        let value = serde_json::to_vec(value).expect("a record has string keys");
        Write::Put {
            key,
            value: value.into(),
            lease: 0,
        }
    }

    /// One write, by a member only while it is one (I3).
    pub(super) async fn change(
        &self,
        mut compares: Vec<Compare>,
        write: Write,
    ) -> Result<bool, Failure> {
        if let Some(me) = &self.id {
            let create_revision = self.facts.lock().create_revision.ok_or_else(not_a_member)?;
            let key = self.keys.key(&RegistryKey::Member(me.name.clone()));
            compares.push(Compare::CreateRevision(key, create_revision));
        }
        let txn = Txn {
            compares,
            writes: vec![write],
        };
        let outcome = self.registry.txn(txn).await.map_err(unwritten)?;
        Ok(outcome.succeeded)
    }

    /// Waits a little until the own view shows a change, so that whoever made it can
    /// use it here at once.
    pub(super) async fn seen(&self, shows: impl Fn(&ClusterView) -> bool) {
        self.view.ask_refresh();
        let wait = async {
            let mut view = self.view.load_full();
            while !shows(&view) {
                view = self.view.newer_than(view.number).await;
            }
        };
        tokio::select! { biased;
            () = wait => {}
            () = self.clock.sleep(SEEN_WITHIN) => {}
        }
    }
}

fn same_or_conflict(known: &GroupRecord, wanted: &GroupRecord) -> Result<GroupRecord, Failure> {
    if known == wanted {
        return Ok(known.clone());
    }
    let text = format!("group {} exists with other settings", known.name);
    Err(Failure::new(FailureCode::Conflict, text))
}

/// Pure: whether an operator may list a member like this.
fn check_blacklist(
    entry: &BlacklistRecord,
    view: &ClusterView,
    now_ms: u64,
) -> Result<(), Failure> {
    let ttl = entry.expires_ms.saturating_sub(now_ms);
    if !(BLACKLIST_MS_MIN..=BLACKLIST_MS_MAX).contains(&ttl) {
        let text =
            format!("of {ttl} ms is not between {BLACKLIST_MS_MIN} and {BLACKLIST_MS_MAX} ms");
        return Err(Invalid::new("ttl", text).into());
    }
    if entry.reason.len() > REASON_BYTES_MAX {
        let text = format!(
            "has {} bytes; the limit is {REASON_BYTES_MAX}",
            entry.reason.len()
        );
        return Err(Invalid::new("reason", text).into());
    }
    let living = view
        .members
        .iter()
        .filter_map(|member| member.record.as_ref());
    let living = living.filter(|record| record.state != MemberState::Gone);
    let target = &entry.target;
    if !living
        .clone()
        .any(|record| record.id.name == *target && record.id.inc == entry.inc)
    {
        let text = format!("{target} is no living member (incarnation {})", entry.inc);
        return Err(Failure::new(FailureCode::NotFound, text));
    }
    let left = living.filter(|record| {
        record.id.name != *target && !view.blacklist.contains_key(&record.id.name)
    });
    if left.count() == 0 {
        let text = format!("{target} is the last member that is not blacklisted");
        return Err(Failure::new(FailureCode::Conflict, text));
    }
    Ok(())
}

pub(super) fn not_a_member() -> Failure {
    let text = "this node is not registered now and can change nothing; ask another";
    Failure::new(FailureCode::Unavailable, text)
}

pub(super) fn unread(error: RegistryError) -> Failure {
    Failure::new(FailureCode::Unavailable, error.to_string())
}

fn unwritten(error: RegistryError) -> Failure {
    let failure = Failure::new(FailureCode::Unavailable, error.to_string());
    match error {
        RegistryError::Unknown(_) => failure.maybe_applied(),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing;
    use crate::cluster::view::MemberView;

    fn view(names: &[&str], listed: &[&str]) -> ClusterView {
        let mut view = ClusterView::empty();
        for name in names {
            let record = testing::member(name);
            view.members.push(MemberView {
                id: record.id.clone(),
                record: Some(record),
                absent_since: None,
                slots: 0,
                detail: String::new(),
            });
        }
        for name in listed {
            view.blacklist
                .insert(NodeName::new(name).unwrap(), entry(name, 60_000));
        }
        view
    }

    fn entry(name: &str, ttl_ms: u64) -> BlacklistRecord {
        let id = testing::member(name).id;
        BlacklistRecord {
            target: id.name,
            inc: id.inc,
            reason: "maintenance".to_owned(),
            by: "ann@desk".to_owned(),
            since_ms: 0,
            expires_ms: 1_000_000 + ttl_ms,
        }
    }

    #[test]
    fn the_last_member_unknown_ones_and_odd_times_are_refused() {
        let check = |entry: &BlacklistRecord, view: &ClusterView| {
            check_blacklist(entry, view, 1_000_000).map_err(|failure| failure.message)
        };
        let two = view(&["n1", "n2"], &[]);
        assert_eq!(check(&entry("n1", 60_000), &two), Ok(()));
        let last = check(&entry("n1", 60_000), &view(&["n1", "n2"], &["n2"])).unwrap_err();
        assert_eq!(last, "n1 is the last member that is not blacklisted");
        let unknown = check(&entry("n9", 60_000), &two).unwrap_err();
        assert!(unknown.contains("n9 is no living member"), "{unknown}");
        for ttl in [0, 999, BLACKLIST_MS_MAX + 1] {
            let refusal = check(&entry("n1", ttl), &two).unwrap_err();
            assert!(refusal.starts_with("ttl of"), "{refusal}");
        }
        let long = BlacklistRecord {
            reason: "x".repeat(257),
            ..entry("n1", 60_000)
        };
        assert!(check(&long, &two).unwrap_err().contains("limit is 256"));
    }
}
