//! etcd that stands still for some nodes or all: their packets go nowhere, and every
//! connection stays open. Two leases long each.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_client::{Client, Options};
use cached_tests::etcd;
use cached_tests::load::{Load, LoadOptions};
use cached_tests::netns::{Net, NetCluster};
use cached_tests::operations::{Operator, drain};
use cached_tests::story::{self, FLAGS, SETTLED_MAX, SLOW, assert_only_lost};
use cached_tests::wait;

const LEASE: [&str; 4] = ["--lease-ttl", "4s", "--heartbeat", "1s"];

/// Two leases, and more.
const SILENCE: Duration = Duration::from_secs(9);

/// What goes on meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moving {
    Nothing,
    /// n1 gives its slots away.
    Drain,
    /// n4 is given its share.
    Join,
}

/// Three nodes, and the registry stands still for those hosts.
async fn stands_still(hosts: &[usize], moving: Moving) {
    if !etcd::is_there() {
        return;
    }
    let Some(net) = Net::start(4) else { return };
    let flags = [&FLAGS[..], &LEASE].concat();
    let mut cluster = NetCluster::start_first(net, 3, &flags).await;
    let operator = Operator::new(&cluster.url(3));
    operator.settled(SETTLED_MAX).await;
    let seeds = Options::nodes((1..=3).map(|host| cluster.url(host)));
    let client = Client::connect(seeds).await.expect("the nodes answer");
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    let before = story::topology(&cluster.url(3)).await;
    load.begin("silence");
    let id = match moving {
        Moving::Nothing => None,
        Moving::Drain => Some(operator.start_with(drain(&["n1"]), SLOW).await.unwrap()),
        Moving::Join => {
            let known = operator.known().await;
            cluster.add(&flags).await;
            let id = operator.appears("join", &known, SETTLED_MAX).await;
            let rate = cached_proto::pb::cached::admin::v1::OperationControl::Rate;
            operator.control(&id, rate, SLOW).await.unwrap();
            Some(id)
        }
    };
    if let Some(id) = &id {
        operator.moved(id, 50, SETTLED_MAX).await;
    }
    hosts
        .iter()
        .for_each(|host| cluster.net.cut_registry(*host));
    tokio::time::sleep(SILENCE).await;
    hosts
        .iter()
        .for_each(|host| cluster.net.heal_registry(*host));
    if let Some(id) = &id {
        operator.done(id, SETTLED_MAX).await;
    }
    operator.settled(SETTLED_MAX).await;
    load.begin("after");
    // A turn of every worker, and more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_only_lost(&load.finish().await, &BTreeSet::new());
    if moving == Moving::Nothing {
        let after = story::topology(&cluster.url(3)).await;
        assert_eq!(before["ranges"], after["ranges"], "no row changed");
    }
    for node in &cluster.nodes {
        assert!(!node.output().contains("panicked"), "{}", node.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_stands_still_during_a_join() {
    stands_still(&[1, 2, 3, 4], Moving::Join).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_stands_still_during_a_drain() {
    stands_still(&[1, 2, 3], Moving::Drain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_reach_the_registry_alone() {
    stands_still(&[1], Moving::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_does_not_reach_the_registry_alone_during_its_drain() {
    stands_still(&[1], Moving::Drain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_does_not_reach_the_registry_alone_during_its_join() {
    stands_still(&[4], Moving::Join).await;
}

/// One that the registry does not hear hears from it that its key is gone: it stops in every
/// mode, and is taken over like a dead one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_registry_does_not_hear_is_taken_over() {
    if !etcd::is_there() {
        return;
    }
    let Some(net) = Net::start(3) else { return };
    let flags = [&FLAGS[..], &LEASE].concat();
    let cluster = NetCluster::start(net, &flags).await;
    let operator = Operator::new(&cluster.url(3));
    operator.settled(SETTLED_MAX).await;
    let seeds = Options::nodes((1..=3).map(|host| cluster.url(host)));
    let client = Client::connect(seeds).await.expect("the nodes answer");
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    let excused = story::rows_of(&cluster.url(3), "n1").await;
    load.begin("mute");
    cluster.net.mute_to_registry(1);
    let gone = async || {
        let left = story::rows_of(&cluster.url(3), "n1").await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    };
    wait::until("no row names n1", SETTLED_MAX, gone).await;
    cluster.net.unmute_to_registry(1);
    operator.settled(SETTLED_MAX).await;
    load.begin("after");
    // A turn of every worker, and more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_only_lost(&load.finish().await, &excused);
}
