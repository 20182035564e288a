//! The short way to other nodes: what it carries, and how the usual way goes on from it.

use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Outcome, Route};
use cached_proto::types::Epoch;

use super::fixture::{
    Deed, EPOCH, PassAnswer, World, found, get, group, key_of, member, ok, redirect, set, slot,
};
use crate::blacklist::Admission;
use crate::peers::PeerError;

fn write() -> Operation {
    set(key_of(1, 0), Condition::Always)
}

/// A write that must not be done twice.
fn once() -> Operation {
    set(key_of(1, 0), Condition::IfAbsent)
}

fn reply(outcome: Outcome) -> PassAnswer {
    Some(Ok(outcome))
}

fn lost() -> PassAnswer {
    Some(Err(PeerError::Unknown("the stream broke".into())))
}

fn not_sent() -> PassAnswer {
    Some(Err(PeerError::NotSent("Connection refused".into())))
}

/// A world whose peers answer so to what is passed on.
fn world(answers: impl IntoIterator<Item = PassAnswer>) -> World {
    let world = World::new();
    world.script.answers.lock().extend(answers);
    world
}

async fn batch(world: &World, operations: Vec<Operation>) -> Vec<Outcome> {
    let deadline = world.clock.now() + Duration::from_secs(3);
    let router = &world.router;
    router
        .execute_batch(group(), operations, Route::Forward, deadline)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_all_there_is_to_it() {
    let world = world([reply(found("there"))]);
    assert_eq!(world.execute(get(key_of(1, 0))).await, found("there"));
    assert_eq!(world.script.asked(), [""; 0], "no call of its own");
    let passed = world.script.passed.lock();
    assert_eq!(passed[0].epoch, EPOCH);
    let left = passed[0].until.since(world.clock.now());
    assert_eq!(left, Duration::from_secs(3), "the timeout");
    assert_eq!(world.counters.forwarded.get(), 1);
}

fn write_of(owner: u16) -> Operation {
    set(key_of(owner, 0), Condition::Always)
}

/// One call bounds the bytes that several reads are answered with.
#[tokio::test(start_paused = true)]
async fn several_operations_go_to_an_owner_in_one_call() {
    let world = world([reply(ok()), reply(ok())]);
    world.script.then(Deed::Each(ok()));
    let work = vec![write(), set(key_of(1, 1), Condition::Always)];
    assert_eq!(batch(&world, work).await, [ok(), ok()]);
    assert!(world.script.passed.lock().is_empty());
    assert_eq!(world.script.asked(), ["n2"]);
    let now = world.clock.now();
    let own = world.router.post(&world.command(write_of(0)), now);
    assert!(own.is_none(), "it goes nowhere");
}

#[tokio::test(start_paused = true)]
async fn a_newer_owner_is_asked_next() {
    let key = key_of(1, 0);
    let newer = redirect(slot(&key), &member("n3", 3), Epoch(6));
    let world = world([reply(Err(newer))]);
    world.script.then(Deed::Each(found("v")));
    assert_eq!(world.execute(get(key)).await, found("v"));
    assert_eq!(world.script.asked(), ["n3"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_again_whatever_it_is() {
    for operation in [get(key_of(1, 0)), write(), once()] {
        let world = world([not_sent()]);
        world.script.then(Deed::Each(ok()));
        assert_eq!(world.execute(operation).await, ok());
        assert_eq!(world.counters.retries.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_got_lost_is_sent_again_only_if_idempotent() {
    let again = world([lost()]);
    again.script.then(Deed::Each(ok()));
    assert_eq!(again.execute(write()).await, ok());

    let never = world([lost()]);
    let failure = never.execute(once()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::Unknown)
    );
    assert!(failure.message.contains("the stream broke"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn the_attempt_counts_and_its_loss_is_remembered() {
    let world = world([lost()]);
    let full = Failure::new(FailureCode::OutOfMemory, "full");
    world
        .script
        .then(Deed::Fail(PeerError::NotSent("refused".into())))
        .then(Deed::Each(Err(full)));
    let failure = world.execute(write()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::OutOfMemory, Applied::Unknown)
    );
    assert_eq!(world.counters.retries.get(), 2, "three attempts in all");
}

#[tokio::test(start_paused = true)]
async fn silence_costs_the_deadline_and_no_more() {
    for (operation, applied) in [
        (get(key_of(1, 0)), Applied::No),
        (write(), Applied::Unknown),
        (once(), Applied::Unknown),
    ] {
        let world = world([None]);
        let started = world.clock.now();
        let failure = world.execute(operation).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.applied),
            (FailureCode::Deadline, applied)
        );
        let took = world.clock.now().since(started);
        assert!((3000..3010).contains(&took.as_millis()), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_blacklist_and_who_is_blacklisted_is_not_tried_this_way() {
    let world = world([not_sent(), not_sent(), not_sent(), reply(ok())]);
    for _ in 0..3 {
        world.clock.sleep(Duration::from_millis(1)).await;
        let command = world.command(once());
        let flight = world.router.post(&command, world.clock.now());
        let mut flight = flight.expect("it goes straight");
        let landed = std::future::poll_fn(|cx| world.router.poll_landing(&mut flight, cx)).await;
        assert!(landed.is_err());
    }
    let target = member("n2", 2);
    assert!(matches!(
        world.breakers.admit(&target),
        Admission::Listed { failures: 3, .. }
    ));
    let now = world.clock.now();
    assert!(world.router.post(&world.command(write()), now).is_none());
}
