//! Room: who goes when a bound is passed, and who goes because its time is over.

use super::{CHUNK, Gone, Place, Shard};
use crate::clock::WallMs;
use crate::store::entry::charge;
use crate::store::{GroupId, Refused};

/// Of so many evictions a shard leaves one to the others, which then give up the
/// oldest entry among them. So a shard that fills late, when the node is full
/// already, grows until its entries are as young as everyone's. Rare, because it
/// takes a look into every shard.
const LEAVE_ONE_IN: u32 = 32;

/// Where room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A group passed its bound.
    Group(GroupId),
    /// The node passed its own, or the shard has no handles for more.
    Node,
}

impl Shard {
    /// Refuses an entry that could not even stand alone.
    pub(super) fn check_fits(&self, place: &Place<'_>, value_bytes: usize) -> Result<(), Refused> {
        let needed = charge(place.key.len(), value_bytes);
        let group = &self.groups[place.group.index()].budget;
        for (limit, of) in [
            (group.limit(), "this node's share of the group"),
            (self.config.node.limit(), "the node"),
        ] {
            if needed > limit {
                return Err(Refused::TooLarge { needed, limit, of });
            }
        }
        Ok(())
    }

    /// Evicts others, until `keep` has room. What is still missing afterwards (see
    /// [`Shard::is_short`]) all shards together have to give: where this one has
    /// nothing left, where it is their turn, and where a large value needs so much
    /// that the lock would be held for long.
    pub(super) fn make_room(&mut self, group: GroupId, keep: u32) {
        let mut left = CHUNK;
        for scope in [Scope::Group(group), Scope::Node] {
            while self.is_over(scope) {
                if left == 0 || self.is_turn_of_others() {
                    return;
                }
                let Some((_, victim)) = self.victim(scope, Some(keep)) else {
                    break;
                };
                self.remove(victim, Gone::Evicted);
                left -= 1;
            }
        }
    }

    /// Whether a write to this group left a bound broken.
    pub(crate) fn is_short(&self, group: GroupId) -> bool {
        self.is_over(Scope::Group(group)) || self.is_over(Scope::Node)
    }

    /// When the entry was last used that would go first.
    pub(crate) fn oldest_stamp(&mut self, scope: Scope) -> Option<u64> {
        self.victim(scope, None).map(|(stamp, _)| stamp)
    }

    /// Evicts, while the bound is passed, at most so many.
    pub(crate) fn evict(&mut self, scope: Scope, entries_max: usize) {
        for _ in 0..entries_max {
            if !self.is_over(scope) {
                break;
            }
            let Some((_, victim)) = self.victim(scope, None) else {
                break;
            };
            self.remove(victim, Gone::Evicted);
        }
        self.evacuate();
    }

    /// Removes entries whose time is over, at most so many; answers how many. Those in
    /// sealed containers are put aside, and count as removed.
    pub(crate) fn sweep(&mut self, now: WallMs, entries_max: usize) -> usize {
        self.fills.expire(now);
        let mut removed = 0;
        while removed < entries_max
            && let Some(index) = self.due.first_due(now)
        {
            if self.is_sealed(index) {
                self.put_aside(index);
            } else {
                self.remove(index, Gone::Expired);
            }
            removed += 1;
        }
        self.evacuate_at_leisure();
        removed
    }

    /// Removes a group's entries, at most so many; answers how many keys were among
    /// them, or `None` when nothing was left but what is sealed or staged.
    pub(crate) fn flush(&mut self, group: GroupId, entries_max: usize) -> Option<u64> {
        self.fills.kill_group(group);
        if self.settle_some(entries_max) {
            return Some(0);
        }
        let deletes_before = self.groups[group.index()].counters.deletes;
        self.any_of(group)?;
        for _ in 0..entries_max {
            let Some(index) = self.any_of(group) else {
                break;
            };
            if self.is_sealed(index) {
                self.put_aside(index);
            } else {
                self.remove(index, Gone::Removed);
            }
        }
        self.evacuate();
        Some(self.groups[group.index()].counters.deletes - deletes_before)
    }

    fn is_over(&self, scope: Scope) -> bool {
        match scope {
            Scope::Group(group) => self.groups[group.index()].budget.is_over(),
            Scope::Node => self.config.node.is_over() || self.entries.arena().is_crowded(),
        }
    }

    fn is_turn_of_others(&mut self) -> bool {
        self.evictions = self.evictions.wrapping_add(1);
        self.config.shards_log2 > 0 && self.evictions.is_multiple_of(LEAVE_ONE_IN)
    }

    /// The entry to be evicted next, with its stamp. Puts those aside that are sealed; a
    /// bound may stay broken while too many are, which is for milliseconds.
    fn victim(&mut self, scope: Scope, keep: Option<u32>) -> Option<(u64, u32)> {
        let mut may_settle = true;
        for _ in 0..CHUNK {
            match self.oldest(scope, keep) {
                Some((_, index)) if self.is_sealed(index) => self.put_aside(index),
                None if may_settle && self.settle_some(CHUNK) => may_settle = false,
                found => return found,
            }
        }
        None
    }

    /// The entry that goes first, with its stamp. Over all groups that is the one
    /// used longest ago among the first of each, so it takes time by their number.
    fn oldest(&mut self, scope: Scope, keep: Option<u32>) -> Option<(u64, u32)> {
        let groups = match scope {
            Scope::Group(group) => &mut self.groups[group.index()..=group.index()],
            Scope::Node => &mut self.groups[..],
        };
        let entries = &mut self.entries;
        let first = groups
            .iter_mut()
            .filter_map(|group| group.order.oldest(entries, keep));
        first.min()
    }

    fn any_of(&self, group: GroupId) -> Option<u32> {
        self.groups[group.index()].order.any(&self.entries)
    }
}
