//! Operators' calls: questions to all, changes to one.

use std::time::Duration;

use cached_client::{Admin, Applied, ConnectOptions, Error, Options};
use tokio_stream::StreamExt;

use crate::fake::{Fake, Reaction, topology};

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_first_answer_wins_and_says_whose_it_is() {
    // b knows no topology and never answers how it is.
    let (a, b) = (Fake::start("a").await, Fake::start("b").await);
    a.publish(Some(topology(&[&a], 1))).await;
    let endpoints = [b.address(), "127.0.0.1:1", a.address()].map(str::to_owned);
    let admin = Admin::new(ConnectOptions::default(), &endpoints, TIMEOUT).unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!(
        (status.endpoint.as_str(), status.value.node.as_str()),
        (a.address(), "a")
    );
    let topology = admin.topology().await.unwrap();
    assert_eq!(
        (topology.endpoint.as_str(), topology.value.layout),
        (a.address(), 1)
    );
    assert_eq!(admin.groups().await.unwrap().value, []);
    assert_eq!(admin.stats(true).await.unwrap().value, []);
}

#[tokio::test]
async fn a_change_is_sent_to_one_node_that_answers() {
    let (a, b) = (Fake::start("a").await, Fake::start("b").await);
    a.publish(Some(topology(&[&a, &b], 1))).await;
    let client = cached_client::Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    let admin = client.admin();
    let target = "b".parse().unwrap();
    let added = admin
        .blacklist_add(&target, TIMEOUT, "disk", "ann@host")
        .await
        .unwrap();
    assert_eq!(added.endpoint, a.address());
    assert_eq!(a.calls(), ["status", "add_blacklist"]);
    assert!(!b.calls().contains(&"add_blacklist".to_owned()));

    let removed = admin
        .at(b.address())
        .blacklist_remove(&target, "ann@host")
        .await
        .unwrap();
    assert_eq!(
        (removed.endpoint.as_str(), removed.value),
        (b.address(), false)
    );
    assert_eq!(a.calls(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_change_that_is_not_answered_may_have_been_made() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let endpoints = [a.address().to_owned()];
    let short = Duration::from_millis(200);
    let admin = Admin::new(ConnectOptions::default(), &endpoints, short).unwrap();
    a.script([Reaction::Hang]);
    let error = admin
        .group_flush(&"g".parse().unwrap(), "ann@host")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Lost {
                timed_out: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.applied(), Applied::Unknown);
    assert_eq!(a.calls(), ["flush_group"]);
}

#[tokio::test]
async fn a_watched_topology_ends_with_an_error() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let endpoints = [a.address().to_owned()];
    let admin = Admin::new(ConnectOptions::default(), &endpoints, TIMEOUT).unwrap();
    let mut topologies = std::pin::pin!(admin.watch_topology().await.unwrap());
    assert_eq!(topologies.next().await.unwrap().unwrap().value.layout, 1);
    a.publish(Some(topology(&[&a], 2))).await;
    assert_eq!(topologies.next().await.unwrap().unwrap().value.layout, 2);
    a.end_feeds();
    assert!(matches!(
        topologies.next().await,
        Some(Err(Error::Unreachable(_)))
    ));
    assert!(topologies.next().await.is_none());
}

#[tokio::test]
async fn nobody_answering_names_every_address() {
    let endpoints = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned);
    let admin = Admin::new(ConnectOptions::default(), &endpoints, TIMEOUT).unwrap();
    let text = admin.status().await.unwrap_err().to_string();
    assert!(
        text.contains("127.0.0.1:1: ") && text.contains("127.0.0.1:2: "),
        "{text}"
    );
}
