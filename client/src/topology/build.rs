//! Members and rows put together, from whatever source. Pure.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use cached_proto::types::{Epoch, Invalid, MemberId, SLOTS, Slot};

use super::{Member, NOBODY};

/// What members there are and who owns what, before rows name members by index.
#[derive(Debug)]
pub(super) struct Builder {
    members: BTreeMap<MemberId, Member>,
    /// Who owns slots, numbered in the order in which they were named: many slots have
    /// one owner, who is looked up once for each range of them.
    named: BTreeMap<MemberId, u16>,
    /// Owners by that number.
    owners: Vec<(u16, Epoch)>,
}

/// Members by name, then incarnation; owners as in [`super::Topology`].
pub(super) type Built = (Vec<Member>, Vec<(u16, Epoch)>);

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            named: BTreeMap::new(),
            owners: vec![(NOBODY, Epoch(0)); usize::from(SLOTS)],
        }
    }

    /// Adds a member; the same one twice is refused.
    pub(super) fn member(&mut self, member: Member) -> Result<(), Invalid> {
        let name = member.id.name.clone();
        match self.members.insert(member.id.clone(), member) {
            None => Ok(()),
            Some(_) => Err(Invalid::new(
                "members",
                format!("name {name} twice in the same life"),
            )),
        }
    }

    /// Sets the owner of neighbouring slots; twice is refused.
    pub(super) fn own(
        &mut self,
        slots: RangeInclusive<Slot>,
        owner: MemberId,
        epoch: Epoch,
    ) -> Result<(), Invalid> {
        // Each owner has a slot, so there are fewer of them than NOBODY.
        let next = self.named.len() as u16;
        let number = *self.named.entry(owner).or_insert(next);
        let (first, last) = (slots.start().index(), slots.end().index());
        for (row, slot) in self.owners[first..=last].iter_mut().zip(first..) {
            if row.0 != NOBODY {
                return Err(Invalid::new(
                    "table",
                    format!("gives slot {slot} two owners"),
                ));
            }
            *row = (number, epoch);
        }
        Ok(())
    }

    /// Counts slots, adds owners that are no members as DOWN, and numbers all.
    pub(super) fn build(mut self) -> Result<Built, Invalid> {
        let mut slots = vec![0; self.named.len()];
        for (number, _) in self.owners.iter().filter(|row| row.0 != NOBODY) {
            slots[usize::from(*number)] += 1;
        }
        for (owner, number) in &self.named {
            let member = self.members.entry(owner.clone());
            let member = member.or_insert_with(|| down(owner.clone()));
            member.slots = slots[usize::from(*number)];
        }
        if self.members.len() >= usize::from(NOBODY) {
            let problem = format!("are {}; the limit is {NOBODY}", self.members.len());
            return Err(Invalid::new("members", problem));
        }
        let mut renumbered = vec![NOBODY; self.named.len()];
        for (member, index) in self.members.keys().zip(0..) {
            if let Some(number) = self.named.get(member) {
                renumbered[usize::from(*number)] = index;
            }
        }
        for row in self.owners.iter_mut().filter(|row| row.0 != NOBODY) {
            row.0 = renumbered[usize::from(row.0)];
        }
        Ok((self.members.into_values().collect(), self.owners))
    }
}

/// An owner that rows name though it is no member.
fn down(id: MemberId) -> Member {
    Member {
        id,
        address: String::new(),
        state: None,
        weight: 0,
        zone: String::new(),
        version: String::new(),
        started_ms: 0,
        slots: 0,
        down_for_ms: 0,
        detail: "rows name it, but it is no member".to_owned(),
        standby: false,
        intent: String::new(),
    }
}
