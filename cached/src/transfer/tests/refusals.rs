//! Offers that a receiver does not take, and what the sender makes of it.

use cached_proto::operations::{IntentRecord, Want};
use cached_proto::types::{Epoch, GroupName};

use super::super::order::MoveNews;
use super::super::receiver::TURN_MAX;
use super::world::{World, group, slot, world_member};
use crate::clock::Clock;
use crate::cluster::view::{ClusterView, FenceReason};
use crate::store::GroupSettings;

/// Publishes n2's view with a change.
fn publish(world: &World, change: impl FnOnce(&mut ClusterView)) {
    let mut view = (*world.n2.view.load_full()).clone();
    view.number += 1;
    change(&mut view);
    world.n2.view.publish(view);
}

async fn refusal(world: &mut World, attempt: u64) -> (String, bool, bool) {
    world.start(attempt);
    loop {
        match world.n1.news().await {
            // Little may be under way before it is looked at.
            MoveNews::CaughtUp => {}
            MoveNews::Failed {
                why,
                busy,
                over_capacity,
                ..
            } => return (why, busy, over_capacity),
            news => panic!("{news:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_serve_or_stay_or_sees_others_own_it_refuses() {
    let mut world = World::new();
    world.fill(10, 10);
    publish(&world, |view| view.owners[0].epoch = Epoch(2));
    let (why, ..) = refusal(&mut world, 1).await;
    assert!(
        why.contains("slot 0 belongs to n1 in epoch 2 here"),
        "{why}"
    );
    publish(&world, |view| view.owners[0].epoch = Epoch(1));
    publish(&world, |view| {
        let intent = IntentRecord {
            want: Want::Drain,
            inc: None,
            weight: None,
            by: "alice@host".to_owned(),
            at_ms: 1,
        };
        view.intents.insert(world_member(1).name, intent);
    });
    let (why, ..) = refusal(&mut world, 2).await;
    assert!(why.contains("gives its own slots away"), "{why}");
    publish(&world, |view| view.intents.clear());
    world.n2.view.fence().close(FenceReason::Removed);
    let (why, busy, full) = refusal(&mut world, 3).await;
    assert!(why.contains("does not serve") && !busy && !full, "{why}");
    world.n2.view.fence().open();
    world.sealed(4).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_view_is_given_a_moment_to_learn() {
    let mut world = World::new();
    world.fill(10, 10);
    publish(&world, |view| view.owners[0].epoch = Epoch(0));
    world.start(1);
    world.n2.view.refresh_asked().await;
    publish(&world, |view| view.owners[0].epoch = Epoch(1));
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    publish(&world, |view| view.owners[1].epoch = Epoch(0));
    world.n1.transfers.end(
        &super::super::order::MoveId {
            page: cached_proto::table::PageIndex::new(0).unwrap(),
            attempt: 1,
        },
        super::super::order::MoveEnd::Aborted("enough".to_owned()),
    );
    let (why, ..) = refusal(&mut world, 2).await;
    assert!(
        why.contains("slot 1 belongs to n1 in epoch 0 here"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_known_yet_is_waited_for() {
    let mut world = World::new();
    let late = GroupName::new("late").unwrap();
    let id = world.n1.store.set_group(&late, GroupSettings::default());
    let set = cached_proto::operation::Operation::Set {
        key: super::world::key("k"),
        value: "v".into(),
        ttl: None,
        condition: cached_proto::operation::Condition::Always,
    };
    let now = crate::clock::WallMs(1_000_000);
    world.n1.store.execute(slot(0), id, &set, now).unwrap();
    let (why, ..) = refusal(&mut world, 1).await;
    assert!(why.contains("group late is not known here yet"), "{why}");
    world.start(2);
    world.n2.view.refresh_asked().await;
    world.n2.store.set_group(&late, GroupSettings::default());
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    assert_ne!(world.n2.store.group(&group()), world.n2.store.group(&late));
}

#[tokio::test(start_paused = true)]
async fn few_batches_come_in_at_a_time() {
    let mut world = World::new();
    world.fill(10, 10);
    for number in 2..4 {
        world.start_with(1 + u64::from(number), &[number], false);
        assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    }
    let clock = Clock::tokio(0);
    let before = clock.now();
    let (why, busy, full) = refusal(&mut world, 9).await;
    assert!(busy && !full, "{why}");
    assert!(why.contains("for 2s others were being received"), "{why}");
    let waited = clock.now().since(before);
    assert!((TURN_MAX..TURN_MAX * 2).contains(&waited), "{waited:?}");
    world.n1.set(slot(0), "key1", b"serves").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_waits_is_next_when_another_batch_ends() {
    let mut world = World::new();
    world.fill(10, 10);
    let mut first = None;
    for number in 2..4 {
        let id = world.start_with(1 + u64::from(number), &[number], false);
        first.get_or_insert(id);
        assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    }
    world.start(9);
    let early = tokio::time::timeout(TURN_MAX / 2, world.n1.news()).await;
    assert!(early.is_err(), "both turns are taken: {early:?}");
    let end = super::super::order::MoveEnd::Aborted("enough".to_owned());
    world.n1.transfers.end(&first.unwrap(), end);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_higher_attempt_takes_the_place_of_a_lower_one() {
    let mut world = World::new();
    world.fill(10, 10);
    world.sealed(5).await;
    // As if n1 had begun anew: the old stream is still open.
    for number in 0..2 {
        let info = world.n1.store.slot(slot(number)).unwrap();
        world.n1.store.end_move(slot(number), info.container);
    }
    let (why, ..) = refusal(&mut world, 4).await;
    assert!(why.contains("attempt 5 of epoch 1"), "{why}");
    world.start(6);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    assert!(world.n2.transfers.take_staged(slot(0), 5).is_none());
}

#[tokio::test(start_paused = true)]
async fn without_room_nothing_is_taken_unless_the_coldest_may_go() {
    let mut world = World::with_memory(64 << 10);
    world.fill(100, 1000);
    let (why, busy, full) = refusal(&mut world, 1).await;
    assert!(
        full && !busy && why.contains("bytes are needed, 65536 are free"),
        "{why}"
    );
    assert_eq!(world.n1.counters.keys_shed.get(), 0);
    // The entries used last stay.
    for entry in 90..100 {
        world.n1.get(slot(0), &format!("key{entry}")).unwrap();
    }
    let id = world.start_with(2, &[0, 1], true);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    world.n1.transfers.seal(&id);
    let MoveNews::Sealed(counts) = world.n1.news().await else {
        panic!("not sealed")
    };
    assert_eq!(counts.shed, world.n1.counters.keys_shed.get());
    assert_eq!(counts.keys + counts.shed, 200);
    assert!(counts.shed > 100 && counts.bytes <= 64 << 10, "{counts:?}");
    assert!(world.n2.store.used_bytes() <= 64 << 10);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_runs_out_of_memory_says_so() {
    let mut world = World::with_memory(300 << 10);
    world.fill(100, 1000);
    let n1 = (world.n1.store.clone(), world.n1.group());
    let mut round = 0;
    world.on_message(move |_| {
        for _ in 0..100 {
            round += 1;
            let set = cached_proto::operation::Operation::Set {
                key: super::world::key(&format!("more{round}")),
                value: vec![b'v'; 2000].into(),
                ttl: None,
                condition: cached_proto::operation::Condition::Always,
            };
            let now = crate::clock::WallMs(1_000_000);
            let _ = n1.0.execute(slot(0), n1.1, &set, now);
        }
        super::world::Deed::Pass
    });
    let (why, busy, full) = refusal(&mut world, 1).await;
    assert!(full && !busy && why.contains("there is no memory"), "{why}");
    let n2 = &world.n2;
    world.until(|| n2.store.used_bytes() == 0).await;
}
