//! The description against the router, and the endpoints for operators.

use std::collections::BTreeSet;

use axum::response::IntoResponse;
use cached_proto::failure::{Failure, FailureCode};
use serde_json::{Value, json};

use super::fixture::Node;
use crate::frontend::problem::Problem;
use crate::frontend::rest::{OPENAPI, endpoints};

fn described() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[test]
fn the_description_and_the_router_name_the_same_endpoints() {
    let served: BTreeSet<String> = endpoints()
        .iter()
        .map(|endpoint| format!("{} {}", endpoint.method, endpoint.path))
        .collect();
    let document = described();
    let mut told = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| *name != "parameters")
        {
            told.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(served, told);
    assert_eq!(endpoints().len(), served.len(), "an endpoint stands twice");
}

#[test]
fn the_description_is_whole() {
    let document = described();
    assert_eq!(document["openapi"], "3.1.0");
    // Every reference leads somewhere, every operation has a name of its own.
    let mut ids = BTreeSet::new();
    walk(&document, &mut |name, value| {
        let text = value.as_str().unwrap_or_default();
        if name == "$ref" {
            let pointer = text.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{text} leads nowhere");
        }
        if name == "operationId" {
            assert!(ids.insert(text.to_owned()), "{text} stands twice");
        }
    });
    for (path, item) in document["paths"].as_object().unwrap() {
        let text = item.to_string();
        for name in path
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
        {
            let parameter = if name == "group" { "Group" } else { "Key" };
            assert!(
                text.contains(&format!("parameters/{parameter}\"")),
                "{path}: {name}"
            );
        }
    }
}

fn walk(value: &Value, look: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            look(name, value);
            walk(value, look);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        _ => (),
    }
}

#[tokio::test]
async fn every_problem_code_is_described() {
    use FailureCode as F;
    let failures = [
        F::Internal,
        F::Invalid,
        F::UnknownGroup,
        F::TooLarge,
        F::Unauthenticated,
        F::PermissionDenied,
        F::WrongOwner,
        F::Unavailable,
        F::Busy,
        F::OutOfMemory,
        F::Deadline,
        F::Origin,
        F::Unsupported,
        F::NotFound,
        F::Conflict,
    ];
    let mut problems: Vec<Problem> = failures
        .map(|code| Problem::from(Failure::new(code, "x")))
        .into();
    let of_http = [
        Problem::no_entry(),
        Problem::condition_failed(None),
        Problem::no_endpoint("x".to_owned()),
        Problem::method_not_allowed("x".to_owned()),
        Problem::body_timeout("x".to_owned()),
        Problem::not_ready("x".to_owned()),
    ];
    problems.extend(of_http);
    let mut spelled = BTreeSet::new();
    for problem in problems {
        let body = problem.into_response().into_body();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        spelled.insert(document["code"].as_str().unwrap().to_owned());
    }
    let document = described();
    let codes = document
        .pointer("/components/schemas/Problem/properties/code/enum")
        .unwrap();
    let codes = codes
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap().to_owned());
    assert_eq!(spelled, codes.collect());
}

#[tokio::test]
async fn operators_get_json() {
    let node = Node::new();
    let status = node.get("GET /v1/status").await.json();
    assert_eq!(
        (status["node"].clone(), status["role"].clone()),
        (json!("n1"), json!("node"))
    );
    assert_eq!(status["registry"]["kind"], "embedded");
    let topology = node.get("GET /v1/topology").await.json();
    assert_eq!(topology["members"][0]["state"], "up");
    let range = json!({"first": 0, "last": 16383, "owner": "n1", "epoch": 1});
    for (name, value) in range.as_object().unwrap() {
        assert_eq!(topology["ranges"][0][name], *value);
    }
    let groups = node.get("GET /v1/groups").await.json();
    assert_eq!(groups["groups"][0]["name"], "default-group");

    let created = node
        .ask("PUT /v1/groups/g2", &[], r#"{"max_bytes": 1000000}"#)
        .await;
    assert_eq!(
        (created.status.as_u16(), created.json()["max_bytes"].clone()),
        (200, json!(1000000))
    );
    assert_eq!(node.get("PUT /v1/groups/g3").await.status, 200);
    let bad = node.ask("PUT /v1/groups/g4", &[], r#"{"max": 1}"#).await;
    assert_eq!(bad.problem(400), ("invalid".into(), "body".into()));

    node.ask("POST /api/set?key=a", &[], "1").await;
    let flushed = node.get("POST /v1/groups/default-group/flush").await.json();
    assert_eq!(flushed["keys"], 1);
    assert_eq!(flushed["complete"], true);
    assert_eq!(node.get("GET /openapi.json").await.json(), described());
}

#[tokio::test]
async fn readiness_says_why_not() {
    let node = Node::new();
    assert_eq!(node.get("GET /healthz").await.text(), "ok\n");
    assert_eq!(node.get("GET /readyz").await.text(), "ready\n");
    node.world.publish(|view| view.table_loaded = false);
    let waiting = node.get("GET /readyz").await;
    assert_eq!(waiting.problem(503).0, "not_ready");
    assert!(waiting.json()["detail"].as_str().unwrap().contains("table"));
    node.world.publish(|_| ());
    node.world.sign_off();
    let stopping = node.get("GET /readyz").await;
    assert_eq!(stopping.problem(503).0, "not_ready");
    assert!(
        stopping.json()["detail"]
            .as_str()
            .unwrap()
            .contains("stopping")
    );
    assert_eq!(node.get("GET /healthz").await.status, 200);
}

#[tokio::test]
async fn metrics_follow_the_conventions() {
    let node = Node::new();
    node.ask("POST /api/set?key=secret-key", &[], "1").await;
    node.get("GET /api?key=secret-key").await;
    node.get("GET /api?key=none").await;
    let metrics = node.get("GET /metrics").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = metrics.text();
    for line in [
        r#"cached_requests_total{protocol="rest",operation="get",outcome="done"} 1"#,
        r#"cached_requests_total{protocol="rest",operation="get",outcome="not"} 1"#,
        r#"cached_request_duration_seconds_count{protocol="rest",operation="set"} 1"#,
        r#"cached_group_keys{group="default-group"} 1"#,
        r#"cached_group_hits_total{group="default-group"} 1"#,
        "cached_registry_reachable 1",
        "cached_ready 1",
        "cached_slots 16384",
        r#"cached_members{state="up"} 1"#,
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("secret-key"));
    let mut typed = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                typed.insert(rest.split(' ').next().unwrap()),
                "{line} stands twice"
            );
        }
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        let name = name.trim_start_matches("# UNIT ");
        assert!(name.starts_with("cached_"), "{line}");
    }
}
