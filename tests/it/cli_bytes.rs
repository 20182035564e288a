//! cachectl that finds its cluster through etcd: bytes stay bytes, and when no node
//! is left, etcd still shows the cluster.

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::cachectl;
use cached_tests::etcd;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_stay_bytes_and_etcd_alone_still_shows_the_cluster() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(2, Setup::default()).await;
    // Found through etcd: no node is named.
    let endpoint = cluster.etcd.endpoint();
    let seed = ["--etcd", endpoint.as_str()];
    let value: Vec<u8> = (0..=255).collect();
    let set = cachectl(&seed, "set 00ff0a --key-encoding hex -")
        .input(&value)
        .run()
        .await;
    assert_eq!((set.code, set.out.as_str()), (0, "OK\n"), "{set:?}");
    let get = cachectl(&seed, "get AP8K --key-encoding base64")
        .run()
        .await;
    assert_eq!((get.code, get.bytes), (0, value.clone()), "{}", get.err);
    let get = cachectl(&seed, "get AP8K --key-encoding base64 -o json")
        .run()
        .await;
    let document: Value = serde_json::from_str(&get.out).unwrap();
    assert_eq!(document["encoding"], "base64", "{document}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &value).unwrap();
    let line = format!("set photo @{} --ttl 1h", file.path().display());
    assert_eq!(cachectl(&seed, &line).run().await.code, 0);
    assert_eq!(cachectl(&seed, "get photo").run().await.bytes, value);

    let listed = cachectl(&seed, "blacklist add n2 --ttl 10m").run().await;
    assert_eq!(listed.code, 0, "{listed:?}");
    cluster
        .nodes
        .iter_mut()
        .for_each(|node| node.process.kill());
    for (line, code, words) in [
        ("status", 0, "no node answers"),
        ("status --exit-code", 10, "NOT HEALTHY"),
        ("nodes", 0, "n1"),
        ("ring", 0, "8192"),
        ("ring --as bar", 0, "1=n1 50.0%"),
        ("blacklist", 0, "n2"),
        ("get photo", 4, ""),
        ("version", 0, "no node answers"),
    ] {
        let ran = cachectl(&seed, line).run().await;
        assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
        assert!(ran.out.contains(words), "cachectl {line}: {}", ran.out);
    }
}
