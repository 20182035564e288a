//! Plans for random clusters through random histories, and the rules one by one.

use cached_proto::ring::{Point, VIRTUAL_NODES_DEFAULT};
use cached_proto::types::Incarnation;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::cluster::plan_check::plan_check;
use crate::cluster::plan_check::tests::record;

fn member(name: u32, inc: u128, weight: u32) -> PlanMember {
    let name = NodeName::new(format!("n{name}")).unwrap();
    PlanMember {
        id: MemberId {
            name,
            inc: Incarnation(inc),
        },
        weight,
    }
}

fn members(weights: &[u32]) -> Vec<PlanMember> {
    (1..)
        .zip(weights)
        .map(|(name, weight)| member(name, 1, *weight))
        .collect()
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// Plans with the default ring.
fn planned(current: &Current, eligible: &[PlanMember], movement: Movement) -> Assignment {
    plan(current, eligible, VIRTUAL_NODES_DEFAULT, movement).unwrap()
}

/// The table once a plan is carried out, all owners living.
fn carried_out(assignment: &Assignment) -> Current {
    let ids = assignment.members().iter().map(|member| member.id.clone());
    let holders = ids.map(|id| Holder { id, living: true }).collect();
    Current {
        holders,
        rows: assignment.owners().to_vec(),
    }
}

/// A table in which these members own everything, by plan.
fn settled(members: &[PlanMember]) -> Current {
    carried_out(&planned(&Current::nobody(), members, Movement::Free))
}

fn kill(current: &mut Current, name: &str) {
    let dead = current
        .holders
        .iter_mut()
        .find(|holder| holder.id.name.as_str() == name);
    dead.unwrap().living = false;
}

/// Slots that stay with a living, eligible owner: how many do, and how many could
/// at most under any rounding of the shares.
fn kept(current: &Current, eligible: &[PlanMember], assignment: &Assignment) -> (u64, u64) {
    let total: u64 = eligible.iter().map(|member| u64::from(member.weight)).sum();
    let (mut most, mut round_up, mut rounded) = (0, u64::from(SLOTS), 0);
    for member in eligible {
        let holders = current.holders.iter().zip(current.slots());
        let own = holders.filter(|(holder, _)| holder.living && holder.id == member.id);
        let own: u64 = own.map(|(_, slots)| u64::from(slots)).sum();
        let exact = u64::from(SLOTS) * u64::from(member.weight);
        most += own.min(exact / total);
        round_up -= exact / total;
        rounded += u64::from(exact % total > 0 && own > exact / total);
    }
    let stays = |slot: &Slot| {
        let holder = current.holder(*slot);
        holder.is_some_and(|holder| holder.living && holder.id == *assignment.owner(*slot))
    };
    (
        Slot::all().filter(stays).count() as u64,
        most + round_up.min(rounded),
    )
}

/// Plans and holds every promise against the result.
fn check(current: &Current, eligible: &[PlanMember], movement: Movement) -> Assignment {
    let assignment = planned(current, eligible, movement);
    let findings = plan_check(current, &record(&assignment), eligible, movement);
    assert_eq!(findings, [], "the linter objects");
    if movement == Movement::OrphansOnly {
        for slot in Slot::all() {
            let holder = current.holder(slot).filter(|holder| holder.living);
            assert!(
                holder.is_none_or(|holder| holder.id == *assignment.owner(slot)),
                "{slot}"
            );
        }
        return assignment;
    }
    let total: u64 = eligible.iter().map(|member| u64::from(member.weight)).sum();
    for (member, slots) in assignment.members().iter().zip(assignment.slots()) {
        let exact = u64::from(SLOTS) * u64::from(member.weight);
        let off = exact.abs_diff(u64::from(slots) * total);
        assert!(
            off < total,
            "{member:?} has {slots} slots, of {exact}/{total}"
        );
    }
    let (kept, most) = kept(current, eligible, &assignment);
    assert_eq!(kept, most, "moved / least possible must be exactly 1");
    assignment
}

/// The same table and members, told in another order.
fn shuffled(
    current: &Current,
    eligible: &[PlanMember],
    rng: &mut StdRng,
) -> (Current, Vec<PlanMember>) {
    let mut eligible = eligible.to_vec();
    eligible.shuffle(rng);
    let mut order: Vec<u16> = (0..).take(current.holders.len()).collect();
    order.shuffle(rng);
    let holders = order
        .iter()
        .map(|old| current.holders[usize::from(*old)].clone())
        .collect();
    let new = |row: &u16| {
        order
            .iter()
            .position(|old| old == row)
            .map_or(NOBODY, |i| i as u16)
    };
    (
        Current {
            holders,
            rows: current.rows.iter().map(new).collect(),
        },
        eligible,
    )
}

/// A cluster that changes at random.
struct World {
    current: Current,
    eligible: Vec<PlanMember>,
    names: u32,
    weight_max: u32,
    rng: StdRng,
}

impl World {
    fn new(seed: u64, size: u32, weight_max: u32) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let (current, eligible) = (Current::nobody(), Vec::new());
        let mut world = Self {
            current,
            eligible,
            names: 0,
            weight_max,
            rng,
        };
        world.join(size);
        world
    }

    fn join(&mut self, count: u32) {
        for _ in 0..count {
            self.names += 1;
            let weight = self.rng.random_range(1..=self.weight_max);
            self.eligible
                .push(member(self.names, self.rng.random(), weight));
        }
    }

    /// Some members crash, drain with and without a place in the plan, restart, change
    /// weight or join.
    fn change(&mut self) {
        let size = self.eligible.len();
        for _ in 0..self.rng.random_range(1..=1 + size / 10) {
            let at = self.rng.random_range(0..self.eligible.len());
            let id = self.eligible[at].id.clone();
            let holder = self
                .current
                .holders
                .iter_mut()
                .find(|holder| holder.id == id);
            match self.rng.random_range(0..6) {
                0 if self.eligible.len() > 1 => {
                    self.eligible.swap_remove(at);
                    if let Some(holder) = holder {
                        holder.living = false;
                    }
                }
                1 if self.eligible.len() > 1 => drop(self.eligible.swap_remove(at)),
                2 => {
                    self.eligible[at].id.inc = Incarnation(self.rng.random());
                    if let Some(holder) = holder {
                        holder.living = false;
                    }
                }
                3 => self.eligible[at].weight = self.rng.random_range(1..=self.weight_max),
                4 => self.eligible[at].weight = 0,
                _ => self.join(1),
            }
        }
        if self.eligible.iter().all(|member| member.weight == 0) {
            self.join(1);
        }
    }

    fn run(mut self, steps: u32) {
        for step in 0..steps {
            let only_orphans = step > 0 && self.rng.random_bool(0.2);
            let movement = if only_orphans {
                Movement::OrphansOnly
            } else {
                Movement::Free
            };
            let assignment = check(&self.current, &self.eligible, movement);
            if self.eligible.len() < 50 {
                let (current, eligible) = shuffled(&self.current, &self.eligible, &mut self.rng);
                assert_eq!(planned(&current, &eligible, movement), assignment);
            }
            self.current = carried_out(&assignment);
            self.change();
        }
    }
}

