//! A fourth node gets its share slowly, and something goes wrong meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::pb::cached::admin::v1::OperationControl;
use cached_tests::cluster::Setup;
use cached_tests::etcd;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slots};

/// Three nodes under a load, and a fourth one that has got some slots.
async fn under_way() -> Story {
    under_way_with(Setup::default()).await
}

async fn under_way_with(setup: Setup) -> Story {
    let mut story = Story::start(3, setup).await;
    story.load.begin("join");
    let id = story.join("n4", Setup::default()).await;
    let rate = story.operator.control(&id, OperationControl::Rate, SLOW);
    rate.await.unwrap();
    story.operator.moved(&id, 50, SETTLED_MAX).await;
    story
}

/// Waits until all is well; the slots are shared evenly by these.
async fn ends(story: Story, members: &[&str], excused: &BTreeSet<usize>) {
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, excused);
    let slots = slots(&cluster.gateway.url()).await;
    let fair = 16_384 / members.len() as u64;
    for name in members {
        assert!([fair, fair + 1].contains(&slots[*name]), "{slots:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_is_killed() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    let planner = story.operator.status().await.unwrap().planner;
    story.cluster.node(&planner).process.kill();
    let excused = story.rows_until_gone(&planner).await;
    let names = ["n1", "n2", "n3", "n4"];
    let left: Vec<&str> = names.into_iter().filter(|name| *name != planner).collect();
    ends(story, &left, &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_killed_and_comes_back() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    story.cluster.etcd.kill();
    // The length of the outage is what is tested: shorter than a lease.
    tokio::time::sleep(Duration::from_secs(4)).await;
    story.cluster.etcd.restart().await;
    ends(story, &["n1", "n2", "n3", "n4"], &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_and_the_receiver_stand_still() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    for name in ["n1", "n4", "n2"] {
        story.cluster.node(name).process.pause();
        // Shorter than a suspicion: nobody takes it for dead.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        story.cluster.node(name).process.resume();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    ends(story, &["n1", "n2", "n3", "n4"], &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_stopped_and_drains() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    let process = &mut story.cluster.node("n1").process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", process.output());
    ends(story, &["n2", "n3", "n4"], &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_is_stopped_and_drains() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    let process = &mut story.cluster.node("n4").process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", process.output());
    ends(story, &["n1", "n2", "n3"], &BTreeSet::new()).await;
}

/// All at once: everything is gone, and the four serve again.
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_killed_and_start_again() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    story.load.rest().await;
    for node in &mut story.cluster.nodes {
        node.process.kill();
    }
    for index in 0..4 {
        story.cluster.restart(index).await;
    }
    story.operator.settled(SETTLED_MAX).await;
    for number in 0..300 {
        let key = format!("again-{number}");
        story.client.set(key, "x", None).await.unwrap();
    }
    let every_slot = (0..16_384).collect();
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &every_slot);
}

/// A source, then the receiver: each new life is another member, and takes no slots of the
/// old one for full.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_and_the_receiver_restart_on_their_addresses() {
    if !etcd::is_there() {
        return;
    }
    let mut story = under_way().await;
    let url = story.cluster.gateway.url();
    let mut excused = BTreeSet::new();
    for (name, index) in [("n1", 0), ("n4", 3)] {
        story.cluster.node(name).process.kill();
        excused.extend(rows_of(&url, name).await);
        story.cluster.restart(index).await;
        // What was given to it, or lay with it, until its new life is told from the old.
        excused.extend(rows_of(&url, name).await);
    }
    ends(story, &["n1", "n2", "n3", "n4"], &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_away_for_two_leases() {
    if !etcd::is_there() {
        return;
    }
    let flags = ["--lease-ttl", "4s", "--heartbeat", "1s"];
    let mut story = under_way_with(Setup::default().nodes(&flags)).await;
    story.cluster.etcd.kill();
    // The length of the outage is what is tested.
    tokio::time::sleep(Duration::from_secs(9)).await;
    story.cluster.etcd.restart().await;
    ends(story, &["n1", "n2", "n3", "n4"], &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_stopped_with_too_little_time() {
    if !etcd::is_there() {
        return;
    }
    let setup = Setup::default().nodes(&["--drain-deadline", "200ms"]);
    let mut story = under_way_with(setup).await;
    let excused = rows_of(&story.cluster.gateway.url(), "n1").await;
    let process = &mut story.cluster.node("n1").process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(3), "{}", process.output());
    ends(story, &["n2", "n3", "n4"], &excused).await;
}
