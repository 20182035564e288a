//! Room that a shard alone cannot make: taken from all shards, one lock at a time.

use super::lock::Held;
use cached_proto::types::Slot;

use super::shard::Scope;
use super::{GroupId, Store};

/// Entries that a shard gives up before ages are compared again: the order between
/// shards is not exact anyway, and the look into all of them should not be the work.
const EVICTIONS_PER_LOOK: usize = 64;

impl Store {
    /// Ends a write: lets other shards give the room that its own could not.
    pub(super) fn settle(&self, shard: Held<'_>, slot: Slot, group: GroupId) {
        let is_short = shard.is_short(group);
        drop(shard);
        if is_short {
            self.relieve(Scope::Group(group), Some(slot));
            self.relieve(Scope::Node, Some(slot));
        }
    }

    /// Evicts the oldest entries of all shards until a bound holds; those of the
    /// shard of `home`, which has just given what it had for a write there, last.
    pub(super) fn relieve(&self, scope: Scope, home: Option<Slot>) {
        let home = home.map(|slot| slot.index() & (self.shards.len() - 1));
        while self.is_over(scope) {
            let ages = self
                .shards
                .iter()
                .enumerate()
                .filter_map(|(number, shard)| {
                    let stamp = shard.lock().oldest_stamp(scope)?;
                    Some((home == Some(number), stamp, number))
                });
            // Without entries, what is in use belongs to writers at work, who will
            // come by here themselves.
            let Some((_, _, number)) = ages.min() else {
                return;
            };
            self.shards[number].lock().evict(scope, EVICTIONS_PER_LOOK);
        }
    }

    fn is_over(&self, scope: Scope) -> bool {
        match scope {
            Scope::Node => self.node.is_over(),
            Scope::Group(group) => self.groups.load().list[group.index()].budget.is_over(),
        }
    }
}
