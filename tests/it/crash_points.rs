//! `kill -9` at the worst moments of a move: the cluster heals by itself, every request
//! is answered in time, and only entries of the dead node are gone.

use std::time::Duration;

use cached_tests::cluster::Setup;
use cached_tests::operations::drain;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost};
use cached_tests::{etcd, wait};

/// How long it may take until the move gets to the point.
const CRASH_MAX: Duration = Duration::from_secs(30);

/// A fourth node joins; n1 is a source of its slots. One of them dies at a point.
async fn dies(victim: &str, point: &str) {
    if !etcd::is_there() {
        return;
    }
    let setup = Setup::default().crash(victim, point);
    let mut story = Story::start(3, setup.clone()).await;
    story.load.begin("join");
    story
        .cluster
        .add("n4", &setup.nodes(&cached_tests::story::FLAGS))
        .await;
    let process = &mut story.cluster.node(victim).process;
    let status = process.ended(CRASH_MAX).await;
    assert_eq!(status.code(), None, "killed, not ended: {status}");
    let excused = story.rows_until_gone(victim).await;
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, &excused);
    let survivors = cluster.nodes.iter().filter(|node| node.name != victim);
    for node in survivors {
        assert!(
            !node.process.output().contains("panicked"),
            "{}",
            node.process.output()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_dies_before_it_seals() {
    dies("n1", "before-seal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_dies_with_slots_sealed() {
    dies("n1", "after-seal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_dies_before_its_commit() {
    dies("n1", "before-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_dies_after_its_commit() {
    dies("n1", "after-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_dies_after_some_commits() {
    dies("n1", "after-commit:3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_dies_after_the_offer() {
    dies("n4", "after-offer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_dies_mid_copy() {
    dies("n4", "mid-copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_dies_after_it_said_sealed() {
    dies("n4", "after-sealed-reply").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_dies_before_it_serves() {
    dies("n4", "before-activate").await;
}

/// All at once, idle and in the middle of a drain: everything is gone, and they serve again.
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_killed_and_start_again() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    for moving in [false, true] {
        if moving {
            let id = story
                .operator
                .start_with(drain(&["n1"]), SLOW)
                .await
                .unwrap();
            story.operator.moved(&id, 1, SETTLED_MAX).await;
        }
        for node in &mut story.cluster.nodes {
            node.process.kill();
        }
        for index in 0..3 {
            story.cluster.restart(index).await;
        }
        wait::until("every slot answers", SETTLED_MAX, async || {
            for number in 0..300 {
                let key = format!("again-{number}");
                story
                    .client
                    .set(key, "x", None)
                    .await
                    .map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        })
        .await;
        story.operator.settled(SETTLED_MAX).await;
    }
    let every_slot = (0..16_384).collect();
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &every_slot);
}
