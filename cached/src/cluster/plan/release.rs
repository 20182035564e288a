//! Which slots a member above its quota gives away.

use cached_proto::ring::{Ring, place_of};
use cached_proto::types::Slot;

use super::NOBODY;

/// Takes from every member above its quota exactly what is above: first slots for
/// which the ring prefers some member below its quota to the owner, and of those
/// first the ones whose walk meets such a member soonest.
pub(super) fn release(ring: &Ring, owners: &mut [u16], owned: &mut [u32], quotas: &[u32]) {
    let above: Vec<bool> = owned
        .iter()
        .zip(quotas)
        .map(|(owned, quota)| *owned > *quota)
        .collect();
    if !above.contains(&true) {
        return;
    }
    let below: Vec<bool> = owned
        .iter()
        .zip(quotas)
        .map(|(owned, quota)| *owned < *quota)
        .collect();
    let mut candidates = candidates(ring, owners, &above, &below);
    candidates.sort_unstable();
    for Candidate { owner, slot, .. } in candidates {
        let owner = usize::from(owner);
        if owned[owner] > quotas[owner] {
            owned[owner] -= 1;
            owners[usize::from(slot)] = NOBODY;
        }
    }
}

/// A slot that its owner may release. The order of the fields is the order in
/// which an owner releases.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    owner: u16,
    /// The walk meets the owner before any member below its quota.
    owner_first: bool,
    /// Points that the walk passes before it meets a member below its quota.
    distance: usize,
    slot: u16,
}

/// What a walk from here on meets: positions of points, counted on past the last
/// one for walks that go round.
struct Ahead {
    /// The next point of each member.
    own: Vec<usize>,
    /// The next point of any member below its quota.
    below: usize,
}

impl Ahead {
    fn pass(&mut self, position: usize, member: usize, is_below: bool) {
        self.own[member] = position;
        if is_below {
            self.below = position;
        }
    }
}

/// Every slot of the members above their quotas. One sweep against the clock over
/// slots and points together: what a walk meets next is what was passed last.
fn candidates(ring: &Ring, owners: &[u16], above: &[bool], below: &[bool]) -> Vec<Candidate> {
    let points = ring.points();
    let member = |position: usize| usize::from(points[position].member);
    let mut ahead = Ahead {
        own: vec![usize::MAX; above.len()],
        below: usize::MAX,
    };
    for position in (0..points.len()).rev() {
        ahead.pass(
            points.len() + position,
            member(position),
            below[member(position)],
        );
    }
    let mut start = points.len();
    let mut candidates = Vec::new();
    for slot in Slot::all().rev() {
        while start > 0 && points[start - 1].at >= place_of(slot) {
            start -= 1;
            ahead.pass(start, member(start), below[member(start)]);
        }
        let owner = owners[slot.index()];
        if owner != NOBODY && above[usize::from(owner)] {
            let owner_first = ahead.own[usize::from(owner)] < ahead.below;
            let distance = ahead.below - start;
            candidates.push(Candidate {
                owner,
                owner_first,
                distance,
                slot: slot.number(),
            });
        }
    }
    candidates
}
