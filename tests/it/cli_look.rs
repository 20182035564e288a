//! cachectl as somebody who looks on: hot keys, events, checks, rates, bundles; held against
//! the schemas that are published in docs/schemas.

use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, cachectl};
use cached_tests::{etcd, wait};
use serde_json::Value;

use crate::cli_schemas::fits;

async fn ctl(url: &str, line: &str, code: i32) -> Ran {
    let ran = cachectl(&["--endpoint", url], line).run().await;
    assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
    ran
}

async fn document(url: &str, line: &str, code: i32) -> Value {
    let ran = ctl(url, &format!("{line} -o json"), code).await;
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {ran:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hot_and_what_happened_is_told_by_all_nodes() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let url = cluster.gateway.url();
    let client = cluster.client().await;
    for number in 0..300 {
        let cold = format!("cold-{number}");
        client.set(cold, "x", None).await.unwrap();
        client.set("hot", "x".repeat(1000), None).await.unwrap();
    }
    hot_keys(&url).await;
    documents(&url).await;
    patterns(&url).await;
    bundle(&url).await;

    fits("blacklisted", &document(&url, "blacklist add n3", 0).await);
    fits("blacklist", &document(&url, "blacklist list", 0).await);
    fits("group", &document(&url, "groups create users", 0).await);
    let listed = wait::until("the journal says so", Duration::from_secs(10), || async {
        let events = document(&url, "events", 0).await;
        let items = events["items"].as_array().unwrap().clone();
        let of = |code: &str| items.iter().filter(|it| it["name"] == code).count();
        // All saw the first, one was asked for the second, and the gateway started, too.
        if of("blacklist-added") == 1 && of("group-created") == 1 && of("started") == 4 {
            Ok(events)
        } else {
            Err(events)
        }
    })
    .await;
    fits("events", &listed);
    let added = listed["items"].as_array().unwrap().iter();
    let added = added.filter(|it| it["name"] == "blacklist-added");
    assert!(
        added
            .clone()
            .all(|it| it["by"].as_str().unwrap().contains('@')),
        "{listed}"
    );
    let bad = document(&url, "events --severity warning", 0).await;
    assert!(
        bad["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["severity"] != "info")
    );

    fits("unlisted", &document(&url, "blacklist remove n3", 0).await);
    let flush = "groups flush users --confirm users";
    fits("flushed", &document(&url, flush, 0).await);
    assert_eq!(document(&url, "check", 0).await["level"], "ok");
}

async fn hot_keys(url: &str) {
    let told = document(url, "hotkeys --window 1m", 0).await;
    fits("hotkeys", &told);
    let first = &told["items"][0];
    assert_eq!(first["name"], "hot", "{told}");
    assert!(
        (0.4..0.6).contains(&first["share"].as_f64().unwrap()),
        "{told}"
    );
    assert_eq!(first["value_bytes"], 1000, "{told}");
    let owner = first["node"].as_str().unwrap();
    let one = document(
        url,
        &format!("hotkeys --node {owner} --top 1 --by bytes"),
        0,
    )
    .await;
    assert_eq!(one["items"].as_array().unwrap().len(), 1, "{one}");
    ctl(url, "hotkeys --node n9", 3).await;
    ctl(url, "hotkeys --window 1h", 2).await;
    ctl(url, "hotkeys -g nowhere", 3).await;
}

/// Every document that a command prints is as published.
async fn documents(url: &str) {
    for (line, schema) in [
        ("status", "status"),
        ("nodes", "nodes"),
        ("ring", "ring"),
        ("ring --diff 1", "ring-diff"),
        ("ring --layout 1", "ring"),
        ("stats", "stats"),
        ("stats --delta --by group", "stats"),
        ("get hot", "entry"),
        ("get hot --meta --from n2", "entry"),
        ("set there 1", "stored"),
        ("delete there", "deleted"),
        ("locate hot", "location"),
        ("locate hot --explain", "location"),
        ("locate hot --layout 1 --explain", "location"),
        ("blacklist", "blacklist"),
        ("groups", "groups"),
        ("config show", "config"),
        ("check", "check"),
        ("version", "version"),
    ] {
        fits(schema, &document(url, line, 0).await);
    }
    for line in [
        "ring --diff 99",
        "ring --layout 99",
        "locate hot --layout 99",
    ] {
        let unknown = ctl(url, line, 3).await;
        assert!(unknown.err.contains("(1 to 1)"), "{line}: {unknown:?}");
    }
    ctl(url, "get hot --from n9", 3).await;
    let nagios = ctl(url, "check --format nagios", 0).await;
    assert!(nagios.out.starts_with("CACHED OK - 3 up"), "{nagios:?}");
    let gauges = ctl(url, "check --format prometheus", 0).await;
    assert!(
        gauges.out.contains("cachectl_check{check=\"slots\"} 0\n"),
        "{gauges:?}"
    );
    let nobody = ctl("http://127.0.0.1:1", "check --format nagios", 3).await;
    assert!(nobody.out.starts_with("CACHED UNKNOWN - "), "{nobody:?}");
    let help = ctl("http://127.0.0.1:1", "hotkeys -o help", 0).await;
    assert!(help.out.contains("items[].share"), "{help:?}");
}

async fn patterns(url: &str) {
    let dry = document(url, "delete --pattern cold-1? --dry-run", 0).await;
    fits("deleted", &dry);
    assert_eq!(dry["items"].as_array().unwrap().len(), 10, "{dry}");
    ctl(url, "delete --pattern cold-1? --no-input", 2).await;
    ctl(url, "get cold-10", 0).await;
    let gone = document(url, "delete --pattern cold-1? --yes", 0).await;
    let all = gone["items"].as_array().unwrap();
    assert!(
        all.len() == 10 && all.iter().all(|it| it["deleted"] == true),
        "{gone}"
    );
    ctl(url, "get cold-10", 3).await;
    ctl(url, "get cold-100", 0).await;
}

async fn bundle(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.tar.gz");
    let line = format!("debug bundle --out {}", path.display());
    fits("bundle", &document(url, &line, 0).await);
    assert!(std::fs::metadata(&path).unwrap().len() > 500);
}
