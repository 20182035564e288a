//! Bytes that are no requests: answered with 4xx or a status, or hung up on, and
//! never the end of anything else.

use std::time::Duration;

use cached_tests::clients::http;
use cached_tests::process::Process;
use cached_tests::{binaries, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_refused_and_everything_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--port", "0"].map(str::to_owned);
    let mut node = Process::start(&binaries::cached(), &arguments, &folder.path().join("log"));
    let url = format!("http://{}", node.listening().await);
    over_sockets(&url).await;
    over_grpc(&url).await;
    assert!(
        http()
            .get(format!("{url}/healthz"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert!(!node.output().contains("panicked"), "{}", node.output());
}

/// Bytes that are no HTTP: answered with 4xx or hung up on, and soon.
async fn over_sockets(url: &str) {
    let address = url.strip_prefix("http://").unwrap();
    let head =
        |line: &str| format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n").into_bytes();
    let long = |bytes: usize| "x".repeat(bytes);
    let mut torn = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    torn.extend([0xff; 64]);
    for bytes in [
        b"what is this\r\n\r\n".to_vec(),
        vec![0, 1, 2, 3, 255, 254, 13, 10, 13, 10],
        // The beginning of a TLS handshake, where none is spoken.
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 13, 10, 13, 10],
        head("content-length: many"),
        head("content-length: 1\r\ncontent-length: 2"),
        head("no colon here"),
        head(&format!("x: {}", long(200_000))),
        format!("GET /api?key={} HTTP/1.1\r\nhost: x\r\n\r\n", long(70_000)).into_bytes(),
        torn,
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Whoever is hung up on may not be able to send all of it.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
        let start: String = bytes
            .iter()
            .take(40)
            .map(|byte| byte.escape_ascii().to_string())
            .collect();
        assert!(ended.is_ok(), "{start}: the connection stays open");
        let refused =
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || bytes.starts_with(b"PRI");
        assert!(refused, "{start}: {}", answer.escape_ascii());
    }
    assert!(
        http()
            .get(format!("{url}/healthz"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
}

/// By hand, past everything that our own client would refuse to send.
async fn over_grpc(url: &str) {
    let get = "/cached.cache.v1.Cache/Get";
    for (path, message, codes) in [
        (
            get,
            &b"\xff\xff\xff"[..],
            &[Code::InvalidArgument, Code::Internal][..],
        ),
        // A key of 200 bytes that ends after two.
        (
            get,
            b"\x12\xc8\x01ab",
            &[Code::InvalidArgument, Code::Internal],
        ),
        (get, b"", &[Code::InvalidArgument]),
        ("/cached.cache.v1.Cache/Grab", b"", &[Code::Unimplemented]),
        ("/no.such.Service/Get", b"", &[Code::Unimplemented]),
        (
            "/cached.cache.v1.Cache/Set",
            b"\x12\x01k\x22\x02\x10\xff",
            &[Code::InvalidArgument, Code::Internal],
        ),
    ] {
        let status = raw::unary(url, path, message).await.unwrap_err();
        assert!(
            codes.contains(&status.code()),
            "{path} {}: {status:?}",
            message.escape_ascii()
        );
        // For a method that it does not know, tonic has a code and no words.
        let told = status.code() == Code::Unimplemented || !status.message().is_empty();
        assert!(told, "{path}: {status:?}");
    }
}
