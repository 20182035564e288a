//! Contexts, settings with their origins, read-only and production contexts, what shells
//! and `man` read: all of it without a cluster.

use cached_tests::command::{Ran, cachectl};
use serde_json::Value;

use crate::cli_schemas::fits;

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    async fn ctl(&self, line: &str, code: i32) -> Ran {
        let config = self.folder.path().join("config.toml");
        let runner = cachectl(&[], line).env("CACHECTL_CONFIG", config.to_str().unwrap());
        let ran = runner.env("EDITOR", "true").run().await;
        assert_eq!(ran.code, code, "cachectl {line}: {ran:?}");
        ran
    }

    async fn document(&self, schema: &str, line: &str) -> Value {
        let ran = self.ctl(&format!("{line} -o json"), 0).await;
        let document = serde_json::from_str(&ran.out).unwrap();
        fits(schema, &document);
        document
    }
}

#[tokio::test]
async fn contexts_are_described_used_and_checked() {
    let home = Home::new();
    home.ctl("context current", 3).await;
    assert_eq!(home.ctl("context prompt", 0).await.out, "");
    home.ctl("context add bad", 2).await;
    home.ctl("context add bad --endpoint x --set colour=red", 2)
        .await;
    home.ctl("context add dev --endpoint http://127.0.0.1:1", 0)
        .await;
    let prod =
        "context add prod --endpoint http://127.0.0.1:1 --set production=true --set color=red";
    let told = home.document("context", prod).await;
    assert_eq!(
        (&told["production"], &told["current"]),
        (&true.into(), &false.into())
    );
    assert_eq!(home.ctl("context current", 0).await.out, "dev\n");
    home.ctl("context use prod", 0).await;
    assert_eq!(home.ctl("context prompt", 0).await.out, "prod!\n");
    let red = home.ctl("context prompt --color always", 0).await.out;
    assert_eq!(red, "\u{1b}[31mprod!\u{1b}[0m\n");
    home.ctl("context -", 0).await;
    assert_eq!(home.ctl("context current", 0).await.out, "dev\n");
    home.ctl("context use nowhere", 2).await;
    home.document("contexts", "context list").await;
    home.document("validation", "context validate").await;
    home.ctl("context validate dev --connect", 1).await;
    home.ctl("context edit", 0).await;
    home.ctl("context remove dev", 0).await;
    assert_eq!(home.ctl("context list -o name", 0).await.out, "prod\n");
    // One that is missing stops everything but what sets it right.
    home.ctl("status --context nowhere", 2).await;
    home.ctl("context list --context nowhere", 0).await;
}

#[tokio::test]
async fn every_setting_says_where_it_is_from() {
    let home = Home::new();
    home.ctl("context add dev --etcd localhost:2379 --cluster blue", 0)
        .await;
    let shown = home.document("config", "config show --timeout 2s").await;
    let of = |name: &str| {
        let items = shown["items"].as_array().unwrap().iter();
        let item = items
            .clone()
            .find(|item| item["name"] == name)
            .unwrap()
            .clone();
        (
            item["value"].as_str().unwrap().to_owned(),
            item["origin"].as_str().unwrap().to_owned(),
        )
    };
    let told = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(of("cluster"), told("blue", "context"));
    assert_eq!(of("timeout"), told("2s", "flag"));
    assert_eq!(of("color"), told("auto", "default"));
    let config = home.folder.path().join("config.toml");
    let runner = cachectl(&[], "config show -o plain").env("CACHECTL_CLUSTER", "green");
    let ran = runner
        .env("CACHECTL_CONFIG", config.to_str().unwrap())
        .run()
        .await;
    assert!(ran.out.contains("cluster\tgreen\tenvironment\n"), "{ran:?}");
}

#[tokio::test]
async fn nothing_is_changed_where_nothing_may_be() {
    let home = Home::new();
    home.ctl(
        "context add ro --endpoint http://127.0.0.1:1 --set read-only=true",
        0,
    )
    .await;
    for line in [
        "set a 1",
        "delete a",
        "join n1",
        "drain n1",
        "undrain n1",
        "remove n1",
        "rebalance",
        "plan apply op-00000000",
        "migrations cancel op-00000000",
        "migrations pause op-00000000",
        "migrations resume op-00000000",
        "migrations rate op-00000000 1MiB",
        "blacklist add n1",
        "blacklist remove n1",
        "groups create g",
        "groups flush g --confirm g",
        "bench",
    ] {
        let ran = home.ctl(line, 7).await;
        assert!(
            ran.err.contains("context ro is read-only"),
            "{line}: {ran:?}"
        );
    }
    // Asking is no change, so that nobody answers is what is said.
    for line in [
        "get a",
        "drain n1 --dry-run",
        "migrations",
        "delete --pattern x --dry-run",
    ] {
        home.ctl(line, 4).await;
    }
    let ran = cachectl(&["--read-only"], "set a 1").run().await;
    assert_eq!(ran.code, 7, "{ran:?}");
}

#[tokio::test]
async fn shells_and_man_are_told_what_there_is() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ctl(&format!("completions {shell}"), 0).await.out;
        assert!(script.contains("cachectl"), "{shell}: {script}");
    }
    home.ctl("context add dev --endpoint http://127.0.0.1:1", 0)
        .await;
    let config = home.folder.path().join("config.toml");
    let offered = |line: &'static str, index: &'static str| {
        let runner = cachectl(&["--", "cachectl"], line).env("COMPLETE", "bash");
        let runner = runner.env("_CLAP_COMPLETE_INDEX", index);
        let runner = runner.env("_CLAP_COMPLETE_COMP_TYPE", "9");
        let runner = runner.env("XDG_CACHE_HOME", config.parent().unwrap().to_str().unwrap());
        runner
            .env("CACHECTL_CONFIG", config.to_str().unwrap())
            .run()
    };
    let ran = offered("hotk", "1").await;
    assert_eq!(ran.out.trim(), "hotkeys", "{ran:?}");
    let ran = offered("context use d", "3").await;
    assert_eq!(ran.out.trim(), "dev", "{ran:?}");
    // Nobody answers: nothing is offered, and it is no error.
    let ran = offered("drain n", "2").await;
    assert_eq!((ran.code, ran.out.trim()), (0, ""), "{ran:?}");

    let page = home.ctl("man", 0).await.out;
    assert!(page.contains(".TH cachectl 1"), "{page}");
    let folder = home.folder.path().join("man1");
    home.ctl(&format!("man --out {}", folder.display()), 0)
        .await;
    assert!(folder.join("cachectl-drain.1").exists());
    assert!(
        home.ctl("cheat", 0)
            .await
            .out
            .contains("cachectl drain n3 --dry-run")
    );
}
