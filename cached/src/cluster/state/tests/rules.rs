//! Single rules, event by event, on one member.

use std::time::Duration;

use cached_proto::records::{MemberState, Mode};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::Epoch;

use super::super::event::{Effect, Event, Purpose};
use super::super::grace;
use super::lifecycle::{cluster, config, secs};
use super::registry::{keys, member_key};
use super::world::World;
use crate::clock::{Moment, WallMs};
use crate::cluster::testing;
use crate::cluster::view::{FenceReason, Serving};
use crate::peers::Suspect;
use crate::registry::{Compare, Record, RegistryError, Snapshot};

#[test]
fn g_is_longer_than_f_with_drift() {
    assert_eq!(grace(secs(5.0)), Duration::from_millis(5_550));
    assert!(grace(secs(1.0)) > secs(1.0) * 101 / 100);
}

/// One member, by hand: the world's queue is left out.
fn alone() -> (World, Moment, i64) {
    let world = cluster(Mode::Strict, 1, 70);
    let (now, revision) = (world.now, world.nodes[0].create_revision());
    (world, now, revision)
}

fn own_key(world: &World, create_revision: i64) -> Record {
    Record {
        create_revision,
        ..world.registry.get(&member_key("n1")).unwrap().clone()
    }
}

fn checked(started: Moment, revision: i64, key: Option<Record>) -> Event {
    let snapshot = Snapshot {
        revision,
        records: key.into_iter().collect(),
    };
    Event::SelfChecked {
        started,
        took: Duration::ZERO,
        result: Ok(snapshot),
    }
}

fn extends(effects: &[Effect]) -> Vec<Moment> {
    let extension = |effect: &Effect| match effect {
        Effect::ExtendFence { started } => Some(*started),
        _ => None,
    };
    effects.iter().filter_map(extension).collect()
}

fn closes(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::CloseFence(FenceReason::Removed)))
}

/// R11: the start of a self-check counts, and only its own key under its own
/// `create_revision`.
#[test]
fn only_a_self_check_that_saw_the_own_key_extends_the_fence() {
    let (world, now, create) = alone();
    let at = world.registry.revision;
    let key = |create| Some(own_key(&world, create));
    let started = Moment::from_micros(now.as_micros() - 200_000);
    for (event, extended, closed) in [
        (checked(started, at, key(create)), vec![started], false),
        (checked(started, at, key(create + 1)), vec![], true),
        (checked(started, at, None), vec![], true),
        // Older than the registration: it says nothing.
        (checked(started, create - 1, None), vec![], false),
        (
            Event::SelfChecked {
                started,
                took: Duration::ZERO,
                result: Err(RegistryError::Unknown("timeout".to_owned())),
            },
            vec![],
            false,
        ),
        (
            Event::KeptAlive {
                lease: 1,
                result: Ok(()),
            },
            vec![],
            false,
        ),
    ] {
        let (mut world, ..) = alone();
        let told = format!("{event:?}");
        let effects = world.nodes[0].state.on_event(event, now);
        assert_eq!(extends(&effects), extended, "{told}");
        assert_eq!(closes(&effects), closed, "{told}");
    }
}

#[test]
fn a_lease_that_is_gone_is_a_reason_to_look_at_once() {
    let (mut world, now, _) = alone();
    let state = &mut world.nodes[0].state;
    state.on_event(checked(now, 10_000, None), now);
    let (mut world, now, create) = alone();
    let state = &mut world.nodes[0].state;
    let lease = own_key(&alone().0, create).lease;
    // Let the check that is under way end first.
    state.on_event(Event::Tick { wall: WallMs(0) }, now + secs(1.6));
    let event = Event::KeptAlive {
        lease,
        result: Err(RegistryError::LeaseGone),
    };
    let key = Some(own_key(&alone().0, create));
    state.on_event(event, now + secs(1.7));
    let effects = state.on_event(checked(now, 10_000, key), now + secs(1.7));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::SelfCheck { .. }))
    );
}

/// The watch shows a deletion from before the own registration, late.
#[test]
fn a_deletion_of_an_earlier_key_is_not_ours() {
    let mut world = cluster(Mode::Strict, 2, 71);
    world.registry.delete(&member_key("n2"));
    world.run_until(secs(3.0), |world| world.logged("n2: registered again"));
    world.run(secs(0.5));
    let closed = world
        .log
        .iter()
        .filter(|(_, line)| line.contains("nothing is served"))
        .count();
    assert_eq!(closed, 1);
    assert!(world.whole());
}

