//! One load for all who ask, and what failures do to them.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::types::Ttl;

use super::fixture::{Deed, World, group, key, slot, text, value, value_not_to_keep};
use crate::getter::{GetError, LoadError, Loaded};
use crate::store::{GroupSettings, MoveLog};

fn failed(result: Result<Option<cached_proto::operation::Entry>, GetError>) -> Failure {
    match result {
        Err(GetError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_key_share_one_load() {
    let world = World::new(vec![value("v1")]);
    let readers: Vec<_> = (0..32).map(|_| world.reader("k")).collect();
    world.loads_started(1).await;
    world.release(1);
    for reader in readers {
        let entry = reader.await.unwrap().unwrap().unwrap();
        assert_eq!(
            (text(&entry), entry.loaded, entry.uncached),
            ("v1", true, false)
        );
        assert_eq!(entry.version, world.stored("k").unwrap().version);
    }
    assert_eq!(
        (
            world.counters.loads.get(),
            world.counters.loads_joined.get()
        ),
        (1, 31)
    );
    let later = world.reader("k").await.unwrap().unwrap().unwrap();
    assert_eq!((text(&later), later.loaded), ("v1", false));
}

#[tokio::test(start_paused = true)]
async fn every_request_counts_once() {
    let world = World::new(vec![value("v1")]);
    let readers: Vec<_> = (0..3).map(|_| world.reader("k")).collect();
    world.loads_started(1).await;
    world.release(1);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    world.reader("k").await.unwrap().unwrap();
    let (_, _, counted) = world.store.group_counters().pop().unwrap();
    assert_eq!((counted.hits, counted.misses), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_end_the_load() {
    let world = World::new(vec![value("v1")]);
    let reader = world.reader("k");
    world.loads_started(1).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    world.release(1);
    world.settle().await;
    assert_eq!(text(&world.stored("k").unwrap()), "v1");
}

#[tokio::test(start_paused = true)]
async fn errors_reach_all_callers_and_are_not_kept() {
    let down = Deed::Answer(Err(LoadError("answered 503".into())));
    let world = World::new(vec![down, value("v2")]);
    let readers = [world.reader("k"), world.reader("k")];
    world.loads_started(1).await;
    world.release(2);
    for reader in readers {
        let failure = failed(reader.await.unwrap());
        assert_eq!(failure.code, FailureCode::Origin);
        assert_eq!(failure.message, "origin: answered 503");
    }
    assert_eq!(world.store.fill_tokens(), 0, "the token was given back");
    assert_eq!(
        text(&world.reader("k").await.unwrap().unwrap().unwrap()),
        "v2"
    );
    assert_eq!(world.counters.load_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_frees_the_callers() {
    let world = World::new(vec![Deed::Panic, value("v2")]);
    let readers = [world.reader("k"), world.reader("k")];
    world.loads_started(1).await;
    world.release(2);
    for reader in readers {
        let failure = failed(reader.await.unwrap());
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (FailureCode::Origin, "origin: the load panicked")
        );
    }
    assert_eq!(
        text(&world.reader("k").await.unwrap().unwrap().unwrap()),
        "v2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hung_origin_frees_the_callers_after_its_timeout() {
    let world = World::new(vec![Deed::Hang, value("v2")]);
    world.release(2);
    let started = world.clock.now();
    let failure = failed(world.reader("k").await.unwrap());
    assert_eq!(failure.message, "origin: no answer within 2s");
    assert_eq!(world.clock.now().since(started).as_secs(), 2);
    assert_eq!(
        text(&world.reader("k").await.unwrap().unwrap().unwrap()),
        "v2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopping_node_frees_the_callers() {
    let world = World::new(vec![Deed::Hang]);
    let reader = world.reader("k");
    world.loads_started(1).await;
    assert_eq!(world.tasks.stop_within(Duration::from_millis(10)).await, []);
    assert!(failed(reader.await.unwrap()).message.contains("stopping"));
}

#[tokio::test(start_paused = true)]
async fn not_there_is_remembered_for_a_while() {
    let absent = || Deed::Answer(Ok(Loaded::NotThere));
    let world = World::new(vec![absent(), value("v2")]);
    world.release(2);
    for _ in 0..3 {
        assert_eq!(world.reader("k").await.unwrap(), Ok(None));
    }
    assert_eq!(
        (
            world.counters.loads.get(),
            world.counters.loads_not_there.get()
        ),
        (1, 1)
    );
    world.clock.sleep(Duration::from_millis(5001)).await;
    assert_eq!(
        text(&world.reader("k").await.unwrap().unwrap().unwrap()),
        "v2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_set_ends_not_there() {
    let world = World::new(vec![Deed::Answer(Ok(Loaded::NotThere))]);
    world.release(1);
    assert_eq!(world.reader("k").await.unwrap(), Ok(None));
    world.set("k", "set");
    assert_eq!(
        text(&world.reader("k").await.unwrap().unwrap().unwrap()),
        "set"
    );
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_kept_is_handed_out() {
    let world = World::new(vec![value_not_to_keep("v1"), value_not_to_keep("v2")]);
    world.release(2);
    for expected in ["v1", "v2"] {
        let entry = world.reader("k").await.unwrap().unwrap().unwrap();
        assert_eq!(
            (text(&entry), entry.uncached, entry.version),
            (expected, true, None)
        );
    }
    assert_eq!(world.stored("k"), None);
    assert_eq!(world.counters.loads_uncached.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_handed_out() {
    let world = World::new(vec![value(&"x".repeat(5000))]);
    let settings = GroupSettings {
        max_bytes: Some(1000),
        ..GroupSettings::default()
    };
    world.store.set_group(&group(), settings);
    world.release(1);
    let entry = world.reader("k").await.unwrap().unwrap().unwrap();
    assert_eq!((entry.value_bytes, entry.uncached), (5000, true));
}

#[tokio::test(start_paused = true)]
async fn what_a_congested_slot_does_not_take_is_handed_out() {
    let world = World::new(vec![value("v")]);
    let container = world.store.slot(slot()).unwrap().container;
    let full = MoveLog::new(0, || {});
    world.store.begin_move(slot(), container, &full).unwrap();
    world.release(1);
    let entry = world.reader("k").await.unwrap().unwrap().unwrap();
    assert!(entry.uncached);
    assert_eq!(text(&entry), "v");
    assert_eq!(world.stored("k"), None);
}

#[tokio::test(start_paused = true)]
async fn values_over_the_limit_are_the_origins_failure() {
    let world = World::with(vec![value("12345678901")], |config| {
        config.value_bytes_max = 10
    });
    world.release(1);
    let failure = failed(world.reader("k").await.unwrap());
    assert_eq!(
        failure.message,
        "origin: the value has 11 bytes; the limit is 10"
    );
}

#[tokio::test(start_paused = true)]
async fn the_origins_time_to_live_counts_before_the_groups() {
    let ttl = Ttl::from_ms(1000).unwrap();
    let brief = Loaded::Value {
        value: "brief".into(),
        ttl: Some(ttl),
        no_store: false,
    };
    let world = World::new(vec![Deed::Answer(Ok(brief)), value("long")]);
    world.release(2);
    let mut wanted = world.wanted("k");
    wanted.default_ttl = Ttl::from_ms(60_000).ok();
    let entry = world.getter.get(&wanted).await.unwrap().unwrap();
    assert_eq!(entry.ttl_ms, Some(1000));
    wanted.key = key("l");
    let entry = world.getter.get(&wanted).await.unwrap().unwrap();
    assert_eq!(entry.ttl_ms, Some(60_000));
    assert_eq!(world.stored("l").unwrap().ttl_ms, Some(60_000));
    wanted.metadata_only = true;
    let entry = world.getter.get(&wanted).await.unwrap().unwrap();
    assert_eq!((entry.value.len(), entry.value_bytes), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_loads_run_at_a_time() {
    let deeds = (0..5).map(|_| value("v")).collect();
    let world = World::with(deeds, |config| config.concurrency = 2);
    let readers: Vec<_> = (0..5).map(|n| world.reader(&format!("k{n}"))).collect();
    world.settle().await;
    assert_eq!(world.counters.loads.get(), 2);
    world.release(1);
    world.settle().await;
    assert_eq!(world.counters.loads.get(), 3);
    world.release(4);
    for reader in readers {
        assert!(reader.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_turn_in_time_is_told_that_the_origin_is_busy() {
    let deeds = vec![Deed::Hang, Deed::Hang];
    let world = World::with(deeds, |config| config.concurrency = 1);
    let first = world.reader("first");
    world.settle().await;
    let second = world.reader("second");
    world.settle().await;
    let third = world.reader("third");
    // The first hangs until 2 s are over, the second gets the turn then and hangs too.
    let failure = failed(third.await.unwrap());
    assert_eq!(failure.code, FailureCode::Busy);
    assert!(
        failure
            .message
            .contains("no place at the origin was free within 2s"),
        "{failure}"
    );
    assert_eq!(failed(first.await.unwrap()).code, FailureCode::Origin);
    assert_eq!(failed(second.await.unwrap()).code, FailureCode::Origin);
    assert_eq!(world.counters.loads.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn loads_without_an_owner_are_shared_and_not_stored() {
    let world = World::new(vec![value("v1"), value("v2")]);
    let load = || async { world.getter.get_uncached(&group(), &key("k"), false).await };
    let release = async {
        world.loads_started(1).await;
        world.settle().await;
        world.release(1);
    };
    let (one, two, ()) = tokio::join!(load(), load(), release);
    for entry in [one, two] {
        let entry = entry.unwrap().unwrap();
        assert_eq!(
            (text(&entry), entry.uncached, entry.ttl_ms),
            ("v1", true, None)
        );
    }
    world.release(1);
    assert_eq!(text(&load().await.unwrap().unwrap()), "v2");
    assert_eq!(world.stored("k"), None);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_here_is_said_to_be_so() {
    let world = World::new(vec![value("v1")]);
    let reader = world.reader("k");
    world.loads_started(1).await;
    let container = world.store.slot(slot()).unwrap().container;
    world.store.drop_slot(slot(), container);
    world.release(1);
    let entry = reader.await.unwrap().unwrap().unwrap();
    assert_eq!(
        (text(&entry), entry.uncached),
        ("v1", true),
        "who came before the slot left gets what was loaded"
    );
    let late = world.reader("k").await.unwrap();
    assert_eq!(late, Err(GetError::NotServed));
}
