//! Whole lives of clusters: bootstrap, crashes, restarts, outages.

use std::time::Duration;

use cached_proto::records::{MemberState, Mode};
use cached_proto::types::SLOTS;

use super::super::event::Event;
use super::world::World;
use crate::cluster::ClusterConfig;
use crate::cluster::testing;
use crate::cluster::view::Serving;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const G: Duration = Duration::from_millis(5_550);

pub(super) fn secs(seconds: f32) -> Duration {
    Duration::from_secs_f32(seconds)
}

pub(super) fn config(mode: Mode, expect: usize) -> ClusterConfig {
    ClusterConfig {
        mode,
        expect,
        ..testing::config("any")
    }
}

/// A cluster of n1 to n<members> that serves.
pub(super) fn cluster(mode: Mode, members: usize, seed: u64) -> World {
    let mut world = World::new(seed);
    for member in 1..=members {
        world.start(&config(mode, members), &format!("n{member}"));
        world.run(secs(0.3));
    }
    world.run_until(secs(10.0), World::whole);
    world.run(secs(3.0));
    world
}

#[test]
fn one_member_bootstraps_alone() {
    let mut world = World::new(1);
    let n1 = world.start(&config(Mode::Available, 1), "n1");
    let took = world.run_until(secs(5.0), World::whole);
    assert!(took < secs(2.0), "{took:?}");
    world.run(secs(1.0));
    let node = &world.nodes[n1];
    assert_eq!(node.served.len(), usize::from(SLOTS));
    assert_eq!((node.view.layout, node.lost), (1, 0));
    let own = &node.view.members[usize::from(node.view.me.unwrap())];
    assert_eq!(own.record.as_ref().unwrap().state, MemberState::Up);
    assert_eq!(own.slots, u32::from(SLOTS));
    assert_eq!(world.problems(n1), Vec::<String>::new());
}

#[test]
fn three_wait_for_each_other_and_share_evenly() {
    let mut world = World::new(2);
    let config = config(Mode::Strict, 3);
    world.start(&config, "n1");
    world.start(&config, "n2");
    world.run(MINUTE);
    assert!(!world.nodes[0].view.table_loaded);
    let text = "the cluster is not bootstrapped: 2 of 3 expected members are here";
    assert!(
        world.problems(0).contains(&text.to_owned()),
        "{:?}",
        world.problems(0)
    );
    world.start(&config, "n3");
    world.run_until(secs(5.0), World::whole);
    world.run(secs(2.0));
    for node in 0..3 {
        assert!((5461..=5462).contains(&world.serves(node)));
        assert_eq!(world.problems(node), Vec::<String>::new());
    }
}

#[test]
fn a_late_comer_waits() {
    let mut world = cluster(Mode::Available, 2, 3);
    let late = world.start(&config(Mode::Available, 1), "n3");
    world.run(secs(9.5));
    assert_eq!(world.serves(late), 0);
    assert_eq!(world.nodes[late].serving(world.now), Serving::Yes);
    assert_eq!(world.problems(0), ["n3: waits to be given slots"]);
}

#[test]
fn a_killed_member_is_succeeded_after_about_ten_seconds() {
    for mode in [Mode::Available, Mode::Strict] {
        for victim in 0..3 {
            let mut world = cluster(mode, 3, 4 + victim as u64);
            world.kill(victim);
            let gone = format!("n{}", victim + 1);
            let seen = world.run_until(secs(8.0), |world| !world.registered(&gone));
            assert!(seen >= secs(2.0), "{seen:?}");
            world.run(G - secs(0.1));
            assert!(!world.whole(), "taken before G");
            let took = world.run_until(secs(6.0), World::whole);
            assert!(seen + G + took < secs(13.0), "{seen:?} + G + {took:?}");
            let lost: u64 = world.nodes.iter().map(|node| node.lost).sum();
            assert!((5461..=5462).contains(&lost), "{lost}");
            world.run(secs(3.0));
            for node in (0..3).filter(|node| *node != victim) {
                assert_eq!(world.problems(node), Vec::<String>::new());
                assert_eq!(world.nodes[node].view.layout, 2);
            }
        }
    }
}

