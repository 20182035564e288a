//! Settings and surroundings in which a process must not start: it ends at once,
//! says which setting is wrong and why, and its exit code tells the kind.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use cached::clock::Clock;
use cached::config::Config;
use cached::config::layers::merge;
use cached::config::raw::RawConfig;
use cached::daemon::{Daemon, Surroundings};
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, Runner};
use cached_tests::{binaries, etcd};

/// How long a start that fails may take: the patience with etcd, and the machine's.
const START_MAX: Duration = Duration::from_secs(40);

async fn start(line: &str) -> Ran {
    let words: Vec<&str> = line.split_whitespace().collect();
    Runner::new(&binaries::cached(), &words).run().await
}

/// It ends with this code, and says all of these words.
async fn refused(line: &str, code: i32, words: &[&str]) {
    let ran = start(line).await;
    assert_eq!(ran.code, code, "cached {line}: {ran:?}");
    for word in words {
        assert!(
            ran.err.contains(word),
            "cached {line}: {} lacks {word:?}",
            ran.err
        );
    }
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert!(
        !ran.err.contains("hunter2"),
        "a password is repeated: {}",
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cached.toml");
    std::fs::write(&file, "prot = 8001\n").unwrap();
    let (file, folder) = (file.display(), folder.path().display());
    for (line, words) in [
        (format!("--config {file}"), ["--config", "prot"]),
        (format!("--config {folder}"), ["--config", "cannot be read"]),
        (
            "--config /nonexistent.toml".into(),
            ["--config", "/nonexistent.toml"],
        ),
        ("--port 99999".into(), ["--port", "99999"]),
        ("--hash sha1".into(), ["--hash", "sha1"]),
        ("--mode fast".into(), ["--mode", "fast"]),
        ("--weight 0".into(), ["--weight", "between 1 and 100"]),
        ("--virtual-nodes 0".into(), ["--virtual-nodes", "0"]),
        ("--name a/b".into(), ["--name", "a/b"]),
        ("--memory lots".into(), ["--memory", "512MiB"]),
        (
            "--memory 2MiB --max-value 3MiB".into(),
            ["--max-value", "--memory"],
        ),
        ("--lease-ttl 1s".into(), ["--lease-ttl", "2s"]),
        ("--heartbeat 20s".into(), ["--heartbeat", "--lease-ttl"]),
        ("--self-check 4s".into(), ["--self-check", "--fence-after"]),
        ("--api".into(), ["--api", "--etcd"]),
        ("--expect 3".into(), ["--expect", "--etcd"]),
        ("dev --expect 3".into(), ["--expect", "cached dev"]),
        ("dev --etcd e:2379".into(), ["--etcd", "cached dev"]),
        ("--etcd-user me".into(), ["--etcd-user", "--etcd"]),
        (
            "--origin http://h/{key}".into(),
            ["--origin", "--enable-getter"],
        ),
        (
            "--enable-getter --origin http://h/path".into(),
            ["--origin", "{key}"],
        ),
        (
            "--enable-getter --origin ftp://h/{key}".into(),
            ["--origin", "http://"],
        ),
        (
            "--enable-getter --origin dir:/nonexistent".into(),
            ["--origin", "/nonexistent"],
        ),
        (
            "--enable-getter --origin http://u:hunter2@[::/{key}".into(),
            ["--origin", "URL"],
        ),
        (
            "--tls-client-auth some".into(),
            ["--tls-client-auth", "peers"],
        ),
        ("--log [[[".into(), ["--log", "filter"]),
        ("--log-format xml".into(), ["--log-format", "json"]),
        ("--no-such-flag".into(), ["--no-such-flag", "--help"]),
        ("dev --nodes 0".into(), ["--nodes", "1..=16"]),
    ] {
        refused(
            &format!("{line} --port 0").replace("99999 --port 0", "99999"),
            2,
            &words,
        )
        .await;
    }
    let wrong = Runner::new(&binaries::cached(), &["--port", "0"]).env("CACHED_RETRIES", "many");
    let ran = wrong.run().await;
    assert!(
        ran.code == 2 && ran.err.contains("CACHED_RETRIES"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn beyond_loopback_somebody_must_be_asked_for_something() {
    let folder = tempfile::tempdir().unwrap();
    let readable = folder.path().join("tokens");
    std::fs::write(&readable, "admin hunter2-hunter2-hunter2\n").unwrap();
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = readable.to_str().unwrap();
    for (flags, words) in [
        (
            "--host 0.0.0.0 --advertise 10.0.0.1:1",
            ["--host", "--token-file"],
        ),
        ("--host 0.0.0.0 --insecure", ["--host", "--advertise"]),
        (
            &format!("--token-file {readable}"),
            ["--token-file", "chmod 600"],
        ),
        (
            "--token-file /nonexistent",
            ["--token-file", "/nonexistent"],
        ),
        (
            "--tls-cert /nonexistent --tls-key /nonexistent --tls-ca /nonexistent",
            ["--tls-cert", "/nonexistent"],
        ),
        ("--tls-cert x", ["--tls-cert", "--tls-key"]),
    ] {
        refused(&format!("{flags} --port 0"), 2, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_an_absent_etcd_end_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    refused(&format!("--port {port}"), 1, &["--port", &port.to_string()]).await;

    // Nobody listens on port 1; a listener that never answers is worse than nobody.
    let silent = taken.local_addr().unwrap().to_string();
    let began = Instant::now();
    let endpoints = ["127.0.0.1:1", &silent, "http://no.such.host.invalid:2379"];
    let starts = endpoints.map(|endpoint| async move {
        let host = endpoint.trim_start_matches("http://");
        refused(&format!("--port 0 --etcd {endpoint}"), 1, &[host]).await;
    });
    futures_util::future::join_all(starts).await;
    assert!(began.elapsed() < START_MAX, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_differs_from_the_cluster_is_told_both() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(1, Setup::default()).await;
    let endpoint = cluster.etcd.endpoint();
    for role in ["--name n2", "--api"] {
        for (flags, words) in [
            ("--hash xxh3", ["crc16", "xxh3", "--hash"]),
            ("--mode strict", ["available", "strict", "--mode"]),
            ("--virtual-nodes 60", ["50", "60", "--virtual-nodes"]),
        ] {
            let line = format!("{role} --port 0 --etcd {endpoint} {flags}");
            refused(&line, 1, &words).await;
        }
    }
    // A clock that is off: the same process, told that it is later than it is.
    let early = in_process(&endpoint, "late", 900).await.unwrap_err();
    assert!(
        early.contains("ahead of that of n1") && early.contains("500 ms"),
        "{early}"
    );
    let late = in_process(&endpoint, "early", -900).await.unwrap_err();
    assert!(late.contains("behind that of n1"), "{late}");
    assert_eq!(in_process(&endpoint, "nearly", 200).await, Ok(()));
    // Nobody of them left a trace behind, and the cluster never noticed.
    let known = cluster.client().await.topology();
    assert!(
        known
            .members
            .iter()
            .all(|member| ["n1", "nearly"].contains(&member.id.name.as_str()))
    );
}

/// Starts and stops a node whose wall clock is off by so much.
async fn in_process(endpoint: &str, name: &str, offset_ms: i64) -> Result<(), String> {
    let flags = RawConfig {
        name: Some(name.to_owned()),
        port: Some(0),
        etcd: Some(vec![endpoint.to_owned()]),
        ..RawConfig::default()
    };
    let config = Config::check(&merge(None, [], &flags).unwrap()).unwrap();
    let clock = Clock::system().with_wall_offset_ms(offset_ms);
    let surroundings = Surroundings {
        clock,
        ..Surroundings::default()
    };
    let daemon = Daemon::start(config, surroundings)
        .await
        .map_err(|error| error.to_string())?;
    daemon.stop_without_drain().await;
    Ok(())
}
