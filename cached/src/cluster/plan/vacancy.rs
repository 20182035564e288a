//! Who has room, and who with room comes first clockwise.

use cached_proto::ring::Ring;
use cached_proto::types::Slot;

/// Room of every member, and walks on the ring that skip members without. A walk
/// shortens the way for later ones (union-find with path halving), so that all
/// slots together cost little more than one walk round the ring.
pub(super) struct Vacancies<'a> {
    ring: &'a Ring,
    room: Vec<u32>,
    left: u32,
    /// For each point where to go on: itself unless its member was met full. Room
    /// only shrinks, so a point that is skipped once is skipped for ever.
    next: Vec<usize>,
}

impl<'a> Vacancies<'a> {
    /// `room` for each member; those with room have points on the ring, or a walk
    /// for them would not end.
    pub(super) fn new(ring: &'a Ring, room: Vec<u32>) -> Self {
        let left = room.iter().sum();
        Self {
            ring,
            room,
            left,
            next: (0..ring.points().len()).collect(),
        }
    }

    /// Takes one place of a member; false: it has none left.
    pub(super) fn take(&mut self, member: u16) -> bool {
        let room = &mut self.room[usize::from(member)];
        if *room == 0 {
            return false;
        }
        *room -= 1;
        self.left -= 1;
        true
    }

    /// Takes one place of the first member clockwise that has any.
    pub(super) fn take_first(&mut self, slot: Slot) -> Option<u16> {
        if self.left == 0 {
            return None;
        }
        let mut at = self.ring.first_point(slot);
        loop {
            let next = self.next[at];
            if next != at {
                self.next[at] = self.next[next];
                at = next;
                continue;
            }
            let member = self.ring.points()[at].member;
            if self.take(member) {
                return Some(member);
            }
            self.next[at] = (at + 1) % self.next.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::types::{NodeName, SLOTS};

    use super::*;

    #[test]
    fn the_first_with_room_is_the_first_of_the_walk_with_room() {
        let members: Vec<_> = (0..9)
            .map(|i| (NodeName::new(format!("n{i}")).unwrap(), 1))
            .collect();
        let ring = Ring::new(&members, 7);
        let mut room: Vec<u32> = (0..9).map(|i| i * 3).collect();
        let mut vacancies = Vacancies::new(&ring, room.clone());
        for number in 0..200u16 {
            let slot = Slot::new(number.wrapping_mul(7919) % SLOTS).unwrap();
            let expected = ring
                .walk(slot)
                .find(|member| room[usize::from(*member)] > 0);
            if let Some(member) = expected {
                room[usize::from(member)] -= 1;
            }
            assert_eq!(vacancies.take_first(slot), expected, "{slot}");
        }
        assert_eq!(room, [0; 9]);
    }
}
