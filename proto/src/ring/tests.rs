//! The ring against recorded rows, and what must hold for any ring.

use proptest::prelude::*;

use super::*;

fn members(weights: &[u32]) -> Vec<(NodeName, u32)> {
    let named = weights.iter().enumerate();
    named
        .map(|(i, weight)| (NodeName::new(format!("n{}", i + 1)).unwrap(), *weight))
        .collect()
}

/// The rows of testdata/ring_v1.txt: for some rings, who is asked first, second
/// and third for every 64th slot, and which virtual node a slot meets.
fn rows() -> String {
    let mut text = String::from(
        "# Ring algorithm 1: weights of n1, n2, …; slot; virtual node met first; preference.\n\
         # A difference means that nodes of two versions disagree on placement. Only together\n\
         # with a new algorithm number: BLESS_RING=1 cargo test -p cached-proto ring::\n",
    );
    for weights in [&[1][..], &[1, 1, 1], &[1, 2, 3, 0], &[1; 10]] {
        let members = members(weights);
        let ring = Ring::new(&members, VIRTUAL_NODES_DEFAULT);
        for slot in Slot::all().step_by(64) {
            let (member, number) = ring.virtual_node(slot).unwrap();
            let name = |member: u16| members[usize::from(member)].0.as_str();
            let walk: Vec<_> = ring.walk(slot).take(3).map(name).collect();
            let (first, walk) = (name(member), walk.join(","));
            text += &format!("{weights:?} {slot} {first}#{number} {walk}\n");
        }
    }
    text
}

#[test]
fn the_ring_is_the_recorded_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ring_v1.txt");
    if std::env::var_os("BLESS_RING").is_some() {
        std::fs::write(path, rows()).unwrap();
    }
    let recorded = std::fs::read_to_string(path).unwrap();
    for (now, recorded) in rows().lines().zip(recorded.lines()) {
        assert_eq!(
            now, recorded,
            "placement changed without a new algorithm number"
        );
    }
    assert_eq!(rows().lines().count(), recorded.lines().count());
}

#[test]
fn points_are_the_documented_hashes() {
    let ring = Ring::new(&members(&[2]), 3);
    let mut expected: Vec<u64> = (0..6).map(|i| xxh3_64_with_seed(b"n1", i)).collect();
    expected.sort_unstable();
    assert_eq!(
        ring.points()
            .iter()
            .map(|point| point.at)
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn slots_stand_evenly_and_in_order() {
    assert_eq!(place_of(Slot::new(0).unwrap()), 0);
    assert_eq!(place_of(Slot::new(1).unwrap()), 1 << 50);
    assert_eq!(
        place_of(Slot::new(SLOTS - 1).unwrap()),
        u64::MAX - (1 << 50) + 1
    );
}

#[test]
fn a_slot_meets_the_point_at_its_own_place_and_goes_round_at_the_end() {
    let point = |at, member| Point {
        at,
        member,
        number: 7,
    };
    let third = place_of(Slot::new(3).unwrap());
    let points = vec![point(third, 0), point(third + 1, 1)];
    let ring = Ring { points, members: 2 };
    let walk = |slot| ring.walk(Slot::new(slot).unwrap()).collect::<Vec<_>>();
    assert_eq!(walk(3), [0, 1]);
    assert_eq!(walk(4), [0, 1], "past the last point");
    assert_eq!(ring.virtual_node(Slot::new(4).unwrap()), Some((0, 7)));
    let off = Ring {
        points: vec![point(third - 1, 0), point(third, 1)],
        members: 2,
    };
    assert_eq!(off.walk(Slot::new(3).unwrap()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_ring_of_nobody_prefers_nobody() {
    for ring in [Ring::new(&[], 50), Ring::new(&members(&[0, 0]), 50)] {
        let slot = Slot::new(9).unwrap();
        assert_eq!(
            (ring.walk(slot).count(), ring.virtual_node(slot)),
            (0, None)
        );
    }
    assert_eq!(
        Ring::new(&members(&[1]), 0).points().len(),
        1,
        "nobody is left out"
    );
}

proptest! {
    #[test]
    fn a_walk_meets_everyone_once(
        weights in prop::collection::vec(0u32..4, 1..30),
        slot in 0..SLOTS,
    ) {
        let ring = Ring::new(&members(&weights), 5);
        let slot = Slot::new(slot).unwrap();
        let mut walk: Vec<_> = ring.walk(slot).collect();
        prop_assert_eq!(walk.first().copied(), ring.virtual_node(slot).map(|met| met.0));
        walk.sort_unstable();
        let expected = (0..).zip(&weights).filter(|(_, weight)| **weight > 0).map(|(i, _)| i);
        prop_assert_eq!(walk, expected.collect::<Vec<u16>>());
    }

    #[test]
    fn the_order_of_members_decides_nothing(
        weights in prop::collection::vec(0u32..4, 1..20),
        slot in 0..SLOTS,
    ) {
        let there = members(&weights);
        let back: Vec<_> = there.iter().rev().cloned().collect();
        let slot = Slot::new(slot).unwrap();
        let names = |list: &[(NodeName, u32)]| {
            let walk = Ring::new(list, 5).walk(slot).collect::<Vec<_>>();
            walk.iter().map(|i| list[usize::from(*i)].0.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(names(&there), names(&back));
    }
}
