//! cachectl against a real cluster: formats, exit codes, bytes, and what it shows
//! when nobody but etcd is left. Its help texts are in `cli_help`.

use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::{Ran, Runner, cachectl};
use cached_tests::{binaries, etcd, wait};
use serde_json::Value;

/// Every reading command of this version, and two that write.
const COMMANDS: [&str; 21] = [
    "set made here",
    "get made",
    "get made --meta",
    "locate made --explain",
    "status",
    "nodes",
    "nodes n1",
    "ring",
    "ring --as ranges",
    "stats",
    "stats n2 --by group",
    "stats --memory",
    "hotkeys",
    "events",
    "check",
    "blacklist",
    "blacklist list",
    "groups",
    "groups describe default-group",
    "version",
    "delete made",
];

/// Runs one line against one node or gateway.
async fn ctl(url: &str, line: &str) -> Ran {
    cachectl(&["--endpoint", url], line).run().await
}

/// The same, with what it must come to.
async fn must(url: &str, line: &str, code: i32) -> Ran {
    let ran = ctl(url, line).await;
    assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_every_command() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let url = cluster.gateway.url();
    for line in COMMANDS {
        // Writing commands change what the next format finds; each gets its own turn.
        for format in ["table", "wide", "plain", "name", "json", "jsonl", "yaml"] {
            if line.starts_with("delete") {
                must(&url, "set made here", 0).await;
            }
            let line = format!("{line} -o {format}");
            let out = must(&url, &line, 0).await.out;
            match format {
                "json" => versioned(&line, &serde_json::from_str(&out).unwrap()),
                "jsonl" => out
                    .lines()
                    .for_each(|one| versioned(&line, &serde_json::from_str(one).unwrap())),
                "yaml" => versioned(&line, &serde_yaml_ng::from_str(&out).unwrap()),
                "name" => assert!(out.lines().all(|one| !one.contains(' ')), "{line}: {out}"),
                _ => assert!(
                    !out.contains("answered ·"),
                    "{line}: notes belong on stderr: {out}"
                ),
            }
        }
    }
    drawings(&url).await;
    colours(&url).await;
    // Notes are on standard error, and --quiet takes them away.
    assert!(must(&url, "nodes", 0).await.err.contains(&url));
    assert_eq!(must(&url, "nodes --quiet", 0).await.err, "");
}

fn versioned(line: &str, document: &Value) {
    assert_eq!(document["apiVersion"], "v1", "{line}: {document}");
}

async fn drawings(url: &str) {
    let bar = must(url, "ring --as bar --width 32", 0).await.out;
    let cells = bar.lines().next().unwrap();
    assert!(
        cells.len() == 32 && cells.chars().all(|cell| "123".contains(cell)),
        "{bar}"
    );
    assert!(
        bar.contains("1=n1 33.3%") && bar.contains("hash crc16"),
        "{bar}"
    );
    let circle = must(url, "ring --as circle", 0).await.out;
    assert!(
        circle.lines().count() > 19 && circle.contains("3=n3"),
        "{circle}"
    );
}

