//! Slots of others: one hop, honest retries, an end by the deadline.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Reply, Route};
use cached_proto::types::{Epoch, Key};

use super::fixture::{
    Deed, EPOCH, World, found, get, key_of, living, member, ok, peer, redirect, set, slot,
};
use crate::blacklist::Admission;
use crate::command::Command;
use crate::getter::{LoadFuture, Loaded, Origin};
use crate::peers::PeerError;
use crate::router::RouterLimits;

fn not_sent() -> Deed {
    Deed::Fail(PeerError::NotSent("Connection refused".into()))
}

fn lost() -> Deed {
    Deed::Fail(PeerError::Unknown("the stream broke".into()))
}

fn refused(code: FailureCode) -> Deed {
    Deed::Each(Err(Failure::new(code, "why")))
}

fn write() -> Operation {
    set(key_of(1, 0), Condition::Always)
}

/// A write that must not be done twice.
fn once() -> Operation {
    set(key_of(1, 0), Condition::IfAbsent)
}

/// Answers "loaded" to every key.
#[derive(Debug)]
struct Loads;

impl Origin for Loads {
    fn load<'a>(&'a self, _: &'a cached_proto::types::GroupName, _: &'a Key) -> LoadFuture<'a> {
        let value = Loaded::Value {
            value: "loaded".into(),
            ttl: None,
            no_store: false,
        };
        Box::pin(std::future::ready(Ok(value)))
    }
    fn describe(&self) -> String {
        "test".into()
    }
}

fn loading_world() -> World {
    World::with(Some(Arc::new(Loads)), RouterLimits::default())
}

