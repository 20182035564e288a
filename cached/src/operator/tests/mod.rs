//! The operator among peers that do as they are told.

mod operations;
mod peer;

use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::limits::GROUPS_MAX;
use cached_proto::operation::{Condition, Operation};
use cached_proto::records::{BlacklistRecord, GroupRecord};
use cached_proto::types::{Epoch, GroupName, Incarnation, Key, NodeName, Slot};

use super::fixture::{FakePeers, World, group, slots_of};
use crate::cluster::view::{FenceReason, SlotOwner};

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

#[tokio::test]
async fn stats_have_a_row_for_every_member() {
    let world = World::new();
    world.publish(|view| view.members[2].record = None);
    world.counters.grpc.add(3);
    let nodes = world.operator.stats(false).await.nodes;
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    assert_eq!(nodes[0].requests.as_ref().unwrap().grpc, 3);
    assert!(nodes[0].resident_bytes > 0 && nodes[0].slots == 5461);
    assert_eq!((nodes[1].uptime_ms, nodes[1].error.as_str()), (7, ""));
    assert_eq!(nodes[2].error, "is no member now");
}

#[tokio::test]
async fn an_older_layout_is_told_with_the_members_of_now() {
    let world = World::new();
    world.publish(|view| view.members[2].record = None);
    let told = world.operator.planned_topology(2).await.unwrap();
    assert_eq!(told.layout, 2);
    let members = told.members.iter();
    let shape: Vec<_> = members.map(|it| (it.name.as_str(), it.slots)).collect();
    assert_eq!(shape, [("n1", 8192), ("n3", 8192)], "n2 was to own none");
    assert!(!told.members[0].address.is_empty() && told.members[1].address.is_empty());
    let covered: u32 = told.ranges.iter().map(|it| it.last - it.first + 1).sum();
    assert_eq!(covered, 16_384);
    let refusal = world.operator.planned_topology(9).await.unwrap_err();
    assert_eq!(refusal.code, FailureCode::NotFound);
}

#[tokio::test]
async fn who_cannot_be_asked_has_a_row_that_says_why() {
    let world = World::new();
    world.peers.silent.lock().insert("n2".to_owned());
    let nodes = world.operator.stats(false).await.nodes;
    assert_eq!(nodes[1].error, "connection refused");
    assert_eq!(nodes[1].address, "127.0.0.1:8002");
    assert_eq!(nodes[2].error, "");
}

#[tokio::test]
async fn a_gateway_is_no_member_but_has_counters_of_its_own() {
    let world = World::with(None, FakePeers::default());
    let all = world.operator.stats(false).await.nodes;
    assert_eq!(
        all.iter().map(|node| &node.name).collect::<Vec<_>>(),
        ["n1", "n2", "n3"]
    );
    assert!(
        all.iter().all(|node| node.uptime_ms == 7),
        "asked, not counted here"
    );
    let own = world.operator.stats(true).await.nodes;
    assert_eq!((own.len(), own[0].name.as_str()), (1, "gateway"));
}

#[tokio::test]
async fn a_flush_tells_what_became_of_it_on_each_owner() {
    let world = World::new();
    world
        .peers
        .flush_failures
        .lock()
        .extend([("n2".to_owned(), 1), ("n3".to_owned(), 2)]);
    let group = group("default-group").name;
    let nodes = world
        .operator
        .flush_group(&group, "alice@host")
        .await
        .unwrap()
        .nodes;
    let told: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.keys)).collect();
    assert_eq!(
        told,
        [("n1", 0), ("n2", 5), ("n3", 0)],
        "one retry helps n2, not n3"
    );
    assert!(nodes[0].failure.is_none() && nodes[1].failure.is_none());
    let failure: Failure = nodes[2].failure.clone().unwrap().into();
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(failure.message.contains("connection reset"));
}

#[tokio::test]
async fn a_flush_asks_nobody_without_slots_and_names_who_is_away() {
    let world = World::new();
    world.publish(|view| {
        view.members[1].record = None;
        let others = view.owners.iter_mut().filter(|row| row.member == 2);
        others.for_each(|row| row.member = 0);
    });
    for slot in slots_of(&world.view.load(), "n1") {
        if world.store.slot(slot).is_none() {
            world.store.open_slot(slot, Epoch(1));
        }
    }
    let group = group("default-group").name;
    let nodes = world.operator.flush_group(&group, "").await.unwrap().nodes;
    assert_eq!(nodes.len(), 2);
    assert!(
        nodes[1]
            .failure
            .as_ref()
            .unwrap()
            .message
            .contains("n2 is no member now")
    );
    let unknown = GroupName::new("nope").unwrap();
    let failure = world.operator.flush_group(&unknown, "").await.unwrap_err();
    assert_eq!(failure.code, FailureCode::UnknownGroup);
    world.view.fence().close(FenceReason::Removed);
    assert_eq!(
        world.operator.flush_own(&group).await.unwrap_err().code,
        FailureCode::Unavailable
    );
}

