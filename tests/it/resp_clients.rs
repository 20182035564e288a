//! Redis's own clients against three nodes: redis-py, redis-cli, redis-benchmark.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, Runner};
use cached_tests::story::{FLAGS, SETTLED_MAX};
use cached_tests::{etcd, redis};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where Redis clients are awaited on every node.
const LISTEN: [&str; 4] = ["--resp", "127.0.0.1:0", "--resp-cluster", "127.0.0.1:0"];

/// How long a client may take for its checks.
const CHECK_MAX: Duration = Duration::from_secs(120);

/// A Python that has redis-py: `CACHED_REDIS_PY`, else the one that `tools/need
/// redis-py` makes. Without one, tests skip and say so, unless
/// `CACHED_REQUIRE_REDIS_PY` is set.
fn python() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CACHED_REDIS_PY") {
        return Some(path.into());
    }
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/redis-py/bin/python");
    if made.is_file() {
        return Some(made);
    }
    assert!(
        std::env::var_os("CACHED_REQUIRE_REDIS_PY").is_none(),
        "no redis-py found: run tools/need redis-py"
    );
    eprintln!("skipped: no redis-py found; run tools/need redis-py");
    None
}

fn script() -> String {
    format!("{}/it/redis_py.py", env!("CARGO_MANIFEST_DIR"))
}

async fn three_nodes() -> TestCluster {
    TestCluster::start(3, Setup::default().nodes(&LISTEN).or_else(&FLAGS)).await
}

async fn addresses(cluster: &TestCluster, kind: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    for node in &cluster.nodes {
        addresses.push(redis::listening(&node.process, kind).await.to_string());
    }
    addresses
}

fn said(ran: &Ran) -> String {
    format!("{}\n{}", ran.out, ran.err)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_finds_what_it_expects() {
    let Some(python) = python().filter(|_| etcd::is_there()) else {
        return;
    };
    let cluster = three_nodes().await;
    for kind in ["plain", "cluster"] {
        let script = script();
        let addresses = addresses(&cluster, kind).await;
        let mut words = vec![script.as_str(), kind];
        words.extend(addresses.iter().map(String::as_str));
        let run = Runner::new(&python, &words).run();
        let ran = tokio::time::timeout(CHECK_MAX, run).await.expect("it ends");
        assert_eq!(ran.code, 0, "{kind}: {}", said(&ran));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_client_sees_no_error_while_a_node_is_drained() {
    let Some(python) = python().filter(|_| etcd::is_there()) else {
        return;
    };
    let cluster = three_nodes().await;
    let mut load = tokio::process::Command::new(python)
        .arg(script())
        .arg("load")
        .args(addresses(&cluster, "cluster").await)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for line in ["drain n3 --yes", "undrain n3 --yes", "drain n2 --yes"] {
        let moved = tokio::time::timeout(SETTLED_MAX, cluster.cachectl(line)).await;
        let moved = moved.expect("it ends");
        assert_eq!(moved.code, 0, "{line}: {moved:?}");
    }
    let (mut stdin, mut stdout) = (load.stdin.take().unwrap(), load.stdout.take().unwrap());
    stdin.write_all(b"stop\n").await.unwrap();
    let mut report = String::new();
    let read = stdout.read_to_string(&mut report);
    let read = tokio::time::timeout(CHECK_MAX, read).await;
    read.expect("it ends").unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["errors"], Value::Array(Vec::new()));
    assert!(report["rounds"].as_u64() > Some(100), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_redis_work() {
    let there = ["redis-cli", "redis-benchmark"].map(redis::is_there);
    if !etcd::is_there() || there.contains(&false) {
        return;
    }
    let cluster = three_nodes().await;
    let run = async |program: &str, address: &str, line: &str| {
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut words = vec!["-h", host, "-p", port];
        words.extend(line.split(' '));
        let ran = Runner::new(&redis::program(program).unwrap(), &words).run();
        let ran = tokio::time::timeout(CHECK_MAX, ran).await.expect("it ends");
        assert_eq!(ran.code, 0, "{program} {line}: {}", said(&ran));
        ran
    };
    let (plain, cluster) = (
        addresses(&cluster, "plain").await,
        addresses(&cluster, "cluster").await,
    );
    for (number, address) in plain.iter().enumerate() {
        let key = format!("cli:{number}");
        let set = run("redis-cli", address, &format!("SET {key} v{number} EX 100")).await;
        assert_eq!(set.out, "OK\n");
        for (other, flags) in plain
            .iter()
            .map(|at| (at, ""))
            .chain([(&cluster[0], "-c ")])
        {
            let got = run("redis-cli", other, &format!("{flags}GET {key}")).await;
            assert_eq!(got.out, format!("v{number}\n"));
        }
    }
    let line = "-t set,get,incr,mset -n 2000 -c 8 -P 4 -r 1000 -q";
    for (address, flags) in [(&plain[0], ""), (&cluster[0], "--cluster ")] {
        let ran = run("redis-benchmark", address, &format!("{flags}{line}")).await;
        let said = said(&ran);
        assert!(!said.to_lowercase().contains("error"), "{said}");
        assert!(said.contains("MSET"), "{said}");
    }
}
