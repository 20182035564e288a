//! Nodes that die: found by their peers, taken over empty, never believed again.

use std::time::{Duration, Instant};

use cached_client::{Client, Options};
use cached_tests::clients::{get, http};
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::{etcd, wait};
use serde_json::Value;

/// 3 s of suspicion and G = 5.55 s make about 10 s; the rest is for a busy machine.
const TAKEOVER_MAX: Duration = Duration::from_secs(30);

async fn topology(url: &str) -> Value {
    let answer = get(format!("{url}/v1/topology"))
        .await
        .expect("the node answers");
    answer.json().await.expect("topology is JSON")
}

/// Keys by the name of their owner.
async fn owned_keys(client: &Client, count: usize) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for number in 0..count {
        let key = format!("key-{number}");
        client
            .set(key.clone(), key.clone(), None)
            .await
            .expect("a healthy cluster");
        let located = client.locate(&cached_client::types::Key::new(key.clone()).unwrap());
        keys.push((
            key,
            located
                .owner
                .expect("every slot has an owner")
                .id
                .name
                .to_string(),
        ));
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_nodes_keys_are_errors_then_misses() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(3, Setup::default()).await;
    let client = cluster.client().await;
    let keys = owned_keys(&client, 300).await;
    let (url, http) = (cluster.gateway.url(), http());
    let victim = cluster.nodes[2].name.clone();
    let (lost, kept): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, owner)| *owner == victim);
    assert!(!lost.is_empty() && !kept.is_empty());
    cluster.nodes[2].process.kill();
    let killed = Instant::now();

    // At first: errors that say so, within the request's own deadline.
    let answer = http
        .get(format!("{url}/api?key={}", lost[0].0))
        .send()
        .await
        .unwrap();
    assert!(
        [503, 504].contains(&answer.status().as_u16()),
        "{}",
        answer.status()
    );
    let problem: Value = answer.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains(&victim),
        "{problem}"
    );
    // The others are unaffected, all the while.
    for (key, _) in &kept {
        let answer = http
            .get(format!("{url}/api?key={key}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{key}");
    }
    blacklisted_after_three_failures(&url, &lost[0].0, &victim).await;

    for (key, _) in &lost {
        wait::until("the slot answers again", TAKEOVER_MAX, || async {
            let answer = http
                .get(format!("{url}/api?key={key}"))
                .send()
                .await
                .unwrap();
            match answer.status().as_u16() {
                404 => Ok(()),
                status => Err(format!("{key}: {status}")),
            }
        })
        .await;
    }
    // Not before two missed probes and G: what the victim may still answer is over by then.
    assert!(
        killed.elapsed() > Duration::from_millis(5550),
        "after {:?}",
        killed.elapsed()
    );
    for (key, _) in &kept {
        let answer = http
            .get(format!("{url}/api?key={key}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{key}");
    }
    for (key, _) in &lost {
        client.set(key.clone(), "again", None).await.unwrap();
    }

    // Its name comes back: a waiting joiner, and nobody's owner.
    cluster.restart(2).await;
    let shown = wait::until("the name is back", TAKEOVER_MAX, || async {
        let topology = topology(&url).await;
        let members = topology["members"].as_array().unwrap().clone();
        let back = members
            .into_iter()
            .find(|m| m["name"] == victim && m["state"] == "joining");
        back.ok_or(topology.to_string())
    })
    .await;
    assert_eq!(shown["slots"], 0, "{shown}");
    // It has registered, and is ready once it has read the table.
    let readyz = format!("{}/readyz", cluster.nodes[2].url());
    wait::until("the joiner is ready", TAKEOVER_MAX, async || {
        get(&readyz)
            .await
            .and_then(|answer| answer.error_for_status())
    })
    .await;
    let through_it = http.get(format!("{}/api?key={}", cluster.nodes[2].url(), lost[0].0));
    assert_eq!(
        through_it.send().await.unwrap().text().await.unwrap(),
        "again"
    );
}

async fn blacklisted_after_three_failures(url: &str, key: &str, victim: &str) {
    let http = http();
    for _ in 0..3 {
        let _ = http.get(format!("{url}/api?key={key}")).send().await;
    }
    let client = Client::connect(Options::nodes([url.to_owned()]))
        .await
        .unwrap();
    let listed = wait::until(
        "the gateway lists the dead node",
        Duration::from_secs(5),
        || async {
            let answered = client
                .admin()
                .blacklist(false)
                .await
                .map_err(|error| error.to_string())?;
            let entries = answered.value.entries;
            entries
                .iter()
                .find(|entry| entry.target == victim && !entry.manual)
                .cloned()
                .ok_or_else(|| format!("{entries:?}"))
        },
    )
    .await;
    assert!(listed.failures >= 3, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_that_still_answer_are_not_taken_over() {
    if !etcd::is_there() {
        return;
    }
    // Their member keys vanish at once, as when a registry loses its leases; they
    // themselves live, register again, and keep what they have.
    let cluster = TestCluster::start(4, Setup::default()).await;
    let client = cluster.client().await;
    let keys = owned_keys(&client, 200).await;
    let before = topology(&cluster.gateway.url()).await;
    let mut etcd = cluster.etcd.client().await;
    for node in &cluster.nodes[..3] {
        etcd.delete(format!("/cached/default/members/{}", node.name), None)
            .await
            .unwrap();
    }
    cluster.all_served(4).await;
    for (key, _) in &keys {
        wait::until("the key is there", TAKEOVER_MAX, || async {
            match client.get(key.clone()).await {
                Ok(Some(entry)) if entry.value == key.as_bytes() => Ok(()),
                other => Err(format!("{key}: {other:?}")),
            }
        })
        .await;
    }
    let after = topology(&cluster.gateway.url()).await;
    assert_eq!(before["ranges"], after["ranges"], "no row changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stopped_twice_signs_off_and_its_slots_move_on_at_once() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(3, Setup::default()).await;
    let client = cluster.client().await;
    let keys = owned_keys(&client, 100).await;
    let stopped = cluster.nodes[0].name.clone();
    let (lost, _): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, owner)| *owner == stopped);
    cluster.nodes[0].process.terminate();
    wait::until("it hands its slots over", TAKEOVER_MAX, async || {
        let said = cluster.nodes[0].process.output();
        let begun = said.contains("draining before the stop");
        if begun { Ok(()) } else { Err(said) }
    })
    .await;
    cluster.nodes[0].process.terminate();
    let status = cluster.nodes[0]
        .process
        .ended(Duration::from_secs(30))
        .await;
    // It had entries, and no time to give them to the others: its exit code says so.
    assert_eq!(
        status.code(),
        Some(3),
        "{}",
        cluster.nodes[0].process.output()
    );
    let signed_off = Instant::now();
    for (key, _) in &lost {
        wait::until("the slot answers again", TAKEOVER_MAX, || async {
            // What it had handed over by then is there, the rest is gone.
            let entry = client.get(key.clone()).await?;
            assert!(entry.is_none_or(|entry| entry.value == key.as_bytes()));
            Ok::<(), cached_client::Error>(())
        })
        .await;
    }
    assert!(
        signed_off.elapsed() < Duration::from_millis(5550),
        "no G after a sign-off"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_name_is_refused() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(1, Setup::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--name",
        "n1",
        "--port",
        "0",
        "--etcd",
        &cluster.etcd.endpoint(),
    ];
    let mut twin = cached_tests::process::Process::start(
        &cached_tests::binaries::cached(),
        &arguments.map(str::to_owned),
        &folder.path().join("twin.log"),
    );
    let status = twin.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    let said = twin.output();
    assert!(said.contains("n1") && said.contains("--name"), "{said}");
    assert!(
        said.contains(&cluster.nodes[0].address.to_string()),
        "{said}"
    );
}
