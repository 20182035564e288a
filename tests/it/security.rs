//! Tokens: roles over REST and gRPC, exchange while the cluster runs, and silence
//! about the tokens themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cached_client::{Client, Error, FailureCode, Options, Token};
use cached_tests::clients::http;
use cached_tests::command::Runner;
use cached_tests::plain::PlainCluster;
use cached_tests::{binaries, etcd, wait};
use serde_json::Value;

const READ: &str = "reads-everything-0123456789";
const WRITE: &str = "writes-everything-0123456789";
const ADMIN: &str = "rules-everything-0123456789";
const WRONG: &str = "guesses-everything-0123456789";
/// Replaces all of the above.
const NEXT: &str = "rules-everything-from-now-on";

/// Writes a file that nobody else may read.
fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Status and problem of one request.
async fn ask(method: &str, url: &str, token: Option<&str>, body: &str) -> (u16, Value) {
    let mut request = http()
        .request(method.parse().unwrap(), url)
        .body(body.to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(
        status == 401,
        answer.headers().contains_key("www-authenticate"),
        "{url}"
    );
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_what_their_role_allows() {
    if !etcd::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    write_secret(
        &tokens,
        &format!("# roles\nread {READ}\nwrite {WRITE}\nadmin {ADMIN}\n"),
    );
    let flags = ["--token-file", tokens.to_str().unwrap(), "--log", "debug"];
    let cluster = PlainCluster::start(2, &flags, "http", &http()).await;

    for address in &cluster.addresses {
        over_rest(&format!("http://{address}")).await;
    }
    over_grpc(&cluster).await;
    with_cachectl(&cluster, folder.path()).await;
    exchange(&cluster, &tokens).await;

    for process in &cluster.processes {
        for secret in [READ, WRITE, ADMIN, WRONG, NEXT] {
            assert!(
                !process.output().contains(secret),
                "a token stands in a log"
            );
        }
    }
}

async fn over_rest(url: &str) {
    for open in ["healthz", "readyz", "openapi.json"] {
        assert_eq!(
            ask("GET", &format!("{url}/{open}"), None, "").await.0,
            200,
            "{open}"
        );
    }
    let key = format!("{url}/v1/groups/default-group/keys/k");
    let group = format!("{url}/v1/groups/extra");
    let flush = format!("{url}/v1/groups/extra/flush");
    let (set, get) = (format!("{url}/api/set?key=k"), format!("{url}/api?key=k"));
    let metrics = format!("{url}/metrics");
    // Who may do what, from left to right: nobody, a wrong token, read, write, admin.
    for (method, address, expected) in [
        ("PUT", &key, [401, 401, 403, 204, 204]),
        ("POST", &set, [401, 401, 403, 200, 200]),
        ("GET", &key, [401, 401, 200, 200, 200]),
        ("GET", &get, [401, 401, 200, 200, 200]),
        ("GET", &metrics, [401, 401, 200, 200, 200]),
        ("PUT", &group, [401, 401, 403, 403, 200]),
        ("POST", &flush, [401, 401, 403, 403, 200]),
    ] {
        let bearers = [None, Some(WRONG), Some(READ), Some(WRITE), Some(ADMIN)];
        for (bearer, expected) in bearers.into_iter().zip(expected) {
            let body = if address.ends_with("/extra") { "" } else { "v" };
            let (status, problem) = ask(method, address, bearer, body).await;
            assert_eq!(status, expected, "{method} {address} {bearer:?}: {problem}");
            let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
            if status == 403 {
                let role = if bearer == Some(READ) {
                    "role read"
                } else {
                    "role write"
                };
                let needs = if [&group, &flush].contains(&address) {
                    "needs admin"
                } else {
                    "needs write"
                };
                assert!(detail.contains(role) && detail.contains(needs), "{detail}");
            }
            assert!(!problem.to_string().contains("everything"), "{problem}");
        }
    }
    let batch = format!("{url}/v1/groups/default-group/batch");
    let reads = r#"{"operations":[{"op":"get","key":"k"}]}"#;
    assert_eq!(ask("POST", &batch, Some(READ), reads).await.0, 200);
    let writes = r#"{"operations":[{"op":"get","key":"k"},{"op":"delete","key":"k"}]}"#;
    assert_eq!(ask("POST", &batch, Some(READ), writes).await.0, 403);
}

async fn connect(cluster: &PlainCluster, token: Option<&str>) -> Result<Client, Error> {
    let mut options = Options::nodes(cluster.addresses.iter().map(ToString::to_string));
    options.connect.token = token.map(|token| Token::new(token).unwrap());
    Client::connect(options).await
}

async fn over_grpc(cluster: &PlainCluster) {
    let code = |error: Error| match error {
        Error::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    for token in [None, Some(WRONG)] {
        let refused = connect(cluster, token).await.unwrap_err();
        assert_eq!(code(refused), FailureCode::Unauthenticated, "{token:?}");
    }
    let reader = connect(cluster, Some(READ)).await.unwrap();
    let writer = connect(cluster, Some(WRITE)).await.unwrap();
    // Many keys, so that every node is asked.
    for number in 0..20 {
        let key = format!("grpc-{number}");
        writer.set(key.clone(), "v", None).await.unwrap();
        assert!(reader.get(key.clone()).await.unwrap().is_some());
        let refused = reader.set(key.clone(), "x", None).await.unwrap_err();
        assert!(refused.to_string().contains("needs write"), "{refused}");
        assert_eq!(code(refused), FailureCode::PermissionDenied);
    }
    let group = "extra".parse().unwrap();
    let refused = writer
        .admin()
        .group_flush(&group, "test")
        .await
        .unwrap_err();
    assert_eq!(code(refused), FailureCode::PermissionDenied);
    let admin = connect(cluster, Some(ADMIN)).await.unwrap();
    admin.admin().group_flush(&group, "test").await.unwrap();
}

async fn with_cachectl(cluster: &PlainCluster, folder: &Path) {
    let url = format!("http://{}", cluster.gateway());
    let file = folder.join("mine");
    write_secret(&file, &format!("{READ}\n"));
    let words = ["--endpoint", &url, "--token-file", file.to_str().unwrap()];
    let run = |line: &'static str, with: usize| {
        let words: Vec<&str> = words[..with]
            .iter()
            .copied()
            .chain(line.split(' '))
            .collect();
        Runner::new(&binaries::cachectl(), &words).run()
    };
    assert_eq!(run("nodes", 4).await.code, 0);
    let without = run("nodes", 2).await;
    assert!(
        without.code == 1 && without.err.contains("--token-file"),
        "{without:?}"
    );
    let low = run("set k v", 4).await;
    assert!(low.code == 1 && low.err.contains("needs write"), "{low:?}");
}

/// A new file comes into force on SIGHUP; one that cannot be used does not.
async fn exchange(cluster: &PlainCluster, tokens: &Path) {
    let url = |index: usize| format!("http://{}/api/set?key=k", cluster.addresses[index]);
    write_secret(tokens, "admin short\n");
    cluster
        .processes
        .iter()
        .for_each(|process| process.hang_up());
    for (index, process) in cluster.processes.iter().enumerate() {
        wait::until("the file is refused", Duration::from_secs(20), || async {
            let output = process.output();
            if output.contains("tokens stay as they were") {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
        assert_eq!(
            ask("POST", &url(index), Some(WRITE), "v").await.0,
            200,
            "the old ones hold"
        );
    }
    write_secret(tokens, &format!("admin {NEXT}\n"));
    cluster
        .processes
        .iter()
        .for_each(|process| process.hang_up());
    for index in 0..cluster.processes.len() {
        wait::until("the new token holds", Duration::from_secs(20), || async {
            match ask("POST", &url(index), Some(NEXT), "v").await {
                (200, _) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(ask("POST", &url(index), Some(ADMIN), "v").await.0, 401);
    }
    // Nodes show each other the new one: keys of every node work through the gateway.
    for number in 0..20 {
        let url = format!("http://{}/api/set?key=next-{number}", cluster.gateway());
        let (status, problem) = ask("POST", &url, Some(NEXT), "v").await;
        assert_eq!(status, 200, "{problem}");
    }
}
