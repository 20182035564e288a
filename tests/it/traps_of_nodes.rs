//! Traps that other caches fell into while their entries moved, each as a test: nodes that
//! die, return, are refused, lose the registry, or have another time.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use cached_client::types::Ttl;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::operations::{Operator, drain};
use cached_tests::process::Process;
use cached_tests::story::{
    FLAGS, SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slots, topology,
};
use cached_tests::{binaries, etcd, wait};

/// Killed and started again on its address in the middle of its own drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_restarts_on_its_address_during_its_own_drain() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&["n3"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    let url = story.cluster.gateway.url();
    story.cluster.nodes[2].process.kill();
    let excused = rows_of(&url, "n3").await;
    story.cluster.restart(2).await;
    let over = story.operator.over(&id, SETTLED_MAX).await;
    assert!(
        ["done", "failed"].contains(&over.state.as_str()),
        "{over:?}"
    );
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &excused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_killed_in_the_middle_of_its_join() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("join");
    let id = story.join("n4", Setup::default()).await;
    let control = cached_proto::pb::cached::admin::v1::OperationControl::Rate;
    story.operator.control(&id, control, SLOW).await.unwrap();
    story.operator.moved(&id, 50, SETTLED_MAX).await;
    story.cluster.node("n4").process.kill();
    let excused = story.rows_until_gone("n4").await;
    story.operator.over(&id, SETTLED_MAX).await;
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, &excused);
    let slots = slots(&cluster.gateway.url()).await;
    assert_eq!(slots["n1"] + slots["n2"] + slots["n3"], 16_384, "{slots:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_killed_in_the_middle_of_its_drain() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&["n3"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    story.cluster.node("n3").process.kill();
    let excused = story.rows_until_gone("n3").await;
    story.operator.over(&id, SETTLED_MAX).await;
    let (_cluster, report) = story.settle().await;
    assert_only_lost(&report, &excused);
}

/// Two nodes with the same tokens, and n3, whose tokens mean something else; with the file of
/// an operator's token for the two.
async fn with_a_stranger(folder: &tempfile::TempDir) -> (TestCluster, String) {
    let tokens = |name: &str, lines: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, lines).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = (
        tokens(
            "ours",
            "admin rules-everything-0123456789\nread rules-something-else-0123456789\n",
        ),
        tokens(
            "theirs",
            "admin rules-something-else-0123456789\nread rules-everything-0123456789\n",
        ),
    );
    let mine = tokens("mine", "rules-everything-0123456789\n");
    let setup = Setup::with(&["--token-file", &ours]).nodes(&FLAGS);
    let mut cluster = TestCluster::start_unwatched(2, setup).await;
    let stranger = Setup::with(&["--token-file", &theirs]).nodes(&FLAGS);
    cluster.add("n3", &stranger).await;
    (cluster, mine)
}

