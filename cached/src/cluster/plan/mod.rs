//! Decides who should own which slot: a pure function from what is to what should be.
//!
//! Reading order: [`Current`] (what is), [`Movement`], [`plan`], [`difference`];
//! then the modules `seats` (who sits where), `quota` (how many slots each),
//! `release` (which ones an over-full member gives away) and `vacancy` (who takes
//! them).
//!
//! There is no separate rule for a crash, a drain or a join. A crashed member is
//! a [`Holder`] that does not live: its slots are orphans, and planning gives
//! them to others. A draining one lives but is not eligible. A joining one is
//! eligible and owns nothing yet. An empty cluster has nobody in its rows.

mod quota;
mod release;
mod seats;
#[cfg(test)]
mod tests;
mod vacancy;

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::assignment::Assignment;
use cached_proto::limits::MEMBERS_MAX;
use cached_proto::records::PlanMember;
use cached_proto::ring::Ring;
use cached_proto::types::{MemberId, NodeName, SLOTS, Slot};

use crate::cluster::view::{ClusterView, MemberView, SlotOwner};

use quota::quotas;
pub(super) use quota::{closed_share, fair_share};
use release::release;
use seats::Seats;
use vacancy::Vacancies;

/// Stands in rows for slots that nobody has owned yet.
pub const NOBODY: u16 = SlotOwner::NOBODY.member;

/// A member that rows name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name and incarnation: another life of the same name is another holder.
    pub id: MemberId,
    /// It holds its slots; false: they are orphans.
    pub living: bool,
}

/// The table that a plan starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Members that rows name, each once and in any order.
    pub holders: Vec<Holder>,
    /// For each slot the index of its owner in `holders`, or [`NOBODY`]. Missing
    /// rows and indices beyond the holders mean nobody, too.
    pub rows: Vec<u16>,
}

impl Current {
    /// The table of a cluster that is being bootstrapped.
    pub fn nobody() -> Self {
        Self {
            holders: Vec::new(),
            rows: vec![NOBODY; usize::from(SLOTS)],
        }
    }

    /// The table as a node sees it. `living` says whose slots are no orphans.
    pub fn of_view(view: &ClusterView, living: impl Fn(&MemberView) -> bool) -> Self {
        let holder = |member: &MemberView| Holder {
            id: member.id.clone(),
            living: living(member),
        };
        Self {
            holders: view.members.iter().map(holder).collect(),
            rows: view.owners.iter().map(|owner| owner.member).collect(),
        }
    }

    /// The owner of a slot by its row; it may be dead.
    pub fn holder(&self, slot: Slot) -> Option<&Holder> {
        self.holders.get(usize::from(*self.rows.get(slot.index())?))
    }

    /// How many slots each of the holders has.
    pub fn slots(&self) -> Vec<u32> {
        let mut slots = vec![0; self.holders.len()];
        for row in self.rows.iter().take(usize::from(SLOTS)) {
            if let Some(slots) = slots.get_mut(usize::from(*row)) {
                *slots += 1;
            }
        }
        slots
    }
}

/// Which slots a plan may give to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Only those without a living owner. Living owners keep what they have, even
    /// above their quota and even when they are not eligible: for clusters that
    /// cannot move entries. Quotas are shares of the eligible members alone, so
    /// there is always room for the orphans.
    OrphansOnly,
    /// Any, but no more than the quotas ask for.
    Free,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// Somebody has to own the slots.
    #[error("no member can own slots: none is eligible with a weight above 0")]
    Nobody,
    /// Placement is proved up to this number.
    #[error("{0} members are eligible; the limit is {MEMBERS_MAX}")]
    TooMany(usize),
    /// One name stands for one place on the ring.
    #[error("member {0} is eligible twice")]
    Twice(NodeName),
}

/// Gives every slot an owner.
///
/// - The quota of an eligible member is its share of all slots by weight, rounded
///   down or up; the sum is exact. Whom rounding up saves a move comes first.
/// - A slot stays with its living, eligible owner while that is within its quota.
/// - Members above their quota release first what the ring would rather see on a
///   member below its own; this and the next rule are subject to `movement`.
/// - Released slots and orphans go to the first member clockwise that has room.
///   An orphan whose late owner's name is eligible again goes there, if it fits.
///
/// No other assignment with such quotas changes fewer slots. The order of
/// `eligible` and of the holders decides nothing; the members of the result are
/// the eligible ones by name, then, with [`Movement::OrphansOnly`], living owners
/// that are not eligible, with weight 0.
pub fn plan(
    current: &Current,
    eligible: &[PlanMember],
    virtual_nodes: u32,
    movement: Movement,
) -> Result<Assignment, Unplannable> {
    plan_around(current, eligible, &BTreeSet::new(), virtual_nodes, movement)
}

