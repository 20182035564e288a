//! Owners that fail or refuse: what it means for them, for the operation that met
//! it, and for those that come after.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Route};
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::fixture::{Deed, World, get, group, key_of, member, ok, set};
use crate::peers::PeerError;

fn write(n: usize) -> Operation {
    set(key_of(1, n), Condition::Always)
}

/// So many attempts on n2 have failed, one after the other.
fn failures(world: &World, count: usize) {
    for _ in 0..count {
        let now = world.clock.now();
        world.breakers.failure(&member("n2", 2), "refused", now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_one_failure_and_the_retries_go_through() {
    let world = World::new();
    let reset = Arc::new(Notify::new());
    for _ in 0..5 {
        let error = PeerError::Unknown("connection reset".into());
        world.script.then(Deed::FailAt(reset.clone(), error));
    }
    (0..5).for_each(|_| {
        world.script.then(Deed::Each(ok()));
    });
    let driver = async {
        world.clock.sleep(Duration::from_millis(10)).await;
        reset.notify_waiters();
    };
    let calls = join_all((0..5).map(|n| world.execute(write(n))));
    let (outcomes, ()) = tokio::join!(calls, driver);
    assert_eq!(outcomes, vec![ok(); 5]);
    assert_eq!(world.breakers.listed(), []);
}

#[tokio::test(start_paused = true)]
async fn who_was_under_way_waits_for_the_next_probe_and_others_fail_at_once() {
    let world = World::new();
    failures(&world, 2);
    let refused = PeerError::NotSent("Connection refused".into());
    world
        .script
        .then(Deed::Fail(refused))
        .then(Deed::Each(ok()));
    let started = world.clock.now();
    let newcomer = async {
        world.clock.sleep(Duration::from_millis(100)).await;
        let asked = world.clock.now();
        let failure = world.execute(get(key_of(1, 1))).await.unwrap_err();
        assert!(failure.message.contains("blacklisted"), "{failure}");
        assert_eq!(world.clock.now(), asked);
    };
    let (outcome, ()) = tokio::join!(world.execute(write(0)), newcomer);
    assert_eq!(outcome, ok());
    let took = world.clock.now().since(started);
    assert!((1000..1010).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_takes_all_of_a_batchs_operations_along() {
    let world = World::new();
    failures(&world, 3);
    world.clock.sleep(Duration::from_secs(1)).await;
    world.script.then(Deed::Each(ok()));
    let deadline = world.clock.now() + Duration::from_secs(60);
    let work = (0..3).map(write).collect();
    let batch = world
        .router
        .execute_batch(group(), work, Route::Forward, deadline);
    assert_eq!(batch.await, vec![ok(); 3]);
    assert_eq!(world.script.calls.lock()[0].1.operations.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_this_node_is_not_the_callers_fault() {
    for code in [
        FailureCode::Unauthenticated,
        FailureCode::PermissionDenied,
        FailureCode::Invalid,
        FailureCode::Unsupported,
    ] {
        let refusal = || Deed::Fail(PeerError::Refused(Failure::new(code, "no certificate")));
        let world = World::new();
        world.script.then(refusal()).then(Deed::Each(ok()));
        assert_eq!(world.execute(write(0)).await, ok(), "{code:?}");

        world.script.then(refusal()).then(refusal()).then(refusal());
        let failure = world.execute(write(0)).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.applied, &failure.message[..]),
            (
                FailureCode::Unavailable,
                Applied::No,
                "n2 refuses this node: no certificate"
            )
        );
        assert_eq!(world.breakers.listed(), [], "it answers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_a_while_is_told_as_it_is() {
    let world = World::new();
    let busy = Failure::new(FailureCode::Busy, "full").retry_after(Duration::from_secs(60));
    world
        .script
        .then(Deed::Fail(PeerError::Refused(busy.clone())));
    assert_eq!(world.execute(write(0)).await, Err(busy));
}
