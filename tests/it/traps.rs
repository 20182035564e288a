//! Traps that other caches fell into while their entries moved, each as a test: orders of
//! requests and moves that lose, revive or repeat something.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::{Key, Version};
use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use cached_proto::pb::cached::admin::v1::{OperationControl, StatsRequest};
use cached_tests::clients::{AnyClient, Rest};
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::load::LoadOptions;
use cached_tests::operations::drain;
use cached_tests::origin::Origin;
use cached_tests::story::{
    FLAGS, SETTLED_MAX, SLOW, Story, assert_only_lost, rows_of, slot, slots,
};
use cached_tests::{etcd, wait};

fn key(number: usize) -> Key {
    Key::new(format!("trap-{number}")).unwrap()
}

/// Deletes and conditional writes reach a new owner that had the entries only just now.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_and_swaps_do_not_come_before_the_entry() {
    if !etcd::is_there() {
        return;
    }
    const KEYS: usize = 3000;
    let story = Story::start(3, Setup::default()).await;
    let mut versions: Vec<Version> = Vec::new();
    for number in 0..KEYS {
        let set = story
            .client
            .set(key(number).as_bytes().to_vec(), "old", None)
            .await;
        versions.push(set.unwrap());
    }
    let id = story
        .operator
        .start_with(drain(&["n1"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 10, SETTLED_MAX).await;
    let operations = (0..KEYS).map(|number| match number % 2 {
        0 => Operation::Delete {
            key: key(number),
            condition: Condition::Always,
        },
        _ => Operation::Set {
            key: key(number),
            value: "new".into(),
            ttl: None,
            condition: Condition::IfVersion(versions[number]),
        },
    });
    let operations: Vec<Operation> = operations.collect();
    // In small steps, so that slots move between them.
    for (step, some) in operations.chunks(30).enumerate() {
        for (place, answer) in story
            .client
            .batch(some.to_vec())
            .await
            .into_iter()
            .enumerate()
        {
            match answer.unwrap().reply {
                Reply::Delete { deleted: true, .. } | Reply::Set { stored: true, .. } => (),
                other => panic!("{}: {other:?}", step * 30 + place),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    story.operator.done(&id, SETTLED_MAX).await;
    for number in 0..KEYS {
        let entry = story
            .client
            .get(key(number).as_bytes().to_vec())
            .await
            .unwrap();
        let value = entry.map(|entry| entry.value);
        let expected = (number % 2 == 1).then(|| "new".into());
        assert_eq!(value, expected, "{number}");
    }
    story.settle().await.1.assert_clean();
}

/// Written, listed, written again: once it is unlisted, the old value must not be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_blacklisted_node_does_not_return_with_an_old_value() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let own = rows_of(&story.cluster.gateway.url(), "n2").await;
    let keys: Vec<usize> = (0..1000)
        .filter(|number| own.contains(&slot(&format!("trap-{number}"))))
        .collect();
    let set = async |value: &'static str| {
        for number in &keys {
            let set = story
                .client
                .set(key(*number).as_bytes().to_vec(), value, None)
                .await;
            set.unwrap();
        }
    };
    set("old").await;
    let id = story
        .operator
        .start_with(drain(&["n2"]), SLOW)
        .await
        .unwrap();
    story.operator.moved(&id, 100, SETTLED_MAX).await;
    let run = async |line: &str| {
        let ran = story.cluster.cachectl(line).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    run("blacklist add n2 --ttl 1m").await;
    set("new").await;
    run("blacklist remove n2").await;
    let check = async || {
        for url in story.cluster.nodes.iter().map(|node| node.url()) {
            let client = Rest::new(&url);
            for number in &keys {
                let value = client.get(key(*number).as_bytes()).await.unwrap();
                assert_eq!(value.as_deref(), Some(&b"new"[..]), "{number} at {url}");
            }
        }
    };
    check().await;
    story.operator.done(&id, SETTLED_MAX).await;
    check().await;
    story.settle().await.1.assert_clean();
}

/// A slow load begins at one owner and ends when another one has a newer value.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_under_way_during_a_move_does_not_win() {
    if !etcd::is_there() {
        return;
    }
    const KEYS: usize = 200;
    let origin = Origin::start().await;
    let template = origin.template();
    let flags = [
        "--enable-getter",
        "--origin",
        &template,
        "--origin-timeout",
        "20s",
    ];
    let flags = [
        &flags[..],
        &["--request-timeout", "25s", "--origin-concurrency", "1000"],
    ]
    .concat();
    let cluster = TestCluster::start(2, Setup::default().nodes(&FLAGS).nodes(&flags)).await;
    for number in 0..KEYS {
        origin.set_value(&format!("trap-{number}"), "old");
    }
    origin.set_delay(Duration::from_secs(8));
    let mut loads = tokio::task::JoinSet::new();
    for number in 0..KEYS {
        let client = Rest::new(&cluster.nodes[number % 2].url());
        loads.spawn(async move { client.get(key(number).as_bytes()).await });
    }
    wait::until("the loads run", SETTLED_MAX, async || {
        match origin.loads() {
            loads if loads >= KEYS as u64 => Ok(()),
            loads => Err(loads),
        }
    })
    .await;
    let operator = cluster.operator();
    operator
        .done(&operator.drain(&["n1"]).await.unwrap(), SETTLED_MAX)
        .await;
    let client = Rest::new(&cluster.gateway.url());
    for number in 0..KEYS {
        client
            .set(key(number).as_bytes(), b"new", None)
            .await
            .unwrap();
    }
    while loads.join_next().await.is_some() {}
    origin.set_delay(Duration::ZERO);
    for number in 0..KEYS {
        let value = client.get(key(number).as_bytes()).await.unwrap();
        assert_eq!(value.as_deref(), Some(&b"new"[..]), "{number}");
    }
}

/// Nodes that know different rows pass a request on once, never to and fro.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_passed_on_once_at_most_while_rows_change() {
    if !etcd::is_there() {
        return;
    }
    let story = Story::start(3, Setup::default()).await;
    let passed_on = async || {
        let mut admin = AdminClient::connect(story.cluster.gateway.url())
            .await
            .unwrap();
        let request = StatsRequest {
            own_node_only: false,
        };
        let nodes = admin.stats(request).await.unwrap().into_inner().nodes;
        let requests = nodes.iter().filter_map(|node| node.requests);
        requests.fold((0, 0), |(rest, passed), one| {
            (rest + one.rest, passed + one.forwarded)
        })
    };
    let (rest, before) = passed_on().await;
    let id = story
        .operator
        .start_with(drain(&["n3"]), SLOW)
        .await
        .unwrap();
    for round in 0..300 {
        let node = &story.cluster.nodes[round % 3];
        let value = Rest::new(&node.url()).get(b"nobody-set-it").await;
        assert_eq!(value.unwrap(), None);
        let other = format!("trap-{round}");
        Rest::new(&node.url())
            .set(other.as_bytes(), b"x", None)
            .await
            .unwrap();
    }
    story.operator.done(&id, SETTLED_MAX).await;
    let (rest_after, after) = passed_on().await;
    assert!(
        after - before <= rest_after - rest,
        "{} of {}",
        after - before,
        rest_after - rest
    );
    story.settle().await.1.assert_clean();
}
