//! What raw sockets may do to a listener.

mod encrypted;

use std::time::Duration;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

struct Listening {
    address: std::net::SocketAddr,
    counters: Arc<Counters>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<usize>,
}

/// Serves a few addresses: `/` answers at once, `/echo` gives the body back,
/// `/slow` answers after half a second, `/never` does not.
async fn listen(config: ServerConfig) -> Listening {
    let router = axum::Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: bytes::Bytes| async { body }))
        .route("/certificate", get(encrypted::certificate))
        .route("/slow", get(|| after(Duration::from_millis(500))))
        .route("/never", get(|| after(Duration::from_secs(3600))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counters = Arc::new(Counters::default());
    let tasks = Tasks::new();
    let parts = ServerParts {
        clock: Clock::system(),
        tasks: tasks.clone(),
        counters: counters.clone(),
    };
    let (stop, stopped) = oneshot::channel();
    let ended = tasks.spawn("listener", |_| async move {
        let stopped = async {
            stopped.await.ok();
        };
        serve(listener, router, config, parts, stopped).await
    });
    Listening {
        address,
        counters,
        stop,
        ended,
    }
}

async fn after(pause: Duration) -> &'static str {
    Clock::system().sleep(pause).await;
    "late"
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the other side closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a way to close, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `text` has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(text) {
        let bytes = stream.read_buf(&mut answer).await.unwrap();
        assert_ne!(
            bytes,
            0,
            "closed after {}",
            String::from_utf8_lossy(&answer)
        );
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn quick() -> ServerConfig {
    ServerConfig {
        header_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(1200),
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn connections_are_kept_and_may_be_pipelined() {
    let server = listen(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = read_until(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let one = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
    let many = format!("{one}abc{one}def{one}ghi");
    stream.write_all(many.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "ghi").await;
    let (abc, def) = (answer.find("abc").unwrap(), answer.find("def").unwrap());
    assert!(abc < def && def < answer.find("ghi").unwrap());
    assert_eq!(server.counters.connections.get(), 1);
}

#[tokio::test]
async fn garbage_is_answered_or_closed_and_harms_nobody() {
    let server = listen(quick()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let wide = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    let cases: [(Vec<u8>, &str); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), "HTTP/1.1 400"),
        (b"nonsense\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n".to_vec(),
            "HTTP/1.1 400",
        ),
        (
            b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_vec(),
            "HTTP/1.1 400",
        ),
        (long.into_bytes(), "HTTP/1.1 414"),
        (wide.into_bytes(), "HTTP/1.1 431"),
        ([preface, vec![0xff; 100]].concat(), ""),
    ];
    for (request, expected) in cases {
        let answer = server.exchange(&request).await;
        let shown = request.escape_ascii().to_string();
        assert!(answer.starts_with(expected), "{shown:.60}: {answer:.100}");
    }
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("hello"));
}

#[tokio::test]
async fn heads_that_do_not_come_end_their_connection() {
    let server = listen(quick()).await;
    // The last one is the beginning of an HTTP/2 preface.
    for beginning in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n", "P"] {
        assert_eq!(
            server.exchange(beginning.as_bytes()).await,
            "",
            "{beginning:?}"
        );
    }
    // One byte at a time is no excuse, also not on a connection that was useful once.
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    let mut sent = 0;
    while stream.write_all(b"G").await.is_ok() && sent < 1_000 {
        sent += 1;
        after(Duration::from_millis(10)).await;
    }
    assert!(sent < 1_000, "it was never closed");
}

#[tokio::test]
async fn idle_connections_are_closed_later_than_slow_heads() {
    let server = listen(quick()).await;
    let clock = Clock::system();
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    let before = clock.now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(clock.now().since(before) >= Duration::from_millis(1200));
    // Working on an answer is not idling.
    let answer = server
        .exchange(b"GET /slow HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("late"), "{answer}");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let config = ServerConfig {
        connections_max: 2,
        ..ServerConfig::default()
    };
    let server = listen(config).await;
    let mut kept = [server.connect().await, server.connect().await];
    for stream in &mut kept {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read_until(stream, "hello").await;
    }
    assert_eq!(server.exchange(b"GET / HTTP/1.1\r\n\r\n").await, "");
    assert_eq!(server.counters.connections_refused.get(), 1);
    assert_eq!(server.counters.connections.get(), 2);

    let [mut first, _second] = kept;
    first.shutdown().await.unwrap();
    rest(&mut first).await;
    drop(first);
    // The place is free once the server has seen the end.
    while server.counters.connections.get() > 1 {
        tokio::task::yield_now().await;
    }
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_stop_lets_open_requests_finish_and_closes_idle_connections() {
    let server = listen(ServerConfig::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.unwrap();
    while server.counters.connections.get() < 2 {
        tokio::task::yield_now().await;
    }
    after(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("late"), "{answer}");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    assert_eq!(server.ended.await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
    assert_eq!(server.counters.connections.get(), 0);
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off() {
    let drain_timeout = Duration::from_millis(100);
    let server = listen(ServerConfig {
        drain_timeout,
        ..ServerConfig::default()
    })
    .await;
    let mut stuck = server.connect().await;
    stuck
        .write_all(b"GET /never HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    while server.counters.connections.get() < 1 {
        tokio::task::yield_now().await;
    }
    after(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), 1);
    assert_eq!(rest(&mut stuck).await, "");
    while server.counters.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
}
