//! Nodes that stand still for a while and go on: never a stale answer afterwards.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cached_tests::clients::{AnyClient, Rest};
use cached_tests::cluster::Setup;
use cached_tests::etcd;
use cached_tests::operations::drain;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slot};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_stands_still_in_the_middle_of_its_moves() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&["n1"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    for _ in 0..3 {
        story.cluster.node("n1").process.pause();
        // Shorter than a suspicion: nobody takes it for dead.
        tokio::time::sleep(Duration::from_secs(1)).await;
        story.cluster.node("n1").process.resume();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    story.operator.done(&id, SETTLED_MAX).await;
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_stands_still_in_the_middle_of_its_moves() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&["n1"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    story.cluster.node("n2").process.pause();
    // Longer than a sender waits for room in a stream.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    story.cluster.node("n2").process.resume();
    story.operator.done(&id, SETTLED_MAX).await;
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_stood_still_while_it_was_taken_over_is_not_stale() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    let url = story.cluster.gateway.url();
    let own = rows_of(&url, "n3").await;
    let keys: Vec<String> = (0..2000)
        .map(|number| format!("own-{number}"))
        .filter(|key| own.contains(&slot(key)))
        .take(100)
        .collect();
    for key in &keys {
        story.client.set(key.clone(), "old", None).await.unwrap();
    }
    let direct = Rest::new(&story.cluster.node("n3").url());
    story.load.begin("still");
    story.cluster.node("n3").process.pause();
    let excused = story.rows_until_gone("n3").await;
    for key in &keys {
        story.client.set(key.clone(), "new", None).await.unwrap();
    }
    story.cluster.node("n3").process.resume();
    let resumed = Instant::now();
    // Asked itself, from the first moment on: the new value, or an error that says so.
    while resumed.elapsed() < Duration::from_secs(4) {
        for key in &keys {
            let answer = direct.get(key.as_bytes()).await;
            let stale = matches!(&answer, Ok(value) if value.as_deref() != Some(b"new"));
            assert!(
                !stale,
                "{key}: {answer:?} {:?} after it went on",
                resumed.elapsed()
            );
        }
    }
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &excused);
}
