//! Groups: known, learned on the way, unknown; and each node's share of a bound.

use std::time::Duration;

use cached_proto::failure::FailureCode;
use cached_proto::operation::{Condition, Reply};
use cached_proto::records::{GroupRecord, Policy};
use cached_proto::types::{GroupName, SLOTS};

use super::fixture::{World, get, key_of, set};
use crate::command::Command;
use crate::router::follow_groups;
use crate::router::groups::settings;
use crate::tasks::Tasks;

fn record(name: &str, max_bytes: Option<u64>) -> GroupRecord {
    let name = GroupName::new(name).unwrap();
    GroupRecord {
        name,
        max_bytes,
        default_ttl_ms: Some(60_000),
        policy: Policy::Lru,
        resp_db: None,
    }
}

#[test]
fn a_nodes_share_is_that_of_its_slots_rounded_up() {
    let all = u64::from(SLOTS);
    for (max_bytes, own_slots, expected) in [
        (None, 100, None),
        (Some(1000), 0, None),
        (Some(1000), all, Some(1000)),
        (Some(1000), all / 2, Some(500)),
        (Some(1000), 1, Some(1)),
        (Some(u64::MAX), all, Some(u64::MAX)),
    ] {
        let found = settings(&record("g", max_bytes), own_slots).max_bytes;
        assert_eq!(found, expected, "{max_bytes:?} {own_slots}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_nobody_knows_is_looked_for_once_a_second() {
    let world = World::new();
    let ask = || Command {
        group: GroupName::new("what").unwrap(),
        ..world.command(get(key_of(0, 0)))
    };
    let started = world.clock.now();
    let failure = world.router.execute(ask()).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.field),
        (FailureCode::UnknownGroup, Some("group"))
    );
    assert!(failure.message.contains("what"), "{failure}");
    let took = world.clock.now().since(started);
    assert!((100..110).contains(&took.as_millis()), "{took:?}");
    let again = world.clock.now();
    // It may have been created since: only another look can tell.
    let failure = world.router.execute(ask()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Unavailable);
    let pause = failure.retry_after.unwrap();
    assert!((890..=900).contains(&pause.as_millis()), "{pause:?}");
    assert_eq!(
        world.clock.now(),
        again,
        "the second caller is told at once"
    );
    world.clock.sleep(pause).await;
    let failure = world.router.execute(ask()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::UnknownGroup);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_just_created_is_found() {
    let world = World::new();
    let group = GroupName::new("new").unwrap();
    let command = Command {
        group: group.clone(),
        ..world.command(set(key_of(0, 0), Condition::Always))
    };
    let driver = async {
        world.view.refresh_asked().await;
        world.clock.sleep(Duration::from_millis(20)).await;
        world.publish(|view| {
            view.groups.insert(group.clone(), record("new", None));
        });
    };
    let (outcome, ()) = tokio::join!(world.router.execute(command), driver);
    assert!(matches!(
        outcome.unwrap().reply,
        Reply::Set { stored: true, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_store_follows_groups_and_shares() {
    let world = World::new();
    let tasks = Tasks::new();
    let (view, store) = (world.view.clone(), world.store.clone());
    tasks.spawn("groups", |stop| follow_groups(view, store, stop));
    let bound = |name: &str| {
        let counters = world.store.group_counters();
        let found = counters
            .into_iter()
            .find(|(group, ..)| group.as_str() == name);
        found.map(|(_, settings, _)| settings.max_bytes)
    };
    let third = record("third", Some(u64::from(SLOTS)));
    world.publish(|view| {
        view.groups.insert(third.name.clone(), third.clone());
    });
    world.clock.sleep(Duration::from_millis(1)).await;
    assert_eq!(
        bound("third"),
        Some(Some(5462)),
        "n1 owns 5,462 of 16,384 slots"
    );
    world.publish(|view| {
        view.groups.insert(third.name.clone(), third.clone());
        view.owners.iter_mut().for_each(|owner| owner.member = 0);
    });
    world.clock.sleep(Duration::from_millis(1)).await;
    assert_eq!(bound("third"), Some(Some(u64::from(SLOTS))));
    assert_eq!(tasks.stop_within(Duration::from_secs(1)).await, []);
}