#[tokio::test(start_paused = true)]
async fn one_hop_with_the_epoch_and_the_time_left() {
    let world = World::new();
    world.script.then(Deed::Each(found("there")));
    assert_eq!(world.execute(get(key_of(1, 0))).await, found("there"));
    let calls = world.script.calls.lock();
    let (asked, work) = &calls[0];
    assert_eq!(*asked, peer("n2", 2));
    assert_eq!(work.operations[0].1, EPOCH);
    assert_eq!(
        work.time_left,
        Duration::from_secs(3),
        "the timeout, not the caller's minute"
    );
    assert_eq!(
        (world.counters.forwarded.get(), world.counters.retries.get()),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_sent_again_whatever_it_is() {
    for operation in [get(key_of(1, 0)), write(), once()] {
        let world = World::new();
        world
            .script
            .then(not_sent())
            .then(refused(FailureCode::Busy))
            .then(Deed::Each(ok()));
        assert_eq!(world.execute(operation).await, ok());
        assert_eq!(world.script.asked(), ["n2"; 3]);
        assert_eq!(world.counters.retries.get(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_three_and_the_last_word_is_the_outcome() {
    let world = World::new();
    world
        .script
        .then(not_sent())
        .then(not_sent())
        .then(not_sent());
    let failure = world.execute(once()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::No)
    );
    assert_eq!(
        failure.message,
        "cannot reach n2 at n2:8001: Connection refused"
    );
    assert_eq!(world.script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_got_lost_is_sent_again_only_if_idempotent() {
    let world = World::new();
    world.script.then(lost()).then(Deed::Each(ok()));
    assert_eq!(world.execute(write()).await, ok());

    let world = World::new();
    world.script.then(lost());
    let failure = world.execute(once()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::Unknown)
    );
    assert!(failure.message.contains("the stream broke"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_remembered_to_the_end() {
    let world = World::new();
    world
        .script
        .then(lost())
        .then(not_sent())
        .then(refused(FailureCode::OutOfMemory));
    let failure = world.execute(write()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::OutOfMemory, Applied::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_costs_the_deadline_and_no_more() {
    for (operation, applied) in [
        (get(key_of(1, 0)), Applied::No),
        (write(), Applied::Unknown),
        (once(), Applied::Unknown),
    ] {
        let world = World::new();
        world.script.then(Deed::Hang);
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
async fn advice_beyond_the_deadline_is_not_waited_for() {
    let world = World::new();
    let starting =
        Failure::new(FailureCode::Unavailable, "starting").retry_after(Duration::from_secs(5));
    world.script.then(Deed::Each(Err(starting)));
    let started = world.clock.now();
    let failure = world.execute(write()).await.unwrap_err();
    assert_eq!(failure.message, "starting");
    assert_eq!(world.clock.now(), started, "it fails fast");
}

#[tokio::test(start_paused = true)]
async fn advice_within_the_deadline_is_followed() {
    let world = World::new();
    let soon = Failure::new(FailureCode::Busy, "full").retry_after(Duration::from_millis(700));
    world
        .script
        .then(Deed::Each(Err(soon)))
        .then(Deed::Each(ok()));
    let started = world.clock.now();
    assert_eq!(world.execute(once()).await, ok());
    assert!(world.clock.now().since(started) >= Duration::from_millis(700));
}

#[tokio::test(start_paused = true)]
async fn a_newer_owner_is_asked_at_once_and_the_view_refreshed() {
    let world = World::new();
    let key = key_of(1, 0);
    let newer = redirect(slot(&key), &member("n3", 3), Epoch(6));
    world
        .script
        .then(Deed::Each(Err(newer)))
        .then(Deed::Each(ok()));
    let started = world.clock.now();
    assert_eq!(world.execute(once()).await, ok());
    assert_eq!(world.clock.now(), started);
    assert_eq!(world.script.asked(), ["n2", "n3"]);
    assert_eq!(world.script.calls.lock()[1].1.operations[0].1, Epoch(6));
    // The permit was left for the driver.
    world.view.refresh_asked().await;
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_this_node_waits_for_its_view() {
    let world = World::new();
    let key = key_of(1, 0);
    let slot = slot(&key);
    let me = redirect(slot, &member("n1", 1), Epoch(6));
    world.script.then(Deed::Each(Err(me)));
    let driver = async {
        world.view.refresh_asked().await;
        world.clock.sleep(Duration::from_millis(30)).await;
        world.store.open_slot(slot, Epoch(6));
        world.publish(|view| {
            view.owners[slot.index()] = crate::cluster::view::SlotOwner {
                member: 0,
                epoch: Epoch(6),
            }
        });
    };
    let (outcome, ()) = tokio::join!(world.execute(get(key)), driver);
    assert_eq!(outcome.unwrap().reply, Reply::Get(None));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_knows_more_waits_at_most_half_a_second() {
    let world = World::new();
    let route = Route::OwnerOnly {
        known_epoch: Epoch(6),
    };
    let command = Command {
        route,
        ..world.command(get(key_of(1, 0)))
    };
    let started = world.clock.now();
    let failure = world.router.execute(command).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::WrongOwner);
    let took = world.clock.now().since(started);
    assert!((500..510).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn slots_of_who_is_gone_fail_fast_or_are_loaded_uncached() {
    let gone = |world: &World| {
        world.publish(|view| {
            view.members[1].record = None;
            view.members[1].absent_since = Some(world.clock.now());
        });
    };
    let world = World::new();
    gone(&world);
    world.clock.sleep(Duration::from_secs(1)).await;
    let started = world.clock.now();
    let failure = world.execute(get(key_of(1, 0))).await.unwrap_err();
    assert!(failure.message.contains("n2, which is gone"), "{failure}");
    assert_eq!(world.clock.now(), started);

    let world = loading_world();
    gone(&world);
    let answer = world.execute(get(key_of(1, 0))).await.unwrap();
    let Reply::Get(Some(entry)) = answer.reply else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (&entry.value[..], entry.loaded, entry.uncached),
        (&b"loaded"[..], true, true)
    );
    assert_eq!(entry.version, None);
    assert_eq!(world.counters.loads_uncached.get(), 1);
    assert_eq!(
        world.execute(write()).await.unwrap_err().code,
        FailureCode::Unavailable
    );
}

#[tokio::test(start_paused = true)]
async fn who_vanished_a_moment_ago_is_waited_for() {
    let world = World::new();
    let record = world.view.load().members[1].record.clone();
    world.publish(|view| {
        view.members[1].record = None;
        view.members[1].absent_since = Some(world.clock.now());
    });
    world.script.then(Deed::Each(found("back")));
    let back = async {
        world.clock.sleep(Duration::from_millis(700)).await;
        world.publish(|view| {
            view.members[1].record = record;
            view.members[1].absent_since = None;
        });
    };
    let (answer, ()) = tokio::join!(world.execute(get(key_of(1, 0))), back);
    answer.unwrap();
    assert_eq!(world.script.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn three_failures_open_the_breaker_and_a_probe_closes_it() {
    let world = World::new();
    world.script.then(not_sent()).then(lost()).then(not_sent());
    world.execute(write()).await.unwrap_err();
    assert_eq!(world.breakers.listed()[0].target, member("n2", 2));

    let failure = world.execute(get(key_of(1, 0))).await.unwrap_err();
    assert!(
        failure.message.contains("blacklisted after 3 failures"),
        "{failure}"
    );
    assert_eq!(world.script.asked().len(), 3, "nobody was asked");
    world.script.then(Deed::Each(found("n3's")));
    world.execute(get(key_of(2, 0))).await.unwrap();

    world.clock.sleep(Duration::from_secs(1)).await;
    world.script.then(Deed::Each(found("back")));
    assert_eq!(world.execute(get(key_of(1, 0))).await, found("back"));
    assert_eq!(world.breakers.listed(), []);
}

#[tokio::test(start_paused = true)]
async fn failures_of_operations_open_no_breaker() {
    let world = World::new();
    for _ in 0..3 {
        world.script.then(refused(FailureCode::Internal));
        world.execute(get(key_of(1, 0))).await.unwrap_err();
    }
    assert_eq!(world.breakers.listed(), []);
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_open_no_breaker() {
    let world = World::new();
    for _ in 0..5 {
        world.script.then(Deed::Hang);
        let deadline = world.clock.now() + Duration::from_millis(100);
        let command = Command {
            deadline,
            ..world.command(get(key_of(1, 0)))
        };
        let failure = world.router.execute(command).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Deadline);
    }
    assert_eq!(world.breakers.listed(), []);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_returns_with_a_new_incarnation_is_asked_at_once() {
    let world = World::new();
    world
        .script
        .then(not_sent())
        .then(not_sent())
        .then(not_sent());
    world.execute(write()).await.unwrap_err();
    world.publish(|view| view.members[1] = living("n2", 22));
    assert_eq!(world.breakers.admit(&member("n2", 22)), Admission::Allowed);
    world.script.then(Deed::Each(ok()));
    assert_eq!(world.execute(write()).await, ok());
    assert_eq!(world.script.calls.lock()[3].0, peer("n2", 22));
}

#[tokio::test(start_paused = true)]
async fn reads_of_an_unreachable_owner_are_loaded_as_a_last_resort() {
    let world = loading_world();
    world
        .script
        .then(not_sent())
        .then(not_sent())
        .then(not_sent());
    let answer = world.execute(get(key_of(1, 0))).await.unwrap();
    let Reply::Get(Some(entry)) = answer.reply else {
        panic!("{answer:?}")
    };
    assert!(entry.uncached);
    // The breaker is open by now: loaded without asking.
    world.execute(get(key_of(1, 0))).await.unwrap();
    assert_eq!(world.script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_passes_everything_on() {
    let world = World::new();
    world.publish(|view| view.me = None);
    world.script.then(Deed::Each(found("n1's")));
    assert_eq!(world.execute(get(key_of(0, 0))).await, found("n1's"));
    assert_eq!(world.script.asked(), ["n1"]);
}
