//! Reading and writing keys.

use std::time::Duration;

use axum::body::Body;
use cached_proto::operation::{Answer, Entry, Reply};
use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use cached_proto::types::Version;
use serde_json::json;
use tokio::sync::Semaphore;

use super::fixture::{Node, VALUE_BYTES_MAX};
use crate::frontend::auth::Auth;
use crate::operator::fixture::{FakePeers, World};
use crate::requests::{Ending, Kind, Protocol};

const KEY: &str = "/v1/groups/default-group/keys/Tom";

#[tokio::test]
async fn the_original_endpoints_work_as_written() {
    let node = Node::new();
    let set = node.ask("POST /api/set?key=Tom", &[], "630").await;
    assert_eq!((set.status.as_u16(), set.text()), (200, "OK"));
    let got = node.get("GET /api?key=Tom").await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "630"));
    assert_eq!(got.header("content-type"), "application/octet-stream");
    assert_eq!(got.header("content-length"), "3");
    let stats = node.get("GET /api/stats").await.json();
    assert_eq!(stats["keys_count"], 1);
    assert_eq!(stats["nodes"][0]["name"], "n1");
    assert_eq!(stats["nodes"][0]["keys"], 1);
    assert!(stats["bytes_used"].as_u64().unwrap() >= 6, "{stats}");
    for _ in 0..2 {
        let deleted = node.get("DELETE /api/delete?key=Tom").await;
        assert_eq!((deleted.status.as_u16(), deleted.text()), (200, "OK"));
    }
    let missed = node.get("GET /api?key=Tom").await;
    assert_eq!(missed.problem(404), ("key_not_found".into(), String::new()));
}

#[tokio::test]
async fn keys_and_values_are_bytes() {
    let node = Node::new();
    let value: Vec<u8> = (0..=255).collect();
    node.ask("POST /api/set?key=%00%ff+%2F", &[], value.clone())
        .await;
    assert_eq!(node.get("GET /api?key=%00%FF%20/").await.body, value);
    let same = node
        .get("GET /v1/groups/default-group/keys/%00%ff%20%2f")
        .await;
    assert_eq!(same.body, value);
    let other = node
        .get("GET /v1/groups/default-group/keys/%00%ff+%2f")
        .await;
    other.problem(404);
}

#[tokio::test]
async fn versions_guard_writes_and_save_reads() {
    let node = Node::new();
    let first = node
        .ask(&format!("PUT {KEY}"), &[("if-none-match", "*")], "1")
        .await;
    assert_eq!(first.status, 204);
    let old = first.header("etag").to_owned();
    let again = node
        .ask(&format!("PUT {KEY}"), &[("if-none-match", "*")], "2")
        .await;
    assert_eq!(again.problem(412).0, "condition_failed");
    assert_eq!(again.header("etag"), old);

    let second = node
        .ask(&format!("PUT {KEY}"), &[("if-match", &old)], "2")
        .await;
    assert_eq!(second.status, 204);
    let new = second.header("etag").to_owned();
    assert_ne!(old, new);
    node.ask(&format!("PUT {KEY}"), &[("if-match", &old)], "3")
        .await
        .problem(412);
    let either = format!("{old}, {new}");
    let third = node
        .ask(&format!("PUT {KEY}"), &[("if-match", &either)], "3")
        .await;
    assert_eq!(third.status, 204);
    node.ask(&format!("PUT {KEY}"), &[("if-match", &either)], "4")
        .await
        .problem(412);

    let newest = third.header("etag");
    let known = node
        .ask(&format!("GET {KEY}"), &[("if-none-match", newest)], "")
        .await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), newest);
    let changed = node
        .ask(&format!("GET {KEY}"), &[("if-none-match", &old)], "")
        .await;
    assert_eq!((changed.status.as_u16(), changed.text()), (200, "3"));
    node.ask(&format!("GET {KEY}"), &[("if-match", &old)], "")
        .await
        .problem(412);

    node.ask(&format!("DELETE {KEY}"), &[("if-match", &old)], "")
        .await
        .problem(412);
    let gone = node
        .ask(&format!("DELETE {KEY}"), &[("if-match", newest)], "")
        .await;
    assert_eq!(gone.status, 204);
    node.get(&format!("DELETE {KEY}")).await.problem(404);
    node.ask(&format!("DELETE {KEY}"), &[("if-match", "*")], "")
        .await
        .problem(412);
    node.ask(&format!("PUT {KEY}"), &[("if-match", "*")], "5")
        .await
        .problem(412);
    // Nothing of ours: it must not fall back to "always".
    node.ask(&format!("PUT {KEY}"), &[("if-match", "\"x\"")], "5")
        .await
        .problem(412);
    node.get(&format!("GET {KEY}")).await.problem(404);
}

