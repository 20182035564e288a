//! What `drain` and `remove` refuse before anything moves, each with its exit code and what
//! to do instead. Others: stale plans and second migrations in `drain`, lack of room in
//! `room`.

use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, cachectl};
use cached_tests::{etcd, wait};
use serde_json::Value;

async fn ctl(url: &str, config: &str, line: &str) -> Ran {
    let runner = cachectl(&["--endpoint", url], line);
    runner.env("CACHECTL_CONFIG", config).run().await
}

async fn layout(url: &str) -> u64 {
    let ran = ctl(url, "/nonexistent", "status -o json").await;
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    status["layout"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_refused_and_nothing_moves() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let url = cluster.gateway.url();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = "[contexts.prod]\nendpoints = [\"http://127.0.0.1:1\"]\nproduction = true\n\
                [contexts.named]\nendpoints = [\"http://127.0.0.1:1\"]\nconfirm = \"LIVE\"\n";
    std::fs::write(&config, text).unwrap();
    let before = layout(&url).await;
    for (line, code, words) in [
        // Whom nobody knows, and nobody to take what is given.
        ("drain n9 --yes", 3, "n9"),
        ("remove n9 --yes", 3, "n9"),
        ("drain n1 n2 n3 --yes", 7, "n"),
        ("remove n1 n2 n3 --yes", 7, "n"),
        ("plan apply op-00000000 --yes", 3, "op-00000000"),
        // Nobody can be asked here: the flag is named that answers.
        ("drain n1", 2, "--yes"),
        ("remove n1 --no-input", 2, "--yes"),
        ("remove n1 --force --yes", 2, "--confirm n1"),
        ("remove n1 --force --confirm n2", 2, "n2"),
        ("remove n1 n2 --force --confirm n1", 2, "one node at a time"),
        // Where users would notice, `--yes` is no answer.
        ("drain n1 --context prod --yes", 2, "--confirm prod"),
        ("remove n1 --context prod --confirm dev", 2, "dev"),
        ("drain n1 --context named --yes", 2, "--confirm LIVE"),
        ("drain n1 --read-only --yes", 7, "--read-only"),
    ] {
        let ran = ctl(&url, config.to_str().unwrap(), line).await;
        assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
        assert!(ran.err.contains(words), "cachectl {line}: {ran:?}");
    }
    assert_eq!(layout(&url).await, before);
    let named = "drain n1 --context named --confirm LIVE --dry-run";
    assert_eq!(ctl(&url, config.to_str().unwrap(), named).await.code, 0);
}

/// A member that is down, a registry that does not answer, a change asked for twice in one
/// plan, and a deadline that passes: each says so, with its own exit code.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_now_says_why() {
    if !etcd::is_there() {
        return;
    }
    let flags = ["--lease-ttl", "4s", "--heartbeat", "1s"];
    let mut cluster = TestCluster::start(4, Setup::with(&flags)).await;
    let url = cluster.gateway.url();
    let run = async |line: &str| ctl(&url, "/nonexistent", line).await;
    let client = cluster.client().await;
    for number in 0..400 {
        let key = format!("key-{number}");
        client.set(key, "x".repeat(200), None).await.unwrap();
    }
    for (line, code, words) in [
        ("plan --drain n1 --remove n1", 2, "names n1, and so does"),
        ("plan --drain n1 --weight n1=2", 2, "n1 shall own nothing"),
        ("rebalance --weight n1=99999 --yes", 2, "the limit is"),
        ("drain n1 --yes --deadline 0s", 2, "deadline"),
    ] {
        let ran = run(line).await;
        assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
        assert!(ran.err.contains(words), "cachectl {line}: {ran:?}");
    }
    // It is begun, and does not come to its end: what is left is said.
    let late = run("drain n2 --yes --deadline 2s --max-rate 2KB").await;
    assert_eq!(late.code, 8, "{late:?}");
    let said = format!("{}{}", late.out, late.err);
    assert!(
        said.contains("deadline") && said.contains("left"),
        "{late:?}"
    );
    assert_eq!(run("undrain n2 --yes").await.code, 0);

    cluster.node("n4").process.kill();
    // Only planned: what is begun while it is not missed yet ends with the takeover.
    let refused = wait::until("n4 is down", Duration::from_secs(20), async || {
        let ran = run("drain n4 --dry-run").await;
        if ran.code == 7 { Ok(ran) } else { Err(ran) }
    })
    .await;
    assert!(refused.err.contains("n4 is down"), "{refused:?}");

    cluster.etcd.kill();
    let unreachable = wait::until("etcd is missed", Duration::from_secs(20), async || {
        let ran = run("drain n3 --yes").await;
        if ran.code == 4 { Ok(ran) } else { Err(ran) }
    })
    .await;
    assert!(unreachable.err.contains("registry"), "{unreachable:?}");
}
