//! Members that cannot reach the registry, or each other, or themselves for a while.

use cached_proto::records::Mode;

use super::super::event::Event;
use super::lifecycle::{G, MINUTE, cluster, config, secs};
use super::registry::member_key;
use super::world::{Node, World};
use crate::cluster::view::{FenceReason, Serving};
use crate::registry::RegistryError;

/// R12: a wrong removal costs a moment; the slots stay.
#[test]
fn a_suspect_that_lives_keeps_its_slots() {
    let mut world = cluster(Mode::Available, 4, 20);
    for other in [0, 1, 3] {
        world.unlink(2, other);
    }
    world.run_until(secs(8.0), |world| world.logged("n3: registered again"));
    world.run(secs(5.0));
    assert!(world.whole(), "{}", world.story());
    let told = "n3: peers cannot reach n3, n3 reaches the registry".to_owned();
    assert!(world.problems(0).contains(&told), "{:?}", world.problems(0));
    // Not again for 30 s.
    let before = world.nodes[2].create_revision();
    world.run(secs(20.0));
    assert_eq!(world.nodes[2].create_revision(), before);
    world.run(MINUTE * 2);
    assert!(world.whole());
    assert_eq!(world.nodes.iter().map(|node| node.lost).sum::<u64>(), 0);
}

/// R16: many lose their leases at once and cannot come back, but answer.
#[test]
fn nothing_is_taken_from_those_that_answer() {
    let mut world = cluster(Mode::Available, 4, 21);
    world.cut.extend([1, 2, 3]);
    for name in ["n2", "n3", "n4"] {
        world.registry.delete(&member_key(name));
    }
    world.run(MINUTE * 4);
    assert!(world.whole(), "{}", world.story());
    assert_eq!(world.nodes[0].view.layout, 1);
    assert_eq!(world.nodes[3].serving(world.now), Serving::Degraded);
    world.cut.clear();
    world.run_until(MINUTE, |world| {
        (0..4).all(|node| world.nodes[node].serving(world.now) == Serving::Yes)
    });
    world.run(secs(15.0));
    assert!(world.whole());
    assert_eq!(world.nodes.iter().map(|node| node.lost).sum::<u64>(), 0);
}

/// R49: one that is alone without the registry stops after the cap, not before.
#[test]
fn an_isolated_member_yields_after_the_cap() {
    let mut world = cluster(Mode::Available, 3, 22);
    world.cut.insert(1);
    world.run(secs(62.0));
    assert!(world.whole(), "{}", world.story());
    assert_eq!(world.nodes[1].serving(world.now), Serving::Degraded);
    assert!(!world.registered("n2"), "its lease has ended");
    world.run(secs(5.0));
    assert_eq!(
        world.nodes[1].serving(world.now),
        Serving::Fenced(FenceReason::Isolated)
    );
    world.run_until(secs(15.0), |world| {
        world.serves(0) + world.serves(2) == 16_384
    });
    world.cut.clear();
    world.run(secs(9.0));
    assert!(
        world.nodes[1].served.is_empty(),
        "the lower epoch is dropped, never merged"
    );
    assert_eq!(world.problems(0), ["n2: waits to be given slots"]);
}

#[test]
fn a_strict_member_without_registry_yields_when_its_lease_ends() {
    let mut world = cluster(Mode::Strict, 3, 23);
    world.cut.insert(1);
    world.run(secs(6.0));
    assert_eq!(
        world.nodes[1].serving(world.now),
        Serving::Fenced(FenceReason::Expired)
    );
    world.run_until(MINUTE, |world| world.serves(0) + world.serves(2) == 16_384);
}

/// R14, R15: a process that was stopped serves nothing of what was taken meanwhile.
#[test]
fn a_paused_member_wakes_fenced() {
    for (mode, pause) in [
        (Mode::Strict, 60.0),
        (Mode::Strict, 7.0),
        (Mode::Available, 90.0),
    ] {
        let mut world = cluster(mode, 3, 24);
        world.pause(0, true);
        world.run(secs(pause));
        world.pause(0, false);
        assert!(
            matches!(world.nodes[0].serving(world.now), Serving::Fenced(_)),
            "{mode} {pause}"
        );
        world.run_until(secs(15.0), |world| world.whole());
        world.run(secs(15.0));
        assert!(world.whole());
    }
}

#[test]
fn a_short_pause_costs_nothing() {
    let mut world = cluster(Mode::Strict, 3, 25);
    world.pause(2, true);
    world.run(secs(2.0));
    world.pause(2, false);
    world.run(secs(1.0));
    assert!(world.whole());
    world.run(secs(10.0));
    assert!(world.registered("n3") && world.whole());
    assert_eq!(world.nodes[0].view.layout, 1);
}

/// Nobody declares anybody dead by its lease right after an outage.
#[test]
fn after_an_outage_leases_that_ended_are_no_deaths() {
    let mut world = cluster(Mode::Available, 3, 26);
    world.registry_down = true;
    world.run(secs(20.0));
    world.kill(2);
    world.run(secs(20.0));
    world.registry_down = false;
    world.registry.end_all_leases();
    world.run(secs(55.0));
    assert_eq!(world.nodes[0].view.layout, 1, "{}", world.story());
    let took = world.run_until(secs(30.0), |world| world.whole());
    assert!(took > secs(4.0), "{took:?}");
}

