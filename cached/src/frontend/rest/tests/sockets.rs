//! REST and gRPC over real sockets: what only shows there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::{Node, VALUE_BYTES_MAX};
use crate::frontend::server::{ServerConfig, ServerParts, serve};

/// Serves a node's app; ends with the test's runtime.
async fn listen(node: &Node) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let parts = ServerParts {
        clock: node.world.clock.clone(),
        tasks: node.world.tasks.clone(),
        counters: node.world.counters.clone(),
    };
    let app = node.app.clone();
    node.world.tasks.spawn("listener", |stop| async move {
        serve(
            listener,
            app,
            ServerConfig::default(),
            parts,
            stop.stopped(),
        )
        .await
    });
    address
}

async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn answers_without_a_body_have_no_length_of_their_own() {
    let node = Node::new();
    let address = listen(&node).await;
    let key = "/v1/groups/default-group/keys/k";
    let put = format!("PUT {key} HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    let stored = exchange(address, put.as_bytes()).await.to_lowercase();
    assert!(stored.starts_with("http/1.1 204"), "{stored}");
    assert!(!stored.contains("content-length"), "{stored}");
    let head = format!("HEAD {key} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let head = exchange(address, head.as_bytes()).await.to_lowercase();
    assert!(
        head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let known = format!("GET {key} HTTP/1.1\r\nConnection: close\r\nIf-None-Match: *\r\n\r\n");
    let known = exchange(address, known.as_bytes()).await.to_lowercase();
    assert!(
        known.starts_with("http/1.1 304") && known.ends_with("\r\n\r\n"),
        "{known}"
    );
    assert!(!known.contains("content-length: 0"), "{known}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let node = Node::new();
    let address = listen(&node).await;
    let head = |more: &str| format!("POST /api/set?key=k HTTP/1.1\r\n{more}\r\n\r\n");
    // Whoever asks first is told at once, and is not invited to send.
    let polite = head("Expect: 100-continue\r\nContent-Length: 999999999");
    let answer = exchange(address, polite.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Whoever sends without asking still gets to read the answer.
    let length = VALUE_BYTES_MAX * 4;
    let mut eager = head(&format!("Connection: close\r\nContent-Length: {length}")).into_bytes();
    eager.extend(vec![b'v'; length]);
    let answer = exchange(address, &eager).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut chunked = head("Connection: close\r\nTransfer-Encoding: chunked").into_bytes();
    for _ in 0..8 {
        chunked.extend(b"4000\r\n");
        chunked.extend(vec![b'v'; 0x4000]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let answer = exchange(address, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let bad = head("Connection: close\r\nTransfer-Encoding: chunked") + "zz\r\nnonsense";
    let answer = exchange(address, bad.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("broke off or is malformed"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_timed_out() {
    let node = Node::new();
    let address = listen(&node).await;
    for framing in [
        "Content-Length: 10\r\n\r\nhal",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n",
    ] {
        let request = format!("POST /api/set?key=k HTTP/1.1\r\n{framing}");
        let answer = exchange(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("nothing was done"), "{answer}");
    }
    node.get("GET /api?key=k").await.problem(404);
}

#[tokio::test]
async fn grpc_and_rest_share_the_port() {
    use cached_proto::pb::cached::cache::v1::GetRequest;
    use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
    let node = Node::new();
    let address = listen(&node).await;
    let set = "POST /api/set?key=k HTTP/1.1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nv";
    assert!(exchange(address, set.as_bytes()).await.ends_with("OK"));
    let mut client = CacheClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let request = GetRequest {
        key: b"k".to_vec().into(),
        ..GetRequest::default()
    };
    let got = client.get(request).await.unwrap().into_inner();
    assert!(got.found);
    assert_eq!(got.value, "v");
}
