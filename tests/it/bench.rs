//! `cachectl bench`: every protocol and shape against two nodes, exact counts, its
//! published schema, and what it leaves behind.

use std::process::Stdio;
use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, Runner, cachectl};
use cached_tests::{binaries, etcd, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SCHEMA: &str = include_str!("../../docs/schemas/bench.json");

/// Runs a load with a JSON report, which must be as the schema says.
async fn bench(url: &str, line: &str, code: i32) -> Value {
    let ran = cachectl(&["--endpoint", url, "bench", "-o", "json"], line)
        .run()
        .await;
    checked(line, &ran, code)
}

fn checked(line: &str, ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, code, "bench {line}: {ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> = schema
        .iter_errors(&report)
        .map(|it| it.to_string())
        .collect();
    assert!(
        problems.is_empty(),
        "bench {line}: {problems:?}\n{report:#}"
    );
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_and_shape_counts_exactly() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(2, Setup::default()).await;
    let url = cluster.nodes[0].url();
    for shape in [
        "--protocol grpc",
        "--protocol grpc --batch 8",
        "--protocol grpc --pipeline 8",
        "--protocol grpc --pipeline 4 --batch 4 --route other",
        "--protocol grpc --route endpoint",
        "--protocol rest",
        "--protocol rest --batch 8",
        "--protocol rest --route endpoint",
    ] {
        let line =
            format!("{shape} --requests 1000 --keys 200 --clients 4 --fill --mix get=8,set=2");
        let report = bench(&url, &line, 0).await;
        assert_eq!(report["ended"], "operations", "{line}");
        assert_eq!(report["total"]["count"], 1000, "{line}: {report:#}");
        assert_eq!(report["fill"]["count"], 200, "{line}");
        assert_eq!(report["removal"]["count"], 200, "{line}");
        // Everything was filled in, so everything is found.
        let gets = &report["items"][0];
        assert_eq!(
            (gets["operation"].as_str(), &gets["misses"]),
            (Some("get"), &0.into())
        );
        let nodes = report["nodes"].as_array().unwrap();
        let by_node: u64 = nodes.iter().filter_map(|it| it["count"].as_u64()).sum();
        assert_eq!(by_node, 1000, "{line}");
        let asked = if line.contains("endpoint") { 1 } else { 2 };
        assert_eq!(nodes.len(), asked, "{line}: {report:#}");
    }
    // Nothing is left but what shall stay.
    bench(&url, "--requests 10 --mix set=1 --keys 1 --keep", 0).await;
    let stays = cluster.cachectl("get bench:0").await;
    assert_eq!((stays.code, stays.out.len()), (0, 100), "{stays:?}");
    bench(
        &url,
        "--requests 10 --mix set=1 --keys 1 --prefix bench:",
        0,
    )
    .await;
    assert_eq!(cluster.cachectl("get bench:0").await.code, 3);

    open_loop(&url).await;
    trace(&url).await;
    for (line, code, words) in [
        ("bench --pipeline 2 --protocol rest", 2, "--batch"),
        ("bench -g nowhere --requests 1", 1, "nowhere"),
    ] {
        let ran = cluster.cachectl(line).await;
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert!(ran.err.contains(words), "{line}: {ran:?}");
    }
    interrupted(&cluster).await;
}

/// As many operations as were due were sent, or are told.
async fn open_loop(url: &str) {
    for shape in ["", "--pipeline 4", "--batch 4"] {
        let line = format!("--rate 400 --duration 1s --clients 8 {shape}");
        let report = bench(url, &line, 0).await;
        let count = |name: &str| report["total"][name].as_u64().unwrap();
        assert_eq!(count("count") + count("unsent"), 400, "{line}: {report:#}");
        assert_eq!(report["ended"], "time");
    }
}

/// Misses are counted, and written when that is asked for.
async fn trace(url: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a\nb\na\nc\nb\na\n").unwrap();
    let path = file.path().display();
    let line = format!("--trace {path} --copies 5 --clients 1 --pipeline 5");
    for (more, misses, sets) in [("", 30, 0), ("--on-miss set", 15, 15)] {
        let report = bench(url, &format!("{line} {more}"), 0).await;
        assert_eq!(report["items"][0]["misses"], misses, "{more}: {report:#}");
        assert_eq!(report["items"][0]["count"], 30, "{more}");
        let written = report["items"][1]["count"].as_u64().unwrap_or(0);
        assert_eq!(written, sets, "{more}");
    }
}

/// Ctrl-C ends it with the same summary, and removes what was written.
async fn interrupted(cluster: &TestCluster) {
    let url = cluster.nodes[0].url();
    let line = "--duration 1h --keys 1 --mix set=1 --clients 2 -o json";
    let child = tokio::process::Command::new(binaries::cachectl())
        .args(["--endpoint", &url, "bench"])
        .args(line.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
    wait::until("a first write", Duration::from_secs(20), || async {
        let ran = cluster.cachectl("get bench:0").await;
        if ran.code == 0 { Ok(()) } else { Err(ran) }
    })
    .await;
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = Ran {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        bytes: output.stdout,
    };
    let report = checked(line, &ran, 130);
    assert_eq!(report["ended"], "interrupted");
    assert_eq!(report["removal"]["count"], 1, "{report:#}");
    assert_eq!(cluster.cachectl("get bench:0").await.code, 3);
}

#[tokio::test]
async fn production_is_loaded_only_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let context = "endpoints = [\"http://127.0.0.1:1\"]\nproduction = true\n";
    std::fs::write(&path, format!("[contexts.shop]\n{context}")).unwrap();
    let run = |line: &'static str| {
        let words = ["--context", "shop", "bench"];
        let runner = cachectl(&words, line).env("CACHECTL_CONFIG", path.to_str().unwrap());
        runner.run()
    };
    let refused = run("--requests 1").await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("--confirm shop"), "{refused:?}");
    assert_eq!(run("--requests 1 --confirm other").await.code, 2);
    // Confirmed, it goes on and finds nobody.
    assert_eq!(run("--requests 1 --confirm shop").await.code, 4);
}

/// A server that has no key and no room.
async fn full_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read) = stream.read(&mut bytes).await {
                    // Commands are short and come whole: one client, one at a time.
                    let reply: &[u8] = match &bytes[..read] {
                        [] => return,
                        command if command.windows(3).any(|it| it == b"GET") => b"$-1\r\n",
                        command if command.windows(3).any(|it| it == b"DEL") => b":0\r\n",
                        _ => b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
                    };
                    stream.write_all(reply).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn resp_errors_are_counted_and_decide_the_exit_code() {
    let address = full_server().await;
    let line = "--mix get=1,set=1 --requests 100 --clients 1 --seed 5";
    let words = [
        "bench",
        "--protocol",
        "resp",
        "--resp",
        &address,
        "-o",
        "json",
    ];
    let ran = cachectl(&words, line).run().await;
    let report = checked(line, &ran, 8);
    let failed = report["total"]["failed"].as_u64().unwrap();
    assert_eq!(failed + report["total"]["count"].as_u64().unwrap(), 100);
    assert_eq!(report["errors"][0]["kind"], "OOM");
    assert_eq!(report["errors"][0]["count"], failed);
    assert!(ran.err.contains("OOM command not allowed"), "{ran:?}");
    // The same seed, the same operations.
    let again = cachectl(&words, line).run().await;
    let again = checked(line, &again, 8);
    assert_eq!(again["total"]["failed"], failed);

    let nobody = ["bench", "--protocol", "resp", "--resp", "127.0.0.1:1"];
    assert_eq!(
        Runner::new(&binaries::cachectl(), &nobody).run().await.code,
        4
    );
}
