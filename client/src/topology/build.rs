//! Members and rows put together, from whatever source. Pure.

use std::collections::BTreeMap;

use cached_proto::types::{Epoch, Invalid, MemberId, SLOTS, Slot};

use super::{Member, NOBODY};

/// What members there are and who owns what, before rows name members by index.
#[derive(Debug)]
pub(super) struct Builder {
    members: BTreeMap<MemberId, Member>,
    owners: Vec<Option<(MemberId, Epoch)>>,
}

/// Members by name, then incarnation; owners as in [`super::Topology`].
pub(super) type Built = (Vec<Member>, Vec<(u16, Epoch)>);

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            owners: vec![None; usize::from(SLOTS)],
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

    /// Sets the owner of a slot; twice is refused.
    pub(super) fn owner(
        &mut self,
        slot: Slot,
        owner: MemberId,
        epoch: Epoch,
    ) -> Result<(), Invalid> {
        match self.owners[slot.index()].replace((owner, epoch)) {
            None => Ok(()),
            Some(_) => Err(Invalid::new(
                "table",
                format!("gives slot {slot} two owners"),
            )),
        }
    }

    /// Counts slots, adds owners that are no members as DOWN, and numbers all.
    pub(super) fn build(mut self) -> Result<Built, Invalid> {
        for (owner, _) in self.owners.iter().flatten() {
            let member = self
                .members
                .entry(owner.clone())
                .or_insert_with(|| down(owner.clone()));
            member.slots += 1;
        }
        if self.members.len() >= usize::from(NOBODY) {
            let problem = format!("are {}; the limit is {NOBODY}", self.members.len());
            return Err(Invalid::new("members", problem));
        }
        let numbers: BTreeMap<MemberId, u16> = self.members.keys().cloned().zip(0..).collect();
        let number = |row: &Option<(MemberId, Epoch)>| match row {
            None => (NOBODY, Epoch(0)),
            Some((owner, epoch)) => (numbers[owner], *epoch),
        };
        let owners = self.owners.iter().map(number).collect();
        Ok((self.members.into_values().collect(), owners))
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