#[tokio::test]
async fn slots_that_change_hands_during_a_flush_are_met_at_their_new_owner() {
    let world = World::new();
    let mut covered = slots_of(&world.view.load(), "n2");
    let moved = covered.pop().unwrap();
    world
        .peers
        .flush_slots
        .lock()
        .insert("n2".to_owned(), vec![covered.clone(), covered]);
    let name = group("default-group").name;
    let moves = async {
        // The first round has been answered without that slot.
        while world.peers.flush_slots.lock()["n2"].len() > 1 {
            tokio::task::yield_now().await;
        }
        world.publish(|view| {
            view.owners[moved.index()] = SlotOwner {
                member: 0,
                epoch: Epoch(2),
            };
        });
        world.store.open_slot(moved, Epoch(2));
    };
    let (flushed, ()) = tokio::join!(world.operator.flush_group(&name, ""), moves);
    let nodes = flushed.unwrap().nodes;
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!(node.failure, None, "{}", node.name);
    }
}

#[tokio::test]
async fn what_is_sealed_during_a_flush_is_not_covered_by_it() {
    let world = World::new();
    let group = group("default-group").name;
    let slots: Vec<Slot> = Slot::all().take(3).collect();
    let container = |slot: Slot| world.store.slot(slot).unwrap().container;
    let seal = |slot| world.store.seal(slot, container(slot), world.clock.wall());
    seal(slots[0]).unwrap();
    // Something to drop, so that there is a step after which others run.
    let id = world.store.group(&group).unwrap();
    let set = Operation::Set {
        key: Key::new("k").unwrap(),
        value: "v".into(),
        ttl: None,
        condition: Condition::Always,
    };
    let other = Slot::all().nth(4).unwrap();
    world
        .store
        .execute(other, id, &set, world.clock.wall())
        .unwrap();
    let meanwhile = async {
        seal(slots[1]).unwrap();
        seal(slots[2]).unwrap();
        world.store.end_move(slots[2], container(slots[2]));
    };
    let (flushed, ()) = tokio::join!(world.operator.flush_own(&group), meanwhile);
    let covered = flushed.unwrap().slots;
    assert_eq!(covered.len(), 5461 - 3);
    assert!(slots.iter().all(|slot| !covered.contains(slot)));
    world.store.end_move(slots[0], container(slots[0]));
    world.store.end_move(slots[1], container(slots[1]));
    let flushed = world.operator.flush_own(&group).await.unwrap();
    assert_eq!(flushed.slots.len(), 5461);
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_how_many_slots_it_never_met() {
    let world = World::new();
    let mut covered = slots_of(&world.view.load(), "n2");
    covered.truncate(covered.len() - 3);
    world
        .peers
        .flush_slots
        .lock()
        .insert("n2".to_owned(), vec![covered; 1000]);
    let name = group("default-group").name;
    let nodes = world.operator.flush_group(&name, "").await.unwrap().nodes;
    assert!(nodes[0].failure.is_none() && nodes[2].failure.is_none());
    let failure: Failure = nodes[1].failure.clone().unwrap().into();
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert_eq!(failure.applied, Applied::Unknown);
    assert!(failure.message.starts_with("3 slots of n2"), "{failure}");
}

#[tokio::test]
async fn a_long_flush_lets_others_run_and_owns_up_when_the_fence_falls_meanwhile() {
    let world = World::new();
    let group = group("default-group").name;
    let write = || {
        let set = Operation::Set {
            key: Key::new("k").unwrap(),
            value: "v".into(),
            ttl: None,
            condition: Condition::Always,
        };
        let (store, slot) = (&world.store, Slot::all().next().unwrap());
        let id = store.group(&group).unwrap();
        store.execute(slot, id, &set, world.clock.wall()).unwrap();
    };
    write();
    let flushed = world.operator.flush_own(&group).await.unwrap();
    assert_eq!(flushed.keys, 1);
    assert_eq!(flushed.slots, slots_of(&world.view.load(), "n1"));
    write();
    let meanwhile = async { world.view.fence().close(FenceReason::Removed) };
    let (flushed, ()) = tokio::join!(world.operator.flush_own(&group), meanwhile);
    let failure = flushed.unwrap_err();
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert_eq!(failure.applied, Applied::Unknown);
}

#[tokio::test]
async fn a_number_is_one_groups() {
    let world = World::new();
    let numbered = |name: &str| GroupRecord {
        resp_db: Some(3),
        ..group(name)
    };
    world.publish(|view| {
        let first = numbered("first");
        view.groups.insert(first.name.clone(), first);
    });
    let create = async |name| world.operator.create_group(numbered(name), "alice").await;
    assert_eq!(create("first").await, Ok(numbered("first")));
    let failure = create("second").await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Conflict);
    assert_eq!(failure.message, "database 3 is group first already");
}

