//! Slots that move under a load: nothing is lost, stale or revived, and entries arrive
//! as they were.

use std::collections::BTreeMap;

use cached_client::Client;
use cached_client::operation::{Operation, Reply};
use cached_client::types::{Key, Ttl};
use cached_tests::clients::{AnyClient, Rest};
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::etcd;
use cached_tests::load::moves::{self, MoveOptions};
use cached_tests::load::{Load, LoadOptions};
use cached_tests::operations::drain;
use cached_tests::story::{self, FLAGS, SETTLED_MAX, Story};

#[tokio::test(flavor = "multi_thread")]
async fn three_become_four_and_three_again_under_a_load() {
    if !etcd::is_there() {
        return;
    }
    let mut options = MoveOptions::quick();
    options
        .flags
        .extend(["--seal-budget", "1s"].map(str::to_owned));
    let report = moves::run(&options, &|_| ()).await;
    report.load.assert_clean();
    for moved in &report.moves {
        let counts = moved.record.moved.unwrap();
        assert_eq!(counts.slots, 4096, "{moved:?}");
        assert_eq!(counts.shed, 0, "{moved:?}");
        assert_eq!(
            counts.sent,
            counts.acknowledged + counts.skipped,
            "{moved:?}"
        );
        assert!((10_000..15_000).contains(&counts.keys), "{moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_times_to_live_travel_with_their_entries() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(2, Setup::default().nodes(&FLAGS)).await;
    let client = cluster.client().await;
    let mut before = BTreeMap::new();
    for number in 0..1000_u64 {
        let (key, ttl) = (format!("k{number}"), 60_000 + 1000 * number);
        let ttl = (number % 2 == 0).then(|| Ttl::from_ms(ttl).unwrap());
        client.set(key.clone(), "first", ttl).await.unwrap();
        // The newer version must travel, not the first.
        let version = client
            .set(key.clone(), format!("v{number}"), ttl)
            .await
            .unwrap();
        before.insert(key, (version, ttl));
    }
    let short = Ttl::from_ms(3000).unwrap();
    client.set("short", "gone soon", Some(short)).await.unwrap();
    let set = std::time::Instant::now();
    let operator = cluster.operator();
    cluster.add("n3", &Setup::default().nodes(&FLAGS)).await;
    cluster.all_served(3).await;
    operator.settled(SETTLED_MAX).await;
    operator
        .done(&operator.drain(&["n1"]).await.unwrap(), SETTLED_MAX)
        .await;
    let asked = set.elapsed();
    for (key, (version, ttl)) in &before {
        let entry = client.get(key.clone()).await.unwrap().expect(key);
        assert_eq!(entry.version, Some(*version), "{key}");
        assert_eq!(&entry.value[1..], &key.as_bytes()[1..], "{key}");
        match (ttl, entry.ttl_ms) {
            (None, None) => (),
            (Some(ttl), Some(left)) => {
                let whole = ttl.as_ms();
                // Set before "short" was; deadlines are absolute, so they stay as they were.
                let least = whole.saturating_sub(asked.as_millis() as u64 + 20_000);
                assert!((least..=whole).contains(&left), "{key}: {left} of {whole}");
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    cached_tests::wait::until(
        "it expires where it went",
        SETTLED_MAX,
        async || match client.get("short").await {
            Ok(None) => Ok(()),
            other => Err(other),
        },
    )
    .await;
    // The next write of every key has a higher version than any before.
    for (key, (version, _)) in &before {
        let next = client.set(key.clone(), "next", None).await.unwrap();
        assert!(next > *version, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_stay_so() {
    if !etcd::is_there() {
        return;
    }
    const KEYS: usize = 6000;
    let flags = ["--memory", "16MiB", "--max-value", "64KiB"];
    let setup = Setup::default().nodes(&FLAGS).nodes(&flags);
    let mut cluster = TestCluster::start(1, setup.clone()).await;
    let client = cluster.client().await;
    fill(&client, "k", 0..KEYS).await;
    // Of the older half, every key is used again: it becomes the younger one.
    let hot = |number: &usize| *number < KEYS / 2;
    let gets = (0..KEYS).filter(hot).map(|number| Operation::Get {
        key: Key::new(format!("k{number}")).unwrap(),
        no_load: true,
        metadata_only: false,
    });
    for answer in client.batch(gets.collect()).await {
        answer.unwrap();
    }
    let operator = cluster.operator();
    cluster.add("n2", &setup).await;
    cluster.all_served(2).await;
    operator.settled(SETTLED_MAX).await;
    let moved = story::rows_of(&cluster.gateway.url(), "n2").await;
    // More than fits, until about a third of what moved is pushed out.
    fill(&client, "more", 0..27_000).await;
    let (mut kept_hot, mut kept_cold, mut were_hot) = (0, 0, 0);
    for number in (0..KEYS).filter(|number| moved.contains(&story::slot(&format!("k{number}")))) {
        were_hot += usize::from(hot(&number));
        if client.get(format!("k{number}")).await.unwrap().is_some() {
            if hot(&number) {
                kept_hot += 1;
            } else {
                kept_cold += 1;
            }
        }
    }
    let told = format!("{kept_hot} of {were_hot} hot ones kept, {kept_cold} cold ones");
    assert!(
        kept_hot * 100 >= were_hot * 98 && kept_cold * 10 < were_hot * 8,
        "{told}"
    );
}

async fn fill(client: &Client, prefix: &str, numbers: std::ops::Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(500) {
        let sets = some.iter().map(|number| Operation::Set {
            key: Key::new(format!("{prefix}{number}")).unwrap(),
            value: vec![b'x'; 1000].into(),
            ttl: None,
            condition: cached_client::operation::Condition::Always,
        });
        for answer in client.batch(sets.collect()).await {
            assert!(matches!(
                answer.unwrap().reply,
                Reply::Set { stored: true, .. }
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_totals_that_are_shown_are_the_keys_that_moved() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(3, Setup::default().nodes(&FLAGS)).await;
    let client = cluster.client().await;
    let load = Load::fill(&client, &LoadOptions::default()).await;
    let operator = cluster.operator();
    let before = operator.keys().await;
    let known = operator.known().await;
    cluster.add("n4", &Setup::default().nodes(&FLAGS)).await;
    let id = operator.appears("join", &known, SETTLED_MAX).await;
    let watched = cluster
        .cachectl(&format!("migrations watch {id} -o jsonl"))
        .await;
    assert_eq!(watched.code, 0, "{watched:?}");
    let records: Vec<serde_json::Value> = watched
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    operator.settled(SETTLED_MAX).await;
    let after = operator.keys().await;
    let moved: u64 = before.iter().map(|(name, keys)| keys - after[name]).sum();
    assert_eq!(after["n4"], moved);
    assert_eq!(after.values().sum::<u64>(), 20_000);
    let of_pairs: BTreeMap<String, u64> = records
        .iter()
        .filter(|record| record["to"] == "n4")
        .map(|record| (record["from"].to_string(), record["keys"].as_u64().unwrap()))
        .collect();
    assert_eq!(of_pairs.values().sum::<u64>(), moved, "{of_pairs:?}");
    let whole = records.iter().rfind(|record| record["from"].is_null());
    let whole = whole.expect("a record of the whole");
    assert_eq!(
        (&whole["keys"], &whole["state"]),
        (&moved.into(), &"done".into())
    );
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_clients_notice_nothing_of_slow_moves() {
    if !etcd::is_there() {
        return;
    }
    let mut story = Story::start(3, Setup::default()).await;
    // One asks a node that gives all away, one a node that receives, one the gateway.
    let urls = story.cluster.nodes[1..]
        .iter()
        .chain([&story.cluster.gateway]);
    let urls: Vec<String> = urls.map(|node| node.url()).collect();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for (number, url) in urls.into_iter().enumerate() {
        let stopped = stopped.clone();
        clients.spawn(async move {
            let client = Rest::new(&url);
            let mut round = 0;
            while !*stopped.borrow() {
                let (key, value) = (format!("rest-{number}-{}", round % 300), format!("{round}"));
                client
                    .set(key.as_bytes(), value.as_bytes(), None)
                    .await
                    .unwrap();
                let read = client.get(key.as_bytes()).await.unwrap();
                assert_eq!(read, Some(value.into_bytes()), "{key} at {url}");
                round += 1;
            }
            round
        });
    }
    let id = story
        .operator
        .start_with(drain(&["n2"]), story::SLOW)
        .await
        .unwrap();
    story.load.begin("drain");
    let record = story.operator.done(&id, SETTLED_MAX).await;
    let took = record.finished_at_ms - record.started_at_ms;
    assert!(took > 1000, "the rate holds: {record:?}");
    stop.send(true).unwrap();
    while let Some(rounds) = clients.join_next().await {
        assert!(rounds.unwrap() > 100);
    }
    assert_eq!(story::slots(&story.cluster.gateway.url()).await["n2"], 0);
    let (_cluster, report) = story.settle().await;
    report.assert_clean();
}
