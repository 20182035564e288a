//! Whoever touches a key while it is being loaded wins over the load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::FailureCode;
use cached_proto::types::{Epoch, GroupName, Key};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::fixture::{World, group, key, slot, text, value, value_not_to_keep};
use crate::clock::Clock;
use crate::getter::{GetError, Getter, GetterParts, LoadFuture, Loaded, Origin};

#[tokio::test(start_paused = true)]
async fn a_set_during_the_load_wins() {
    let world = World::new(vec![value("stale")]);
    let readers = [world.reader("k"), world.reader("k")];
    world.loads_started(1).await;
    world.set("k", "set");
    world.release(1);
    for reader in readers {
        let entry = reader.await.unwrap().unwrap().unwrap();
        assert_eq!((text(&entry), entry.loaded), ("set", false));
    }
    assert_eq!(text(&world.stored("k").unwrap()), "set");
}

#[tokio::test(start_paused = true)]
async fn a_delete_during_the_load_makes_it_load_again() {
    let world = World::new(vec![value("stale"), value("fresh")]);
    let readers = [world.reader("k"), world.reader("k")];
    world.loads_started(1).await;
    world.delete("k");
    world.release(2);
    for reader in readers {
        assert_eq!(text(&reader.await.unwrap().unwrap().unwrap()), "fresh");
    }
    assert_eq!(text(&world.stored("k").unwrap()), "fresh");
    assert_eq!(world.counters.loads.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_during_the_load_makes_it_load_again() {
    let world = World::new(vec![value("stale"), value("fresh")]);
    let reader = world.reader("k");
    world.loads_started(1).await;
    world.store.flush(world.group);
    world.release(2);
    assert_eq!(text(&reader.await.unwrap().unwrap().unwrap()), "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_delete_counts_for_what_is_not_stored_too() {
    let world = World::new(vec![value_not_to_keep("stale"), value_not_to_keep("fresh")]);
    let reader = world.reader("k");
    world.loads_started(1).await;
    world.delete("k");
    world.release(2);
    assert_eq!(text(&reader.await.unwrap().unwrap().unwrap()), "fresh");
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_the_delete_does_not_join_the_old_load() {
    let world = World::new(vec![value("stale"), value("fresh")]);
    let early = world.reader("k");
    world.loads_started(1).await;
    world.delete("k");
    let late = world.reader("k");
    // It starts a load of its own while the old one still runs.
    world.loads_started(1).await;
    world.release(2);
    assert_eq!(text(&late.await.unwrap().unwrap().unwrap()), "fresh");
    assert_eq!(text(&early.await.unwrap().unwrap().unwrap()), "fresh");
    assert_eq!(world.counters.loads.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_came_back_shares_no_load_with_its_former_self() {
    let world = World::new(vec![value("stale"), value("fresh")]);
    let early = world.reader("k");
    world.loads_started(1).await;
    world.store.open_slot(slot(), Epoch(2));
    let late = world.reader("k");
    world.loads_started(1).await;
    world.release(2);
    assert_eq!(text(&late.await.unwrap().unwrap().unwrap()), "fresh");
    assert_eq!(text(&early.await.unwrap().unwrap().unwrap()), "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_key_written_faster_than_it_is_loaded_ends_in_a_failure() {
    let world = World::new(vec![value("1"), value("2"), value("3")]);
    let reader = world.reader("k");
    for _ in 0..3 {
        world.loads_started(1).await;
        world.delete("k");
        world.release(1);
    }
    let Err(GetError::Failed(failure)) = reader.await.unwrap() else {
        panic!("a failure")
    };
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(
        failure.message.contains("faster than it can be loaded"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_written_before_its_turn_is_not_loaded() {
    let world = World::with(vec![value("a")], |config| config.concurrency = 1);
    let first = world.reader("a");
    world.loads_started(1).await;
    let second = world.reader("b");
    world.settle().await;
    world.set("b", "set");
    world.release(1);
    first.await.unwrap().unwrap();
    assert_eq!(text(&second.await.unwrap().unwrap().unwrap()), "set");
    assert_eq!(world.counters.loads.get(), 1);
}

/// The truth, read at the start of a load and answered some time later.
#[derive(Debug)]
struct Slow {
    truth: Mutex<BTreeMap<Key, u64>>,
    rng: Mutex<StdRng>,
    clock: Clock,
}

impl Origin for Slow {
    fn load<'a>(&'a self, _: &'a GroupName, key: &'a Key) -> LoadFuture<'a> {
        Box::pin(async move {
            let number = self.truth.lock().get(key).copied().unwrap_or(0);
            let ms = self.rng.lock().random_range(1..100);
            self.clock.sleep(Duration::from_millis(ms)).await;
            let value = Bytes::from(number.to_string());
            Ok(Loaded::Value {
                value,
                ttl: None,
                no_store: false,
            })
        })
    }

    fn describe(&self) -> String {
        "slow".into()
    }
}

#[tokio::test(start_paused = true)]
async fn of_1000_keys_deleted_during_slow_loads_none_comes_back_stale() {
    let world = World::new(Vec::new());
    let origin = Arc::new(Slow {
        truth: Mutex::default(),
        rng: Mutex::new(StdRng::seed_from_u64(34)),
        clock: world.clock.clone(),
    });
    let getter = Getter::new(GetterParts {
        origin: origin.clone(),
        config: crate::getter::GetterConfig::new(group(), 1 << 20),
        store: world.store.clone(),
        clock: world.clock.clone(),
        tasks: world.tasks.clone(),
        counters: world.counters.clone(),
    });
    let mut rng = StdRng::seed_from_u64(35);
    for number in 0..1000 {
        let name = format!("k{number}");
        let mut wanted = world.wanted(&name);
        wanted.key = key(&name);
        let read = |wanted: crate::getter::Wanted| {
            let getter = getter.clone();
            world
                .tasks
                .spawn("reader", |_| async move { getter.get(&wanted).await })
        };
        let early = read(wanted.clone());
        world
            .clock
            .sleep(Duration::from_millis(rng.random_range(0..100)))
            .await;
        // The program changes the truth, then deletes: from here on the old is stale.
        origin.truth.lock().insert(wanted.key.clone(), 1);
        world.delete(&name);
        let late = read(wanted.clone());
        assert_eq!(text(&late.await.unwrap().unwrap().unwrap()), "1", "{name}");
        // Asked before the delete: both are right, as it may have been answered then.
        early.await.unwrap().unwrap().unwrap();
        assert_eq!(text(&world.stored(&name).unwrap()), "1", "{name}");
    }
    assert!(
        world.counters.loads.get() > 1000,
        "some loads were overtaken"
    );
}
