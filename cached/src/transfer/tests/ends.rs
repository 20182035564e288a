//! Streams that break, and how moves end: at every step the source serves again unless
//! it had told that it may be committed, and the receiver keeps only what may be.

use std::time::Duration;

use cached_proto::types::Epoch;

use super::super::Told;
use super::super::messages::{Changes, ToReceiver, ToSender};
use super::super::order::{MoveEnd, MoveNews};
use super::is_sealed;
use super::world::{Deed, World, page, slot};
use crate::store::Change;

fn seals(message: &ToReceiver) -> bool {
    let ToReceiver::Changes(Changes { changes, .. }) = message else {
        return false;
    };
    changes.iter().any(|it| matches!(it, Change::Seal { .. }))
}

/// Runs a move over a wire that fails; answers why it did.
async fn fails(world: &mut World, attempt: u64) -> String {
    let id = world.start(attempt);
    match world.n1.news().await {
        MoveNews::CaughtUp => {
            world.n1.transfers.seal(&id);
            world.n1.failure().await
        }
        MoveNews::Failed { why, .. } => why,
        news => panic!("{news:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_at_any_step_leaves_nothing_behind() {
    for deed in [Deed::Cut, Deed::Hold] {
        for step in 0..6 {
            let mut world = World::new();
            world.fill(500, 1000);
            let tell = move |fails: bool| if fails { deed } else { Deed::Pass };
            match step {
                0 => world.on_message(move |it| tell(matches!(it, ToReceiver::Offer(..)))),
                1 => world.on_answer(move |it| tell(matches!(it, ToSender::Granted { .. }))),
                2 => world.on_message(move |it| tell(matches!(it, ToReceiver::Changes(_)))),
                3 => world.on_answer(move |it| tell(matches!(it, ToSender::Applied { .. }))),
                4 => world.on_message(move |it| tell(seals(it))),
                _ => world.on_answer(move |it| tell(matches!(it, ToSender::Sealed(_)))),
            }
            let why = fails(&mut world, 1).await;
            world.n1.set(slot(0), "key1", b"serves again").unwrap();
            world.n1.set(slot(1), "new", b"serves again").unwrap();
            // The receiver that had sealed waits for what became of it.
            if step == 5 && deed == Deed::Cut {
                assert!(world.n2.transfers.staged_bytes() > 0, "{why}");
                world.n2.transfers.row_read(slot(0), Epoch(1), 1);
                world.n2.transfers.row_read(slot(1), Epoch(1), 1);
            }
            let (n2, before) = (&world.n2, world.n2.store.used_bytes());
            world
                .until(|| n2.transfers.staged_bytes() == 0 && n2.store.used_bytes() == 0)
                .await;
            assert!(
                n2.transfers.take_staged(slot(0), 1).is_none(),
                "{why} {before}"
            );
            // From the seal on it may have kept what it has.
            let told = world.n1.told.try_recv();
            let unheard = matches!(
                told,
                Ok(Told::Move {
                    news: MoveNews::Unheard { .. },
                    ..
                })
            );
            assert_eq!(unheard, step >= 4, "{step} {deed:?}: {told:?}");
            // And the next attempt gets through.
            world.on_message(|_| Deed::Pass);
            world.on_answer(|_| Deed::Pass);
            world.sealed(2).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_it_was_told_only_the_outcome_ends_a_seal() {
    let mut world = World::new();
    world.fill(10, 10);
    let id = world.sealed(1).await;
    // The stream breaks: nothing changes at either end.
    *world.wire.receiver.lock() = None;
    world.on_message(|_| Deed::Cut);
    world.clock.sleep(Duration::from_secs(3600)).await;
    assert!(is_sealed(&world.n1.get(slot(0), "key1")));
    world.n1.transfers.end(&id, MoveEnd::Committed(page()));
    let n1 = &world.n1;
    world
        .until(|| {
            n1.transfers
                .sending()
                .iter()
                .all(|(_, it)| it.batches.is_empty())
        })
        .await;
    assert!(
        is_sealed(&world.n1.get(slot(0), "key1")),
        "the driver closes it"
    );
    // The receiver read the row by itself.
    assert!(world.n2.transfers.take_staged(slot(0), 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_abort_frees_both_ends_whenever_it_comes() {
    for sealed in [false, true] {
        let mut world = World::new();
        world.fill(10, 10);
        let id = match sealed {
            true => world.sealed(1).await,
            false => {
                let id = world.start(1);
                assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
                id
            }
        };
        let looked = world.n1.parking.clone();
        let woken = looked.changed();
        world
            .n1
            .transfers
            .end(&id, MoveEnd::Aborted("the plan has changed".to_owned()));
        woken.await;
        world.n1.set(slot(0), "key1", b"serves again").unwrap();
        let n2 = &world.n2;
        world
            .until(|| n2.transfers.staged_bytes() == 0 && n2.store.used_bytes() == 0)
            .await;
        assert!(n2.transfers.take_staged(slot(0), 1).is_none());
        assert!(world.n1.told.try_recv().is_err(), "who ended it knows");
    }
}

/// Who may keep a sealed staging, and did not say that it is gone, is told of by name.
#[tokio::test(start_paused = true)]
async fn an_abort_that_a_sealed_receiver_does_not_hear_is_told() {
    for (deed, heard) in [(Deed::Pass, true), (Deed::Cut, false), (Deed::Hold, false)] {
        let mut world = World::new();
        world.fill(10, 10);
        let id = world.sealed(1).await;
        world.on_message(move |_| deed);
        let end = MoveEnd::Aborted("the plan has changed".to_owned());
        world.n1.transfers.end(&id, end);
        let n1 = &world.n1;
        let over = || {
            n1.transfers
                .sending()
                .iter()
                .all(|(_, it)| it.batches.is_empty())
        };
        world.until(over).await;
        if heard {
            assert!(world.n1.told.try_recv().is_err());
            assert_eq!(world.n2.transfers.staged_bytes(), 0);
            continue;
        }
        let slots = vec![(slot(0), Epoch(1)), (slot(1), Epoch(1))];
        assert_eq!(world.n1.news().await, MoveNews::Unheard { slots });
        assert!(world.n2.transfers.staged_bytes() > 0, "{deed:?}");
        // What its owner then writes into the rows ends it.
        world.n2.transfers.row_read(slot(0), Epoch(1), 1);
        world.n2.transfers.row_read(slot(1), Epoch(1), 1);
        assert_eq!(world.n2.transfers.staged_bytes(), 0, "{deed:?}");
    }
}

/// The same when it said `sealed`, and that was not heard in time.
#[tokio::test(start_paused = true)]
async fn a_seal_whose_answer_is_lost_is_told() {
    let mut world = World::new();
    world.fill(10, 10);
    world.on_answer(|it| match it {
        ToSender::Sealed(_) => Deed::Hold,
        _ => Deed::Pass,
    });
    fails(&mut world, 1).await;
    assert!(matches!(world.n1.news().await, MoveNews::Unheard { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_left_meanwhile_ends_the_move() {
    let mut world = World::new();
    world.fill(10, 10);
    world.n1.store.open_slot(slot(1), Epoch(5));
    world.start(1);
    let why = world.n1.failure().await;
    assert!(why.contains("slot 1 is not served under epoch 1"), "{why}");
    *world.wire.receiver.lock() = None;
    world.start_with(2, &[0], false);
    let why = world.n1.failure().await;
    assert!(
        why.contains("n2 cannot be reached: connection refused"),
        "{why}"
    );
}
