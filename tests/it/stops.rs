//! Processes that are told to stop while another one is drained.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_tests::cluster::Setup;
use cached_tests::etcd;
use cached_tests::operations::drain;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slots};

/// Four nodes; n3 is drained slowly, and has given some slots away.
async fn under_way(setup: Setup) -> (Story, String) {
    let mut story = Story::start(4, setup).await;
    story.load.begin("drain");
    let drained = drain(&["n3"]);
    let id = story.operator.start_with(drained, SLOW).await.unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    (story, id)
}

/// The slots end up evenly on these, and nothing else was lost.
async fn ends(story: Story, members: &[&str], excused: &BTreeSet<usize>) {
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, excused);
    let slots = slots(&cluster.gateway.url()).await;
    let fair = 16_384 / members.len() as u64;
    for name in members {
        assert!([fair, fair + 1].contains(&slots[*name]), "{slots:?}");
    }
}

/// The one that is drained, or one that receives: its own stop drains it, too.
async fn stopped(name: &str, left: &[&str]) {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way(Setup::default()).await;
    let process = &mut story.cluster.node(name).process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", process.output());
    story.operator.over(&id, SETTLED_MAX).await;
    ends(story, left, &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_stopped() {
    stopped("n3", &["n1", "n2", "n4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_a_drain_is_stopped() {
    stopped("n2", &["n1", "n4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_stopped_twice() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, id) = under_way(Setup::default()).await;
    let excused = rows_of(&story.cluster.gateway.url(), "n3").await;
    let process = &mut story.cluster.node("n3").process;
    process.terminate();
    // Signals that come together count as one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate();
    let status = process.ended(Duration::from_secs(15)).await;
    assert_ne!(status.code(), Some(0), "{}", process.output());
    story.operator.over(&id, SETTLED_MAX).await;
    ends(story, &["n1", "n2", "n4"], &excused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_stopped_with_too_little_time() {
    if !etcd::is_there() {
        return;
    }
    let setup = Setup::default().nodes(&["--drain-deadline", "200ms"]);
    let (mut story, id) = under_way(setup).await;
    let excused = rows_of(&story.cluster.gateway.url(), "n3").await;
    let process = &mut story.cluster.node("n3").process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(3), "{}", process.output());
    story.operator.over(&id, SETTLED_MAX).await;
    ends(story, &["n1", "n2", "n4"], &excused).await;
}

/// Nobody is there who could receive: they end far before their deadlines.
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_stopped_during_a_drain() {
    if !etcd::is_there() {
        return;
    }
    let (mut story, _) = under_way(Setup::default()).await;
    story.load.rest().await;
    for node in &story.cluster.nodes {
        node.process.terminate();
    }
    for node in &mut story.cluster.nodes {
        let status = node.process.ended(Duration::from_secs(20)).await;
        assert!([Some(0), Some(3)].contains(&status.code()), "{status}");
        assert!(!node.process.output().contains("panicked"));
    }
}
