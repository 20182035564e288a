//! Own slots: without waiting, and never past the fence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Applied, FailureCode};
use cached_proto::operation::{Answer, Condition, Operation, Outcome, Reply, Route};
use cached_proto::records::GroupRecord;
use cached_proto::types::{Epoch, GroupName, Key};

use super::fixture::{EPOCH, World, get, group, key_of, set, slot};
use crate::cluster::view::{FenceReason, Serving, ViewCell};
use crate::command::Command;
use crate::getter::demo::Demo;
use crate::getter::{LoadFuture, Loaded, Origin};
use crate::router::RouterLimits;

fn code(outcome: Outcome) -> FailureCode {
    outcome.unwrap_err().code
}

#[tokio::test(start_paused = true)]
async fn own_slots_are_answered_without_waiting() {
    let world = World::new();
    let key = key_of(0, 0);
    let stored = world
        .router
        .try_local(&world.command(set(key.clone(), Condition::Always)));
    let Some(Ok(Answer {
        reply: Reply::Set {
            stored: true,
            version,
        },
        degraded: false,
    })) = stored
    else {
        panic!("{stored:?}")
    };
    let found = world
        .router
        .try_local(&world.command(get(key.clone())))
        .unwrap()
        .unwrap();
    let Reply::Get(Some(entry)) = found.reply else {
        panic!("{found:?}")
    };
    assert_eq!(
        (entry.value, entry.version),
        (Bytes::from_static(b"v"), version)
    );
    let missed = world
        .router
        .try_local(&world.command(get(key_of(0, 1))))
        .unwrap()
        .unwrap();
    assert_eq!(missed.reply, Reply::Get(None));
    assert_eq!(world.script.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_needs_others_is_handed_back() {
    let world = World::with(Some(Arc::new(Demo)), RouterLimits::default());
    let elsewhere = world.command(get(key_of(1, 0)));
    assert!(world.router.try_local(&elsewhere).is_none());
    let miss = world.command(get(key_of(0, 0)));
    assert!(
        world.router.try_local(&miss).is_none(),
        "the getter may load it"
    );
    let unknown = Command {
        group: GroupName::new("what").unwrap(),
        ..world.command(get(key_of(0, 0)))
    };
    assert!(world.router.try_local(&unknown).is_none());
    let route = Route::OwnerOnly {
        known_epoch: Epoch(9),
    };
    let newer = Command {
        route,
        ..world.command(get(key_of(0, 0)))
    };
    assert!(
        world.router.try_local(&newer).is_none(),
        "the view has to be refreshed"
    );
}

#[tokio::test(start_paused = true)]
async fn handing_back_uses_up_no_probe_and_counts_no_miss() {
    let world = World::with(Some(Arc::new(Demo)), RouterLimits::default());
    let missing = key_of(0, 0);
    let command = world.command(get(missing));
    assert!(world.router.try_local(&command).is_none());
    let outcome = world.router.execute(command).await.unwrap();
    assert_eq!(outcome.reply, Reply::Get(None));
    let (_, _, counted) = world.store.group_counters().pop().unwrap();
    assert_eq!((counted.hits, counted.misses), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_routes_alone_is_told_the_owner() {
    let world = World::new();
    let route = Route::OwnerOnly { known_epoch: EPOCH };
    let command = Command {
        route,
        ..world.command(get(key_of(1, 0)))
    };
    let failure = world.router.try_local(&command).unwrap().unwrap_err();
    assert_eq!(failure.code, FailureCode::WrongOwner);
    assert_eq!(failure.owner.unwrap().owner.name.as_str(), "n2");
}

#[tokio::test(start_paused = true)]
async fn a_closed_fence_refuses_before_anything_is_done() {
    let world = World::new();
    world.view.fence().close(FenceReason::Removed);
    let key = key_of(0, 0);
    let failure = world
        .execute(set(key.clone(), Condition::Always))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::No)
    );
    world.view.fence().open();
    assert_eq!(
        world.execute(get(key)).await.unwrap().reply,
        Reply::Get(None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_falls_during_the_operation_is_owned_up_to() {
    let world = World::new();
    world.view.fence().close(FenceReason::Expired);
    let reply = || Reply::Touch { found: true };
    let write = world.router.vouch(reply(), false).unwrap_err();
    assert_eq!(
        (write.code, write.applied),
        (FailureCode::Unavailable, Applied::Unknown)
    );
    let read = world.router.vouch(Reply::Get(None), true).unwrap_err();
    assert_eq!(
        (read.code, read.applied),
        (FailureCode::Unavailable, Applied::No)
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_out_of_sight_of_the_registry_says_so_until_it_is_isolated() {
    let world = World::new();
    let read = || async { world.execute(get(key_of(0, 0))).await };
    assert!(!read().await.unwrap().degraded);
    world.clock.sleep(Duration::from_secs(3601)).await;
    assert!(read().await.unwrap().degraded);
    world
        .view
        .fence()
        .set_degraded_until(Some(world.clock.now()));
    world.clock.sleep(Duration::from_millis(1)).await;
    let failure = read().await.unwrap_err();
    assert!(failure.message.contains("cut off"), "{failure}");
}

/// R14: an operation has to wait, and the fence falls before it is carried out. That it
/// stood when the operation came says nothing.
#[tokio::test(start_paused = true)]
async fn the_fence_counts_when_an_operation_is_carried_out() {
    let world = World::new();
    let fence = world.view.fence();
    world.clock.sleep(Duration::from_secs(3600 - 1)).await;
    assert_eq!(fence.check(world.clock.now()), Serving::Yes);
    let late = GroupName::new("late").unwrap();
    let command = Command {
        group: late.clone(),
        ..world.command(set(key_of(0, 0), Condition::Always))
    };
    // Nobody here knows its group before the fence has fallen.
    let driver = async {
        world.view.refresh_asked().await;
        world.clock.sleep(Duration::from_millis(90)).await;
        world.publish(|view| {
            let record = GroupRecord {
                name: late.clone(),
                ..view.groups[&group()].clone()
            };
            view.groups.insert(late.clone(), record);
        });
    };
    world.clock.sleep(Duration::from_millis(950)).await;
    let (outcome, ()) = tokio::join!(world.router.execute(command), driver);
    assert_eq!(fence.check(world.clock.now()), Serving::Degraded);
    assert!(outcome.unwrap().degraded);
}

/// Signs the node off while it loads.
#[derive(Debug, Default)]
struct SignsOff(std::sync::OnceLock<Arc<ViewCell>>);

impl Origin for SignsOff {
    fn load<'a>(&'a self, _: &'a GroupName, _: &'a Key) -> LoadFuture<'a> {
        self.0.get().unwrap().fence().close(FenceReason::Stopping);
        let value = Loaded::Value {
            value: "late".into(),
            ttl: None,
            no_store: false,
        };
        Box::pin(std::future::ready(Ok(value)))
    }
    fn describe(&self) -> String {
        "test".into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_falls_during_a_load_withholds_the_value() {
    let origin = Arc::new(SignsOff::default());
    let world = World::with(Some(origin.clone()), RouterLimits::default());
    origin.0.set(world.view.clone()).unwrap();
    let failure = world.execute(get(key_of(0, 0))).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::No)
    );
    assert!(failure.message.contains("signed off"), "{failure}");
    assert_eq!(world.counters.loads.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_are_named_with_their_numbers() {
    let limits = RouterLimits {
        value_bytes_max: 10,
        ..Default::default()
    };
    let world = World::with(None, limits);
    let key = key_of(0, 0);
    let value = Bytes::from(vec![0; 11]);
    let large = Operation::Set {
        key,
        value,
        ttl: None,
        condition: Condition::Always,
    };
    for failure in [
        world
            .router
            .try_local(&world.command(large.clone()))
            .unwrap()
            .unwrap_err(),
        world.execute(large).await.unwrap_err(),
    ] {
        assert_eq!(
            (failure.code, failure.field),
            (FailureCode::TooLarge, Some("value"))
        );
        assert_eq!(failure.message, "value has 11 bytes; the limit is 10");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_commands_are_not_carried_out() {
    let world = World::new();
    let key = key_of(0, 0);
    for key in [key.clone(), key_of(1, 0)] {
        let deadline = world.clock.now();
        let command = Command {
            deadline,
            ..world.command(set(key, Condition::Always))
        };
        let failure = world.router.execute(command).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.applied),
            (FailureCode::Deadline, Applied::No)
        );
    }
    let command = Command {
        deadline: world.clock.now(),
        ..world.command(get(key.clone()))
    };
    assert_eq!(
        code(world.router.try_local(&command).unwrap()),
        FailureCode::Deadline
    );
    assert_eq!(
        world.execute(get(key)).await.unwrap().reply,
        Reply::Get(None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_slot_without_container_is_waited_for() {
    let world = World::new();
    let key = key_of(0, 0);
    let slot = slot(&key);
    let container = world.store.slot(slot).unwrap().container;
    world.store.drop_slot(slot, container);
    let failure = world.execute(get(key.clone())).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Deadline, Applied::No)
    );
    assert!(
        failure.message.contains("being opened or closed"),
        "{failure}"
    );
    assert_eq!(world.counters.retries.get(), 0, "waiting is no attempt");
    assert_eq!(world.parking.waiting(), 0);
    let opens = async {
        world.clock.sleep(Duration::from_millis(20)).await;
        world.store.open_slot(slot, EPOCH);
    };
    let (outcome, ()) = tokio::join!(world.execute(get(key)), opens);
    assert_eq!(outcome.unwrap().reply, Reply::Get(None));
}

#[tokio::test(start_paused = true)]
async fn peers_are_answered_here_or_not_at_all() {
    let world = World::new();
    let deadline = world.clock.now() + Duration::from_secs(1);
    let work = vec![
        (set(key_of(0, 0), Condition::Always), EPOCH),
        (set(key_of(1, 0), Condition::Always), EPOCH),
        (set(key_of(0, 1), Condition::Always), Epoch(9)),
    ];
    let outcomes = world.router.execute_for_peer(group(), work, deadline).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(code(outcomes[1].clone()), FailureCode::WrongOwner);
    assert_eq!(
        code(outcomes[2].clone()),
        FailureCode::Unavailable,
        "a newer owner is said to be"
    );
    let missing = world.execute(get(key_of(0, 1))).await.unwrap();
    assert_eq!(missing.reply, Reply::Get(None), "nothing was done for it");
    assert_eq!(
        world.script.asked(),
        [""; 0],
        "handlers of peers call nobody"
    );
    let late = vec![(get(key_of(0, 0)), EPOCH)];
    let outcomes = world
        .router
        .execute_for_peer(group(), late, world.clock.now())
        .await;
    assert_eq!(code(outcomes[0].clone()), FailureCode::Deadline);
}
