//! Receivers that take nothing (R47): after a while slots go to others, if there are any.

use std::time::Duration;

use cached_proto::operations::{OperationKind, OperationState, ProgressRecord};
use cached_proto::records::{MemberState, Mode};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::SLOTS;

use super::lifecycle::{self, MINUTE, config, secs};
use super::operations::{drains, get, in_state, operations, plan, request, state_of};
use super::world::World;

fn cluster(members: usize, seed: u64) -> World {
    let mut world = lifecycle::cluster(Mode::Available, members, seed);
    world.ledger.copying = Duration::from_millis(20);
    // Time for three self-checks: the registry is known to be quick.
    world.run(secs(3.0));
    world
}

/// What a sender says of the operation's only receiver.
fn said(world: &World, sender: &str) -> ProgressRecord {
    let id = operations(world).remove(0).id;
    let key = RegistryKey::Progress(id, sender.parse().unwrap());
    get(world, &key).unwrap_or_default()
}

#[test]
fn a_receiver_that_takes_nothing_is_planned_around() {
    for cut in [false, true] {
        let mut world = cluster(3, 130);
        match cut {
            true => world.unlink(0, 1),
            false => world.ledger.refuses = Some(1),
        }
        request(&mut world, &drains(&["n1"]), 1);
        world.run(secs(10.0));
        assert_eq!(plan(&world).layout, 2, "not before it has lasted");
        world.run_until(MINUTE, |world| in_state(world, OperationState::Done));
        let served = [0, 1, 2].map(|node| world.serves(node));
        assert_eq!(served[0], 0);
        assert!(served[1] <= 5462, "n2 was given nothing: {served:?}");
        let told = operations(&world).remove(0);
        let [line] = &told.merged[..] else {
            panic!("{:?}", told.merged)
        };
        assert!(
            line.starts_with("n2 is given nothing more for 5 min: "),
            "{line}"
        );
        assert!(
            line.ends_with(" tries of n1 came to nothing: bad luck"),
            "{line}"
        );
        assert_eq!(plan(&world).layout, 3, "planned around once");
        let problems = world.problems(0).join("; ");
        assert!(!problems.contains("slots did not go to"), "{problems}");
    }
}

#[test]
fn with_nobody_else_it_is_tried_on_and_takes_in_the_end() {
    let mut world = cluster(2, 131);
    world.ledger.refuses = Some(1);
    request(&mut world, &drains(&["n1"]), 1);
    world.run(MINUTE);
    assert!(in_state(&world, OperationState::Running));
    assert_eq!(plan(&world).layout, 2);
    assert_eq!(said(&world, "n1").put_off.len(), 1);
    world.ledger.refuses = None;
    world.run_until(MINUTE, |world| in_state(world, OperationState::Done));
    assert_eq!(world.serves(1), usize::from(SLOTS));
    let said = said(&world, "n1");
    assert!(said.put_off.is_empty(), "it takes again: {said:?}");
}

/// A newcomer that takes nothing keeps no operation open, and is tried again later.
#[test]
fn a_newcomer_that_takes_nothing_waits_for_its_next_chance() {
    let mut world = cluster(2, 132);
    world.ledger.refuses = Some(2);
    world.start(&config(Mode::Available, 1), "n3");
    world.run_until(MINUTE, |world| in_state(world, OperationState::Done));
    let joins = |world: &World| {
        let all = operations(world);
        all.iter()
            .filter(|op| op.kind == OperationKind::Join)
            .count()
    };
    world.run(MINUTE * 4);
    assert_eq!((joins(&world), world.serves(2)), (1, 0));
    assert_eq!(state_of(&world, "n3"), MemberState::Joining);
    world.ledger.refuses = None;
    world.run_until(MINUTE * 2, |world| world.serves(2) == 5461);
    assert_eq!(joins(&world), 2);
}