#[test]
fn a_signed_off_member_is_succeeded_at_once() {
    let mut world = cluster(Mode::Strict, 3, 7);
    world.send(1, Event::SignOff);
    world.run_until(secs(1.0), |world| world.nodes[1].signed_off);
    world.kill(1);
    let took = world.run_until(secs(3.0), World::whole);
    assert!(took < secs(2.0), "{took:?}");
    assert!(world.logged("n2 left: signed off"), "{}", world.story());
}

#[test]
fn a_restarted_member_gets_its_slots_back_empty() {
    let mut world = cluster(Mode::Strict, 3, 8);
    world.kill(1);
    // R18, as the start does it: the key goes, G passes, the name is registered.
    world.registry.delete(&super::registry::member_key("n2"));
    let absent = super::super::Absent {
        since: world.now,
        signed_off: false,
        removed_here: true,
        address: "n2:1".to_owned(),
        detail: String::new(),
    };
    let old = world.nodes[1].id.clone();
    world.run(G + secs(0.05));
    let new = world.start_after(&config(Mode::Strict, 3), "n2", Some((old, absent)));
    world.run_until(secs(5.0), World::whole);
    assert!(
        (5461..=5462).contains(&world.serves(new)),
        "{}",
        world.serves(new)
    );
    assert_eq!(world.nodes[0].lost + world.nodes[2].lost, 0);
    world.run(secs(2.0));
    assert_eq!(world.problems(0), Vec::<String>::new());
}

#[test]
fn a_member_that_comes_back_after_the_takeover_waits_for_its_share() {
    let mut world = cluster(Mode::Available, 3, 9);
    world.kill(2);
    world.run_until(secs(20.0), World::whole);
    let new = world.start(&config(Mode::Available, 3), "n3");
    world.run(secs(9.5));
    assert_eq!(world.serves(new), 0);
    assert_eq!(world.problems(new), ["n3: waits to be given slots"]);
    world.run_until(secs(3.0), |world| world.nodes[0].view.layout == 3);
    assert_eq!(world.nodes[0].view.to_move, 5461);
}

#[test]
fn a_whole_cluster_restarted_under_new_names_starts_empty() {
    let mut world = cluster(Mode::Strict, 3, 10);
    (0..3).for_each(|node| world.kill(node));
    world.run(MINUTE);
    assert!(!world.registered("n1"));
    for name in ["a", "b", "c"] {
        world.start(&config(Mode::Strict, 3), name);
    }
    world.run_until(secs(20.0), World::whole);
    for node in 3..6 {
        assert!((5461..=5462).contains(&world.serves(node)));
    }
}

#[test]
fn an_outage_loses_nothing_in_mode_available() {
    for leases_end in [false, true] {
        let mut world = cluster(Mode::Available, 3, 11);
        world.registry_down = true;
        for _ in 0..60 {
            world.run(secs(1.0));
            assert!(world.whole(), "{}", world.story());
        }
        assert_eq!(world.nodes[0].serving(world.now), Serving::Degraded);
        world.registry_down = false;
        match leases_end {
            true => world.registry.end_all_leases(),
            false => world
                .registry
                .extend_leases(world.now + super::registry::LEASE),
        }
        world.run(MINUTE * 3);
        assert!(world.whole(), "{}", world.story());
        for node in 0..3 {
            assert_eq!(world.nodes[node].lost, 0);
            assert_eq!(world.nodes[node].serving(world.now), Serving::Yes);
            assert_eq!(world.problems(node), Vec::<String>::new());
            assert_eq!(world.nodes[node].view.layout, 1);
        }
    }
}

#[test]
fn strict_members_stop_within_f_and_go_on_with_their_entries() {
    let mut world = cluster(Mode::Strict, 3, 12);
    world.registry_down = true;
    world.run(secs(5.1));
    assert_eq!((0..3).map(|node| world.serves(node)).sum::<usize>(), 0);
    assert_eq!(
        world.nodes[0].served.len() + world.nodes[1].served.len(),
        10_923
    );
    world.run(MINUTE);
    world.registry_down = false;
    world.registry.end_all_leases();
    let took = world.run_until(secs(8.0), World::whole);
    assert!(took < secs(6.0), "{took:?}");
    assert_eq!(world.nodes.iter().map(|node| node.lost).sum::<u64>(), 0);
}
