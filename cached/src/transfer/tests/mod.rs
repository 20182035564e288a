//! Sender and receiver against each other, with real stores; only the wire is made up.

mod ends;
mod pace;
mod refusals;
mod world;

use std::sync::Arc;

use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::types::Epoch;

use super::Told;
use super::messages::{Changes, ToReceiver, ToSender};
use super::order::{MoveEnd, MoveNews};
use crate::store::{Change, Refused};
use world::{Deed, World, key, page, slot};

fn is_sealed(result: &Result<Reply, Refused>) -> bool {
    matches!(result, Err(Refused::Sealed(_)))
}

/// What is read of a key, with its version.
fn value_of(reply: Result<Reply, Refused>) -> Option<Vec<u8>> {
    match reply.unwrap() {
        Reply::Get(entry) => entry.map(|entry| entry.value.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn slots_arrive_with_everything_that_happened_meanwhile() {
    let mut world = World::new();
    world.fill(3000, 100);
    let n1 = (world.n1.store.clone(), world.n1.group());
    // Between two messages entries are written, deleted and read.
    let mut round = 0;
    world.on_message(move |message| {
        let (store, group) = &n1;
        if !matches!(message, ToReceiver::Changes(_)) || round == 20 {
            return Deed::Pass;
        }
        round += 1;
        let now = crate::clock::WallMs(1_000_000);
        for operation in [
            Operation::Set {
                key: key(&format!("key{round}")),
                value: "changed".into(),
                ttl: None,
                condition: Condition::Always,
            },
            Operation::Set {
                key: key(&format!("new{round}")),
                value: "new".into(),
                ttl: None,
                condition: Condition::Always,
            },
            Operation::Delete {
                key: key(&format!("key{}", 1000 + round)),
                condition: Condition::Always,
            },
        ] {
            // One that comes after the seal is refused, which is right, too.
            let _ = store.execute(slot(0), *group, &operation, now);
        }
        Deed::Pass
    });
    let id = world.sealed(7).await;
    assert!(is_sealed(&world.n1.set(slot(0), "late", b"v")));
    assert!(is_sealed(&world.n1.get(slot(1), "key1")));
    world.n1.transfers.end(&id, MoveEnd::Committed(page()));
    let told = world.n2.told.recv().await;
    assert!(
        matches!(&told, Some(Told::Committed(record)) if *record == page()),
        "{told:?}"
    );
    let held = world.n1.store.slot(slot(0)).unwrap();
    for number in 0..2 {
        let container = world.n2.transfers.take_staged(slot(number), 7).unwrap();
        world
            .n2
            .store
            .activate(slot(number), container, Epoch(2))
            .unwrap();
        world
            .n2
            .transfers
            .settle_in(vec![(slot(number), container)]);
        assert_eq!(world.n2.transfers.take_staged(slot(number), 7), None);
    }
    let arrived = world.n2.store.slot(slot(0)).unwrap();
    assert_eq!((arrived.keys, arrived.bytes), (held.keys, held.bytes));
    assert_eq!(arrived.base, held.base);
    assert_eq!(value_of(world.n2.get(slot(0), "key1")).unwrap(), b"changed");
    assert_eq!(value_of(world.n2.get(slot(0), "key1001")), None);
    assert_eq!(
        value_of(world.n2.get(slot(1), "key1001")).unwrap(),
        [b'v'; 100]
    );
    assert_eq!(world.n2.transfers.staged_bytes(), 0);
    world
        .until(|| {
            world
                .n1
                .transfers
                .sending()
                .iter()
                .all(|(_, it)| it.batches.is_empty())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_move_came_to_is_told() {
    let mut world = World::new();
    world.fill(100, 50);
    let id = world.start(1);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    let sending = world.n1.transfers.sending();
    let [(to, sending)] = &sending[..] else {
        panic!("{sending:?}")
    };
    assert_eq!(to.as_str(), "n2");
    assert_eq!(sending.batches[0].state, "copying");
    assert_eq!(sending.batches[0].keys_total, 200);
    world.n1.transfers.seal(&id);
    let MoveNews::Sealed(counts) = world.n1.news().await else {
        panic!("not sealed")
    };
    assert_eq!((counts.slots, counts.keys, counts.sent), (2, 200, 200));
    assert_eq!(counts.acknowledged + counts.skipped, counts.sent);
    let bytes: u64 = (0..2)
        .map(|it| world.n1.store.slot(slot(it)).unwrap().bytes)
        .sum();
    assert_eq!(counts.bytes, bytes);
    assert_eq!(
        world.n1.transfers.sending()[0].1.batches[0].state,
        "committing"
    );
    assert!(world.n2.transfers.staged_bytes() > 0);
}

#[tokio::test(start_paused = true)]
async fn values_larger_than_a_message_pass() {
    let mut world = World::new();
    world.fill(2, 3 << 20);
    let id = world.sealed(1).await;
    world.n1.transfers.end(&id, MoveEnd::Committed(page()));
    world.n2.told.recv().await.unwrap();
    let container = world.n2.transfers.take_staged(slot(1), 1).unwrap();
    world
        .n2
        .store
        .activate(slot(1), container, Epoch(2))
        .unwrap();
    assert_eq!(
        value_of(world.n2.get(slot(1), "key1")).unwrap().len(),
        3 << 20
    );
}

#[tokio::test(start_paused = true)]
async fn ends_that_hold_different_entries_are_not_sealed() {
    let mut world = World::new();
    world.fill(10, 10);
    world.on_message(|message| {
        // One entry is lost on the way.
        if let ToReceiver::Changes(Changes { changes, .. }) = message
            && let Some(index) = changes
                .iter()
                .position(|it| matches!(it, Change::Put { .. }))
        {
            changes.remove(index);
        }
        Deed::Pass
    });
    // The receiver compares by itself …
    let id = world.start(1);
    world
        .until(|| !world.n2.transfers.sending().is_empty() || world.n2.transfers.staged_bytes() > 0)
        .await;
    let why = match world.n1.news().await {
        MoveNews::CaughtUp => {
            world.n1.transfers.seal(&id);
            world.n1.failure().await
        }
        MoveNews::Failed { why, .. } => why,
        news => panic!("{news:?}"),
    };
    assert!(
        why.contains("slot 0 has 9 entries") || why.contains("were sent"),
        "{why}"
    );
    world.n1.set(slot(0), "key1", b"serves again").unwrap();
    // … and so does the sender.
    world.on_message(|_| Deed::Pass);
    world.on_answer(|answer| {
        if let ToSender::Sealed(sums) = answer {
            sums[1].2.digest ^= 1;
        }
        Deed::Pass
    });
    let id = world.start(2);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    world.n1.transfers.seal(&id);
    let why = world.n1.failure().await;
    assert!(
        why.contains("differ") && why.contains("slot 1: 10 entries"),
        "{why}"
    );
    world.n1.set(slot(1), "key1", b"serves again").unwrap();
    // The receiver was told, though it had sealed.
    assert_eq!(world.n2.transfers.take_staged(slot(0), 2), None);
    assert_eq!(world.n2.transfers.staged_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_process_leaves_sealed_what_may_be_committed() {
    let mut world = World::new();
    world.fill(10, 10);
    world.sealed(1).await;
    let tasks = world.tasks.clone();
    world.n1.told.close();
    assert_eq!(
        tasks.stop_within(std::time::Duration::from_secs(5)).await,
        []
    );
    assert!(is_sealed(&world.n1.get(slot(0), "key1")));

    let world = World::new();
    world.fill(10, 10);
    let store = Arc::clone(&world.n1.store);
    world.start(1);
    tokio::task::yield_now().await;
    assert_eq!(
        world
            .tasks
            .stop_within(std::time::Duration::from_secs(5))
            .await,
        []
    );
    assert!(!store.slot(slot(0)).unwrap().sealed);
    world.n1.set(slot(0), "key1", b"v").unwrap();
}
