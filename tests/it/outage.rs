//! etcd stops, hangs, is killed: serving goes on, nothing is lost, nobody restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cached_client::Client;
use cached_tests::clients::get;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::{etcd, wait};
use tokio::task::JoinSet;

/// Short, so that two of them fit into a test.
const LEASE_TTL: Duration = Duration::from_secs(4);
const FLAGS: [&str; 4] = ["--lease-ttl", "4s", "--heartbeat", "1s"];

/// Clients that write and read their own keys until told to stop; every answer
/// must be right.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let mut clients = JoinSet::new();
        for number in 0..8 {
            let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
            clients.spawn(async move {
                let mut errors = Vec::new();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (key, value) =
                        (format!("load-{number}-{}", round % 50), format!("{round}"));
                    match client.set(key.clone(), value.clone(), None).await {
                        Err(error) => errors.push(format!("set {key}: {error}")),
                        Ok(_) => match client.get(key.clone()).await {
                            Ok(Some(entry)) if entry.value == value => (),
                            other => errors.push(format!("get {key}: {other:?}")),
                        },
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    round += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                errors
            });
        }
        Self {
            stop,
            done,
            clients,
        }
    }

    async fn finish(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = Vec::new();
        while let Some(found) = self.clients.join_next().await {
            errors.extend(found.unwrap());
        }
        (self.done.load(Ordering::Relaxed), errors)
    }
}

async fn outage(stop: fn(&mut etcd::Etcd), come_back: impl AsyncFnOnce(&mut etcd::Etcd)) {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(3, Setup::with(&FLAGS)).await;
    let client = cluster.client().await;
    for number in 0..300 {
        client
            .set(format!("kept-{number}"), format!("{number}"), None)
            .await
            .unwrap();
    }
    let load = Load::start(&client);
    stop(&mut cluster.etcd);
    // The length of the outage is what is tested: longer than two leases.
    tokio::time::sleep(2 * LEASE_TTL + Duration::from_secs(1)).await;
    come_back(&mut cluster.etcd).await;
    cluster.all_served(3).await;
    all_healthy(&cluster).await;
    let (done, errors) = load.finish().await;
    assert!(
        errors.is_empty(),
        "{} of {done} failed, first {:?}",
        errors.len(),
        errors.first()
    );
    for number in 0..300 {
        let entry = client.get(format!("kept-{number}")).await.unwrap();
        assert_eq!(entry.expect("kept").value, format!("{number}"));
    }
    for node in &mut cluster.nodes {
        assert!(
            !node.process.output().contains("panicked"),
            "{}",
            node.process.output()
        );
    }
}

async fn all_healthy(cluster: &TestCluster) {
    for node in &cluster.nodes {
        let url = format!("{}/v1/status", node.url());
        wait::until(
            "the node is healthy again",
            Duration::from_secs(60),
            || async {
                let status: serde_json::Value = get(&url)
                    .await
                    .map_err(|e| e.to_string())?
                    .json()
                    .await
                    .unwrap();
                if status["healthy"] == true {
                    Ok(())
                } else {
                    Err(status.to_string())
                }
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_hangs_for_two_leases() {
    outage(etcd::Etcd::pause, async |etcd: &mut etcd::Etcd| {
        etcd.resume()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_dead_for_two_leases() {
    outage(etcd::Etcd::kill, async |etcd: &mut etcd::Etcd| {
        etcd.restart().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_nodes_stop_when_they_cannot_be_sure_and_keep_their_data() {
    if !etcd::is_there() {
        return;
    }
    // Real servers of the version that `strict` wants are not everywhere: Debian's is older.
    let mut etcd = etcd::Etcd::start().await;
    let version = etcd
        .client()
        .await
        .status()
        .await
        .unwrap()
        .version()
        .to_owned();
    etcd.kill();
    if !fit_for_strict(&version) {
        eprintln!("skipped: etcd {version} is too old for strict; name a newer one with ETCD=path");
        refused_by_strict(&version).await;
        return;
    }
    let mut flags = FLAGS.to_vec();
    flags.extend([
        "--mode",
        "strict",
        "--fence-after",
        "2s",
        "--self-check",
        "500ms",
    ]);
    let mut cluster = TestCluster::start(2, Setup::with(&flags)).await;
    let client = cluster.client().await;
    client.set("kept", "yes", None).await.unwrap();
    cluster.etcd.pause();
    wait::until("the nodes stop", Duration::from_secs(10), || async {
        match client.get("kept").await {
            Err(_) => Ok(()),
            Ok(entry) => Err(entry),
        }
    })
    .await;
    cluster.etcd.resume();
    wait::until("they serve again", Duration::from_secs(30), || async {
        client
            .get("kept")
            .await
            .map(|entry| assert_eq!(entry.unwrap().value, "yes"))
    })
    .await;
}

fn fit_for_strict(version: &str) -> bool {
    let numbers: Vec<u32> = version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    match numbers[..] {
        [3, 5, patch] => patch >= 28,
        [3, 6, patch] => patch >= 9,
        [3, minor, _] => minor > 6,
        _ => false,
    }
}

/// On an old etcd, `strict` does not start, and says which version it wants.
async fn refused_by_strict(version: &str) {
    let etcd = etcd::Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--port",
        "0",
        "--mode",
        "strict",
        "--etcd",
        &etcd.endpoint(),
    ];
    let mut node = cached_tests::process::Process::start(
        &cached_tests::binaries::cached(),
        &arguments.map(str::to_owned),
        &folder.path().join("strict.log"),
    );
    let status = node.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    let said = node.output();
    assert!(said.contains(version) && said.contains("3.5.28"), "{said}");
}
