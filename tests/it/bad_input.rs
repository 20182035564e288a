//! Requests that make no sense: each is answered with what is wrong, nothing is
//! done, and everything goes on. Bytes that are not even requests are in
//! `bad_bytes`, settings that make no sense in `bad_start`.

use std::time::Duration;

use cached_client::{Client, Error, FailureCode, Options};
use cached_tests::clients::http;
use cached_tests::cluster::{Setup, TestCluster};
use cached_tests::{etcd, wait};
use serde_json::{Value, json};

/// How long a node may ask for patience: it looks for groups once a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest value of these clusters.
const VALUE_MAX: usize = 1024;

/// A request over REST, and what its problem must say.
struct Bad {
    method: &'static str,
    path: String,
    body: String,
    status: u16,
    words: &'static [&'static str],
}

fn bad(
    method: &'static str,
    path: impl Into<String>,
    body: impl Into<String>,
    status: u16,
    words: &'static [&'static str],
) -> Bad {
    Bad {
        method,
        path: path.into(),
        body: body.into(),
        status,
        words,
    }
}

fn bad_requests() -> Vec<Bad> {
    let keys = |rest: &str| format!("/v1/groups/default-group/keys/{rest}");
    let batch = "/v1/groups/default-group/batch";
    let long = "v".repeat(VALUE_MAX + 1);
    let one = |operation: Value| json!({"operations": [operation]}).to_string();
    let many = json!({"operations": vec![json!({"op": "get", "key": "k"}); 1025]}).to_string();
    let long_key = one(json!({"op": "get", "key": "k".repeat(65_537)}));
    vec![
        bad("GET", "/api", "", 400, &["key", "missing"]),
        bad("GET", "/api?key=", "", 400, &["key", "empty"]),
        bad("GET", "/api?key=%zz", "", 400, &["key", "%"]),
        bad(
            "POST",
            "/api/set?key=k",
            long.clone(),
            413,
            &["value", "1024"],
        ),
        bad("PUT", keys(""), "v", 404, &["at least one byte"]),
        bad("PUT", keys("k"), long.clone(), 413, &["value", "1024"]),
        bad("PUT", keys("k?ttl=soon"), "v", 400, &["ttl", "soon", "10m"]),
        bad("PUT", keys("k?ttl=11years"), "v", 400, &["ttl", "limit"]),
        bad("DELETE", keys("k%"), "", 400, &["key", "%"]),
        bad(
            "GET",
            "/v1/groups/nowhere/keys/k",
            "",
            404,
            &["unknown_group", "nowhere"],
        ),
        bad(
            "PUT",
            "/v1/groups/nowhere/keys/k",
            "v",
            404,
            &["unknown_group", "nowhere"],
        ),
        bad("GET", "/v1/groups/a%20b/keys/k", "", 400, &["group", "a b"]),
        bad(
            "PUT",
            "/v1/groups/g",
            "{\"max_byte\": 1}",
            400,
            &["max_byte"],
        ),
        bad(
            "POST",
            "/v1/groups/nowhere/flush",
            "",
            404,
            &["unknown_group", "nowhere"],
        ),
        bad("PATCH", keys("k"), "v", 405, &["PATCH"]),
        bad("GET", "/v2/groups", "", 404, &["GET /v1/groups"]),
        bad(
            "POST",
            batch,
            "{\"operations\": [",
            400,
            &["body", "line 1"],
        ),
        bad("POST", batch, "{}", 400, &["operations"]),
        bad(
            "POST",
            batch,
            one(json!({"op": "get"})),
            400,
            &["operations[0]", "key"],
        ),
        bad(
            "POST",
            batch,
            one(json!({"op": "grab", "key": "k"})),
            400,
            &["grab"],
        ),
        bad(
            "POST",
            batch,
            one(json!({"op": "get", "key": "k", "ttl_ms": 1})),
            400,
            &["ttl_ms"],
        ),
        bad(
            "POST",
            batch,
            one(json!({"op": "set", "key": "k", "value": long})),
            400,
            &["value", "1024"],
        ),
        bad("POST", batch, many, 400, &["1024"]),
        bad("POST", batch, long_key, 400, &["key", "65537", "65536"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_what_is_wrong() {
    if !etcd::is_there() {
        return;
    }
    let cluster = TestCluster::start(2, Setup::with(&["--max-value", "1KiB"])).await;
    let client = cluster.client().await;
    for number in 0..50 {
        client
            .set(format!("kept-{number}"), vec![b'v'; VALUE_MAX], None)
            .await
            .unwrap();
    }
    for node in cluster.nodes.iter().chain([&cluster.gateway]) {
        over_rest(&node.url()).await;
        over_grpc(&node.url()).await;
    }
    // Nothing was done, nothing was lost, everybody lives.
    for number in 0..50 {
        assert!(
            client
                .get(format!("kept-{number}"))
                .await
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(client.get("k").await.unwrap(), None);
    let stats = client.admin().stats(false).await.unwrap().value;
    assert_eq!(
        stats
            .iter()
            .flat_map(|node| &node.groups)
            .map(|group| group.evictions)
            .sum::<u64>(),
        0
    );
}

async fn over_rest(url: &str) {
    for Bad {
        method,
        path,
        body,
        status,
        words,
    } in bad_requests()
    {
        // A node that has read the registry a moment ago asks for patience before it
        // calls a group unknown.
        let answer = wait::until("an answer for good", PATIENCE, async || {
            let request = http().request(method.parse().unwrap(), format!("{url}{path}"));
            let answer = request.body(body.clone()).send().await.unwrap();
            let busy = answer.status().as_u16() == 503;
            if busy {
                Err(answer.status())
            } else {
                Ok(answer)
            }
        })
        .await;
        let shown: String = path.chars().take(80).collect();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{shown}"
        );
        let code = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(code, status, "{method} {shown}: {problem}");
        assert_eq!(
            (&problem["status"], &problem["applied"]),
            (&json!(status), &json!("no")),
            "{problem}"
        );
        let text = problem.to_string();
        for word in words {
            assert!(
                text.contains(word),
                "{method} {shown}: {problem} lacks {word:?}"
            );
        }
    }
    let tagged = http()
        .put(format!("{url}/v1/groups/default-group/keys/k"))
        .header("if-match", "abc");
    assert_eq!(
        tagged.body("v").send().await.unwrap().status().as_u16(),
        400
    );
    let hurried = http()
        .get(format!("{url}/api?key=k"))
        .header("cached-timeout-ms", "soon");
    assert_eq!(hurried.send().await.unwrap().status().as_u16(), 400);
}

async fn over_grpc(url: &str) {
    let client = Client::connect(Options::nodes([url])).await.unwrap();
    let failure = |error: Error| match error {
        Error::Failed(failure) => failure,
        other => panic!("{other:?}"),
    };
    let nowhere = client.with_group("nowhere".parse().unwrap());
    for refused in [
        nowhere.get("k").await.unwrap_err(),
        nowhere.set("k", "v", None).await.unwrap_err(),
    ] {
        let refused = failure(refused);
        assert_eq!(refused.code, FailureCode::UnknownGroup);
        assert!(refused.message.contains("nowhere"), "{refused}");
    }
    let refused = failure(
        client
            .set("k", vec![0; VALUE_MAX + 1], None)
            .await
            .unwrap_err(),
    );
    assert_eq!(refused.code, FailureCode::TooLarge);
    assert!(refused.message.contains("1024"), "{refused}");
    let refused = client.get(vec![b'k'; 65_537]).await.unwrap_err();
    assert!(refused.to_string().contains("65536"), "{refused}");
}