async fn colours(url: &str) {
    let colored = |ran: Ran| ran.out.contains("\u{1b}[");
    assert!(
        !colored(must(url, "nodes", 0).await),
        "a pipe is no terminal"
    );
    assert!(colored(must(url, "nodes --color always", 0).await));
    assert!(!colored(must(url, "nodes --color never", 0).await));
    let plain = cachectl(&["--endpoint", url], "nodes")
        .env("NO_COLOR", "1")
        .run()
        .await;
    assert!(!colored(plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_happened() {
    if !etcd::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(3, Setup::default()).await;
    let url = cluster.gateway.url();
    must(&url, "status --exit-code --wait 30s", 0).await;
    must(&url, "set there 1", 0).await;
    let version = must(&url, "get there --meta -o json", 0).await.out;
    let version: Value = serde_json::from_str(&version).unwrap();
    let version = version["version"].as_str().unwrap().to_owned();
    must(&url, &format!("set there 2 --if-version {version}"), 0).await;
    must(&url, "groups create tiny --max-bytes 3000", 0).await;

    let long = format!("get {}", "k".repeat(65_537));
    let stale = format!("set there 3 --if-version {version}");
    let large = format!("set x {} -g tiny", "v".repeat(4000));
    for (line, code, words) in [
        (long.as_str(), 2, "65536"),
        ("get 0 --key-encoding hex", 2, "hexadecimal"),
        ("nodes --no-such-flag", 2, "--no-such-flag"),
        ("groups flush tiny --no-input", 2, "--confirm tiny"),
        ("groups flush tiny --confirm tyni", 2, "tyni"),
        ("get nobody", 3, "nobody"),
        ("delete there nobody", 3, "nobody"),
        ("get x -g nowhere", 3, "groups create"),
        ("nodes n9", 3, "n1, n2, n3"),
        ("stats n9", 3, "n9"),
        ("groups describe nowhere", 3, "nowhere"),
        ("blacklist add n9", 3, "n9"),
        ("blacklist remove n1", 3, "n1"),
        ("groups create tiny --max-bytes 1MiB", 6, "tiny"),
        ("set missing 1 --xx", 6, "missing"),
        (&large, 2, "the limit of this node's share of the group"),
    ] {
        let ran = must(&url, line, code).await;
        assert!(ran.err.contains(words), "cachectl {line}: {}", ran.err);
        // What was found is data, whatever became of the rest.
        let partly = line.starts_with("delete");
        assert!(partly || ran.out.is_empty(), "cachectl {line}: {}", ran.out);
    }
    must(&url, "set there again", 0).await;
    must(&url, &stale, 6).await;
    must(&url, "set there 3 --nx", 6).await;

    let nobody = must("http://127.0.0.1:1", "get there", 4).await;
    assert!(
        nobody.err.contains("127.0.0.1:1") && nobody.err.contains("--endpoint"),
        "{nobody:?}"
    );
    operators_commands(&url).await;

    cluster.nodes[1].process.kill();
    let ran = wait::until("the loss shows", Duration::from_secs(30), || async {
        let ran = ctl(&url, "status --exit-code").await;
        if ran.code == 10 { Ok(ran) } else { Err(ran) }
    })
    .await;
    assert!(
        ran.out.contains("NOT HEALTHY") && ran.out.contains("n2"),
        "{ran:?}"
    );
    // Until somebody else owns n2's slots there is nothing to wait for in vain.
    must(&url, "status --wait 1ms", 10).await;
}

/// Entries on the blacklist, and groups from their creation to their flush.
async fn operators_commands(url: &str) {
    let words = [
        "--endpoint",
        url,
        "blacklist",
        "add",
        "n3",
        "--ttl",
        "10m",
        "--reason",
        "disk swap",
    ];
    let added = Runner::new(&binaries::cachectl(), &words).run().await;
    assert_eq!(added.code, 0, "{added:?}");
    let listed = must(url, "blacklist list", 0).await.out;
    assert!(
        listed.contains("n3") && listed.contains("manual") && listed.contains("disk swap"),
        "{listed}"
    );
    must(url, "blacklist add n2", 0).await;
    let last = must(url, "blacklist add n1", 6).await;
    assert!(last.err.contains("last"), "{last:?}");
    for node in ["n2", "n3"] {
        must(url, &format!("blacklist remove {node}"), 0).await;
    }
    assert!(
        must(url, "blacklist", 0)
            .await
            .out
            .contains("nobody is listed")
    );

    must(url, "groups create users --max-bytes 1GiB --ttl 10m", 0).await;
    must(url, "groups create users --max-bytes 1GiB --ttl 10m", 0).await;
    let shown = must(url, "groups describe users -o json", 0).await.out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["items"][0]["max_bytes"], 1_u64 << 30, "{shown}");
    must(url, "set ann 1 -g users", 0).await;
    let entry = must(url, "get ann -g users --meta -o json", 0).await.out;
    let entry: Value = serde_json::from_str(&entry).unwrap();
    let ttl = entry["ttl_ms"].as_u64().unwrap();
    assert!(
        (500_000..=600_000).contains(&ttl),
        "the group's own time to live: {entry}"
    );
    let flushed = must(url, "groups flush users --confirm users -o json", 0)
        .await
        .out;
    let flushed: Value = serde_json::from_str(&flushed).unwrap();
    let keys: u64 = flushed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["keys"].as_u64())
        .sum();
    assert_eq!(keys, 1, "{flushed}");
    must(url, "get ann -g users", 3).await;
}