#[test]
fn every_history_keeps_the_promises() {
    for (size, steps) in [
        (1, 12),
        (2, 12),
        (3, 20),
        (10, 20),
        (33, 15),
        (100, 10),
        (300, 4),
    ] {
        for weight_max in [1, 2, 100] {
            // Heavy members have many points: fewer steps for the big clusters.
            let steps = if weight_max == 100 {
                1 + steps / (1 + size / 10)
            } else {
                steps
            };
            World::new(u64::from(size + weight_max), size, weight_max).run(steps);
        }
    }
}

#[test]
fn a_thousand_members_join_leave_and_stay_within_one_slot() {
    World::new(1, 999, 1).run(3);
    let most = members(&[1; MEMBERS_MAX]);
    let slots = check(&Current::nobody(), &most, Movement::Free).slots();
    assert_eq!(
        (slots.iter().min(), slots.iter().max()),
        (Some(&16), Some(&17))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any table at all, also ones that no plan would make.
    #[test]
    fn any_table_can_be_planned_from(
        weights in prop::collection::vec(0u32..5, 1..12),
        holders in prop::collection::vec((1u32..15, 1u128..3, any::<bool>()), 0..12),
        runs in prop::collection::vec((1usize..2000, 0u16..14), 1..30),
        free: bool,
        seed: u64,
    ) {
        let eligible = members(&weights);
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let mut holders: Vec<_> = holders.into_iter()
            .map(|(name, inc, living)| Holder { id: member(name, inc, 1).id, living })
            .collect();
        holders.sort_by(|a, b| a.id.cmp(&b.id));
        holders.dedup_by(|a, b| a.id == b.id);
        let runs = runs.iter().cycle();
        let rows = runs.flat_map(|(length, row)| std::iter::repeat_n(*row, *length));
        let current = Current { holders, rows: rows.take(SLOTS.into()).collect() };
        let movement = if free { Movement::Free } else { Movement::OrphansOnly };
        let assignment = check(&current, &eligible, movement);
        let (current, eligible) = shuffled(&current, &eligible, &mut StdRng::seed_from_u64(seed));
        prop_assert_eq!(planned(&current, &eligible, movement), assignment);
    }
}

#[test]
fn a_settled_cluster_stays_as_it_is() {
    let three = members(&[1, 2, 3]);
    let current = settled(&three);
    for movement in [Movement::Free, Movement::OrphansOnly] {
        let again = planned(&current, &three, movement);
        assert_eq!(difference(&current, &again), []);
    }
}

#[test]
fn slots_go_to_the_first_clockwise_until_it_is_full() {
    let three = members(&[1, 1, 1]);
    let ring: Vec<_> = three
        .iter()
        .map(|m| (m.id.name.clone(), m.weight))
        .collect();
    let ring = Ring::new(&ring, VIRTUAL_NODES_DEFAULT);
    let assignment = planned(&Current::nobody(), &three, Movement::Free);
    let mut room = [5462, 5461, 5461];
    for slot in Slot::all() {
        let expected = ring
            .walk(slot)
            .find(|member| room[usize::from(*member)] > 0)
            .unwrap();
        room[usize::from(expected)] -= 1;
        assert_eq!(assignment.owners()[slot.index()], expected, "{slot}");
    }
    let runs = assignment.runs().len();
    assert!(runs < 200, "few long runs, not {runs}");
}

#[test]
fn owners_release_first_what_the_ring_would_see_on_the_joiner() {
    const VIRTUAL_NODES: u32 = 2;
    let mut four = members(&[1; 4]);
    // Scattered rows: many slots are not where the ring would see them.
    let mut current = settled(&four[..3]);
    current.rows.shuffle(&mut StdRng::seed_from_u64(1));
    // With two points only, some joiners' arcs are smaller than their share.
    for joiner in 4..14 {
        four[3] = member(joiner, 1, 1);
        let assignment = plan(&current, &four, VIRTUAL_NODES, Movement::Free).unwrap();
        let ids = assignment
            .members()
            .iter()
            .map(|m| m.id.clone())
            .collect::<Vec<_>>();
        let named: Vec<_> = ids.iter().map(|id| (id.name.clone(), 1)).collect();
        let ring = Ring::new(&named, VIRTUAL_NODES);
        let (mut released, mut kept) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        for slot in Slot::all() {
            let owner = &current.holder(slot).unwrap().id;
            let (before, from) = ring.points().split_at(ring.first_point(slot));
            let met = |id: &MemberId| {
                let is_its = |point: &Point| ids[usize::from(point.member)] == *id;
                from.iter().chain(before).position(is_its)
            };
            let joiner = met(&four[3].id);
            let key = (met(owner) < joiner, joiner, slot);
            let given = assignment.owner(slot) != owner;
            let list = if given { &mut released } else { &mut kept };
            list[usize::from(current.rows[slot.index()])].push(key);
        }
        for (released, kept) in released.iter().zip(&kept) {
            assert!(released.iter().max() < kept.iter().min(), "n{joiner}");
        }
        let moved: u32 = difference(&current, &assignment)
            .iter()
            .map(|m| m.slots)
            .sum();
        assert_eq!(moved, 4096);
    }
}

#[test]
fn after_a_crash_only_orphans_go_to_the_eligible() {
    let three = members(&[1, 1, 1]);
    let mut current = settled(&three);
    kill(&mut current, "n2");
    // n2 came back and waits, as does the newcomer n4: neither is eligible.
    let eligible = [three[0].clone(), three[2].clone()];
    let assignment = check(&current, &eligible, Movement::OrphansOnly);
    assert_eq!(assignment.slots(), [8192, 8192]);
    let moves = difference(&current, &assignment);
    assert!(
        moves.iter().all(|m| m.from.as_ref() == Some(&three[1].id)),
        "{moves:?}"
    );
    assert_eq!(moves.iter().map(|m| m.slots).sum::<u32>(), 5461);
}

#[test]
fn living_owners_keep_all_where_nothing_can_move() {
    let three = members(&[1, 1, 1]);
    let mut current = settled(&three[..2]);
    kill(&mut current, "n2");
    // n1 lives and is not eligible: it drains. n3 alone is, and takes the orphans.
    let assignment = check(&current, &three[2..], Movement::OrphansOnly);
    let names: Vec<_> = assignment
        .members()
        .iter()
        .map(|m| (m.id.name.as_str(), m.weight))
        .collect();
    assert_eq!(names, [("n3", 1), ("n1", 0)]);
    assert_eq!(assignment.slots(), [8192, 8192]);
    // Where entries can move, it gives everything away.
    let assignment = check(&current, &three[2..], Movement::Free);
    assert_eq!(assignment.slots(), [16384]);
}

#[test]
fn a_name_that_came_back_gets_its_slots_again() {
    let mut three = members(&[1, 1, 1]);
    let mut current = settled(&three);
    kill(&mut current, "n2");
    let old = std::mem::replace(&mut three[1], member(2, 9, 1));
    for movement in [Movement::Free, Movement::OrphansOnly] {
        let assignment = check(&current, &three, movement);
        let (from, to) = (Some(old.id.clone()), three[1].id.clone());
        let slots = 5461;
        assert_eq!(
            difference(&current, &assignment),
            [Move { from, to, slots }]
        );
    }
    // Beside a newcomer its share is smaller; all of it are slots that it had.
    current.rows.shuffle(&mut StdRng::seed_from_u64(1));
    three.push(member(4, 1, 1));
    let assignment = check(&current, &three, Movement::Free);
    for slot in Slot::all().filter(|slot| *assignment.owner(*slot) == three[1].id) {
        assert_eq!(current.holder(slot).unwrap().id, old.id, "{slot}");
    }
}

#[test]
fn weight_0_owns_nothing() {
    let mut three = members(&[1, 1, 1]);
    let current = settled(&three);
    three[0].weight = 0;
    let assignment = check(&current, &three, Movement::Free);
    assert_eq!(assignment.slots(), [0, 8192, 8192]);
    let moves = difference(&current, &assignment);
    assert!(
        moves.iter().all(|m| m.from.as_ref() == Some(&three[0].id)),
        "{moves:?}"
    );
    // Where nothing can move, it keeps what it has and is given nothing.
    let mut crashed = current.clone();
    kill(&mut crashed, "n3");
    let assignment = check(&crashed, &three[..2], Movement::OrphansOnly);
    assert_eq!(assignment.slots(), [5462, 10922]);
}

/// Ending a change: everybody keeps what it has, whatever its share were.
#[test]
fn with_nobody_dead_only_orphans_means_nothing_moves() {
    let mut four = members(&[1, 1, 1, 1]);
    let current = settled(&four[..3]);
    for weights in [[1, 1, 1, 1], [0, 1, 1, 1], [9, 1, 1, 0]] {
        for (member, weight) in four.iter_mut().zip(weights) {
            member.weight = weight;
        }
        let assignment = check(&current, &four, Movement::OrphansOnly);
        assert_eq!(difference(&current, &assignment), [], "{weights:?}");
    }
}

#[test]
fn there_is_no_plan_for_nobody_for_twins_and_for_crowds() {
    let refusal = |eligible: &[PlanMember]| {
        let plan = plan(
            &Current::nobody(),
            eligible,
            VIRTUAL_NODES_DEFAULT,
            Movement::Free,
        );
        plan.unwrap_err().to_string()
    };
    let nobody = "no member can own slots: none is eligible with a weight above 0";
    assert_eq!(refusal(&[]), nobody);
    assert_eq!(refusal(&members(&[0, 0])), nobody);
    assert_eq!(
        refusal(&[member(1, 1, 1), member(1, 2, 1)]),
        "member n1 is eligible twice"
    );
    assert_eq!(
        refusal(&members(&[1; 1001])),
        "1001 members are eligible; the limit is 1000"
    );
}

#[test]
fn rows_that_are_missing_or_point_nowhere_are_orphans() {
    let two = members(&[1, 1]);
    let holders = vec![Holder {
        id: two[0].id.clone(),
        living: true,
    }];
    let current = Current {
        holders,
        rows: vec![0, 1, NOBODY, 0],
    };
    let assignment = check(&current, &two, Movement::Free);
    assert_eq!(assignment.slots(), [8192, 8192]);
    assert_eq!(
        (assignment.owner(slot(0)), assignment.owner(slot(3))),
        (&two[0].id, &two[0].id)
    );
}
