//! The guides held against the programs: settings, metrics, endpoints, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cached_tests::binaries;
use cached_tests::clients::http;
use cached_tests::command::Runner;
use cached_tests::process::Process;
use serde_json::Value;
use tempfile::TempDir;

fn guide(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of every table row of a text.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> + '_ {
    // An escaped bar is part of a cell.
    text.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| {
            let line = line.replace("\\|", "\u{1}");
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect()
        })
}

/// A node by itself, with the getter's demonstration table.
async fn lone_node() -> (Process, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--port", "0", "--enable-getter"].map(str::to_owned);
    let mut process = Process::start(
        &binaries::cached(),
        &arguments,
        &folder.path().join("node.log"),
    );
    let url = format!("http://{}", process.listening().await);
    cached_tests::wait::until(
        "the node is ready",
        std::time::Duration::from_secs(20),
        || async {
            http()
                .get(format!("{url}/readyz"))
                .send()
                .await?
                .error_for_status()
        },
    )
    .await;
    (process, url, folder)
}

async fn text_of(url: String) -> String {
    http()
        .get(url)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .text()
        .await
        .unwrap()
}

/// `--flag` and its default, as `--help` tells them.
fn flags(help: &str) -> BTreeMap<String, String> {
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, settings) = words.split_once("This process: ").unwrap();
    let (settings, _) = settings.split_once(" Examples: ").unwrap();
    let mut flags = BTreeMap::new();
    for part in settings
        .split(" --")
        .map(|part| part.trim_start_matches("--"))
    {
        let name = part.split([' ', '[']).next().unwrap();
        let default = part
            .split_once("[default: ")
            .and_then(|(_, rest)| rest.split(']').next());
        let switch = part.contains("[possible values: true, false]");
        let default = default.unwrap_or(if switch { "false" } else { "–" });
        flags.insert(format!("--{name}"), default.to_owned());
    }
    flags
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_stands_in_the_guide_with_its_default() {
    let help = Runner::new(&binaries::cached(), &["--help"]).run().await;
    let real = flags(&help.out);
    assert!(real.len() > 40 && real["--lease-ttl"] == "30s", "{real:?}");
    let written: BTreeMap<String, String> = rows(&guide("configuration.md"))
        .filter(|cells| cells[0].starts_with("`--"))
        .map(|cells| {
            let flag = cells[0].trim_matches('`').split(' ').next().unwrap();
            (flag.to_owned(), cells[1].clone())
        })
        .collect();
    assert_eq!(written, real);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_endpoints_and_figures_are_as_the_guides_say() {
    let (_process, url, _folder) = lone_node().await;
    for key in ["Tom", "Jack"] {
        assert!(!text_of(format!("{url}/api?key={key}")).await.is_empty());
    }

    let metrics = text_of(format!("{url}/metrics")).await;
    let real: BTreeSet<String> = metrics
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .map(
            |name| match name.strip_prefix("cached_request_duration_seconds_") {
                Some(_) => "cached_request_duration_seconds".to_owned(),
                None => name,
            },
        )
        .collect();
    let written: BTreeSet<String> = rows(&guide("metrics.md"))
        .map(|cells| cells[0].trim_matches('`').to_owned())
        .filter(|name| name.starts_with("cached_") && !name.contains([' ', '(']))
        .collect();
    assert_eq!(written, real);

    let document: Value =
        serde_json::from_str(&text_of(format!("{url}/openapi.json")).await).unwrap();
    let mut real = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let verbs = ["get", "put", "post", "delete", "head"];
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|it| verbs.contains(&it.as_str()))
        {
            real.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let written: BTreeSet<String> = rows(&guide("rest.md"))
        .map(|cells| cells[0].trim_matches('`').replace("?key=K", ""))
        .filter(|cell| cell.contains(" /"))
        .collect();
    assert_eq!(written, real);

    // Memory of an entry: its key, its value, and what the guide says.
    let stats: Value = serde_json::from_str(&text_of(format!("{url}/api/stats")).await).unwrap();
    let overhead = stats["bytes_used"].as_u64().unwrap() - "Tom630Jack589".len() as u64;
    let said = format!("key + value + {} bytes", overhead / 2);
    assert!(guide("scaling.md").contains(&said), "{said}");
}
