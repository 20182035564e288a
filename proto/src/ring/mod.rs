//! The consistent-hash ring: slot -> members in order of preference.
//!
//! Algorithm 1, in full, so that other languages can compute it: the ring has
//! 2⁶⁴ places. Slot `s` stands at `s · 2⁶⁴ / 16384`. A member has `weight ×
//! virtual_nodes` points, and virtual node `i`, counted from 0, stands at the
//! XXH3-64 hash of the member's name with seed `i`. A slot prefers the member of
//! the first point at or after its own place, going round at the end, then the
//! next distinct member, and so on. Points at the same place are ordered by name,
//! then by `i`.

pub mod hash;
pub mod slot;
#[cfg(test)]
mod tests;

pub use slot::slot_of;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::types::{NodeName, SLOTS, Slot};

/// Number of the algorithm above, stored with every plan: members that would
/// compute another ring refuse each other instead of disagreeing.
pub const ALGORITHM: u32 = 1;

/// Virtual nodes of a member for each unit of weight.
pub const VIRTUAL_NODES_DEFAULT: u32 = 50;

/// Places between two neighbouring slots.
const SLOT_STEP: u64 = u64::MAX / SLOTS as u64 + 1;

/// One virtual node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its place on the ring.
    pub at: u64,
    /// Position of its member in the list that the ring was made from.
    pub member: u16,
    /// Its number among its member's points, from 0.
    pub number: u32,
}

/// Points of all members, sorted.
#[derive(Clone, Debug)]
pub struct Ring {
    points: Vec<Point>,
    members: usize,
}

impl Ring {
    /// `members` with their weights; indices in answers are positions in this
    /// list, of which the first 65,536 are used. The list's order decides nothing
    /// else. A member of weight 0 has no points; every other has at least one.
    pub fn new(members: &[(NodeName, u32)], virtual_nodes: u32) -> Self {
        let mut points = Vec::new();
        for (member, (name, weight)) in (0..=u16::MAX).zip(members) {
            let count = if *weight == 0 {
                0
            } else {
                weight.saturating_mul(virtual_nodes).max(1)
            };
            let name = name.as_str().as_bytes();
            points.extend((0..count).map(|number| {
                let at = xxh3_64_with_seed(name, u64::from(number));
                Point { at, member, number }
            }));
        }
        let order = |point: &Point| {
            (
                point.at,
                &members[usize::from(point.member)].0,
                point.number,
            )
        };
        points.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        Self {
            points,
            members: members.len(),
        }
    }

    /// All points in clockwise order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Position in [`Ring::points`] of the point that a slot meets first; 0 when
    /// there is none.
    pub fn first_point(&self, slot: Slot) -> usize {
        let place = place_of(slot);
        let after = self.points.partition_point(|point| point.at < place);
        if after < self.points.len() { after } else { 0 }
    }

    /// Members in order of preference for a slot: first clockwise, then the next
    /// distinct one, and so on; every member with points exactly once.
    pub fn walk(&self, slot: Slot) -> impl Iterator<Item = u16> + '_ {
        let (before, from) = self.points.split_at(self.first_point(slot));
        let mut seen = vec![false; self.members];
        let clockwise = from.iter().chain(before).map(|point| point.member);
        clockwise.filter(move |member| !std::mem::replace(&mut seen[usize::from(*member)], true))
    }

    /// The virtual node (member, its number from 0) that a slot meets first.
    pub fn virtual_node(&self, slot: Slot) -> Option<(u16, u32)> {
        let point = self.points.get(self.first_point(slot))?;
        Some((point.member, point.number))
    }
}

/// Where a slot stands. Slots are spread evenly and in order, not hashed, so that
/// a member's slots form few long runs.
pub fn place_of(slot: Slot) -> u64 {
    u64::from(slot.number()) * SLOT_STEP
}
