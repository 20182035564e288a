//! The screen on a real terminal, a real cluster and a real etcd.

use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::command::cachectl;
use cached_tests::tmux::{self, Screen};
use cached_tests::{binaries, etcd};

/// Members are missed after four seconds.
const FLAGS: [&str; 4] = ["--lease-ttl", "4s", "--heartbeat", "1s"];

/// How long a change may take to be seen: a busy machine proves nothing about the screen.
const BUSY: Duration = Duration::from_secs(25);

fn command(cluster: &TestCluster, more: &str) -> String {
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.url()).collect();
    let program = binaries::cachectl();
    format!(
        "{} --endpoint {} top {more}",
        program.display(),
        nodes.join(",")
    )
}

/// Whether it is shown that a node is down.
fn is_down(text: &str, name: &str) -> bool {
    text.contains(&format!("{name} DOWN"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_follows_a_cluster_through_losses() {
    if !etcd::is_there() || !tmux::is_there() {
        return;
    }
    let mut cluster = TestCluster::start(4, Setup::with(&FLAGS)).await;
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    let line = format!(
        "stty -a > {}; {}; stty -a > {}",
        before.display(),
        command(&cluster, ""),
        after.display()
    );
    let screen = Screen::start(120, 40, &line);
    screen.shows(&["● live", "4 up", "etcd ok", "25.0%"]).await;

    // A key is written, looked up and removed.
    screen.press(&["5", "i"]);
    screen.shows(&["Write a key"]).await;
    screen.type_in("user:4411");
    screen.press(&["Tab"]);
    screen.type_in("Ann");
    screen.press(&["Tab", "Tab", "Tab", "Right", "Enter"]);
    screen.shows(&["key    user:4411", "value  Ann"]).await;
    let client = cluster.client().await;
    assert_eq!(client.get("user:4411").await.unwrap().unwrap().value, "Ann");
    screen.press(&["D"]);
    screen.shows(&["Delete user:4411"]).await;
    screen.press(&["Right", "Enter"]);
    screen.shows(&["value  not there"]).await;
    assert!(client.get("user:4411").await.unwrap().is_none());

    // A node is lost.
    screen.press(&["1"]);
    cluster.node("n4").process.kill();
    let killed = std::time::Instant::now();
    screen
        .becomes("n4 is DOWN", BUSY, |text| is_down(text, "n4"))
        .await;
    println!("DOWN was shown {:?} after the kill", killed.elapsed());

    // etcd is lost, and comes back.
    cluster.etcd.kill();
    screen
        .shows(&["etcd unreachable", "ring frozen at layout"])
        .await;
    screen.press(&["2", "d"]);
    screen
        .shows(&["joins and drains wait until it is back"])
        .await;
    screen.press(&["Escape"]);
    cluster.etcd.restart().await;
    screen
        .becomes("etcd is back", BUSY, |text| {
            text.contains("etcd ok") && !text.contains("unreachable") && text.contains("● live")
        })
        .await;

    screen.press(&["q"]);
    screen.shows(&["ENDED"]).await;
    let stty = [before, after].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(!stty[0].is_empty());
    assert_eq!(stty[0], stty[1], "the terminal is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_goes_on_without_the_screen_and_is_found_again() {
    if !etcd::is_there() || !tmux::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default()).await;
    let client = cluster.client().await;
    for number in 0..300 {
        let key = format!("key-{number}");
        client.set(key, vec![b'x'; 4096], None).await.unwrap();
    }
    let again = command(&cluster, "--screen nodes");
    let screen = Screen::start(120, 40, &format!("{again}; {}", command(&cluster, "")));
    screen.shows(&["3 up", "[2 Nodes]"]).await;
    screen.press(&["d"]);
    screen.shows(&["Drain n1 · plan op-", ">Cancel<"]).await;
    screen.press(&["Up", "Up", "Up"]);
    screen.type_in("20KB");
    screen.press(&["Tab", "Tab", "Tab", "Right", "Enter"]);
    screen.press(&["4"]);
    let first = screen
        .shows(&["op-", "running", "n1→n2", "n1→n3", "cap 19.5 KiB/s"])
        .await;
    let id = operation(&first);
    let moved = |text: &str| slots(text).0;
    screen
        .becomes("something has moved", BUSY, |text| moved(text) > 0)
        .await;
    let seen = moved(&screen.text());
    screen.kill();

    // The second screen of the same shell.
    let found = screen
        .shows(&["[1 Overview]", &id, "running", "n1→n2"])
        .await;
    assert!(moved(&found) >= seen, "{seen} slots had moved:\n{found}");
    screen.press(&["p"]);
    screen.shows(&["paused"]).await;
    screen.press(&["q"]);
    screen.shows(&["ENDED"]).await;
}

/// The operation that is shown.
fn operation(text: &str) -> String {
    let at = text.find("op-").expect("an operation is shown");
    text[at..at + 11].to_owned()
}

/// Slots moved and all of them, summed over the pairs that are shown: `12/345 slots`.
fn slots(text: &str) -> (u64, u64) {
    let pairs = text
        .lines()
        .filter(|line| line.contains("n1→n") && line.contains(" slots"));
    let pair = |line: &str| {
        let numbers = line
            .split_whitespace()
            .find(|word| word.contains('/') && !word.contains("B/s"))?;
        let (done, all) = numbers.split_once('/')?;
        Some((done.parse::<u64>().ok()?, all.parse::<u64>().ok()?))
    };
    pairs
        .filter_map(pair)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// What a terminal is like besides its settings: the alternate screen, the cursor, the mouse.
const AS_USUAL: &str = "0 1 0";

/// However `top` ends, short of `kill -9`, the terminal is as it was before.
#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_whatever_ends_it() {
    if !tmux::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("empty.rec");
    std::fs::write(
        &recording,
        "{\"cachectl_top\":1,\"unix_ms\":1767355447000}\n",
    )
    .unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    let program = binaries::cachectl();
    for (end, panic, code) in [
        ("TERM", "", 0),
        ("INT", "", 0),
        ("HUP", "", 0),
        ("a panic while it draws", "loop", 101),
        ("a panic in a task", "task", 1),
    ] {
        let line = format!(
            "stty -a > {}; RUST_BACKTRACE=0 CACHECTL_PANIC={panic} {} top --replay {}; echo CODE $?; stty -a > {}",
            before.display(),
            program.display(),
            recording.display(),
            after.display()
        );
        let screen = Screen::start(100, 30, &line);
        if panic.is_empty() {
            screen.shows(&["[1 Over]", "recording"]).await;
            screen.press(&["m"]);
            screen.shows(&["mouse on"]).await;
            assert_eq!(screen.modes(), "1 0 1", "it has taken the terminal over");
            screen.signal(end);
        }
        let shown = screen.shows(&["ENDED"]).await;
        assert!(shown.contains(&format!("CODE {code}")), "{end}:\n{shown}");
        if code != 0 {
            // What it has to say is said where it can be read.
            assert!(shown.contains("panicked"), "{end}:\n{shown}");
        }
        assert_eq!(screen.modes(), AS_USUAL, "{end}");
        let stty = [&before, &after].map(|path| std::fs::read_to_string(path).unwrap());
        assert!(!stty[0].is_empty());
        assert_eq!(stty[0], stty[1], "{end}");
    }
}

/// Keys and colours of a file hold; a file that is wrong is named with the line.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_colours_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let file = folder.path().join("top.toml");
    let run = async |line: &str| {
        let config = config.display().to_string();
        let runner = cachectl(&[], line).env("CACHECTL_CONFIG", &config);
        runner.run().await
    };
    let usual = run("top --print-keys --print-theme").await;
    assert_eq!(usual.code, 0, "{usual:?}");
    // What is printed is a file, and says the same.
    std::fs::write(&file, &usual.out).unwrap();
    assert_eq!(run("top --print-keys --print-theme").await.out, usual.out);

    std::fs::write(&file, "[keys]\ndrain = [\"f9\"]\n[theme]\nbad = \"pink\"\n").unwrap();
    let wrong = run("top --print-keys").await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let words = [&file.display().to_string(), "line 4", "bad", "pink"];
    assert!(
        words.iter().all(|word| wrong.err.contains(word)),
        "{wrong:?}"
    );

    if !tmux::is_there() {
        return;
    }
    let recording = folder.path().join("empty.rec");
    std::fs::write(
        &recording,
        "{\"cachectl_top\":1,\"unix_ms\":1767355447000}\n",
    )
    .unwrap();
    std::fs::write(&file, "[keys]\nshow-ring = [\"f3\"]\nquit = [\"X\"]\n").unwrap();
    let line = format!(
        "CACHECTL_CONFIG={} {} top --replay {}",
        config.display(),
        binaries::cachectl().display(),
        recording.display()
    );
    let screen = Screen::start(100, 30, &line);
    screen.shows(&["[1 Over]", "X quit"]).await;
    screen.press(&["F3"]);
    screen.shows(&["[3 Ring]"]).await;
    screen.press(&["q", "X"]);
    screen.shows(&["ENDED"]).await;
}
