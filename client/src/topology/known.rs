//! The newest topology and the rows learned from answers since. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::failure::OwnerHint;
use cached_proto::records::MemberState;
use cached_proto::types::{Epoch, Slot};

use super::Topology;

/// Most rows learned from answers before the next topology arrives. More than a
/// cluster moves between two topologies; when it is reached all are forgotten,
/// which costs one redirect each.
pub(crate) const LEARNED_MAX: usize = 1024;

/// What a client routes by. Immutable; replaced whole.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Grows with every change.
    pub(crate) number: u64,
    /// The newest topology.
    pub(crate) topology: Arc<Topology>,
    /// Rows newer than the topology's.
    learned: BTreeMap<Slot, OwnerHint>,
    /// Where the client began: asked when no member can be.
    seeds: Arc<[String]>,
}

impl Known {
    /// A first topology.
    pub(crate) fn new(topology: Topology, seeds: Arc<[String]>) -> Self {
        Self {
            number: 1,
            topology: Arc::new(topology),
            learned: BTreeMap::new(),
            seeds,
        }
    }

    /// Where the owner of a slot can be asked, and the epoch of its row; `None` when
    /// there is none, or it is no member now.
    pub(crate) fn owner(&self, slot: Slot) -> Option<(&str, Epoch)> {
        if let Some(hint) = self.learned.get(&slot) {
            return Some((hint.address.as_deref()?, hint.epoch));
        }
        let (member, epoch) = self.topology.owner(slot)?;
        let lives = member.state.is_some_and(|state| state != MemberState::Gone);
        (lives && !member.address.is_empty()).then_some((&*member.address, epoch))
    }

    /// The newest epoch of a slot; 0: no row is known.
    pub(crate) fn epoch(&self, slot: Slot) -> Epoch {
        let learned = self.learned.get(&slot).map(|hint| hint.epoch);
        learned.unwrap_or_else(|| self.topology.owners[slot.index()].1)
    }

    /// With a row that a node told, if it is newer than ours, or the same and ours has
    /// no living owner; and with what it told of others beside it.
    pub(crate) fn learn(&self, hint: &OwnerHint) -> Option<Self> {
        if !self.is_news(hint.slot, hint.epoch, hint) {
            return None;
        }
        let mut next = self.clone();
        next.number += 1;
        if next.learned.len() + hint.also.len() >= LEARNED_MAX {
            next.learned.clear();
        }
        let also = hint.also.iter().copied();
        let also = also.filter(|(slot, epoch)| self.is_news(*slot, *epoch, hint));
        for (slot, epoch) in also.chain([(hint.slot, hint.epoch)]) {
            let row = OwnerHint {
                slot,
                epoch,
                also: Vec::new(),
                ..hint.clone()
            };
            next.learned.insert(slot, row);
        }
        Some(next)
    }

    fn is_news(&self, slot: Slot, epoch: Epoch, hint: &OwnerHint) -> bool {
        let ours = self.epoch(slot);
        let found = epoch == ours && hint.address.is_some() && self.owner(slot).is_none();
        epoch > ours || found
    }

    /// With a newer topology; rows that are newer than its own stay.
    pub(crate) fn replace(&self, topology: Topology) -> Self {
        let topology = topology.keep_newer_rows(&self.topology);
        let same = topology.cluster_uuid == self.topology.cluster_uuid;
        let mut learned = self.learned.clone();
        learned.retain(|slot, hint| same && hint.epoch > topology.owners[slot.index()].1);
        Self {
            number: self.number + 1,
            topology: Arc::new(topology),
            learned,
            seeds: self.seeds.clone(),
        }
    }

    /// Every address worth asking: living members, then seeds.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = Vec::new();
        for address in self.members().chain(self.seeds.iter().map(String::as_str)) {
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
        addresses
    }

    /// Any node, chosen by `draw` in 0..1: a living member that is not to be avoided,
    /// else such a seed, else whoever there is.
    pub(crate) fn anyone(&self, avoid: &[String], draw: f64) -> Option<&str> {
        let usable = |address: &&str| !avoid.iter().any(|avoided| avoided == address);
        let seeds = || self.seeds.iter().map(String::as_str);
        let members: Vec<&str> = self.members().filter(usable).collect();
        pick(&members, draw)
            .or_else(|| pick(&seeds().filter(usable).collect::<Vec<_>>(), draw))
            .or_else(|| pick(&self.members().chain(seeds()).collect::<Vec<_>>(), draw))
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        let lives = |state| matches!(state, Some(state) if state != MemberState::Gone);
        let members = self.topology.members.iter();
        members
            .filter(move |member| lives(member.state) && !member.address.is_empty())
            .map(|member| member.address.as_str())
    }
}

fn pick<'a>(addresses: &[&'a str], draw: f64) -> Option<&'a str> {
    let index = (draw * addresses.len() as f64) as usize;
    addresses
        .get(index.min(addresses.len().checked_sub(1)?))
        .copied()
}
