//! How fast entries go out, who waits for whom, and when it is given up.

use std::time::Duration;

use super::super::Told;
use super::super::messages::{ToReceiver, ToSender};
use super::super::order::{MoveEnd, MoveNews};
use super::world::{Deed, World, set, slot};
use crate::store::Refused;

#[tokio::test(start_paused = true)]
async fn all_senders_together_keep_to_the_rate() {
    let mut world = World::new();
    world.fill(1000, 1000);
    world.n1.transfers.set_rate(500_000);
    let started = world.clock.now();
    world.start_with(1, &[0], false);
    world.start_with(2, &[1], false);
    for _ in 0..2 {
        assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    }
    let took = world.clock.now().since(started);
    // 2,000 entries of about 1,050 bytes; the last 64 KiB of each may be under way, and
    // one message each is ahead of the rate.
    assert!(took > Duration::from_millis(2500), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let sending = world.n1.transfers.sending();
    let rate = sending[0].1.bytes_per_second;
    assert!((200_000..700_000).contains(&rate), "{rate}");
}

#[tokio::test(start_paused = true)]
async fn small_batches_do_not_pass_the_rate_by() {
    let mut world = World::new();
    // Each of these is little enough to be sealed before anything was sent.
    world.fill(10, 1000);
    world.n1.transfers.set_rate(10_000);
    let started = world.clock.now();
    let first = world.start_with(1, &[0], false);
    let second = world.start_with(2, &[1], false);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    for id in [first, second] {
        world.n1.transfers.seal(&id);
        let news = world.n1.news().await;
        assert!(matches!(news, MoveNews::Sealed(_)), "{news:?}");
    }
    let took = world.clock.now().since(started);
    assert!(took > Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_higher_rate_is_felt_soon() {
    let mut world = World::new();
    world.fill(1000, 1000);
    world.n1.transfers.set_rate(1);
    world.start(1);
    world.clock.sleep(Duration::from_secs(60)).await;
    assert!(world.n1.told.try_recv().is_err());
    world.n1.transfers.set_rate(0);
    let until = world.clock.now() + Duration::from_secs(1);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    assert!(world.clock.now() < until);
}

#[tokio::test(start_paused = true)]
async fn writers_wait_for_room_and_are_woken() {
    let mut world = World::new();
    world.fill(10, 10);
    world.start(1);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    // Nothing of this gets a turn to be sent.
    let mut written = 0;
    let refused = loop {
        match world
            .n1
            .set(slot(0), &format!("new{written}"), &[b'v'; 10_000])
        {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 1000, "nobody waits");
    };
    assert_eq!(refused, Refused::Congested(slot(0)));
    world.n1.get(slot(0), "key1").unwrap();
    let parking = world.n1.parking.clone();
    let changed = parking.changed();
    tokio::time::timeout(Duration::from_secs(1), changed)
        .await
        .unwrap();
    world.n1.set(slot(0), "again", b"v").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_while_writers_wait_is_given_up() {
    let mut world = World::new();
    world.fill(10, 10);
    world.start(1);
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    world.on_message(|message| match message {
        ToReceiver::Changes(_) => Deed::Hold,
        _ => Deed::Pass,
    });
    let started = world.clock.now();
    let (n1, told) = (world.n1.store.clone(), &mut world.n1.told);
    let group = n1.group(&super::world::group()).unwrap();
    let mut written = 0;
    let why = loop {
        written += 1;
        let set = set(&format!("new{written}"), &vec![b'v'; 10_000]);
        let now = crate::clock::WallMs(1_000_000);
        let _ = n1.execute(slot(0), group, &set, now);
        world.clock.sleep(Duration::from_millis(1)).await;
        if let Ok(Told::Move { news, .. }) = told.try_recv() {
            break news;
        }
        assert!(world.clock.now().since(started) < Duration::from_secs(10));
    };
    let MoveNews::Failed { why, counts, .. } = why else {
        panic!("{why:?}")
    };
    assert!(why.contains("while writers waited"), "{why}");
    assert!(counts.failed > 100 && counts.failures == 1, "{counts:?}");
    // Holding back ended within R22's second and some, and writes are taken again.
    assert!(world.clock.now().since(started) < Duration::from_secs(3));
    world.n1.set(slot(0), "again", b"v").unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_never_catches_up_has_its_writers_slowed_down() {
    let mut world = World::new();
    world.fill(10, 10);
    // Answers are late, and with each of them comes more than a message holds.
    let n1 = (world.n1.store.clone(), world.n1.group());
    let mut written = 0;
    world.on_answer(move |answer| {
        if !matches!(answer, ToSender::Applied { .. }) {
            return Deed::Pass;
        }
        for _ in 0..16 {
            written += 1;
            let set = set(&format!("new{}", written % 50), &[b'v'; 10_000]);
            let now = crate::clock::WallMs(1_000_000);
            let _ = n1.0.execute(slot(0), n1.1, &set, now);
        }
        Deed::Late(Duration::from_millis(50))
    });
    for entry in 0..30 {
        world
            .n1
            .set(slot(1), &format!("more{entry}"), &[b'v'; 10_000])
            .unwrap();
    }
    let id = world.start(1);
    let n1 = &world.n1;
    world
        .until(|| n1.transfers.sending().iter().any(|(_, it)| it.throttled))
        .await;
    assert!(world.n1.told.try_recv().is_err());
    // Slowed down far enough, it catches up.
    assert_eq!(world.n1.news().await, MoveNews::CaughtUp);
    world
        .n1
        .transfers
        .end(&id, MoveEnd::Aborted("enough".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn writers_that_are_faster_than_the_rate_do_not_wait_for_it() {
    let mut world = World::new();
    world.fill(10, 10);
    world.n1.transfers.set_rate(10_000);
    let id = world.start(1);
    // 100 KB in a second, ten times as much as the rate lets through.
    for written in 0..600 {
        let name = format!("new{}", written % 50);
        world.n1.set(slot(0), &name, &[b'v'; 10_000]).unwrap();
        world.clock.sleep(Duration::from_millis(100)).await;
        match world.n1.told.try_recv() {
            Ok(Told::Move {
                news: MoveNews::CaughtUp,
                ..
            }) => world.n1.transfers.seal(&id),
            Ok(Told::Move {
                news: MoveNews::Sealed(counts),
                ..
            }) => {
                // What it was slowed down for.
                assert!(counts.bytes > 0, "{counts:?}");
                return;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    panic!("it does not end");
}
