//! Operations on one key: carried out in the order asked, whatever holds one up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Outcome, Reply, Route};
use cached_proto::types::{Epoch, Key};

use super::fixture::{Deed, World, get, group, key_of, ok, set, slot};
use crate::cluster::view::SlotOwner;
use crate::getter::demo::Demo;
use crate::router::RouterLimits;

async fn batch(world: &World, operations: Vec<Operation>) -> Vec<Outcome> {
    let deadline = world.clock.now() + Duration::from_secs(60);
    world
        .router
        .execute_batch(group(), operations, Route::Forward, deadline)
        .await
}

fn delete(key: Key) -> Operation {
    Operation::Delete {
        key,
        condition: Condition::Always,
    }
}

fn set_to(key: Key, value: &'static str) -> Operation {
    Operation::Set {
        key,
        value: Bytes::from_static(value.as_bytes()),
        ttl: None,
        condition: Condition::Always,
    }
}

/// What was found: the value, if any.
fn value(outcome: &Outcome) -> Option<Bytes> {
    match &outcome.as_ref().unwrap().reply {
        Reply::Get(entry) => entry.as_ref().map(|entry| entry.value.clone()),
        other => panic!("{other:?}"),
    }
}

/// The demo origin knows "Tom"; all slots are n1's.
fn loading_world() -> (World, Key) {
    let world = World::with(Some(Arc::new(Demo)), RouterLimits::default());
    let tom = Key::new("Tom").unwrap();
    world.publish(|view| view.owners.iter_mut().for_each(|owner| owner.member = 0));
    world.store.open_slot(slot(&tom), Epoch(5));
    (world, tom)
}

#[tokio::test(start_paused = true)]
async fn a_write_of_several_keys_keeps_the_order_of_each() {
    let (world, tom) = loading_world();
    let other = Key::new("{Tom}").unwrap();
    assert_eq!(slot(&tom), slot(&other));
    let value = Bytes::from_static(b"both");
    let many = Operation::SetMany {
        first: (other.clone(), value.clone()),
        others: vec![(tom.clone(), value.clone()), (tom.clone(), value.clone())],
        if_absent: false,
    };
    let work = vec![
        // Waits for the origin, and so do those behind it.
        get(tom.clone()),
        many,
        get(other.clone()),
        set_to(other.clone(), "later"),
        get(other),
        get(tom),
    ];
    let outcomes = batch(&world, work).await;
    let values: Vec<_> = [0, 2, 4, 5].map(|at| value_of(&outcomes[at])).into();
    assert_eq!(values, ["630", "both", "later", "both"]);
}

fn value_of(outcome: &Outcome) -> Bytes {
    value(outcome).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_load_before_it() {
    let (world, tom) = loading_world();
    let work = vec![
        get(tom.clone()),
        set_to(tom.clone(), "later"),
        get(tom.clone()),
    ];
    let outcomes = batch(&world, work).await;
    assert_eq!(value(&outcomes[0]).unwrap(), "630");
    assert_eq!(value(&outcomes[2]).unwrap(), "later");
}

#[tokio::test(start_paused = true)]
async fn a_delete_waits_for_the_load_before_it() {
    let (world, tom) = loading_world();
    let outcomes = batch(&world, vec![get(tom.clone()), delete(tom)]).await;
    assert_eq!(value(&outcomes[0]).unwrap(), "630");
    let reply = &outcomes[1].as_ref().unwrap().reply;
    assert!(
        matches!(reply, Reply::Delete { deleted: true, .. }),
        "{reply:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_tried_again_comes_before_the_next_one() {
    let world = World::new();
    let busy = Failure::new(FailureCode::Busy, "full");
    world
        .script
        .then(Deed::Each(Err(busy)))
        .then(Deed::Each(ok()))
        .then(Deed::Each(ok()));
    let key = key_of(1, 0);
    let work = vec![
        set_to(key.clone(), "1"),
        set(key_of(1, 1), Condition::Always),
        set_to(key.clone(), "2"),
    ];
    // The key between them is held up by neither: it goes with the first.
    assert_eq!(batch(&world, work.clone()).await, vec![ok(); 3]);
    let sent: Vec<Vec<Operation>> = world
        .script
        .calls
        .lock()
        .iter()
        .map(|(_, call)| call.operations.iter().map(|(op, _)| op.clone()).collect())
        .collect();
    assert_eq!(sent, [&work[..2], &work[..2], &work[2..]]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_follows_one_that_failed_for_good() {
    let world = World::new();
    world
        .script
        .then(Deed::Each(Err(Failure::new(FailureCode::OutOfMemory, "x"))))
        .then(Deed::Each(ok()));
    let key = key_of(1, 0);
    let outcomes = batch(&world, vec![set_to(key.clone(), "1"), set_to(key, "2")]).await;
    assert_eq!(
        outcomes[0].as_ref().unwrap_err().code,
        FailureCode::OutOfMemory
    );
    assert_eq!(outcomes[1], ok());
}

#[tokio::test(start_paused = true)]
async fn reads_go_together_and_writes_wait_for_all_of_them() {
    let world = World::new();
    (0..4).for_each(|_| {
        world.script.then(Deed::Each(ok()));
    });
    let key = key_of(1, 0);
    let (read, write) = (get(key.clone()), set_to(key, "v"));
    let reads = |n| std::iter::repeat_n(read.clone(), n);
    let work = reads(3)
        .chain([write.clone(), write.clone()])
        .chain(reads(2))
        .collect();
    batch(&world, work).await;
    let calls = world.script.calls.lock();
    let sizes: Vec<_> = calls
        .iter()
        .map(|(_, call)| call.operations.len())
        .collect();
    assert_eq!(sizes, [3, 1, 1, 2]);
    assert_eq!(calls[1].1.operations[0].0, write);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_behind_one_whose_time_is_over() {
    let world = World::new();
    world.script.then(Deed::Hang);
    let key = key_of(1, 0);
    for outcome in batch(&world, vec![set_to(key.clone(), "1"), set_to(key, "2")]).await {
        assert_eq!(outcome.unwrap_err().code, FailureCode::Deadline);
    }
    assert_eq!(world.script.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn operations_of_other_routes_keep_their_turn() {
    let world = World::new();
    let key = key_of(0, 0);
    let newer = Route::OwnerOnly {
        known_epoch: Epoch(6),
    };
    let work = vec![
        (get(key.clone()), newer),
        (set_to(key.clone(), "later"), Route::Forward),
    ];
    let driver = async {
        world.view.refresh_asked().await;
        world.clock.sleep(Duration::from_millis(30)).await;
        world.publish(|view| {
            view.owners[slot(&key).index()] = SlotOwner {
                member: 0,
                epoch: Epoch(6),
            }
        });
    };
    let deadline = world.clock.now() + Duration::from_secs(60);
    let journey = world.router.execute_routed(group(), work, deadline);
    let (outcomes, ()) = tokio::join!(journey, driver);
    assert_eq!(value(&outcomes[0]), None, "asked before it was written");
    assert!(outcomes[1].is_ok());
}
