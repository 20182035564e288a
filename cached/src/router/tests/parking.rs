//! Requests that wait while their slot changes hands: until it has, or their time is over.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Outcome, Reply, Route};
use cached_proto::types::{Epoch, Key, Slot};
use tokio::sync::Semaphore;

use super::fixture::{Deed, EPOCH, World, found, get, group, key_of, ok, set, slot};
use crate::cluster::view::SlotOwner;
use crate::command::Command;
use crate::getter::{LoadFuture, Loaded, Origin};
use crate::parking::PARKED_MAX;
use crate::router::RouterLimits;
use crate::store::MoveLog;

/// Long for a seal, short for a request.
const SEAL: Duration = Duration::from_millis(20);

fn seal(world: &World, slot: Slot) {
    let container = world.store.slot(slot).unwrap().container;
    let wall = world.clock.wall();
    world.store.seal(slot, container, wall).unwrap();
}

/// The move came to nothing: the slot serves as before.
fn unseal(world: &World, slot: Slot) {
    let container = world.store.slot(slot).unwrap().container;
    world.store.end_move(slot, container);
    world.parking.wake();
}

/// The move is committed: n2 owns the slot now.
fn hand_over(world: &World, slot: Slot) {
    world.publish(|view| {
        view.owners[slot.index()] = SlotOwner {
            member: 1,
            epoch: Epoch(6),
        };
    });
    world.store.close_slot(slot, EPOCH).unwrap();
    world.parking.wake();
}

/// A caller that routes by itself.
fn owner_only(world: &World, operation: Operation) -> Command {
    let route = Route::OwnerOnly { known_epoch: EPOCH };
    Command {
        route,
        ..world.command(operation)
    }
}

fn write(key: &Key) -> Operation {
    set(key.clone(), Condition::IfAbsent)
}

fn stored(outcome: &Outcome) -> bool {
    let reply = &outcome.as_ref().unwrap().reply;
    matches!(reply, Reply::Set { stored: true, .. })
}

