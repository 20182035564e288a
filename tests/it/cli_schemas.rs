//! What cachectl says of changes of the layout to machines, held against the schemas that
//! are published in docs/schemas.

use std::path::Path;

use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::etcd;
use cached_tests::story::{FLAGS, SETTLED_MAX};
use jsonschema::Validator;
use serde_json::{Value, json};

/// A published schema.
fn schema(name: &str) -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/schemas")
        .join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

pub(crate) fn fits(name: &str, document: &Value) {
    let schema = schema(name);
    let errors = schema.iter_errors(document).map(|error| error.to_string());
    let errors: Vec<String> = errors.collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{document:#}");
}

/// Runs a line for machines, with the exit code that it must come to.
async fn document(cluster: &TestCluster, line: &str, code: i32) -> Value {
    let ran = cluster.cachectl(&format!("{line} -o json")).await;
    assert_eq!(ran.code, code, "{line}: {ran:?}");
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {ran:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_changes_are_as_published() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(3, Setup::default().nodes(&FLAGS)).await;
    let client = cluster.client().await;
    for number in 0..2000 {
        let key = format!("key-{number}");
        client.set(key, "x".repeat(100), None).await.unwrap();
    }
    fits("migrations", &document(&cluster, "migrations", 0).await);
    let plan = document(&cluster, "plan --drain n3", 0).await;
    fits("plan", &plan);
    let shown = format!("plan show {}", plan["name"].as_str().unwrap());
    fits("plan", &document(&cluster, &shown, 0).await);
    fits("plan", &document(&cluster, "drain n2 --dry-run", 0).await);

    // Slow enough to be looked at on the way.
    let slow = "drain n3 --yes --detach --max-rate 50KB";
    let open = document(&cluster, slow, 9).await;
    fits("operation", &open);
    let id = open["name"].as_str().unwrap().to_owned();
    cluster.operator().moved(&id, 1, SETTLED_MAX).await;
    let described = document(&cluster, &format!("migrations describe {id}"), 0).await;
    fits("operation", &described);
    assert!(!described["pairs"].as_array().unwrap().is_empty());
    fits(
        "migrations",
        &document(&cluster, "migrations list", 0).await,
    );
    for line in ["pause", "resume"] {
        let line = format!("migrations {line} {id}");
        fits("operation", &document(&cluster, &line, 0).await);
    }
    let rate = format!("migrations rate {id} 100MiB");
    fits("operation", &document(&cluster, &rate, 0).await);
    let watched = cluster
        .cachectl(&format!("migrations watch {id} -o jsonl"))
        .await;
    assert_eq!(watched.code, 0, "{watched:?}");
    assert!(!watched.out.is_empty());
    for line in watched.out.lines() {
        fits("change", &serde_json::from_str(line).unwrap());
    }

    cluster.operator().settled(SETTLED_MAX).await;
    fits("nothing", &document(&cluster, "drain n3 --yes", 0).await);
    // The layout of before is kept: who had what, and what has moved since.
    let before = document(&cluster, "ring --layout 1", 0).await;
    fits("ring", &before);
    let owned = |ring: &Value| ring["items"].to_string().contains("\"n3\"");
    assert!(owned(&before) && !owned(&document(&cluster, "ring", 0).await));
    let since = document(&cluster, "ring --diff 1", 0).await;
    fits("ring-diff", &since);
    let moved = since["items"].as_array().unwrap().iter();
    let slots: u64 = moved.filter_map(|it| it["slots"].as_u64()).sum();
    assert!((5461..=5462).contains(&slots), "{since}");
    fits(
        "operation",
        &document(&cluster, "undrain n3 --yes", 0).await,
    );
    let stopped = document(&cluster, slow, 9).await;
    let id = stopped["name"].as_str().unwrap();
    let cancelled = document(&cluster, &format!("migrations cancel {id} --yes"), 0).await;
    fits("operation", &cancelled);
}

/// A schema that lets everything pass would check nothing.
#[test]
fn schemas_are_strict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".json");
        let schema = schema(name);
        assert!(!schema.is_valid(&json!({"apiVersion": "v1"})), "{name}");
    }
    let nothing = schema("nothing");
    let document = json!({"apiVersion": "v1", "kind": "nothing", "text": "so already"});
    assert!(nothing.is_valid(&document));
    let mut more = document.clone();
    more["more"] = json!(1);
    assert!(!nothing.is_valid(&more), "unknown fields are not published");
    let mut other = document;
    other["apiVersion"] = json!("v2");
    assert!(!nothing.is_valid(&other));
}