/// I3: nothing is written without the own key compared, and a planner's word not
/// without the planner's.
#[test]
fn every_transaction_compares_the_own_key() {
    let mut world = World::new(72);
    world.audit = Some(|purpose, txn, node| {
        let own = Compare::CreateRevision(
            member_key(node.id.name.as_str()),
            node.create_revision().max(node.last_create_revision),
        );
        assert!(txn.compares.contains(&own), "{purpose:?}: {txn:?}");
        let planner = keys().key(&RegistryKey::Planner);
        let as_planner =
            |c: &Compare| matches!(c, Compare::CreateRevision(k, r) if *k == planner && *r > 0);
        let must = matches!(
            purpose,
            Purpose::Meta
                | Purpose::Plan
                | Purpose::Pages(_)
                | Purpose::Remove(_)
                | Purpose::Operation(_)
                | Purpose::Tidy(_)
        );
        assert_eq!(
            txn.compares.iter().any(as_planner),
            must,
            "{purpose:?}: {txn:?}"
        );
    });
    for name in ["n1", "n2", "n3"] {
        world.start(&config(Mode::Strict, 3), name);
    }
    world.run_until(secs(5.0), World::whole);
    world.kill(1);
    world.run_until(secs(20.0), World::whole);
    world.send(2, Event::SignOff);
    world.run_until(secs(20.0), |world| world.serves(0) == 16_384);
    assert!(world.audited > 100);
}

#[test]
fn reports_about_strangers_and_oneself_are_dropped() {
    let mut world = cluster(Mode::Available, 3, 73);
    let me = world.nodes[0].id.clone();
    let suspects = [testing::member("n9").id, me].map(|id| Suspect {
        id,
        misses: 3,
        last_error: String::new(),
    });
    let from = "n2".parse().unwrap();
    world.send(
        0,
        Event::Reported {
            from,
            suspects: suspects.into(),
        },
    );
    world.run(secs(10.0));
    assert_eq!(world.problems(0), Vec::<String>::new());
}

/// A report alone removes nobody: the planner asks, too.
#[test]
fn a_false_report_removes_nobody() {
    let mut world = cluster(Mode::Available, 3, 74);
    let id = world.nodes[2].id.clone();
    let revision = world.nodes[2].create_revision();
    for _ in 0..20 {
        let suspects = vec![Suspect {
            id: id.clone(),
            misses: 9,
            last_error: String::new(),
        }];
        for planner in [0, 1, 2] {
            let from = "n2".parse().unwrap();
            world.send(
                planner,
                Event::Reported {
                    from,
                    suspects: suspects.clone(),
                },
            );
        }
        world.run(secs(1.0));
    }
    assert_eq!(world.nodes[2].create_revision(), revision);
}

#[test]
fn what_an_operator_listed_expires_and_is_tidied_up() {
    let mut world = cluster(Mode::Available, 2, 75);
    let target = world.nodes[1].id.clone();
    let entry = cached_proto::records::BlacklistRecord {
        target: target.name.clone(),
        inc: target.inc,
        reason: "test".to_owned(),
        by: "ann@desk".to_owned(),
        since_ms: 0,
        expires_ms: world.now.as_micros() / 1_000 + 5_000,
    };
    let key = keys().key(&RegistryKey::Blacklist(target.name.clone()));
    world.registry.put(&key, &entry, 0);
    world.run(secs(1.0));
    assert!(world.nodes[0].view.blacklist.contains_key(&target.name));
    world.run(secs(5.0));
    assert!(world.nodes[0].view.blacklist.is_empty());
    assert!(world.registry.get(&key).is_none());
    // A new incarnation is never listed.
    let other = cached_proto::records::BlacklistRecord {
        inc: testing::member("zz").id.inc,
        expires_ms: u64::MAX,
        ..entry
    };
    world.registry.put(&key, &other, 0);
    world.run(secs(1.0));
    assert!(world.nodes[0].view.blacklist.is_empty());
}

/// A member that dies between its last word and the end of its lease.
#[test]
fn the_key_of_one_that_signed_off_does_not_hold_its_slots() {
    let mut world = cluster(Mode::Strict, 3, 76);
    world.send(2, Event::SignOff);
    world.run_until(secs(1.0), |world| {
        let record = world.registry.get(&member_key("n3")).unwrap();
        String::from_utf8_lossy(&record.value).contains("\"gone\"")
    });
    assert_eq!(
        world.nodes[2].serving(world.now),
        Serving::Fenced(FenceReason::Stopping)
    );
    world.kill(2);
    let took = world.run_until(secs(5.0), World::whole);
    assert!(took < secs(4.0), "{took:?}");
}

#[test]
fn views_say_who_is_down_since_when_and_why() {
    let mut world = cluster(Mode::Available, 3, 77);
    world.kill(1);
    world.run_until(secs(10.0), |world| !world.registered("n2"));
    world.run(secs(2.2));
    let view = &world.nodes[0].view;
    let dead = view
        .members
        .iter()
        .find(|member| member.id.name.as_str() == "n2")
        .unwrap();
    assert!(dead.record.is_none() && dead.absent_since.is_some() && dead.slots > 5_000);
    assert!(
        dead.detail
            .contains("no answer to 3 probes of n1, confirmed by n3"),
        "{}",
        dead.detail
    );
    let problems = world.problems(0);
    assert!(
        problems[0].ends_with("slots have no living owner"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("n2 is down for 2 s: removed"),
        "{problems:?}"
    );
    let slot =
        cached_proto::types::Slot::all().find(|slot| view.owner(*slot).unwrap().0.id == dead.id);
    let hint = view.hint(slot.unwrap()).unwrap();
    assert_eq!((hint.address, hint.epoch), (None, Epoch(1)));
    assert_eq!(
        view.members[usize::from(view.me.unwrap())]
            .record
            .as_ref()
            .unwrap()
            .state,
        MemberState::Up
    );
}
