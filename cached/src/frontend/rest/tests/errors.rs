//! Bad requests, and who may do what.

use serde_json::json;

use super::fixture::Node;
use crate::frontend::auth::Auth;

#[tokio::test]
async fn bad_requests_name_the_field() {
    let node = Node::new();
    let key = "/v1/groups/default-group/keys/k";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str, &'a str);
    let cases: [Case<'_>; 13] = [
        ("GET /api", &[], 400, "invalid", "key"),
        ("GET /api?key=", &[], 400, "invalid", "key"),
        ("GET /api?key=a&key=b", &[], 400, "invalid", "key"),
        ("POST /api/set?key=%", &[], 400, "invalid", "key"),
        (
            "GET /api?key=a",
            &[("cached-timeout-ms", "0")],
            400,
            "invalid",
            "Cached-Timeout-Ms",
        ),
        ("GET /v1/groups/-x/keys/k", &[], 400, "invalid", "group"),
        (
            "GET /v1/groups/nobody/keys/k",
            &[],
            404,
            "unknown_group",
            "group",
        ),
        (&format!("PUT {key}?ttl=10"), &[], 400, "invalid", "ttl"),
        (&format!("PUT {key}?ttl=0s"), &[], 400, "invalid", "ttl"),
        (
            &format!("PUT {key}"),
            &[("if-match", "x")],
            400,
            "invalid",
            "If-Match",
        ),
        (
            &format!("DELETE {key}"),
            &[("if-none-match", "*")],
            400,
            "invalid",
            "If-None-Match",
        ),
        (
            &format!("GET {key}?no_load=1"),
            &[],
            400,
            "invalid",
            "no_load",
        ),
        (
            "POST /v1/groups/default-group/batch",
            &[],
            400,
            "invalid",
            "body",
        ),
    ];
    for (request, headers, status, code, field) in cases {
        let answer = node.ask(request, headers, "").await;
        let (got_code, got_field) = answer.problem(status);
        assert_eq!(got_code, code, "{request}: {answer:?}");
        // Groups are looked up by others, who may not name the field.
        assert!(
            got_field == field || code == "unknown_group",
            "{request}: {answer:?}"
        );
        assert_eq!(answer.json()["applied"], "no", "{request}");
    }
}

#[tokio::test]
async fn a_bad_batch_does_nothing() {
    let node = Node::new();
    let path = "POST /v1/groups/default-group/batch";
    let bad = [
        (
            json!({"operations": [{"op": "set", "key": "a", "value": "1"}, {"op": "get"}]}),
            400,
        ),
        (json!({"operations": 7}), 400),
        (json!({"operations": [], "more": 1}), 400),
        (
            json!({"operations": vec![json!({"op": "get", "key": "a"}); 1025]}),
            400,
        ),
    ];
    for (batch, status) in bad {
        let answer = node.ask(path, &[], batch.to_string()).await;
        assert_eq!(answer.problem(status).0, "invalid", "{answer:?}");
    }
    let first = json!({"operations": [{"op": "set", "key": "a", "value": "1"}, {"op": "get"}]});
    let answer = node.ask(path, &[], first.to_string()).await.json();
    assert_eq!(answer["detail"], "operations[1]: key is missing");
    node.get("GET /api?key=a").await.problem(404);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_told_what_there_is() {
    let node = Node::new();
    let lost = node.get("GET /api/statz").await;
    assert_eq!(lost.problem(404).0, "no_such_endpoint");
    assert!(
        lost.json()["detail"]
            .as_str()
            .unwrap()
            .contains("GET /api/stats,"),
        "{lost:?}"
    );
    let slash = node.get("GET /v1/groups/g/keys/a/b").await;
    slash.problem(404);
    assert!(slash.json()["detail"].as_str().unwrap().contains("%2F"));
    node.get("GET /v1/groups/g/keys/").await.problem(404);

    let wrong = node.get("DELETE /api").await;
    assert_eq!(wrong.problem(405).0, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    let wrong = node.get("POST /v1/groups/g/keys/k").await;
    wrong.problem(405);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert!(wrong.header("allow").contains(method), "{wrong:?}");
    }
    // gRPC clients are answered in their own language.
    let grpc = [("content-type", "application/grpc")];
    let unknown = node.ask("POST /no.Such/Method", &grpc, "").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.header("grpc-status")),
        (200, "12")
    );
}

#[tokio::test]
async fn every_endpoint_asks_for_its_role() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let tokens = "read 0123456789ab-read\nwrite 0123456789ab-write\nadmin 0123456789ab-admin\n";
    std::io::Write::write_all(&mut file, tokens.as_bytes()).unwrap();
    let node = Node::with_auth(Auth::load(file.path()).unwrap());
    let key = "/v1/groups/default-group/keys/k";
    let group = "/v1/groups/default-group";
    let reads = format!(
        "GET /api?key=k,GET /api/stats,GET {key},HEAD {key},GET /v1/groups,GET /v1/status,GET /v1/topology,GET /v1/hotkeys,GET /metrics"
    );
    let writes = format!("POST /api/set?key=k,DELETE /api/delete?key=k,PUT {key},DELETE {key}");
    let admins = format!("PUT {group},POST {group}/flush");
    let open = "GET /openapi.json,GET /healthz,GET /readyz".to_owned();
    let roles = ["", "read", "write", "admin"];
    for (needed, requests) in [open, reads, writes, admins].iter().enumerate() {
        for request in requests.split(',') {
            for (role, name) in roles.iter().enumerate() {
                let token = format!("Bearer 0123456789ab-{name}");
                let headers = [("authorization", token.as_str())];
                let headers = if role == 0 { &[][..] } else { &headers[..] };
                let status = node.ask(request, headers, "").await.status.as_u16();
                let expected = match role {
                    role if role >= needed => 0,
                    0 => 401,
                    _ => 403,
                };
                let got = if matches!(status, 401 | 403) {
                    status
                } else {
                    0
                };
                assert_eq!(got, expected, "{request} as {name:?} answered {status}");
            }
        }
    }
    let batch = json!({"operations": [{"op": "set", "key": "a", "value": "1"}]}).to_string();
    let reader = [("authorization", "Bearer 0123456789ab-read")];
    let path = format!("POST {group}/batch");
    let refused = node.ask(&path, &reader, batch).await;
    assert_eq!(refused.problem(403).0, "permission_denied");
    let wrong = node
        .ask("GET /api?key=k", &[("authorization", "Bearer guess")], "")
        .await;
    assert_eq!(wrong.problem(401).0, "unauthenticated");
    assert_eq!(wrong.header("www-authenticate"), "Bearer realm=\"cached\"");
}
