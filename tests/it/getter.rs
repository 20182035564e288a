//! Loads: one per key in the whole cluster, and never staler than a write.

use std::sync::Arc;
use std::time::Duration;

use cached_tests::clients::http;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::origin::{Origin, body_of};
use cached_tests::{etcd, wait};
use tokio::task::JoinSet;

/// How long a busy machine may take to get through a thousand loads.
const PATIENCE: Duration = Duration::from_secs(30);

async fn cluster_with(origin: &Origin, more: &[&str]) -> TestCluster {
    let template = origin.template();
    let mut flags = vec!["--enable-getter", "--origin", &template];
    flags.extend(more);
    TestCluster::start(3, Setup::default().nodes(&flags)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_on_many_nodes_make_one_load() {
    if !etcd::is_there() {
        return;
    }
    let origin = Origin::start().await;
    let cluster = cluster_with(&origin, &[]).await;
    origin.set_delay(Duration::from_millis(300));
    let clients = Arc::new(cluster.every_client().await);
    let mut callers = JoinSet::new();
    for number in 0..32 {
        let clients = Arc::clone(&clients);
        callers.spawn(async move {
            let client = &clients[number % clients.len()];
            client
                .get(b"cold")
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", client.name()))
        });
    }
    while let Some(value) = callers.join_next().await {
        assert_eq!(value.unwrap(), Some(body_of("cold").into_bytes()));
    }
    assert_eq!(origin.loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_during_slow_loads_win() {
    if !etcd::is_there() {
        return;
    }
    const KEYS: usize = 1000;
    let origin = Origin::start().await;
    let cluster = cluster_with(&origin, &["--origin-concurrency", "2000"]).await;
    for number in 0..KEYS {
        origin.set_value(&format!("k{number}"), "old");
    }
    origin.set_delay(Duration::from_millis(1200));
    let clients = Arc::new(cluster.every_client().await);
    let mut readers = JoinSet::new();
    for number in 0..KEYS {
        let clients = Arc::clone(&clients);
        readers.spawn(async move {
            let client = &clients[number % clients.len()];
            let _ = client.get(format!("k{number}").as_bytes()).await;
        });
    }
    // Every load has read "old" at the origin once it was counted there.
    wait::until("all loads run", Duration::from_secs(20), || async {
        let loads = origin.loads() as usize;
        if loads >= KEYS { Ok(()) } else { Err(loads) }
    })
    .await;
    let mut writers = JoinSet::new();
    for number in 0..KEYS {
        origin.set_value(&format!("k{number}"), "new");
        let clients = Arc::clone(&clients);
        writers.spawn(async move {
            let client = &clients[(number + 1) % clients.len()];
            let key = format!("k{number}");
            // A thousand loads at once may keep a busy machine from answering in time;
            // what counts is what is seen once the write is acknowledged.
            wait::until("the write is acknowledged", PATIENCE, async || {
                if number % 2 == 0 {
                    client.set(key.as_bytes(), b"new", None).await
                } else {
                    client.delete(key.as_bytes()).await.map(|_| ())
                }
            })
            .await;
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    origin.set_delay(Duration::ZERO);
    // From here on nobody may see "old", neither now nor after the slow loads ended.
    for round in 0..2 {
        for number in 0..KEYS {
            let client = &clients[(number + round) % clients.len()];
            let key = format!("k{number}");
            let value = wait::until("a read is answered", PATIENCE, || {
                client.get(key.as_bytes())
            })
            .await;
            assert_eq!(
                value.as_deref(),
                Some(&b"new"[..]),
                "round {round}, k{number}"
            );
        }
        while readers.join_next().await.is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origins_errors_reach_callers_and_are_not_kept() {
    if !etcd::is_there() {
        return;
    }
    let origin = Origin::start().await;
    let cluster = cluster_with(&origin, &["--origin-timeout", "400ms"]).await;
    let url = format!("{}/api?key=shaky", cluster.gateway.url());
    let http = http();
    origin.set_broken(true);
    let failed = http.get(&url).send().await.unwrap();
    assert_eq!(failed.status().as_u16(), 502);
    let problem: serde_json::Value = failed.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("500"),
        "{problem}"
    );
    origin.set_broken(false);
    assert_eq!(
        http.get(&url).send().await.unwrap().text().await.unwrap(),
        body_of("shaky")
    );

    // A hung origin frees its waiters after its timeout.
    origin.set_delay(Duration::from_secs(60));
    let hung = http
        .get(format!("{}/api?key=hung", cluster.gateway.url()))
        .send();
    let hung = tokio::time::timeout(Duration::from_secs(5), hung)
        .await
        .expect("freed")
        .unwrap();
    assert_eq!(hung.status().as_u16(), 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_remembered_until_it_is_written() {
    if !etcd::is_there() {
        return;
    }
    let origin = Origin::start().await;
    let cluster = cluster_with(&origin, &["--origin-negative-ttl", "1m"]).await;
    let clients = cluster.every_client().await;
    for client in &clients {
        assert_eq!(client.get(b"missing-1").await.unwrap(), None);
    }
    assert_eq!(origin.loads(), 1);
    clients[0]
        .set(b"missing-1", b"here now", None)
        .await
        .unwrap();
    for client in &clients {
        assert_eq!(
            client.get(b"missing-1").await.unwrap(),
            Some(b"here now".to_vec())
        );
    }
}
