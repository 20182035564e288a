//! Groups as the registry lists them -> what each is bound by on this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::records::GroupRecord;
use cached_proto::types::{GroupName, SLOTS, Ttl};

use crate::cluster::view::{ClusterView, ViewCell};
use crate::store::{GroupId, GroupSettings, Store};
use crate::tasks::Stop;

/// Time to live of a group's entries that are written without one. A record with
/// an unlawful number (written by hand) counts as one without.
pub(super) fn default_ttl(record: &GroupRecord) -> Option<Ttl> {
    record.default_ttl_ms.and_then(|ms| Ttl::from_ms(ms).ok())
}

/// What a group is bound by on a node that owns so many slots: the share of the
/// cluster-wide bound that falls to its slots, rounded up. A node without slots holds
/// nothing that a bound could concern; a bound of zero would refuse the first writes
/// to slots that it is just being given.
pub(super) fn settings(record: &GroupRecord, own_slots: u64) -> GroupSettings {
    let share = |max_bytes: u64| {
        let share = u128::from(max_bytes) * u128::from(own_slots);
        u64::try_from(share.div_ceil(u128::from(SLOTS))).unwrap_or(u64::MAX)
    };
    GroupSettings {
        max_bytes: record.max_bytes.filter(|_| own_slots > 0).map(share),
        default_ttl: default_ttl(record),
        policy: record.policy,
    }
}

/// The group's number in the store. A group that the view lists and the store
/// does not know yet is set up on the spot; `None`: the view does not list it.
pub(super) fn resolve(view: &ClusterView, store: &Store, name: &GroupName) -> Option<GroupId> {
    if let Some(id) = store.group(name) {
        return Some(id);
    }
    let record = view.groups.get(name)?;
    Some(store.set_group(name, settings(record, own_slots(view))))
}

fn own_slots(view: &ClusterView) -> u64 {
    let mine = |owner: &&crate::cluster::view::SlotOwner| view.me == Some(owner.member);
    view.owners.iter().filter(mine).count() as u64
}

/// Keeps the store's groups as the newest view has them, until `stop`: their
/// settings, and this node's share as its slots come and go.
pub async fn follow_groups(view: Arc<ViewCell>, store: Arc<Store>, stop: Stop) {
    let mut applied = BTreeMap::new();
    let mut seen = 0;
    loop {
        let newest = tokio::select! {
            biased;
            () = stop.stopped() => return,
            newest = view.newer_than(seen) => newest,
        };
        seen = newest.number;
        apply(&newest, &store, &mut applied);
    }
}

/// Hands changed settings to the store; lowering a bound evicts, so that nothing
/// is set twice.
fn apply(view: &ClusterView, store: &Store, applied: &mut BTreeMap<GroupName, GroupSettings>) {
    let own_slots = own_slots(view);
    for (name, record) in &view.groups {
        let settings = settings(record, own_slots);
        if applied.get(name) != Some(&settings) {
            store.set_group(name, settings);
            applied.insert(name.clone(), settings);
        }
    }
}
