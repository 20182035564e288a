//! The topology is followed, over the loss of nodes, until the last client is dropped.

use std::time::Duration;

use cached_client::{Client, Options};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::fake::{Fake, topology};

/// Far more than any step takes: a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(20);

/// Waits until the client knows this layout.
pub(crate) async fn until_layout(client: &Client, layout: u64) {
    let mut topologies = std::pin::pin!(client.watch_topology());
    let reached = async {
        while let Some(topology) = topologies.next().await {
            if topology.layout == layout {
                return;
            }
        }
    };
    timeout(LONG, reached).await.unwrap();
}

#[tokio::test]
async fn changes_arrive_and_lost_nodes_are_replaced() {
    let (a, b) = (Fake::start("a").await, Fake::start("b").await);
    a.publish(Some(topology(&[&a, &b], 1))).await;
    let client = Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    a.publish(Some(topology(&[&a, &b], 2))).await;
    until_layout(&client, 2).await;

    // The feed ends and its node knows nothing more: b is only known as a member.
    a.publish(None).await;
    b.publish(Some(topology(&[&a, &b], 3))).await;
    a.end_feeds();
    until_layout(&client, 3).await;

    // Both refuse for a while; then a is back.
    b.publish(None).await;
    b.end_feeds();
    a.publish(Some(topology(&[&a, &b], 4))).await;
    until_layout(&client, 4).await;
}

#[tokio::test]
async fn another_cluster_at_a_known_address_is_not_believed() {
    let (a, b) = (Fake::start("a").await, Fake::start("b").await);
    a.publish(Some(topology(&[&a, &b], 1))).await;
    let client = Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    let mut other = topology(&[&b], 9);
    other.cluster = "staging".to_owned();
    a.publish(Some(other)).await;
    b.publish(Some(topology(&[&a, &b], 2))).await;
    until_layout(&client, 2).await;
    assert_eq!(client.topology().cluster.as_str(), "prod");
}

#[tokio::test]
async fn the_task_ends_with_the_last_clone() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let client = Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    let group = client.with_group("g".parse().unwrap());
    drop(client);
    a.publish(Some(topology(&[&a], 2))).await;
    until_layout(&group, 2).await;
    drop(group);
    timeout(LONG, a.feeds_ended()).await.unwrap();
}