/// R18: the name went to somebody else while this process was cut off.
#[test]
fn a_member_whose_name_was_taken_stays_silent() {
    let mut world = cluster(Mode::Available, 3, 27);
    world.cut.insert(1);
    world.run(secs(3.0));
    world.registry.delete(&member_key("n2"));
    world.run(G);
    let second = world.start(&config(Mode::Available, 3), "n2");
    world.run(secs(1.0));
    world.cut.clear();
    world.run(secs(10.0));
    assert_eq!(
        world.nodes[1].serving(world.now),
        Serving::Fenced(FenceReason::Removed)
    );
    let told = world.problems(1).join("\n");
    assert!(
        told.contains("the name n2 was taken by incarnation"),
        "{told}"
    );
    let revision = world.nodes[second].create_revision();
    world.run(MINUTE);
    assert_eq!(world.nodes[second].create_revision(), revision);
}

/// Of two dead members that share most pages, every slot is taken all the same.
#[test]
fn two_of_five_die_at_once() {
    let mut world = cluster(Mode::Strict, 5, 28);
    world.kill(0);
    world.kill(3);
    let took = world.run_until(secs(25.0), |world| world.whole());
    assert!(took > G, "{took:?}");
    for node in [1, 2, 4] {
        assert!((5461..=5462).contains(&world.serves(node)));
    }
}

#[test]
fn a_receiver_that_dies_before_it_takes_is_replaced() {
    let mut world = cluster(Mode::Strict, 3, 29);
    world.kill(2);
    world.run_until(secs(20.0), |world| world.nodes[0].view.layout == 2);
    world.kill(1);
    world.run_until(secs(25.0), |world| world.serves(0) == 16_384);
}

#[test]
fn the_last_member_serves_alone_without_the_registry() {
    let mut world = cluster(Mode::Available, 1, 30);
    world.registry_down = true;
    world.run(MINUTE * 5);
    assert_eq!(world.serves(0), 16_384);
    world.registry_down = false;
    world.registry.end_all_leases();
    world.run(secs(10.0));
    assert_eq!((world.serves(0), world.nodes[0].lost), (16_384, 0));
    assert_eq!(world.nodes[0].serving(world.now), Serving::Yes);
}

/// R2: takeovers that were given up land late, when the owner has come back.
#[test]
fn late_takeovers_cannot_touch_one_that_came_back() {
    let mut world = cluster(Mode::Strict, 3, 31);
    world.pause(2, true);
    world.run_until(secs(20.0), |world| world.nodes[0].view.layout == 2);
    world.late_landings = 100;
    world.run(secs(0.03));
    world.pause(2, false);
    world.late_landings = 0;
    world.run_until(secs(2.0), |world| world.registered("n3"));
    world.run(secs(15.0));
    assert!(world.whole(), "{}", world.story());
    assert_eq!(world.nodes.iter().map(|node| node.lost).sum::<u64>(), 0);
    // The plan knows again who owns what.
    assert!(world.logged("layout 3") && world.logged("an owner came back in time"));
}

/// I15: while no watch ran, an absent member may have come and gone; the wait for it
/// begins again.
#[test]
fn a_broken_watch_begins_the_wait_anew() {
    let mut world = cluster(Mode::Strict, 3, 32);
    world.kill(2);
    world.run_until(secs(8.0), |world| !world.registered("n3"));
    world.run(secs(4.0));
    for node in [0, 1] {
        let (watch, _) = world.nodes[node].watch.unwrap();
        let error = RegistryError::Unknown("stream closed".to_owned());
        world.send(node, Event::WatchEnded { watch, error });
    }
    world.run(G - secs(0.1));
    assert!(!world.whole());
    world.run_until(secs(4.0), |world| world.whole());
}

/// Tokens that the others do not know: whoever refuses lives, and keeps its slots.
#[test]
fn who_lets_nobody_in_is_not_dead() {
    for stranger in [2, 0] {
        let mut world = cluster(Mode::Available, 4, 33);
        for other in (0..4).filter(|other| *other != stranger) {
            world.refusing.insert((stranger, other));
            world.refusing.insert((other, stranger));
        }
        let keys = |world: &World| {
            world
                .nodes
                .iter()
                .map(Node::create_revision)
                .collect::<Vec<_>>()
        };
        let before = keys(&world);
        world.run(MINUTE * 3);
        assert_eq!(keys(&world), before, "{}", world.story());
        assert_eq!(world.nodes[0].view.layout, 1);
        assert!(world.whole());
        // Each side says who refuses whom, and why.
        let name = format!("n{}", stranger + 1);
        let told = format!("{name}: refuses the calls of n4: this token is not known");
        assert!(world.problems(3).contains(&told), "{:?}", world.problems(3));
        let told = format!("n4: refuses the calls of {name}: this token is not known");
        let own = world.problems(stranger);
        assert!(own.contains(&told), "{own:?}");
        world.refusing.clear();
        world.run(secs(3.0));
        assert_eq!(world.problems(3), Vec::<String>::new());
    }
}

/// A refusal does not say who refuses: of one whose key is gone it proves nothing.
#[test]
fn a_stranger_at_the_address_of_the_dead_keeps_nothing_for_them() {
    let mut world = cluster(Mode::Available, 3, 34);
    world.refusing.extend([(2, 0), (2, 1)]);
    world.kill(2);
    let took = world.run_until(MINUTE, World::whole);
    assert!(
        took > secs(25.0),
        "not before its lease has ended: {took:?}"
    );
    assert_eq!(world.serves(0) + world.serves(1), 16_384);
}
