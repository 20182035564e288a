//! Traps that other caches fell into while their entries moved, each as a test: moves that
//! are cancelled and begun anew, or never come to an end.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::pb::cached::admin::v1::OperationControl;
use cached_tests::cluster::Setup;
use cached_tests::load::LoadOptions;
use cached_tests::operations::drain;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slot, slots};
use cached_tests::{etcd, wait};

/// Cancelled in the middle and begun anew at once, several times.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_and_restarted_move_does_not_purge_the_new_run() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("again and again");
    for _ in 0..4 {
        // A batch that was sealed when the last run ended may change the layout once more.
        let again = async || story.operator.start_with(drain(&["n3"]), SLOW).await;
        let id = wait::until("it begins anew", SETTLED_MAX, again).await;
        let left = story.operator.moved(&id, 1, SETTLED_MAX).await;
        assert_eq!(left.state, "running", "{left:?}");
        story
            .operator
            .control(&id, OperationControl::Cancel, 0)
            .await
            .unwrap();
        story.operator.over(&id, SETTLED_MAX).await;
    }
    let again = async || story.operator.drain(&["n3"]).await;
    let id = wait::until("it begins anew", SETTLED_MAX, again).await;
    story.operator.done(&id, SETTLED_MAX).await;
    assert_eq!(slots(&story.cluster.gateway.url()).await["n3"], 0);
    story.settle().await.1.assert_clean();
}

/// The receiver stands still while it is sent to, and the operation is cancelled: what it
/// had not confirmed is still at the source.
#[tokio::test(flavor = "multi_thread")]
async fn only_acknowledged_slots_are_cleaned_at_the_source() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(2, Setup::default()).await;
    let id = story
        .operator
        .start_with(drain(&["n1"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 50, SETTLED_MAX).await;
    story.cluster.node("n2").process.pause();
    story
        .operator
        .control(&id, OperationControl::Cancel, 0)
        .await
        .unwrap();
    // Not long enough to be taken for dead, long enough for attempts to end.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    story.cluster.node("n2").process.resume();
    story.operator.over(&id, SETTLED_MAX).await;
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &BTreeSet::new());
}

/// One slot is written without an end, faster than it may be copied: it is slowed down so
/// that the copy wins, and no writer of any slot waits for long.
#[tokio::test(flavor = "multi_thread")]
async fn sustained_writes_into_a_moving_slot_let_it_finish() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    let own = rows_of(&story.cluster.gateway.url(), "n3").await;
    let tag = (0..)
        .find(|number| own.contains(&slot(&format!("{{hot{number}}}"))))
        .unwrap();
    let hot = LoadOptions {
        entries: 400,
        value_bytes: 4000,
        writes_per_second: 200,
        get_percent: 10,
        delete_percent: 0,
        workers: 4,
        prefix: format!("{{hot{tag}}}"),
        ..LoadOptions::default()
    };
    let mut writers = cached_tests::load::Load::fill(&story.client, &hot).await;
    writers.begin("moving");
    story.load.begin("drain");
    // 0.8 MB are written in a second, 0.4 MB may be moved.
    let id = story
        .operator
        .start_with(drain(&["n3"]), 400_000)
        .await
        .unwrap();
    wait::until("it is throttled, or over", SETTLED_MAX, async || {
        let record = story.operator.find(&id).await?;
        let throttled = record.pairs.iter().any(|pair| pair.throttled);
        if throttled || record.state == "done" {
            Ok(())
        } else {
            Err(format!("{record:?}"))
        }
    })
    .await;
    story.operator.done(&id, 2 * SETTLED_MAX).await;
    writers.finish().await.assert_clean();
    story.settle().await.1.assert_clean();
}
