//! What an operator does with `cachectl`, on a real cluster: plan, apply, drain, join,
//! remove, and all that may come between.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::pb::cached::admin::v1::OperationControl;
use cached_tests::cluster::Setup;
use cached_tests::operations::drain;
use cached_tests::process::Process;
use cached_tests::story::{SETTLED_MAX, SLOW, Story, slots};
use cached_tests::{binaries, etcd, wait};

/// How long a viewer may take to notice that something is over.
const NOTICE_MAX: Duration = Duration::from_secs(20);

/// `cachectl` in the background.
fn viewer(story: &Story, folder: &tempfile::TempDir, line: &str) -> Process {
    let mut words = vec!["--endpoint".to_owned(), story.cluster.gateway.url()];
    words.extend(line.split_whitespace().map(str::to_owned));
    let log = (0..).map(|number| folder.path().join(format!("viewer.{number}.log")));
    let log = log.into_iter().find(|path| !path.exists()).unwrap();
    Process::start(&binaries::cachectl(), &words, &log)
}

async fn owned(story: &Story, name: &str) -> u64 {
    slots(&story.cluster.gateway.url()).await[name]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_is_applied_as_it_was_shown_or_not_at_all() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let layout = story.operator.status().await.unwrap().layout;
    let dry = story.cluster.cachectl("drain n3 --dry-run").await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.out.contains("n1") && dry.out.contains("n2"), "{dry:?}");
    let planned = |nodes: &'static [&str]| story.operator.plan(drain(nodes));
    let first = planned(&["n3"]).await.unwrap();
    let second = planned(&["n2"]).await.unwrap();
    let now = story.operator.status().await.unwrap();
    assert_eq!(
        (now.layout, now.operation.as_str()),
        (layout, ""),
        "nothing was done"
    );
    let applied = story
        .cluster
        .cachectl(&format!("plan apply {} --yes", first.id))
        .await;
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(owned(&story, "n3").await, 0);
    let record = story.operator.find(&first.id).await.unwrap();
    let moved: u64 = record
        .pairs
        .iter()
        .map(|pair| pair.moved.unwrap().slots)
        .sum();
    let shown: u32 = first.moves.iter().map(|shown| shown.slots).sum();
    assert_eq!(moved, u64::from(shown), "as it was shown");
    let stale = story
        .cluster
        .cachectl(&format!("plan apply {} --yes", second.id))
        .await;
    assert_eq!(stale.code, 6, "{stale:?}");
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_operation_is_refused_and_the_same_one_is_attached_to() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let started = story
        .cluster
        .cachectl("drain n3 --yes --detach --max-rate 20KB")
        .await;
    assert_eq!(started.code, 9, "{started:?}");
    let open = story.operator.open("drain", NOTICE_MAX).await;
    let other = story.cluster.cachectl("drain n2 --yes").await;
    assert_eq!(other.code, 6, "{other:?}");
    assert!(other.err.contains(&open.id), "{other:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut same = viewer(&story, &folder, "drain n3 --yes");
    wait::until("it says what it follows", NOTICE_MAX, async || {
        let said = same.output();
        if said.contains(&open.id) {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    let faster = story
        .cluster
        .cachectl(&format!("migrations rate {} 100MiB", open.id))
        .await;
    assert_eq!(faster.code, 0, "{faster:?}");
    let status = same.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", same.output());
    let again = story.cluster.cachectl("drain n3 --yes").await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!((again.out + &again.err).contains("already drained"));
    let undrained = story.cluster.cachectl("undrain n3 --yes").await;
    assert_eq!(undrained.code, 0, "{undrained:?}");
    assert!([5461, 5462].contains(&owned(&story, "n3").await));
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_paused_resumed_and_cancelled() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let id = story
        .operator
        .start_with(drain(&["n3"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    let run = async |line: String| {
        let ran = story.cluster.cachectl(&line).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    run(format!("migrations pause {id}")).await;
    // What is under way may end; then nothing moves.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let paused = story.operator.find(&id).await.unwrap();
    assert_eq!(paused.state, "paused", "{paused:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = story.operator.find(&id).await.unwrap();
    assert_eq!(later.moved, paused.moved, "nothing moves");
    run(format!("migrations resume {id}")).await;
    let slots = paused.moved.unwrap().slots;
    story.operator.moved(&id, slots + 50, SETTLED_MAX).await;
    run(format!("migrations cancel {id} --yes")).await;
    let over = story.operator.over(&id, SETTLED_MAX).await;
    assert_eq!(over.state, "cancelled", "{over:?}");
    story.operator.settled(SETTLED_MAX).await;
    let left = owned(&story, "n3").await;
    assert!(left > 0, "what had not moved stays");
    // A batch that was sealed is finished first.
    let over = story.operator.find(&id).await.unwrap();
    let whole = left + over.moved.unwrap().slots;
    assert!(
        [5461, 5462].contains(&whole),
        "{left} left of {whole}: {over:?}"
    );
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_detaches_and_the_operation_goes_on() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut drain = viewer(&story, &folder, "drain n3 --yes --max-rate 250KB");
    let open = story.operator.open("drain", NOTICE_MAX).await;
    wait::until("it follows", NOTICE_MAX, async || {
        let said = drain.output();
        // Its id alone stands in the plan already, before anybody looks on.
        if said.contains(&format!("{} started.", open.id)) {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    drain.interrupt();
    let status = drain.ended(NOTICE_MAX).await;
    let said = drain.output();
    assert_eq!(status.code(), Some(9), "{said}");
    assert!(
        said.contains(&format!("migrations watch {}", open.id)),
        "{said}"
    );
    story.operator.done(&open.id, SETTLED_MAX).await;
    let watched = story
        .cluster
        .cachectl(&format!("migrations watch {}", open.id))
        .await;
    assert_eq!(watched.code, 0, "{watched:?}");
    assert_eq!(owned(&story, "n3").await, 0);
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_ends_the_process_and_loses_nothing() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    let removed = story.cluster.cachectl("remove n3 --yes").await;
    assert_eq!(removed.code, 0, "{removed:?}");
    let process = &mut story.cluster.node("n3").process;
    let status = process.ended(NOTICE_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", process.output());
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_joins_when_it_is_told() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    let setup = Setup::default()
        .nodes(&cached_tests::story::FLAGS)
        .nodes(&["--standby"]);
    story.cluster.add("n4", &setup).await;
    let url = story.cluster.gateway.url();
    wait::until("it is a member", NOTICE_MAX, async || {
        let slots = slots(&url).await;
        if slots.contains_key("n4") {
            Ok(())
        } else {
            Err(slots)
        }
    })
    .await;
    // Longer than a join takes to begin by itself.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(owned(&story, "n4").await, 0);
    let joined = story.cluster.cachectl("join n4 --yes").await;
    assert_eq!(joined.code, 0, "{joined:?}");
    assert_eq!(owned(&story, "n4").await, 4096);
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_drains_first() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    let process = &mut story.cluster.node("n3").process;
    process.terminate();
    let status = process.ended(SETTLED_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", process.output());
    story.settle().await.1.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_too_little_time_says_what_it_left() {
    if !etcd::is_there() {
        return;
    }
    let setup = Setup::default().nodes(&["--drain-deadline", "200ms"]);
    let mut story = Story::start(3, setup).await;
    let before = cached_tests::story::rows_of(&story.cluster.gateway.url(), "n3").await;
    let process = &mut story.cluster.node("n3").process;
    process.terminate();
    let status = process.ended(NOTICE_MAX).await;
    assert_eq!(status.code(), Some(3), "{}", process.output());
    let (_cluster, report) = story.settle().await;
    cached_tests::story::assert_only_lost(&report, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_stopped_at_once_end_quickly() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.rest().await;
    for node in &story.cluster.nodes {
        node.process.terminate();
    }
    let mut codes = BTreeSet::new();
    for node in &mut story.cluster.nodes {
        // Far less than the 30 s that each may take.
        let status = node.process.ended(Duration::from_secs(15)).await;
        codes.insert(status.code());
    }
    // With all of them leaving, nobody was there who could have received anything.
    assert_eq!(codes, BTreeSet::from([Some(0)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_and_can_be_changed_on_the_way() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let id = story
        .operator
        .start_with(drain(&["n3"]), 20_000)
        .await
        .unwrap();
    // At that rate it would take minutes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let slow = story.operator.find(&id).await.unwrap();
    assert_eq!(slow.state, "running", "{slow:?}");
    let control = story.operator.control(&id, OperationControl::Rate, 0);
    control.await.unwrap();
    story.operator.done(&id, SETTLED_MAX).await;
    story.settle().await.1.assert_clean();
}