#[tokio::test]
async fn a_groups_settings_are_checked_before_the_registry_is_asked() {
    let world = World::new();
    let good = GroupRecord {
        max_bytes: Some(1 << 20),
        ..group("users")
    };
    assert_eq!(
        world
            .operator
            .create_group(good.clone(), "alice@host")
            .await,
        Ok(good.clone())
    );
    let bad = [
        (
            GroupRecord {
                max_bytes: Some(0),
                ..good.clone()
            },
            "max_bytes",
        ),
        (
            GroupRecord {
                default_ttl_ms: Some(0),
                ..good.clone()
            },
            "default_ttl_ms",
        ),
        (
            GroupRecord {
                default_ttl_ms: Some(u64::MAX),
                ..good.clone()
            },
            "default_ttl_ms",
        ),
        (
            GroupRecord {
                resp_db: Some(0),
                ..good.clone()
            },
            "resp_db",
        ),
        (
            GroupRecord {
                resp_db: Some(1025),
                ..good.clone()
            },
            "resp_db",
        ),
    ];
    for (group, field) in bad {
        let failure = world
            .operator
            .create_group(group, "alice@host")
            .await
            .unwrap_err();
        assert_eq!(
            (failure.code, failure.field),
            (FailureCode::Invalid, Some(field))
        );
    }
    world.publish(|view| {
        let names = (0..GROUPS_MAX).map(|n| group(&format!("g{n}")));
        view.groups = names.map(|group| (group.name.clone(), group)).collect();
    });
    let failure = world
        .operator
        .create_group(good, "alice@host")
        .await
        .unwrap_err();
    assert!(failure.message.contains("the limit is 1024"), "{failure}");
}

#[tokio::test]
async fn the_blacklist_joins_every_observer_and_the_operators() {
    let world = World::new();
    world.peers.silent.lock().insert("n3".to_owned());
    let n2 = world.view.load().members[1].id.clone();
    for _ in 0..3 {
        world
            .breakers
            .failure(&n2, "connection refused", world.clock.now());
    }
    let wall = world.clock.wall().0;
    let record = |target: &str, expires_ms| BlacklistRecord {
        target: name(target),
        inc: Incarnation(3),
        reason: "disk swap".to_owned(),
        by: "alice@host".to_owned(),
        since_ms: wall,
        expires_ms,
    };
    world.publish(|view| {
        view.blacklist
            .insert(name("n3"), record("n3", wall + 60_000));
        view.blacklist.insert(name("n2"), record("n2", wall - 1));
    });
    let list = world.operator.blacklist(false).await;
    let told: Vec<_> = list
        .entries
        .iter()
        .map(|e| (e.observer.as_str(), e.target.as_str()))
        .collect();
    assert_eq!(told, [("*", "n3"), ("n1", "n2"), ("n2", "")]);
    assert!(list.entries[0].manual && list.entries[0].expires_in_ms <= 60_000);
    assert_eq!(
        (
            list.entries[1].failures,
            list.entries[1].last_error.as_str()
        ),
        (3, "connection refused")
    );
    assert_eq!(list.unanswered, ["n3"]);
    assert_eq!(world.operator.blacklist(true).await.entries.len(), 2);
}

#[tokio::test]
async fn operators_list_the_life_that_is_there_now_for_a_bounded_time() {
    let world = World::new();
    let add = |target: &str, ttl, reason| {
        let (operator, target) = (world.operator.clone(), name(target));
        async move {
            operator
                .add_blacklist(&target, ttl, reason, "alice@host")
                .await
        }
    };
    add("n2", Duration::ZERO, "disk swap").await.unwrap();
    let listed = world.cluster.listed.lock()[0].clone();
    assert_eq!(listed.inc, Incarnation(2));
    assert_eq!(listed.expires_ms - listed.since_ms, 300_000);
    let week = Duration::from_secs(7 * 24 * 3600);
    let failures = [
        add("n9", week, "").await.unwrap_err(),
        add("n2", week + Duration::from_millis(1), "")
            .await
            .unwrap_err(),
        add("n2", week, "two\nlines").await.unwrap_err(),
        add("n2", week, &"x".repeat(257)).await.unwrap_err(),
    ];
    let fields: Vec<_> = failures
        .iter()
        .map(|failure| failure.field.unwrap())
        .collect();
    assert_eq!(fields, ["target", "ttl", "reason", "reason"]);
    assert_eq!(failures[0].code, FailureCode::NotFound);
    assert_eq!(
        world.operator.remove_blacklist(&name("n2"), "").await,
        Ok(true)
    );
    assert_eq!(
        world.operator.remove_blacklist(&name("n2"), "").await,
        Ok(false)
    );
}

#[tokio::test]
async fn ready_means_that_requests_should_be_sent_here() {
    let world = World::new();
    assert_eq!(world.operator.ready(), Ok(()));
    // A member that waits to be given slots routes like any other.
    world.publish(|view| view.owners.iter_mut().for_each(|row| row.member = 1));
    assert_eq!(world.operator.ready(), Ok(()));
    world.publish(|view| view.table_loaded = false);
    assert!(world.operator.ready().unwrap_err().contains("not loaded"));
    world.publish(|_| {});
    world.sign_off();
    assert!(world.operator.ready().unwrap_err().contains("stopping"));
    assert!(world.operator.alive());
}
