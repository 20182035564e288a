//! A real access trace through the gateway: right bodies, exact counts, fair shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cached_tests::clients::http;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::origin::{Origin, body_of};
use cached_tests::{etcd, trace};
use serde_json::Value;
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
/// Distinct keys of the trace `web07`.
const DISTINCT: u64 = 20_484;

#[tokio::test(flavor = "multi_thread")]
async fn web07_is_served_right_and_loaded_once() {
    let Some(keys) = trace::keys("web07") else {
        return;
    };
    if !etcd::is_there() {
        return;
    }
    let origin = Origin::start().await;
    let template = origin.template();
    let flags = ["--enable-getter", "--origin", &template];
    let cluster = TestCluster::start(3, Setup::default().nodes(&flags)).await;
    let (keys, next) = (Arc::new(keys), Arc::new(AtomicUsize::new(0)));
    let url = cluster.gateway.url();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (keys, next, url, http) = (Arc::clone(&keys), Arc::clone(&next), url.clone(), http());
        clients.spawn(async move {
            while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = http
                    .get(format!("{url}/api?key={key}"))
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status().as_u16(), 200, "{key}");
                assert_eq!(answer.text().await.unwrap(), body_of(key));
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    assert_eq!(origin.loads(), DISTINCT);

    let stats = http().get(format!("{url}/api/stats")).send().await.unwrap();
    let stats: Value = stats.json().await.unwrap();
    assert_eq!(stats["keys_count"], DISTINCT);
    let fair = DISTINCT as f64 / 3.0;
    for node in stats["nodes"].as_array().unwrap() {
        let keys = node["keys"].as_u64().unwrap() as f64;
        assert!(
            (keys / fair - 1.0).abs() <= 0.03,
            "{node} of a fair share of {fair}"
        );
    }
    counts_agree(&cluster, keys.len() as u64);
}

/// `cachectl stats` knows every request: each was a hit, or one load.
fn counts_agree(cluster: &TestCluster, requests: u64) {
    let endpoint = cluster.nodes[0].url();
    let output = std::process::Command::new(cached_tests::binaries::cachectl())
        .args(["--endpoint", &endpoint, "stats", "-o", "json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sum = |field: &str| -> u64 {
        let nodes = stats["nodes"].as_array().unwrap();
        let groups = nodes
            .iter()
            .flat_map(|node| node["groups"].as_array().unwrap());
        groups.map(|group| group[field].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("keys"), DISTINCT);
    assert_eq!(sum("hits") + sum("misses"), requests, "{stats}");
    let loads: u64 = stats["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["getter"]["loads"].as_u64().unwrap())
        .sum();
    assert_eq!(loads, DISTINCT);
}
