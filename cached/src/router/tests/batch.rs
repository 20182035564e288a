//! Batches: split by owner, answered in order, retried only where needed.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Answer, Condition, Entry, Operation, Outcome, Reply, Route};
use cached_proto::types::{Epoch, Key};

use super::fixture::{Deed, World, get, group, key_of, ok, set};
use crate::peers::{Forwarded, PeerError};
use crate::router::RouterLimits;

async fn batch(world: &World, operations: Vec<Operation>) -> Vec<Outcome> {
    let deadline = world.clock.now() + Duration::from_secs(60);
    world
        .router
        .execute_batch(group(), operations, Route::Forward, deadline)
        .await
}

/// Answers every read with its own key as value.
fn echo(work: &Forwarded) -> Vec<Outcome> {
    let answer = |key: &Key| {
        let value = Bytes::copy_from_slice(key.as_bytes());
        let value_bytes = value.len() as u64;
        let entry = Entry {
            value,
            version: None,
            ttl_ms: None,
            value_bytes,
            loaded: false,
            uncached: false,
        };
        Ok(Answer {
            reply: Reply::Get(Some(entry)),
            degraded: false,
        })
    };
    work.operations
        .iter()
        .map(|(operation, _)| answer(operation.key()))
        .collect()
}

fn value(outcome: &Outcome) -> Option<Bytes> {
    match &outcome.as_ref().unwrap().reply {
        Reply::Get(entry) => entry.as_ref().map(|entry| entry.value.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_for_each_owner_and_outcomes_in_order() {
    let world = World::new();
    world.script.then(Deed::Reply(echo)).then(Deed::Reply(echo));
    let keys: Vec<Key> = (0..4)
        .flat_map(|n| [key_of(2, n), key_of(0, n), key_of(1, n)])
        .collect();
    let outcomes = batch(&world, keys.iter().cloned().map(get).collect()).await;
    for (number, (key, outcome)) in keys.iter().zip(&outcomes).enumerate() {
        let expected = (number % 3 != 1).then(|| key.clone().into_bytes());
        assert_eq!(value(outcome), expected, "n1's own are misses: {number}");
    }
    assert_eq!(
        world
            .script
            .asked()
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        2
    );
    assert_eq!(world.script.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_tried_again() {
    fn half_busy(work: &Forwarded) -> Vec<Outcome> {
        let busy = || Err(Failure::new(FailureCode::Busy, "full"));
        (0..work.operations.len())
            .map(|n| if n % 2 == 0 { ok() } else { busy() })
            .collect()
    }
    let world = World::new();
    world
        .script
        .then(Deed::Reply(half_busy))
        .then(Deed::Each(ok()));
    let work = (0..6)
        .map(|n| set(key_of(1, n), Condition::IfAbsent))
        .collect();
    assert_eq!(batch(&world, work).await, vec![ok(); 6]);
    let calls = world.script.calls.lock();
    let again: Vec<_> = calls[1]
        .1
        .operations
        .iter()
        .map(|(operation, _)| operation.key().clone())
        .collect();
    assert_eq!(again, [key_of(1, 1), key_of(1, 3), key_of(1, 5)]);
}

#[tokio::test(start_paused = true)]
async fn one_dead_owner_costs_only_its_own_keys() {
    let world = World::new();
    let dead = || Deed::Fail(PeerError::NotSent("Connection refused".into()));
    world
        .script
        .then(dead())
        .then(Deed::Each(ok()))
        .then(dead())
        .then(dead());
    let work = (0..3)
        .map(|owner| set(key_of(owner, 0), Condition::Always))
        .collect();
    let outcomes = batch(&world, work).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(
        outcomes[1].as_ref().unwrap_err().code,
        FailureCode::Unavailable
    );
    assert!(outcomes[2].is_ok());
    assert_eq!(world.script.asked(), ["n2", "n3", "n2", "n2"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_miscounts_is_not_believed() {
    let world = World::new();
    world.script.then(Deed::Reply(|_| vec![ok()]));
    let work = (0..2)
        .map(|n| set(key_of(1, n), Condition::IfAbsent))
        .collect();
    for outcome in batch(&world, work).await {
        let failure = outcome.unwrap_err();
        assert_eq!(failure.code, FailureCode::Internal);
        assert!(
            failure.to_string().contains("may have been applied"),
            "{failure}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn messages_hold_about_one_largest_value() {
    let limits = RouterLimits {
        value_bytes_max: 100_000,
        ..Default::default()
    };
    let world = World::with(None, limits);
    (0..3).for_each(|_| {
        world.script.then(Deed::Each(ok()));
    });
    let large = |n| Operation::Set {
        key: key_of(1, n),
        value: Bytes::from(vec![0; 100_000]),
        ttl: None,
        condition: Condition::Always,
    };
    assert_eq!(
        batch(&world, (0..3).map(large).collect()).await,
        vec![ok(); 3]
    );
    assert_eq!(world.script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn answers_hold_as_many_values_as_one_message() {
    let limits = RouterLimits {
        value_bytes_max: 10,
        ..Default::default()
    };
    let world = World::with(None, limits);
    let keys: Vec<Key> = (0..3).map(|n| key_of(0, n)).collect();
    for key in &keys {
        let value = Bytes::from(vec![0; 6]);
        let write = Operation::Set {
            key: key.clone(),
            value,
            ttl: None,
            condition: Condition::Always,
        };
        world.execute(write).await.unwrap();
    }
    let outcomes = batch(&world, keys.into_iter().map(get).collect()).await;
    assert!(outcomes[0].is_ok());
    for outcome in &outcomes[1..] {
        assert_eq!(outcome.as_ref().unwrap_err().code, FailureCode::TooLarge);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_asked_nothing_answered() {
    assert_eq!(batch(&World::new(), Vec::new()).await, []);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_refresh_that_another_operation_needs() {
    let world = World::new();
    world.script.then(Deed::Each(ok()));
    let newer = Route::OwnerOnly {
        known_epoch: Epoch(6),
    };
    let work = vec![
        (get(key_of(0, 0)), newer),
        (set(key_of(1, 0), Condition::Always), Route::Forward),
    ];
    let deadline = world.clock.now() + Duration::from_secs(60);
    let early = async {
        world.clock.sleep(Duration::from_millis(50)).await;
        assert_eq!(world.script.asked(), ["n2"]);
    };
    let journey = world.router.execute_routed(group(), work, deadline);
    let (outcomes, ()) = tokio::join!(journey, early);
    assert!(outcomes[0].is_err());
    assert_eq!(outcomes[1], ok());
}