/// A receiver that lets us read only: its reason is shown, and the pauses between two tries
/// become longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_rights_shows_its_reason() {
    if !etcd::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cluster, mine) = with_a_stranger(&folder).await;
    let url = cluster.nodes[0].url();
    wait::until("the reason is shown", SETTLED_MAX, async || {
        let words = ["--endpoint", &url, "--token-file", &mine, "-o", "json"];
        let ran = cached_tests::command::cachectl(&words, "migrations list")
            .run()
            .await;
        let text = format!("{}{}", ran.out, ran.err).to_lowercase();
        let says = ["token", "permission", "unauthenticated", "needs"];
        if says.iter().any(|word| text.contains(word)) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

/// A node that lets nobody in, and is let in by nobody, takes nobody for dead and is not
/// taken for dead: no member loses its key, and the status says who refuses whom.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_other_tokens_is_not_dead() {
    if !etcd::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cluster, mine) = with_a_stranger(&folder).await;
    let url = cluster.nodes[0].url();
    wait::until(
        "the status says who refuses whom",
        SETTLED_MAX,
        async || {
            let words = ["--endpoint", &url, "--token-file", &mine, "-o", "json"];
            let ran = cached_tests::command::cachectl(&words, "status")
                .run()
                .await;
            if ran.out.contains("n3: refuses the calls of n1: ") {
                Ok(())
            } else {
                Err(ran.out)
            }
        },
    )
    .await;
    // Longer than a suspicion, an inquiry and a removal take.
    tokio::time::sleep(Duration::from_secs(10)).await;
    for node in &cluster.nodes {
        let said = node.process.output();
        for word in ["does not answer", "left: ", "registered again"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
    }
}

/// etcd is away for two leases of every node, in the middle of a drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_for_two_leases_shrinks_nothing() {
    if !etcd::is_there() {
        return;
    }
    let flags = ["--lease-ttl", "4s", "--heartbeat", "1s"];
    let mut story = Story::start(3, Setup::with(&flags)).await;
    story.load.begin("drain");
    let id = story
        .operator
        .start_with(drain(&["n1"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    story.cluster.etcd.kill();
    tokio::time::sleep(Duration::from_secs(9)).await;
    story.cluster.etcd.restart().await;
    story.operator.done(&id, SETTLED_MAX).await;
    let (cluster, report) = story.settle().await;
    assert_only_lost(&report, &BTreeSet::new());
    let slots = slots(&cluster.gateway.url()).await;
    assert_eq!(slots["n2"] + slots["n3"], 16_384, "{slots:?}");
}

fn with_clock(node: &str, offset_ms: &str) -> Setup {
    let mut setup = Setup::default().nodes(&FLAGS);
    let entry = (node, "CACHED_WALL_OFFSET_MS", offset_ms);
    setup
        .environment
        .push((entry.0.into(), entry.1.into(), entry.2.into()));
    setup
}

/// Clocks that differ by less than half a second: times to live hold, newer values win.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_change_neither_lives_nor_the_order_of_writes() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(2, Setup::default().nodes(&FLAGS)).await;
    let client = cluster.client().await;
    let ttl = Some(Ttl::from_ms(20_000).unwrap());
    let set = Instant::now();
    for number in 0..2000 {
        client.set(format!("k{number}"), "old", ttl).await.unwrap();
    }
    cluster.add("n3", &with_clock("n3", "-300")).await;
    cluster.all_served(3).await;
    let operator = cluster.operator();
    operator.settled(SETTLED_MAX).await;
    let moved = rows_of(&cluster.gateway.url(), "n3").await;
    assert!(!moved.is_empty());
    for number in 0..2000 {
        let key = format!("k{number}");
        let Some(entry) = client.get(key.clone()).await.unwrap() else {
            assert!(
                set.elapsed() > Duration::from_secs(19),
                "{key} is gone too early"
            );
            continue;
        };
        let left = Duration::from_millis(entry.ttl_ms.unwrap());
        assert!(left < Duration::from_millis(20_400), "{key}: {left:?}");
        let before = entry.version;
        let version = client.set(key.clone(), "new", None).await.unwrap();
        assert!(Some(version) > before, "{key}");
    }
    // Back again, to the faster clock.
    operator
        .done(&operator.drain(&["n3"]).await.unwrap(), SETTLED_MAX)
        .await;
    for number in 0..2000 {
        let entry = client.get(format!("k{number}")).await.unwrap();
        assert!(entry.is_none_or(|entry| entry.value == "new"), "{number}");
    }
    let topology = topology(&cluster.gateway.url()).await;
    assert!(topology.to_string().contains("n3"));
}

/// Clocks that differ by more: the node is not let in, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_time_is_refused() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(2, Setup::default().nodes(&FLAGS)).await;
    let folder = tempfile::tempdir().unwrap();
    let words = format!("--name late --port 0 --etcd {}", cluster.etcd.endpoint());
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let clock = with_clock("late", "-2000").environment;
    let environment: Vec<_> = clock
        .into_iter()
        .map(|(_, name, value)| (name, value))
        .collect();
    let log = folder.path().join("late.log");
    let mut late = Process::start_with(&binaries::cached(), &words, &environment, &log);
    let status = late.ended(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(1), "{}", late.output());
    assert!(late.output().contains("clock"), "{}", late.output());
    Operator::new(&cluster.gateway.url())
        .settled(SETTLED_MAX)
        .await;
}
