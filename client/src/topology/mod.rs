//! What a client knows of its cluster, and how it keeps up.
//!
//! The data is pure: [`Topology`] and what is routed by, `Known`. Two files fetch
//! it, `nodes` from any node and `etcd` from etcd; `follow` has the task that keeps
//! it fresh.

mod build;
mod cell;
pub mod etcd;
mod follow;
mod known;
mod message;
pub(crate) mod nodes;
mod records;
#[cfg(test)]
pub(crate) mod tests;

use cached_proto::records::{MemberState, Mode};
use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::{Ring, slot_of};
use cached_proto::types::{
    ClusterName, Epoch, GroupName, Incarnation, Key, MemberId, NodeName, Slot,
};

pub(crate) use cell::Cell;
pub(crate) use follow::Follower;
pub(crate) use known::Known;

/// In [`Topology::owners`]: no row is known.
pub const NOBODY: u16 = u16::MAX;

/// A member as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name and incarnation.
    pub id: MemberId,
    /// `host:port`; empty when it is down.
    pub address: String,
    /// `None`: rows name it, but it is no member (DOWN).
    pub state: Option<MemberState>,
    /// Share of slots relative to the others'.
    pub weight: u32,
    /// Failure zone.
    pub zone: String,
    /// Its software.
    pub version: String,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// Slots it owns.
    pub slots: u32,
    /// How long it is down.
    pub down_for_ms: u64,
    /// Why it is in this state, for people.
    pub detail: String,
    /// It joins only when an operator says so.
    pub standby: bool,
    /// `drain` or `leave`, when an operator asked for it; else empty.
    pub intent: String,
}

/// One picture of the cluster.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// Its identity.
    pub cluster_uuid: Incarnation,
    /// Raised when a cluster is rebuilt.
    pub generation: u64,
    /// Number of the plan in force.
    pub layout: u64,
    /// Key to slot.
    pub hash: KeyHash,
    /// Points on the ring for each unit of weight.
    pub virtual_nodes: u32,
    /// What nodes do while the registry is away.
    pub mode: Mode,
    /// Group of calls that name none.
    pub default_group: GroupName,
    /// Members by name, then incarnation: a name may stand twice, dead and alive.
    pub members: Vec<Member>,
    /// For each slot: index into `members` ([`NOBODY`]: no row is known) and epoch.
    pub owners: Vec<(u16, Epoch)>,
}

/// Where a key lives.
#[derive(Clone, Debug)]
pub struct Location {
    /// Its slot.
    pub slot: Slot,
    /// Its owner by the row; `None` before the table is known.
    pub owner: Option<Member>,
    /// The row's epoch.
    pub epoch: Epoch,
    /// The run of neighbouring slots with the same owner.
    pub range: (Slot, Slot),
    /// The next members on the ring, in order.
    pub next: Vec<Member>,
    /// The virtual node that the slot meets first: member and its number.
    pub virtual_node: Option<(Member, u32)>,
}

impl Topology {
    /// The slot of a key.
    pub fn slot_of(&self, key: &Key) -> Slot {
        slot_of(self.hash, key.as_bytes())
    }

    /// The owner of a slot by its row, alive or not, and the row's epoch.
    pub fn owner(&self, slot: Slot) -> Option<(&Member, Epoch)> {
        let (member, epoch) = *self.owners.get(slot.index())?;
        Some((self.members.get(usize::from(member))?, epoch))
    }

    /// Where a key lives, and why. Computes the ring, which takes about a millisecond
    /// with 100 members: for people, not for every call.
    pub fn locate(&self, key: &Key) -> Location {
        let slot = self.slot_of(key);
        let (owner, epoch) = self.owners[slot.index()];
        let placed = self.placed();
        let weights: Vec<(NodeName, u32)> = placed
            .iter()
            .map(|member| (member.id.name.clone(), member.weight))
            .collect();
        let ring = Ring::new(&weights, self.virtual_nodes);
        let member = |index: u16| placed.get(usize::from(index)).copied().cloned();
        Location {
            slot,
            owner: self.members.get(usize::from(owner)).cloned(),
            epoch,
            range: self.range(slot),
            next: ring.walk(slot).filter_map(member).collect(),
            virtual_node: ring
                .virtual_node(slot)
                .and_then(|(index, number)| Some((member(index)?, number))),
        }
    }

    /// The members that hold slots or may be given some, each name once.
    fn placed(&self) -> Vec<&Member> {
        let takes = |member: &&Member| member.slots > 0 || member.state == Some(MemberState::Up);
        let mut placed: Vec<&Member> = self.members.iter().filter(takes).collect();
        // Of two lives of one name, the living one is what the ring goes on with.
        placed.sort_by_key(|member| (member.id.name.clone(), member.state.is_none()));
        placed.dedup_by_key(|member| member.id.name.clone());
        placed
    }

    /// The run of neighbouring slots with the same owner as this one.
    fn range(&self, slot: Slot) -> (Slot, Slot) {
        let owner = self.owners[slot.index()].0;
        let same = |other: &Slot| self.owners[other.index()].0 == owner;
        let first = Slot::all()
            .take(slot.index() + 1)
            .rev()
            .take_while(same)
            .last();
        let last = Slot::all().skip(slot.index()).take_while(same).last();
        (first.unwrap_or(slot), last.unwrap_or(slot))
    }

    /// With each row of `old` that is newer than ours: a node may be asked that has
    /// not heard of it yet. Another cluster's rows, and those from before it was
    /// rebuilt, do not count.
    pub(crate) fn keep_newer_rows(mut self, old: &Self) -> Self {
        if old.cluster_uuid != self.cluster_uuid || old.generation != self.generation {
            return self;
        }
        for slot in Slot::all() {
            let Some((owner, epoch)) = old.owner(slot) else {
                continue;
            };
            if epoch > self.owners[slot.index()].1 {
                self.set_owner(slot, owner, epoch);
            }
        }
        self
    }

    fn set_owner(&mut self, slot: Slot, owner: &Member, epoch: Epoch) {
        let known = self.members.iter().position(|member| member.id == owner.id);
        let index = known.unwrap_or_else(|| {
            self.members.push(Member {
                slots: 0,
                ..owner.clone()
            });
            self.members.len() - 1
        });
        let Ok(number) = u16::try_from(index) else {
            return;
        };
        if let Some(before) = self
            .members
            .get_mut(usize::from(self.owners[slot.index()].0))
        {
            before.slots -= 1;
        }
        self.members[index].slots += 1;
        self.owners[slot.index()] = (number, epoch);
    }
}
