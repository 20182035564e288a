//! Who sits where before anything is released or given.

use std::collections::BTreeMap;

use cached_proto::records::PlanMember;
use cached_proto::types::{MemberId, NodeName, Slot};

use super::{Current, Holder, Movement, NOBODY};

/// Who sits where while a plan is made.
pub(super) struct Seats {
    /// Eligible members by name, then the living owners that keep their slots
    /// without being eligible.
    pub(super) members: Vec<PlanMember>,
    /// For each slot an index into `members`, or [`NOBODY`].
    pub(super) owners: Vec<u16>,
    /// For each slot without owner the eligible member that has the name of its
    /// late owner, or [`NOBODY`].
    pub(super) heirs: Vec<u16>,
    /// How many slots each of the members has.
    pub(super) owned: Vec<u32>,
}

impl Seats {
    pub(super) fn of(current: &Current, eligible: Vec<PlanMember>, movement: Movement) -> Self {
        let mut members = eligible;
        if movement == Movement::OrphansOnly {
            members.extend(keepers(current, &members));
        }
        let index: BTreeMap<&MemberId, u16> = members.iter().map(|m| &m.id).zip(0..).collect();
        let heir: BTreeMap<&NodeName, u16> = members.iter().map(|m| &m.id.name).zip(0..).collect();
        let seat = |holder: &Holder| {
            let own = index.get(&holder.id).filter(|_| holder.living);
            (
                own.copied().unwrap_or(NOBODY),
                heir.get(&holder.id.name).copied().unwrap_or(NOBODY),
            )
        };
        let seats: Vec<(u16, u16)> = current.holders.iter().map(seat).collect();
        let row = |slot: Slot| {
            let holder = current.rows.get(slot.index()).copied().unwrap_or(NOBODY);
            seats
                .get(usize::from(holder))
                .copied()
                .unwrap_or((NOBODY, NOBODY))
        };
        let (owners, heirs): (Vec<u16>, Vec<u16>) = Slot::all().map(row).unzip();
        let mut owned = vec![0; members.len()];
        for owner in owners.iter().filter(|owner| **owner != NOBODY) {
            owned[usize::from(*owner)] += 1;
        }
        Self {
            members,
            owners,
            heirs,
            owned,
        }
    }
}

/// Living owners that are not eligible, by id, with weight 0.
fn keepers(current: &Current, eligible: &[PlanMember]) -> Vec<PlanMember> {
    let holders = current.holders.iter().zip(current.slots());
    let living = holders.filter(|(holder, slots)| holder.living && *slots > 0);
    let is_eligible = |id| {
        eligible
            .binary_search_by(|member| member.id.cmp(id))
            .is_ok()
    };
    let keeps = living
        .map(|(holder, _)| &holder.id)
        .filter(|id| !is_eligible(id));
    let mut keepers: Vec<_> = keeps
        .map(|id| PlanMember {
            id: id.clone(),
            weight: 0,
        })
        .collect();
    keepers.sort_by(|a, b| a.id.cmp(&b.id));
    keepers
}