/// The same, but with [`Movement::Free`] the `closed` ones of the eligible members are
/// given nothing: they keep what they have, up to their share rounded down, and the
/// others share the rest. One of the others must have a weight above 0.
pub(in crate::cluster) fn plan_around(
    current: &Current,
    eligible: &[PlanMember],
    closed: &BTreeSet<MemberId>,
    virtual_nodes: u32,
    movement: Movement,
) -> Result<Assignment, Unplannable> {
    let eligible = by_name(eligible)?;
    let ring: Vec<_> = eligible
        .iter()
        .map(|m| (m.id.name.clone(), m.weight))
        .collect();
    let ring = Ring::new(&ring, virtual_nodes);
    let mut seats = Seats::of(current, eligible, movement);

    let weights: Vec<u32> = seats.members.iter().map(|member| member.weight).collect();
    let is_closed = |member: &PlanMember| movement == Movement::Free && closed.contains(&member.id);
    let closed: Vec<bool> = seats.members.iter().map(is_closed).collect();
    let quotas = quotas(&weights, &seats.owned, &closed);
    if movement == Movement::Free {
        release(&ring, &mut seats.owners, &mut seats.owned, &quotas);
    }
    fill(&ring, &mut seats, &quotas);
    Ok(Assignment::new(seats.members, seats.owners).expect("every slot was given a member"))
}

/// The eligible members sorted, each name once, and at least one able to own slots.
fn by_name(eligible: &[PlanMember]) -> Result<Vec<PlanMember>, Unplannable> {
    if eligible.len() > MEMBERS_MAX {
        return Err(Unplannable::TooMany(eligible.len()));
    }
    if eligible.iter().all(|member| member.weight == 0) {
        return Err(Unplannable::Nobody);
    }
    let mut sorted = eligible.to_vec();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    match sorted
        .windows(2)
        .find(|pair| pair[0].id.name == pair[1].id.name)
    {
        Some(pair) => Err(Unplannable::Twice(pair[0].id.name.clone())),
        None => Ok(sorted),
    }
}

/// Gives the slots without owner away: to heirs first, then by the ring.
fn fill(ring: &Ring, seats: &mut Seats, quotas: &[u32]) {
    let room = quotas
        .iter()
        .zip(&seats.owned)
        .map(|(quota, owned)| quota.saturating_sub(*owned));
    let mut vacancies = Vacancies::new(ring, room.collect());
    for (owner, heir) in seats.owners.iter_mut().zip(&seats.heirs) {
        if *owner == NOBODY && *heir != NOBODY && vacancies.take(*heir) {
            *owner = *heir;
        }
    }
    for (slot, owner) in Slot::all().zip(&mut seats.owners) {
        if *owner == NOBODY {
            *owner = vacancies
                .take_first(slot)
                .expect("quotas add up to all slots");
        }
    }
}

/// How many slots go from one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The owner until now; `None`: there was no row.
    pub from: Option<MemberId>,
    /// The owner by the plan.
    pub to: MemberId,
    /// How many.
    pub slots: u32,
}

/// What carrying out an assignment changes, by pair of members, sorted. A slot
/// that goes to another life of the same name changes, too.
pub fn difference(current: &Current, assignment: &Assignment) -> Vec<Move> {
    let mut moves: BTreeMap<(Option<&MemberId>, &MemberId), u32> = BTreeMap::new();
    for slot in Slot::all() {
        let from = current.holder(slot).map(|holder| &holder.id);
        let to = assignment.owner(slot);
        if from != Some(to) {
            *moves.entry((from, to)).or_default() += 1;
        }
    }
    let pairs = moves.into_iter();
    pairs
        .map(|((from, to), slots)| Move {
            from: from.cloned(),
            to: to.clone(),
            slots,
        })
        .collect()
}
