//! Links between two nodes that break one way or both, while both see the registry: moves
//! over them are put off, the others go on, and all comes to its end after the healing.

use std::time::Duration;

use cached_client::{Client, Options};
use cached_tests::etcd;
use cached_tests::load::{Load, LoadOptions};
use cached_tests::netns::{Net, NetCluster};
use cached_tests::operations::{Operator, drain};
use cached_tests::story::{self, FLAGS, SETTLED_MAX, SLOW};
use cached_tests::wait;

/// Three hosts; n1 is drained slowly, and the links from each pair's first to its second
/// host are cut once it has begun. The load's clients are outside and reach all of them.
async fn cut_while_draining(links: &[(usize, usize)]) {
    if !etcd::is_there() {
        return;
    }
    let Some(net) = Net::start(3) else { return };
    let cluster = NetCluster::start(net, &FLAGS).await;
    let operator = Operator::new(&cluster.url(3));
    operator.settled(SETTLED_MAX).await;
    let seeds = Options::nodes((1..=3).map(|host| cluster.url(host)));
    let client = Client::connect(seeds).await.expect("the nodes answer");
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    load.begin("drain");
    let id = operator.start_with(drain(&["n1"]), SLOW).await.unwrap();
    operator.moved(&id, 100, SETTLED_MAX).await;
    for (from, to) in links {
        cluster.net.cut(*from, *to);
    }
    let told = |record: &cached_proto::pb::cached::admin::v1::OperationRecord, to: &str| {
        let pair = record
            .pairs
            .iter()
            .find(|pair| pair.from == "n1" && pair.to == to);
        pair.cloned().unwrap_or_default()
    };
    let before = told(&operator.find(&id).await.unwrap(), "n3");
    wait::until(
        "the move to n2 is put off, and says why",
        SETTLED_MAX,
        async || {
            let pair = told(&operator.find(&id).await?, "n2");
            let put_off =
                pair.tries >= 1 && !(pair.blocked.is_empty() && pair.last_error.is_empty());
            if put_off {
                Ok(())
            } else {
                Err(format!("{pair:?}"))
            }
        },
    )
    .await;
    wait::until("the moves to n3 go on", SETTLED_MAX, async || {
        let pair = told(&operator.find(&id).await?, "n3");
        let slots = |pair: &cached_proto::pb::cached::admin::v1::PairProgress| {
            pair.moved.unwrap_or_default().slots
        };
        if pair.slots_left == 0 || slots(&pair) > slots(&before) {
            Ok(())
        } else {
            Err(format!("{pair:?}"))
        }
    })
    .await;
    for (from, to) in links {
        cluster.net.heal(*from, *to);
    }
    operator.done(&id, SETTLED_MAX).await;
    operator.settled(SETTLED_MAX).await;
    load.begin("after");
    // A turn of every worker, and more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = load.finish().await;
    report.assert_clean();
    for node in &cluster.nodes {
        assert!(!node.output().contains("panicked"), "{}", node.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_reach_its_receiver_puts_it_off() {
    cut_while_draining(&[(1, 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_reach_its_sender_is_put_off() {
    cut_while_draining(&[(2, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_does_not_see_each_other_is_put_off() {
    cut_while_draining(&[(1, 2), (2, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_takes_nobody_over() {
    if !etcd::is_there() {
        return;
    }
    let Some(net) = Net::start(3) else { return };
    let cluster = NetCluster::start(net, &FLAGS).await;
    let operator = Operator::new(&cluster.url(3));
    operator.settled(SETTLED_MAX).await;
    let seeds = Options::nodes((1..=3).map(|host| cluster.url(host)));
    let client = Client::connect(seeds).await.expect("the nodes answer");
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    load.begin("cut");
    let before = story::topology(&cluster.url(3)).await;
    cluster.net.cut(1, 2);
    // Longer than a suspicion and G each: one way, then both.
    tokio::time::sleep(Duration::from_secs(12)).await;
    cluster.net.cut(2, 1);
    tokio::time::sleep(Duration::from_secs(12)).await;
    cluster.net.heal(1, 2);
    cluster.net.heal(2, 1);
    operator.settled(SETTLED_MAX).await;
    let after = story::topology(&cluster.url(3)).await;
    assert_eq!(before["ranges"], after["ranges"], "no row changed");
    load.finish().await.assert_clean();
}

/// Everything arrives late, and some packets only the second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_lossy_network_only_takes_longer() {
    if !etcd::is_there() {
        return;
    }
    let Some(net) = Net::start(3) else { return };
    if !net.impair("delay 5ms 2ms loss 1%") {
        return;
    }
    let cluster = NetCluster::start(net, &FLAGS).await;
    let operator = Operator::new(&cluster.url(3));
    operator.settled(SETTLED_MAX).await;
    let seeds = Options::nodes((1..=3).map(|host| cluster.url(host)));
    let client = Client::connect(seeds).await.expect("the nodes answer");
    let mut load = Load::fill(&client, &LoadOptions::default()).await;
    load.begin("drain");
    let id = operator.drain(&["n1"]).await.unwrap();
    operator.done(&id, SETTLED_MAX).await;
    operator.settled(SETTLED_MAX).await;
    story::assert_only_lost(&load.finish().await, &std::collections::BTreeSet::new());
}
