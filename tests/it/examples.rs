//! The examples, run as a newcomer runs them: against a cluster in one process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cached_tests::clients::http;
use cached_tests::command::{Ran, Runner};
use cached_tests::etcd::{self, Etcd};
use cached_tests::process::Process;
use cached_tests::{binaries, console, wait};
use tempfile::TempDir;

/// `cached dev`, and where its first node and its gateway listen.
struct Dev {
    process: Process,
    node: String,
    gateway: String,
    _folder: TempDir,
}

impl Dev {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["dev", "--ports", "auto"].map(str::to_owned);
        let mut process = Process::start(
            &binaries::cached(),
            &arguments,
            &folder.path().join("dev.log"),
        );
        let node = process.listening().await.to_string();
        let gateway = wait::until("the gateway listens", Duration::from_secs(20), || async {
            let output = process.output();
            let (_, rest) = output
                .split_once("gateway listening on ")
                .ok_or("not yet")?;
            rest.split_whitespace()
                .next()
                .map(str::to_owned)
                .ok_or("not yet")
        })
        .await;
        Self {
            process,
            node,
            gateway,
            _folder: folder,
        }
    }

    async fn example(&self, name: &str, arguments: &[&str]) -> Ran {
        let program = binaries::example(name);
        let ran = Runner::new(&program, arguments)
            .env("CACHED_ENDPOINT", &self.node)
            .run()
            .await;
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        assert_eq!(ran.err, "", "{name}");
        ran
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_does_what_it_says() {
    let mut dev = Dev::start().await;

    let said = dev.example("quickstart", &[]).await.out;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..2],
        ["cluster default has 3 members", "greeting = hello"],
        "{said}"
    );
    assert!(lines[2].starts_with("it lives for "), "{said}");
    // CRC16 of "greeting", as any Redis Cluster client computes it.
    assert!(
        lines[3].starts_with("it is in slot 12714, which n"),
        "{said}"
    );
    assert_eq!(
        lines[4..],
        ["deleted: true", "deleted again: false", "now a miss: true"],
        "{said}"
    );

    let said = dev.example("cache_aside", &[]).await.out;
    assert_eq!(said.lines().count(), 10, "{said}");
    assert!(said.contains("round 3: User number 2\n"), "{said}");
    assert!(said.ends_with("9 reads, 3 database queries\n"), "{said}");

    let said = dev.example("batch", &[]).await.out;
    for line in ["written: 100", "read: 100", "removed: 100"] {
        assert!(said.lines().any(|said| said == line), "{said}");
    }
    for owner in ["\"n1\": ", "\"n2\": ", "\"n3\": "] {
        assert!(said.contains(owner), "{said}");
    }

    let said = dev.example("compare_and_set", &[]).await.out;
    assert!(
        said.starts_with("8 writers added 25 each: the counter is 200\n"),
        "{said}"
    );

    let said = dev.example("watch_topology", &["--once"]).await.out;
    assert!(said.starts_with("layout 1, 3 members\n"), "{said}");
    let slots: u32 = said
        .lines()
        .filter_map(|line| {
            line.split_once(" owns ")?
                .1
                .strip_suffix(" slots")?
                .parse::<u32>()
                .ok()
        })
        .sum();
    assert_eq!(slots, 16_384, "{said}");

    dev.process.terminate();
    dev.process.ended(Duration::from_secs(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_lines_answer_what_the_text_says() {
    let dev = Dev::start().await;
    let text = std::fs::read_to_string(folder().join("curl.md")).unwrap();
    let steps = console::steps(&text);
    assert!(steps.len() > 15, "{}", steps.len());
    // One shell for all, because later lines use variables of earlier ones.
    let script: String = steps
        .iter()
        .map(|step| format!("{}\nprintf '\\n@end@\\n'\n", step.command))
        .collect();
    let script = script.replace("http://localhost:9999", &dev.gateway);
    let ran = Runner::new(Path::new("bash"), &["-s"])
        .input(script.as_bytes())
        .run()
        .await;
    let answers: Vec<&str> = ran.out.split("\n@end@\n").collect();
    assert_eq!(answers.len(), steps.len() + 1, "{ran:?}");
    for (step, answer) in steps.iter().zip(answers) {
        let answer: String = answer.replace('\r', "");
        let (expected, answer) = (step.output.trim_end(), answer.trim_end());
        assert!(
            console::matches(expected, answer),
            "{}\n{answer}\n-- is not --\n{expected}",
            step.command
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_starts_three_nodes_and_a_gateway() {
    if !etcd::is_there() {
        return;
    }
    let etcd = Etcd::start().await;
    let log = tempfile::tempdir().unwrap();
    let words = [
        format!("ETCD={}", etcd.endpoint()),
        format!("CACHED={}", binaries::cached().display()),
        "PORTS=0 0 0 0".to_owned(),
        folder().join("three_nodes/run").display().to_string(),
    ];
    let mut script = Process::start(Path::new("/usr/bin/env"), &words, &log.path().join("log"));
    let url = wait::until("all four listen", Duration::from_secs(30), || async {
        let output = script.output();
        if output.matches(" listening on ").count() < 4 {
            return Err(output);
        }
        let (_, rest) = output
            .split_once("gateway listening on ")
            .ok_or("no gateway")?;
        rest.split_whitespace()
            .next()
            .map(str::to_owned)
            .ok_or(output.clone())
    })
    .await;
    wait::until("three nodes are up", Duration::from_secs(30), || async {
        let status = http()
            .get(format!("{url}/v1/status"))
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let status: serde_json::Value = status.json().await.map_err(|e| e.to_string())?;
        if status["healthy"] == true && status["members_up"] == 3 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    script.terminate();
    script.ended(Duration::from_secs(60)).await;
    assert!(
        http().get(format!("{url}/healthz")).send().await.is_err(),
        "the gateway ended as well"
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
