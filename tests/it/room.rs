//! Receivers without room: refused beforehand, rolled back when it turns out on the way,
//! and what an operator allows to be shed is counted.

use std::time::Duration;

use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::Key;
use cached_client::{Client, operation::Answer};
use cached_proto::pb::cached::admin::v1::OperationControl;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::load::LoadOptions;
use cached_tests::story::{FLAGS, SETTLED_MAX, Story, slots};
use cached_tests::{etcd, wait};

const SMALL: [&str; 4] = ["--memory", "8MiB", "--max-value", "64KiB"];
/// So that three small nodes hold them, and two do not.
const KEYS: usize = 18_000;

async fn ask(client: &Client, operations: Vec<Operation>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for some in operations.chunks(500) {
        for answer in client.batch(some.to_vec()).await {
            answers.push(answer.unwrap());
        }
    }
    answers
}

fn set(number: usize) -> Operation {
    Operation::Set {
        key: Key::new(format!("k{number}")).unwrap(),
        value: vec![b'x'; 1000].into(),
        ttl: None,
        condition: Condition::Always,
    }
}

fn get(number: usize) -> Operation {
    Operation::Get {
        key: Key::new(format!("k{number}")).unwrap(),
        no_load: true,
        // One that only looks does not count as a use.
        metadata_only: false,
    }
}

async fn there(client: &Client, numbers: std::ops::Range<usize>) -> usize {
    let answers = ask(client, numbers.map(get).collect()).await;
    let found = answers
        .iter()
        .filter(|answer| matches!(answer.reply, Reply::Get(Some(_))));
    found.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_does_not_fit_is_refused_and_sheds_the_coldest_when_told() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default().nodes(&FLAGS).nodes(&SMALL)).await;
    let client = cluster.client().await;
    ask(&client, (0..KEYS).map(set).collect()).await;
    assert_eq!(
        there(&client, 0..KEYS).await,
        KEYS,
        "they fit on three nodes"
    );
    // The first half is used again: it is the warmer one.
    there(&client, 0..KEYS / 2).await;
    let refused = cluster.cachectl("drain n3 --yes").await;
    assert_eq!(refused.code, 7, "{refused:?}");
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("--shed") && said.contains("memory"), "{said}");
    assert!(
        slots(&cluster.gateway.url()).await["n3"] > 0,
        "nothing was done"
    );

    let shed = cluster.cachectl("drain n3 --yes --shed").await;
    assert_eq!(shed.code, 0, "{shed:?}");
    let operator = cluster.operator();
    operator.settled(SETTLED_MAX).await;
    assert_eq!(slots(&cluster.gateway.url()).await["n3"], 0);
    let counted = operator
        .list()
        .await
        .unwrap()
        .pop()
        .unwrap()
        .moved
        .unwrap()
        .shed;
    assert!(counted > 0, "what was shed is counted");
    let (warm, cold) = (
        there(&client, 0..KEYS / 2).await,
        there(&client, KEYS / 2..KEYS).await,
    );
    assert!(warm > cold, "warm {warm}, cold {cold}, shed {counted}");
    assert_eq!(
        warm + cold + counted as usize,
        KEYS,
        "warm {warm}, cold {cold}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_runs_full_on_the_way_is_rolled_back() {
    if !etcd::is_there() {
        return;
    }
    let options = LoadOptions {
        delete_percent: 0,
        value_bytes: 1000,
        ..LoadOptions::default()
    };
    let mut story = Story::start_with(3, Setup::default(), &options).await;
    story.load.begin("join");
    let small = Setup::default().nodes(&["--memory", "2MiB", "--max-value", "64KiB"]);
    let id = story.join("n4", small).await;
    let record = wait::until("it says that there is no room", SETTLED_MAX, async || {
        let record = story.operator.find(&id).await?;
        let says = record
            .pairs
            .iter()
            .any(|pair| pair.blocked.contains("are free"));
        if says {
            Ok(record)
        } else {
            Err(format!("{record:?}"))
        }
    })
    .await;
    if record.state == "running" {
        // It keeps trying, with longer and longer pauses; an operator has seen enough.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let cancelled = story
            .operator
            .control(&id, OperationControl::Cancel, 0)
            .await;
        cancelled.unwrap();
        story.operator.over(&id, SETTLED_MAX).await;
    }
    story.load.begin("after");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = story.operator.keys().await;
    let report = story.load.finish().await;
    report.assert_clean();
    assert_eq!(used.values().sum::<u64>(), 20_000, "{used:?}");
}