#[tokio::test(start_paused = true)]
async fn after_a_commit_requests_go_to_the_new_owner() {
    let world = World::new();
    world.script.then(Deed::Each(ok()));
    let key = key_of(0, 0);
    let slot = slot(&key);
    seal(&world, slot);
    let started = world.clock.now();
    let commits = async {
        world.clock.sleep(SEAL).await;
        assert_eq!(world.parking.waiting(), 2);
        hand_over(&world, slot);
    };
    let (simple, routing, ()) = tokio::join!(
        world.execute(write(&key)),
        world.router.execute(owner_only(&world, write(&key))),
        commits
    );
    assert_eq!(simple, ok());
    let failure = routing.unwrap_err();
    assert_eq!(failure.code, FailureCode::WrongOwner);
    let row = failure.owner.unwrap();
    assert_eq!((row.owner.name.as_str(), row.epoch), ("n2", Epoch(6)));
    assert_eq!(
        world.clock.now().since(started).as_millis(),
        SEAL.as_millis()
    );
    assert_eq!(world.script.asked(), ["n2"]);
    assert_eq!(world.script.calls.lock()[0].1.operations[0].1, Epoch(6));
    assert_eq!(world.counters.retries.get(), 0, "waiting is no attempt");
    assert_eq!(world.parking.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_abort_requests_are_carried_out_here() {
    let world = World::new();
    let key = key_of(0, 0);
    seal(&world, slot(&key));
    let command = world.command(write(&key));
    assert!(world.router.try_local(&command).is_none(), "it has to wait");
    let deadline = world.clock.now() + Duration::from_secs(1);
    let from_peer = vec![(write(&key_of(0, 0)), EPOCH)];
    let aborts = async {
        world.clock.sleep(SEAL).await;
        // A wake that says nothing about this slot costs nobody his place.
        world.parking.wake();
        world.clock.sleep(SEAL).await;
        assert_eq!(world.parking.waiting(), 2);
        unseal(&world, slot(&key));
    };
    let (one, two, ()) = tokio::join!(
        world.execute(write(&key)),
        world.router.execute_for_peer(group(), from_peer, deadline),
        aborts
    );
    assert_eq!(
        usize::from(stored(&one)) + usize::from(stored(&two[0])),
        1,
        "the second finds the first"
    );
    assert_eq!(world.script.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn peers_are_told_the_new_owner() {
    let world = World::new();
    let key = key_of(0, 0);
    seal(&world, slot(&key));
    let deadline = world.clock.now() + Duration::from_secs(1);
    let work = vec![(write(&key), EPOCH)];
    let commits = async {
        world.clock.sleep(SEAL).await;
        hand_over(&world, slot(&key));
    };
    let (outcomes, ()) = tokio::join!(
        world.router.execute_for_peer(group(), work, deadline),
        commits
    );
    let failure = outcomes[0].clone().unwrap_err();
    assert_eq!(failure.code, FailureCode::WrongOwner);
    assert_eq!(failure.owner.unwrap().epoch, Epoch(6));
    assert_eq!(world.script.asked(), [""; 0], "one hop and no more");
}

#[tokio::test(start_paused = true)]
async fn writers_wait_until_there_is_room_for_their_changes() {
    let world = World::new();
    let key = key_of(0, 0);
    let slot = slot(&key);
    let log = MoveLog::new(1, || {});
    let container = world.store.slot(slot).unwrap().container;
    world.store.begin_move(slot, container, &log).unwrap();
    assert!(stored(&world.execute(write(&key)).await));
    assert!(log.is_full());
    let read = world.execute(get(key.clone())).await.unwrap();
    assert!(
        matches!(read.reply, Reply::Get(Some(_))),
        "reads never wait"
    );
    let overwrite = set(key, Condition::Always);
    let sends = async {
        world.clock.sleep(SEAL).await;
        assert_eq!(world.parking.waiting(), 1);
        log.take(u64::MAX);
        world.parking.wake();
    };
    let (written, ()) = tokio::join!(world.execute(overwrite), sends);
    assert!(stored(&written));
}

#[tokio::test(start_paused = true)]
async fn a_full_room_is_busy_at_once() {
    let world = World::new();
    let key = key_of(0, 0);
    seal(&world, slot(&key));
    let room: Vec<_> = (0..PARKED_MAX)
        .map(|_| world.parking.enter(0).unwrap())
        .collect();
    let started = world.clock.now();
    let failure = world.execute(write(&key)).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied, failure.retry_after),
        (
            FailureCode::Busy,
            Applied::No,
            Some(Duration::from_millis(50))
        )
    );
    assert_eq!(world.clock.now(), started);
    drop(room);
    assert_eq!(world.parking.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_seal_that_does_not_end_is_told_at_the_deadline() {
    let world = World::new();
    let key = key_of(0, 0);
    seal(&world, slot(&key));
    let started = world.clock.now();
    let failure = world.execute(write(&key)).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Deadline, Applied::No)
    );
    assert!(failure.message.contains("is changing hands"), "{failure}");
    assert_eq!(world.clock.now().since(started).as_secs(), 3);
    assert_eq!(world.parking.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_holds_up_no_others_of_his_batch() {
    let world = World::new();
    world
        .script
        .then(Deed::Each(found("n2's")))
        .then(Deed::Each(found("n2's too")));
    let keys = [key_of(0, 0), key_of(1, 0), key_of(0, 1)];
    seal(&world, slot(&keys[0]));
    let work: Vec<_> = keys.iter().cloned().map(get).collect();
    let commits = async {
        world.clock.sleep(SEAL).await;
        assert_eq!(world.script.asked(), ["n2"], "the others are done");
        hand_over(&world, slot(&keys[0]));
    };
    let deadline = world.clock.now() + Duration::from_secs(1);
    let (outcomes, ()) = tokio::join!(
        world
            .router
            .execute_batch(group(), work, Route::Forward, deadline),
        commits
    );
    assert_eq!(outcomes[0], found("n2's too"));
    assert_eq!(outcomes[1], found("n2's"));
    assert_eq!(outcomes[2].as_ref().unwrap().reply, Reply::Get(None));
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_waits_for_no_slower_one_of_his_batch() {
    let world = World::new();
    world.script.then(Deed::Hang).then(Deed::Each(ok()));
    let keys = [key_of(0, 0), key_of(1, 0)];
    seal(&world, slot(&keys[0]));
    let commits = async {
        world.clock.sleep(SEAL).await;
        hand_over(&world, slot(&keys[0]));
        world.clock.sleep(SEAL).await;
        assert_eq!(world.script.asked(), ["n2", "n2"], "although one hangs");
    };
    let work = keys.iter().map(write).collect();
    let deadline = world.clock.now() + Duration::from_secs(1);
    let (outcomes, ()) = tokio::join!(
        world
            .router
            .execute_batch(group(), work, Route::Forward, deadline),
        commits
    );
    assert_eq!(outcomes[0], ok());
    let lost = outcomes[1].clone().unwrap_err();
    assert_eq!(
        (lost.code, lost.applied),
        (FailureCode::Deadline, Applied::Unknown),
        "what was sent is never told as not done"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_that_is_told_of_it_serves_at_once() {
    let world = World::new();
    let key = key_of(1, 0);
    let slot = slot(&key);
    let command = Command {
        route: Route::OwnerOnly {
            known_epoch: Epoch(6),
        },
        ..world.command(write(&key))
    };
    let started = world.clock.now();
    let told = async {
        world.clock.sleep(SEAL).await;
        world.publish(|view| {
            view.owners[slot.index()] = SlotOwner {
                member: 0,
                epoch: Epoch(6),
            };
        });
        // The view is out before the container is open.
        world.clock.sleep(Duration::from_millis(1)).await;
        world.store.open_slot(slot, Epoch(6));
        world.parking.wake();
    };
    let (outcome, ()) = tokio::join!(world.router.execute(command), told);
    assert!(stored(&outcome));
    assert_eq!(world.clock.now().since(started).as_millis(), 21);
}

/// Where a wake could get lost, between the look at the slot and the wait: it is met
/// sooner or later when two threads race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost() {
    const ROUNDS: u32 = 2000;
    let world = Arc::new(World::new());
    let key = key_of(0, 0);
    let slot = slot(&key);
    let sealed = Arc::new(Barrier::new(2));
    let (other, begin) = (world.clone(), sealed.clone());
    #[expect(
        clippy::disallowed_methods,
        reason = "it must run beside all tasks, and is joined at the end"
    )]
    let unsealing = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            begin.wait();
            for _ in 0..round % 256 {
                std::hint::spin_loop();
            }
            unseal(&other, slot);
        }
    });
    for round in 0..ROUNDS {
        seal(&world, slot);
        sealed.wait();
        let outcome = world.execute(get(key.clone())).await;
        assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        // Also when this one came too late to wait, the next seal comes after it.
        while world.store.slot(slot).unwrap().sealed {
            std::hint::spin_loop();
        }
    }
    unsealing.join().unwrap();
}

/// Answers when it is let.
#[derive(Debug)]
struct Gated(Semaphore);

impl Origin for Gated {
    fn load<'a>(&'a self, _: &'a cached_proto::types::GroupName, _: &'a Key) -> LoadFuture<'a> {
        Box::pin(async {
            self.0.acquire().await.expect("never closed").forget();
            Ok(Loaded::Value {
                value: "loaded".into(),
                ttl: None,
                no_store: false,
            })
        })
    }

    fn describe(&self) -> String {
        "gated".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_a_move_overtakes_is_handed_out_and_not_stored() {
    for commit in [false, true] {
        let origin = Arc::new(Gated(Semaphore::new(0)));
        let world = World::with(Some(origin.clone()), RouterLimits::default());
        let key = key_of(0, 0);
        let moves = async {
            world.clock.sleep(SEAL).await;
            seal(&world, slot(&key));
            if commit {
                hand_over(&world, slot(&key));
            }
            origin.0.add_permits(1);
        };
        let (outcome, ()) = tokio::join!(world.execute(get(key.clone())), moves);
        let Reply::Get(Some(entry)) = outcome.unwrap().reply else {
            panic!("nothing was found");
        };
        assert_eq!((&entry.value[..], entry.uncached), (&b"loaded"[..], true));
        assert_eq!(world.counters.loads.get(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_miss_in_a_sealed_slot_waits_before_it_is_loaded() {
    let origin = Arc::new(Gated(Semaphore::new(1)));
    let world = World::with(Some(origin), RouterLimits::default());
    let key = key_of(0, 0);
    seal(&world, slot(&key));
    let aborts = async {
        world.clock.sleep(SEAL).await;
        assert_eq!(world.counters.loads.get(), 0);
        unseal(&world, slot(&key));
    };
    let (outcome, ()) = tokio::join!(world.execute(get(key.clone())), aborts);
    let Reply::Get(Some(entry)) = outcome.unwrap().reply else {
        panic!("nothing was found");
    };
    assert!(entry.loaded && !entry.uncached);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_stays_unknown_while_it_waits() {
    let world = World::new();
    let lost = || Failure::new(FailureCode::Unavailable, "reset").maybe_applied();
    let key = key_of(1, 0);
    let slot = slot(&key);
    world.script.then(Deed::Each(Err(lost())));
    // n2 is lost, and its slot comes here, sealed for good.
    let comes = async {
        world.clock.sleep(Duration::from_millis(1)).await;
        world.publish(|view| view.owners[slot.index()].member = 0);
        world.store.open_slot(slot, EPOCH);
        seal(&world, slot);
    };
    let (outcome, ()) = tokio::join!(world.execute(set(key, Condition::Always)), comes);
    let failure = outcome.unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Deadline, Applied::Unknown)
    );
}
