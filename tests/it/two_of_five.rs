//! Two of five nodes are drained at once, and something else goes wrong meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_tests::cluster::Setup;
use cached_tests::etcd;
use cached_tests::operations::drain;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost, slots};

const LEAVING: [&str; 2] = ["n4", "n5"];

/// Five nodes, two of which give their slots away slowly and have given some.
async fn under_way() -> (Story, String) {
    let mut story = Story::start(5, Setup::default()).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&LEAVING), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 200, SETTLED_MAX).await;
    (story, id)
}

/// Waits for the end, which must be as asked: nothing on those that are drained.
async fn ends(story: Story, id: &str, excused: &BTreeSet<usize>) {
    story.operator.over(id, SETTLED_MAX).await;
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, excused);
    let slots = slots(&cluster.gateway.url()).await;
    for name in LEAVING {
        assert_eq!(slots.get(name).copied().unwrap_or(0), 0, "{slots:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_killed() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way().await;
    story.cluster.node("n2").process.kill();
    let excused = story.rows_until_gone("n2").await;
    ends(story, &id, &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_killed() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way().await;
    story.cluster.node("n4").process.kill();
    let excused = story.rows_until_gone("n4").await;
    ends(story, &id, &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_is_killed() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way().await;
    let planner = story.operator.status().await.unwrap().planner;
    story.cluster.node(&planner).process.kill();
    let excused = story.rows_until_gone(&planner).await;
    ends(story, &id, &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_killed_and_comes_back() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way().await;
    story.cluster.etcd.kill();
    // The length of the outage is what is tested: shorter than a lease.
    tokio::time::sleep(Duration::from_secs(4)).await;
    story.cluster.etcd.restart().await;
    ends(story, &id, &BTreeSet::new()).await;
}