#[tokio::test]
async fn head_tells_everything_but_the_value() {
    let node = Node::new();
    node.ask(&format!("PUT {KEY}?ttl=10m"), &[], "hello").await;
    let head = node.get(&format!("HEAD {KEY}")).await;
    let get = node.get(&format!("GET {KEY}")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for name in ["content-length", "etag", "content-type"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), "5");
    let left: u64 = head.header("cached-ttl-ms").parse().unwrap();
    assert!((590_000..=600_000).contains(&left), "{left}");
    let max_age = get.header("cache-control").strip_prefix("max-age=");
    let max_age: u64 = max_age.unwrap().parse().unwrap();
    assert!((590..=600).contains(&max_age), "{get:?}");
    assert_eq!(
        node.get("HEAD /v1/groups/default-group/keys/none")
            .await
            .status,
        404
    );

    node.ask(&format!("PUT {KEY}"), &[], "for ever").await;
    let forever = node.get(&format!("GET {KEY}")).await;
    assert_eq!(
        (
            forever.header("cached-ttl-ms"),
            forever.header("cache-control")
        ),
        ("", "")
    );
}

#[tokio::test]
async fn degraded_answers_say_so() {
    let node = Node::new();
    node.ask(&format!("PUT {KEY}"), &[], "v").await;
    assert_eq!(
        node.get(&format!("GET {KEY}"))
            .await
            .header("cached-degraded"),
        ""
    );
    let degraded = Node::degraded();
    degraded.ask(&format!("PUT {KEY}"), &[], "v").await;
    for request in ["GET", "PUT", "HEAD"] {
        let answer = degraded.ask(&format!("{request} {KEY}"), &[], "w").await;
        assert_eq!(
            answer.header("cached-degraded"),
            "true",
            "{request}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn batches_answer_each_operation() {
    let node = Node::new();
    node.ask("POST /api/set?key=a", &[], "1").await;
    node.ask("POST /api/set?key=%ff", &[], "\u{e4}").await;
    let batch = json!({"operations": [
        {"op": "get", "key": "a"},
        {"op": "get", "key_base64": "/w=="},
        {"op": "get", "key": "none"},
        {"op": "set", "key": "b", "value_base64": "/w==", "ttl_ms": 60_000},
        {"op": "get", "key": "b"},
        {"op": "set", "key": "a", "value": "2", "if_absent": true},
        {"op": "touch", "key": "a", "ttl_ms": 60_000},
        {"op": "delete", "key": "a"},
    ]});
    let path = "POST /v1/groups/default-group/batch";
    let answer = node.ask(path, &[], batch.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].clone();
    let told = |index: usize, name: &str| results[index][name].clone();
    assert_eq!(told(0, "value"), "1");
    assert_eq!(
        (told(1, "key_base64"), told(1, "value")),
        (json!("/w=="), json!("ä"))
    );
    assert_eq!(
        (told(2, "found"), told(2, "value")),
        (json!(false), json!(null))
    );
    assert_eq!(told(3, "stored"), true);
    assert_eq!(told(5, "stored"), false);
    assert_eq!(told(6, "found"), true);
    assert_eq!(told(7, "deleted"), true);
    assert_eq!(node.get("GET /api?key=b").await.body, [0xff]);
    node.get("GET /api?key=a").await.problem(404);
    let counted = |kind, ending| node.parts.requests.count(Protocol::Rest, kind, ending);
    assert_eq!(counted(Kind::Touch, Ending::Done), 1);
    assert_eq!(counted(Kind::Get, Ending::Not), 2);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let node = Node::new();
    let most = vec![b'v'; VALUE_BYTES_MAX];
    assert_eq!(
        node.ask("POST /api/set?key=k", &[], most.clone())
            .await
            .status,
        200
    );
    let more = vec![b'v'; VALUE_BYTES_MAX + 1];
    let refused = node.ask("POST /api/set?key=k", &[], more.clone()).await;
    assert_eq!(refused.problem(413), ("too_large".into(), "body".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("65537") && detail.contains("65536"),
        "{detail}"
    );

    // Of unknown length: noticed when it is too long, however it is cut in pieces.
    let pieces = |bytes: &[u8]| {
        let chunks: Vec<_> = bytes
            .chunks(1000)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        Body::from_stream(futures_util::stream::iter(
            chunks.into_iter().map(Ok::<_, std::io::Error>),
        ))
    };
    let refused = node.ask("POST /api/set?key=k", &[], pieces(&more)).await;
    assert_eq!(refused.problem(413).0, "too_large");
    assert_eq!(
        node.ask("POST /api/set?key=p", &[], pieces(&most))
            .await
            .status,
        200
    );
    assert_eq!(node.get("GET /api?key=p").await.body, most);

    let never = Body::from_stream(futures_util::stream::pending::<std::io::Result<bytes::Bytes>>());
    let late = node.ask("POST /api/set?key=k", &[], never).await;
    assert_eq!(late.problem(408).0, "body_timeout");

    let broken = futures_util::stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("cut"))]);
    let broken = node
        .ask("POST /api/set?key=k", &[], Body::from_stream(broken))
        .await;
    assert_eq!(broken.problem(400), ("invalid".into(), "body".into()));
}

