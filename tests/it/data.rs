//! Keys and values through every protocol and every process: what one writes, all read.

use std::time::Duration;

use cached_client::operation::Condition;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::{etcd, wait};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_writes_every_client_reads() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let clients = cluster.every_client().await;
    for (number, writer) in clients.iter().enumerate() {
        // Binary on purpose: no byte may be taken for text.
        for key in [
            format!("key-{number}").into_bytes(),
            vec![0, 255, b'/', b'%', number as u8],
        ] {
            let value = [&key[..], &[0, 10, 13, 255]].concat();
            writer
                .set(&key, &value, None)
                .await
                .unwrap_or_else(|e| panic!("{}: {e}", writer.name()));
            for reader in &clients {
                let read = reader
                    .get(&key)
                    .await
                    .unwrap_or_else(|e| panic!("{}: {e}", reader.name()));
                assert_eq!(
                    read,
                    Some(value.clone()),
                    "{} -> {}",
                    writer.name(),
                    reader.name()
                );
            }
            assert!(writer.delete(&key).await.unwrap(), "{}", writer.name());
            for reader in &clients {
                assert_eq!(reader.get(&key).await.unwrap(), None, "{}", reader.name());
            }
            assert!(!writer.delete(&key).await.unwrap(), "{}", writer.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_expire_for_everybody() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(2, Setup::default()).await;
    let clients = cluster.every_client().await;
    for (number, writer) in clients.iter().enumerate() {
        let key = format!("short-{number}").into_bytes();
        writer.set(&key, b"soon gone", Some(300)).await.unwrap();
        for reader in &clients {
            wait::until("the entry is gone", Duration::from_secs(5), || async {
                match reader.get(&key).await.unwrap() {
                    None => Ok(()),
                    Some(_) => Err("still there"),
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_make_compare_and_set() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let client = cluster.client().await;
    // 16 writers add 1 to each of 8 counters 25 times; not one addition may be lost.
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let client = client.clone();
        writers.spawn(async move {
            for round in 0..25 {
                let key = format!("counter-{}", round % 8);
                add_one(&client, &key).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut sum = 0;
    for number in 0..8 {
        let entry = client
            .get(format!("counter-{number}"))
            .await
            .unwrap()
            .unwrap();
        sum += std::str::from_utf8(&entry.value)
            .unwrap()
            .parse::<u64>()
            .unwrap();
    }
    assert_eq!(sum, 16 * 25);
}

async fn add_one(client: &cached_client::Client, key: &str) {
    loop {
        let entry = client.get(key.to_owned()).await.unwrap();
        let (value, condition) = match &entry {
            None => (0, Condition::IfAbsent),
            Some(entry) => {
                let number = std::str::from_utf8(&entry.value)
                    .unwrap()
                    .parse::<u64>()
                    .unwrap();
                (number, Condition::IfVersion(entry.version.unwrap()))
            }
        };
        let next = (value + 1).to_string();
        if client
            .set_if(key.to_owned(), next, None, condition)
            .await
            .unwrap()
            .is_some()
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_answer_key_by_key() {
    use cached_client::operation::{Operation, Reply};
    use cached_client::types::Key;
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::with(&["--max-value", "1KiB"])).await;
    let client = cluster.client().await;
    let set = |number: usize| Operation::Set {
        key: Key::new(format!("batch-{number}")).unwrap(),
        // One in ten is too long for this cluster: it fails alone.
        value: vec![b'v'; if number.is_multiple_of(10) { 2000 } else { 10 }].into(),
        ttl: None,
        condition: Condition::Always,
    };
    let written = client.batch((0..500).map(set).collect()).await;
    for (number, outcome) in written.iter().enumerate() {
        assert_eq!(
            outcome.is_err(),
            number.is_multiple_of(10),
            "{number}: {outcome:?}"
        );
    }
    let get = |number: usize| Operation::Get {
        key: Key::new(format!("batch-{number}")).unwrap(),
        no_load: false,
        metadata_only: false,
    };
    let read = client.batch((0..500).map(get).collect()).await;
    for (number, outcome) in read.into_iter().enumerate() {
        let Reply::Get(entry) = outcome.unwrap().reply else {
            panic!("not a read")
        };
        assert_eq!(entry.is_some(), !number.is_multiple_of(10), "{number}");
    }
}
