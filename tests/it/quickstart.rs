//! The original system's quick start, line by line, against real processes.

use std::time::Duration;

use cached_tests::clients::{self, http};
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::etcd::{self, Etcd};
use cached_tests::process::Process;
use cached_tests::{binaries, wait};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_lines_work_over_the_gateway_and_every_node() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default().nodes(&["--enable-getter"])).await;
    for node in cluster.nodes.iter().chain([&cluster.gateway]) {
        curl_lines(&node.url()).await;
    }
}

/// In the order of the original's README, after its demonstration table was loaded.
async fn curl_lines(url: &str) {
    let http = http();
    let get = |key: &str| {
        let request = http.get(format!("{url}/api?key={key}"));
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    let set = http
        .post(format!("{url}/api/set?key=Tom"))
        .body("630")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (set.status().as_u16(), set.text().await.unwrap().as_str()),
        (200, "OK")
    );
    assert_eq!(get("Tom").await, (200, "630".to_owned()));

    let deleted = http
        .delete(format!("{url}/api/delete?key=Tom"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            deleted.status().as_u16(),
            deleted.text().await.unwrap().as_str()
        ),
        (200, "OK")
    );
    // The getter knows Tom, Jack and Sam, and nobody else.
    for (key, value) in [("Tom", "630"), ("Jack", "589"), ("Sam", "567")] {
        assert_eq!(get(key).await, (200, value.to_owned()), "{url} {key}");
    }
    assert_eq!(get("Nobody").await.0, 404);

    let stats = http.get(format!("{url}/api/stats")).send().await.unwrap();
    let stats: Value = stats.json().await.unwrap();
    assert_eq!(stats["keys_count"], 3, "{stats}");
    assert!(stats["bytes_used"].as_u64().unwrap() > 0, "{stats}");
    assert_eq!(stats["nodes"].as_array().unwrap().len(), 3, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_originals_command_lines_start_one_cache() {
    if !etcd::is_there() {
        return;
    }
    let etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, flags: &str| {
        let mut arguments: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        arguments.push(format!("-etcd={}", etcd.endpoint()));
        Process::start(&binaries::cached(), &arguments, &folder.path().join(name))
    };
    // As its README has them, but for the ports, which must be free here.
    let node = "-port=0 -groupname=default-group -enableGetter";
    let mut processes = Vec::new();
    for name in ["first", "second", "third"] {
        let mut process = start(name, node);
        process.listening().await;
        processes.push(process);
    }
    let mut gateway = start("gateway", "-port=0 -api -groupname=default-group");
    let url = format!("http://{}", gateway.listening().await);
    wait::until(
        "the gateway knows the table",
        Duration::from_secs(20),
        || async {
            clients::get(format!("{url}/readyz"))
                .await
                .and_then(|answer| answer.error_for_status())
        },
    )
    .await;
    curl_lines_of_one_cache(&url).await;
}

async fn curl_lines_of_one_cache(url: &str) {
    let http = http();
    let set = http
        .post(format!("{url}/api/set?key=Tom"))
        .body("630")
        .send()
        .await
        .unwrap();
    assert_eq!(set.text().await.unwrap(), "OK");
    let read = http.get(format!("{url}/api?key=Tom")).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "630");
    let loaded = http.get(format!("{url}/api?key=Sam")).send().await.unwrap();
    assert_eq!(loaded.text().await.unwrap(), "567");
}
