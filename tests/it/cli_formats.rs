//! What every command of cachectl prints in every format it offers, with its exit code, held
//! against `tests/golden/output`: one file for each command, one section for each run. What
//! differs from run to run is a word in capitals there (`cached_tests::normal`).
//! `BLESS=1 cargo test -p cached-tests --test it cli_formats` writes the files anew.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::shown::Shown;
use cached_tests::story::{FLAGS, SETTLED_MAX};
use cached_tests::{etcd, golden, wait};

/// Commands that are not run here.
const ELSEWHERE: [(&str, &str); 4] = [
    (
        "completions",
        "what clap makes of the command line; cli_contexts",
    ),
    (
        "man",
        "the help texts once more, which are golden; cli_contexts",
    ),
    ("config", "shows its help; cli_help"),
    ("debug", "shows its help; cli_help"),
];

/// Not among the exit codes here: 130 is what Ctrl-C comes to, which `bench` and `top` press.
const CODES: [i32; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Its members own much, much and little: what moves is little.
const WEIGHTS: [(&str, &str); 3] = [("n1", "8"), ("n2", "8"), ("n3", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_what_was_agreed() {
    if !etcd::is_there() {
        return;
    }
    let mut setup = Setup::with(&["--virtual-nodes", "1"]).nodes(&FLAGS);
    for (node, weight) in WEIGHTS {
        let variable = (node, "CACHED_WEIGHT", weight);
        let variable = (variable.0.into(), variable.1.into(), variable.2.into());
        setup.environment.push(variable);
    }
    let mut cluster = TestCluster::start(3, setup).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (url, config) = (cluster.gateway.url(), format!("{folder}/config.toml"));
    let environment = [
        ("CACHECTL_ENDPOINT", url.as_str()),
        ("CACHECTL_CONFIG", &config),
        ("USER", "tester"),
        ("EDITOR", "true"),
    ];
    let mut shown = Shown::new(&environment, folder).await;
    hot(&cluster).await;
    looked_at(&mut shown, folder).await;
    keys(&mut shown).await;
    groups_and_blacklist(&mut shown).await;
    changes(&mut shown).await;
    plans(&mut shown).await;
    contexts(&mut shown, &url).await;
    refusals(&mut shown).await;
    silence(&mut shown, &mut cluster).await;
    under_way(&mut shown, &cluster).await;
    gone(&mut shown).await;
    compare(&shown);
}

/// Every difference at once.
fn compare(shown: &Shown) {
    let elsewhere = ELSEWHERE.map(|(command, _)| command);
    let missing = shown.missing().into_iter();
    let missing = missing.filter(|command| !elsewhere.contains(command));
    let missing =
        missing.map(|command| format!("{command}: show it here, or say where it is shown"));
    let mut wrong: Vec<String> = shown.wrong.iter().cloned().chain(missing).collect();
    let unseen = CODES.iter().filter(|code| !shown.codes.contains(code));
    wrong.extend(unseen.map(|code| format!("nothing ended with exit code {code}")));
    let mut names = BTreeSet::new();
    for (command, text) in &shown.texts {
        let name = command.replace(' ', "-");
        let text = text.trim_end().to_owned() + "\n";
        wrong.extend(golden::compare(&format!("output/{name}"), &text).err());
        names.insert(name);
    }
    wrong.extend(golden::stale("output", &names));
    assert!(
        wrong.is_empty(),
        "{}\n\n{}",
        wrong.join("\n\n"),
        golden::HINT
    );
}

/// Keys that are asked for more than others.
async fn hot(cluster: &TestCluster) {
    let client = cluster.client().await;
    for (key, times) in [("hot", 300), ("warm", 150), ("mild", 75)] {
        for _ in 0..times {
            client.set(key, "x".repeat(100), None).await.unwrap();
        }
    }
    for number in 0..200 {
        let key = format!("key-{number}");
        client.set(key, "x".repeat(100), None).await.unwrap();
    }
}

async fn looked_at(shown: &mut Shown, folder: &str) {
    shown.all("hotkeys --top 3").await;
    for line in ["status", "nodes", "ring", "stats", "check", "version"] {
        shown.all(line).await;
    }
    shown.all("ring --as bar --width 24").await;
    shown.once("ring --as circle").await;
    shown.all("stats --by group").await;
    shown.all("stats --memory").await;
    for line in [
        "status --wait 30s",
        "nodes n1",
        "ring --as ranges",
        "stats n2",
        "check --format json",
        "check --format nagios",
        "check --format prometheus",
        "cheat",
        "cheat -o json",
        "top",
    ] {
        shown.once(line).await;
    }
    shown.all("config show").await;
    shown
        .in_turn(&[&format!("debug bundle --out {folder}/b.tar.gz")], "")
        .await;
    let bench = "bench --requests 200 --clients 2 --keys 50 --fill --seed 1";
    shown.in_turn(&[bench], "").await;
}

async fn keys(shown: &mut Shown) {
    shown.in_turn(&["set greeting hello"], "").await;
    shown.all("get greeting").await;
    shown.all("get greeting --meta").await;
    // Neither a tab nor an end of line in a key may break a line.
    shown.prepare("set 00ff090a value --key-encoding hex").await;
    shown.all("get 00ff090a --meta --key-encoding hex").await;
    shown.all("locate greeting").await;
    shown.all("locate greeting --explain").await;
    shown.all("locate greeting --layout 1").await;
    shown.in_turn(&["delete gone"], "set gone 1").await;
    shown.all("delete --pattern 'greet*' --dry-run").await;
}

async fn groups_and_blacklist(shown: &mut Shown) {
    shown.once("groups").await;
    shown
        .in_turn(&["groups create users --max-bytes 1GiB --ttl 10m"], "")
        .await;
    shown.all("groups").await;
    shown.all("groups list").await;
    shown.all("groups describe users").await;
    let flush = "groups flush users --confirm users";
    shown.in_turn(&[flush], "set ann 1 -g users").await;
    shown.once("blacklist").await;
    shown.prepare("blacklist add n2 --reason 'disk swap'").await;
    // The events of before are those of the start, in any order.
    let events = "events --node n1 --severity warning";
    wait::until("n1 saw it", Duration::from_secs(10), async || {
        let ran = shown.run(events).await;
        let seen = ran.out.contains("n2 is blacklisted");
        if seen { Ok(()) } else { Err(ran) }
    })
    .await;
    shown.all(events).await;
    shown
        .in_turn(&["blacklist add n2 --ttl 1h --reason 'disk swap'"], "")
        .await;
    shown.all("blacklist").await;
    shown.all("blacklist list").await;
    shown.once("blacklist list --by target").await;
    let remove = "blacklist remove n2";
    shown.in_turn(&[remove], "blacklist add n2").await;
}

async fn contexts(shown: &mut Shown, url: &str) {
    shown.once("context").await;
    shown.once("context prompt").await;
    shown
        .in_turn(&[&format!("context add dev --endpoint {url} --use")], "")
        .await;
    let prod = "context add prod --endpoint http://127.0.0.1:1 --set production=true";
    shown.in_turn(&[prod], "").await;
    for line in ["context use prod", "context -"] {
        shown.in_turn(&[line], "").await;
    }
    shown.prepare("context use dev").await;
    for line in ["", " list", " current", " prompt", " edit", " validate"] {
        shown.in_turn(&[&format!("context{line}")], "").await;
    }
    shown.once("context validate dev --connect").await;
    let again = "context add old --endpoint http://127.0.0.1:1";
    shown.in_turn(&["context remove old"], again).await;
}

/// Moves slots.
async fn changes(shown: &mut Shown) {
    shown.all("migrations watch").await;
    shown.prepare("drain n3 --yes -m 'disk swap'").await;
    shown.prepare("undrain n3 --yes").await;
    planned(shown).await;
    shown.all("migrations").await;
    shown.all("migrations list").await;
    let known = shown.prepare("migrations list -o name").await.out;
    let drain = known.lines().next().unwrap();
    shown.all(&format!("migrations describe {drain}")).await;
    shown.all(&format!("migrations watch {drain}")).await;
    shown.all("ring --diff 1").await;

    let stale = planned(shown).await;
    shown.prepare("rebalance --weight n3=2 --yes").await;
    shown.fails(&format!("plan apply {stale} --yes")).await;
    shown.prepare("rebalance --weight n3=1 --yes").await;

    let (drain, undrain) = ("drain n3 --yes -m 'disk swap'", "undrain n3 --yes");
    shown.in_turn(&[drain, undrain], "").await;
    for format in ["table", "json"] {
        let id = planned(shown).await;
        shown
            .once(&format!("plan apply {id} --yes -o {format}"))
            .await;
        shown.once(&format!("join n3 --yes -o {format}")).await;
    }
    shown.once("rebalance --weight n3=2 --yes").await;
    shown.once("rebalance --weight n3=1 --yes -o json").await;
    for line in ["join n3 --yes", "undrain n3 --yes", "rebalance --yes"] {
        shown.all(line).await;
    }
}

/// The id of a plan.
async fn planned(shown: &Shown) -> String {
    let ran = shown.prepare("plan --drain n3 -o name").await;
    ran.out.trim().to_owned()
}

async fn plans(shown: &mut Shown) {
    shown.all("plan --drain n3").await;
    let id = planned(shown).await;
    shown.all(&format!("plan show {id}")).await;
    shown.all(&format!("plan apply {id} --dry-run")).await;
    shown.all(&format!("ring --diff {id}")).await;
    for line in ["join n3 --weight 2", "drain n3", "remove n3", "rebalance"] {
        shown.all(&format!("{line} --dry-run")).await;
    }
}

/// A migration that is open: nothing moves any more once entries would have to.
async fn under_way(shown: &mut Shown, cluster: &TestCluster) {
    shown.normal.moving = true;
    let slow = "drain n3 --yes --detach --max-rate 1";
    shown.fails(slow).await;
    let operator = cluster.operator();
    let id = operator.open("drain", SETTLED_MAX).await.id;
    shown
        .in_turn(&[&format!("migrations pause {id}")], "")
        .await;
    shown
        .in_turn(&[&format!("migrations resume {id}")], "")
        .await;
    shown.fails("status --exit-code").await;
    shown.fails("check").await;
    shown.fails("drain n2 --yes").await;
    shown.prepare(&format!("migrations pause {id}")).await;
    shown
        .in_turn(&[&format!("migrations rate {id} 20MiB")], "")
        .await;
    // Whatever comes after the first finds that it has ended.
    shown
        .in_turn(&[&format!("migrations cancel {id} --yes")], "")
        .await;
    operator.over(&id, SETTLED_MAX).await;
    shown.fails(&format!("migrations watch {id}")).await;
    shown.prepare("undrain n3 --yes").await;
    operator.settled(SETTLED_MAX).await;
}

/// A line or more for each exit code but 0 and those of what is under way.
async fn refusals(shown: &mut Shown) {
    for line in [
        "context validate prod --connect",
        "nodes --no-such-flag",
        "get 0 --key-encoding hex",
        "drain n1",
        "groups flush users --no-input",
        "plan --drain n1 --remove n1",
        "context use nowhere",
        "get nobody",
        "get x -g nowhere",
        "delete nobody",
        "nodes n9",
        "drain n9 --yes",
        "migrations describe op-00000000",
        "blacklist remove n1",
        "get hot --endpoint http://127.0.0.1:1",
        "check --endpoint http://127.0.0.1:1",
        "set hot 1 --nx",
        "groups create users --max-bytes 1MiB",
        "drain n1 n2 n3 --yes",
        "set hot 1 --read-only",
    ] {
        shown.fails(line).await;
    }
}

/// A node that says nothing, for less time than others would miss it.
async fn silence(shown: &mut Shown, cluster: &mut TestCluster) {
    cluster.node("n1").process.pause();
    shown.fails("get hot --from n1 --timeout 300ms").await;
    cluster.node("n1").process.resume();
}

/// A node that goes, and then is gone already.
async fn gone(shown: &mut Shown) {
    shown.in_turn(&["remove n3 --yes"], "").await;
}