#[tokio::test]
async fn asking_for_the_version_first_takes_from_the_time_of_the_write() {
    let entry = Entry {
        value: Default::default(),
        version: Some(Version::from_bytes(&[1; 16]).unwrap()),
        ttl_ms: None,
        value_bytes: 1,
        loaded: false,
        uncached: false,
    };
    for method in ["PUT", "DELETE"] {
        let peers = FakePeers {
            gate: Some(Semaphore::new(0)),
            ..FakePeers::default()
        };
        *peers.outcome.lock() = Some(Ok(Answer {
            reply: Reply::Get(Some(entry.clone())),
            degraded: false,
        }));
        let node = Node::of(World::with(Some("n1"), peers), Auth::open());
        // Of three nodes, the second has the slots in the middle.
        node.world.publish(|_| {});
        let middle =
            |key: &String| slot_of(KeyHash::default(), key.as_bytes()).number() / 5461 == 1;
        let key = (0..).map(|n| format!("key{n}")).find(middle).unwrap();
        let path = format!("{method} /v1/groups/default-group/keys/{key}");
        let two = format!("\"{}\", \"{}\"", "01".repeat(16), "02".repeat(16));
        let headers = [("if-match", two.as_str())];
        let pause = Duration::from_millis(50);
        let answer = async {
            node.world.clock.sleep(pause).await;
            node.world.peers.gate.as_ref().unwrap().add_permits(2);
        };
        tokio::join!(node.ask(&path, &headers, "v"), answer);
        let forwarded = node.world.peers.forwarded.lock();
        let left: Vec<_> = forwarded.iter().map(|work| work.time_left).collect();
        assert!(left.len() == 2 && left[1] + pause <= left[0], "{left:?}");
    }
}
