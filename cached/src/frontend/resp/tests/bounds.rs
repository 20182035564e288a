//! What a client may do to a node: send too much, too slowly, or read nothing.

use std::time::Duration;

use tokio::io::duplex;

use super::super::connection::Connection;
use super::super::session::Session;
use super::*;
use crate::frontend::server::Activity;

/// A command with its words' lengths.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[tokio::test]
async fn garbage_is_answered_once_after_what_came_before() {
    let world = World::new();
    let cases = [
        ("*1\r\n$536870912\r\n", "invalid bulk length"),
        ("*1000000000\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("get \"x\r\n", "unbalanced quotes in request"),
    ];
    for (garbage, expected) in cases {
        let mut client = world.plain().await;
        client.send(format!("ping\r\n{garbage}")).await;
        let expected = format!("+PONG\r\n-ERR Protocol error: {expected}\r\n");
        assert_eq!(client.rest().await, expected);
    }
    let mut client = world.plain().await;
    client.ask("ping", "+PONG\r\n").await;
}

#[tokio::test]
async fn a_request_of_another_protocol_ends_the_connection() {
    let world = World::new();
    let mut client = world.plain().await;
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\n\r\nflushall\r\n")
        .await;
    let told = client.rest().await;
    assert!(told.starts_with("-ERR unknown command 'POST'"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[tokio::test]
async fn large_values_travel_whole_and_too_large_ones_are_refused() {
    let world = World::new();
    let mut client = world.plain().await;
    let own = key(0, 0);
    let largest = vec![b'x'; VALUE_BYTES_MAX];
    let set = command(&[b"SET", own.as_bytes(), &largest]);
    let get = command(&[b"GET", own.as_bytes()]);
    client.send([&set[..], &get, b"ping\r\n"].concat()).await;
    let reply = format!("${VALUE_BYTES_MAX}\r\n");
    client
        .expect([b"+OK\r\n", reply.as_bytes(), &largest, b"\r\n+PONG\r\n"].concat())
        .await;
    let larger = vec![b'x'; VALUE_BYTES_MAX + 1];
    client
        .send(command(&[b"SET", own.as_bytes(), &larger]))
        .await;
    client
        .expect("-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n")
        .await;
}

#[tokio::test]
async fn many_large_values_from_elsewhere_are_all_delivered() {
    // Two of them are more than one message between nodes holds.
    let value = vec![b'v'; VALUE_BYTES_MAX - 10];
    let world = World::gated(found(value.clone()));
    world.node.peers.gate.as_ref().unwrap().add_permits(100);
    let mut client = world.plain().await;
    let gets: String = (0..5).map(|n| format!("get {}\r\n", key(1, n))).collect();
    client.send(gets).await;
    let head = format!("${}\r\n", value.len());
    for _ in 0..5 {
        client
            .expect([head.as_bytes(), &value, b"\r\n"].concat())
            .await;
    }
}

#[tokio::test]
async fn a_command_that_does_not_end_is_waited_for_so_long() {
    let limits = Limits {
        body_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::with(FakePeers::default(), Auth::open(), limits);
    let mut silent = world.plain().await;
    let mut trickling = world.plain().await;
    let trickle = async {
        let _ = trickling.0.write_all(b"*1\r\n$9999\r\n").await;
        while trickling.0.write_all(b"x").await.is_ok() {
            world.node.clock.sleep(Duration::from_millis(20)).await;
        }
    };
    trickle.await;
    let mut halfway = world.plain().await;
    halfway.send("ping\r\n*2\r\n$3\r\nGET\r\n").await;
    assert_eq!(halfway.rest().await, "+PONG\r\n");
    // One that says nothing may: pools keep connections for later.
    silent.ask("ping", "+PONG\r\n").await;
}

#[tokio::test]
async fn commands_that_do_not_end_are_bounded_over_all_connections() {
    let world = World::new();
    let parts = Arc::new(world.parts(Side::Plain));
    let open = || {
        let (ours, theirs) = duplex(1 << 20);
        let session = Session::new(Arc::clone(&parts), None);
        let connection = Connection::new(theirs, session, Arc::new(Activity::default()));
        let tasks = &world.node.tasks;
        drop(tasks.spawn("connection", |stop| connection.run(stop)));
        ours
    };
    let held = || world.node.counters.unfinished_bytes.get();
    let begin = command(&[b"SET", b"k", &vec![b'x'; 300_000]])[..200_000].to_vec();
    let mut rude = Vec::new();
    for _ in 0..8 {
        let mut client = open();
        client.write_all(&begin).await.unwrap();
        rude.push(client);
    }
    // Some are told off, and what the others hold is counted.
    let ends = rude.iter_mut().map(|client| {
        Box::pin(async {
            let mut text = String::new();
            client.read_to_string(&mut text).await.map(|_| text)
        })
    });
    let (text, ..) = futures_util::future::select_all(ends).await;
    let text = text.unwrap();
    assert!(
        text.starts_with("-ERR this node holds 1048576 bytes"),
        "{text}"
    );
    assert!(held() <= 1 << 20);
    // Everyday commands are taken meanwhile.
    let mut polite = open();
    polite.write_all(b"ping\r\n").await.unwrap();
    let mut pong = [0; 7];
    polite.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    drop((polite, rude));
    while held() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Runs a connection over a pipe that holds so many bytes.
fn over_pipe(
    world: &World,
    bytes: usize,
) -> (
    tokio::io::DuplexStream,
    tokio::task::JoinHandle<std::io::Result<()>>,
) {
    let (ours, theirs) = duplex(bytes);
    let session = Session::new(Arc::new(world.parts(Side::Plain)), None);
    let connection = Connection::new(theirs, session, Arc::new(Activity::default()));
    let running = world
        .node
        .tasks
        .spawn("connection", |stop| connection.run(stop));
    (ours, running)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off() {
    let world = World::new();
    let (mut ours, running) = over_pipe(&world, 1024);
    let echo = command(&[b"ECHO", &[b'x'; 2000]]);
    ours.write_all(&echo[..1000]).await.unwrap();
    ours.write_all(&echo[1000..]).await.unwrap();
    let ended = running.await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::TimedOut, "{ended}");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything_and_sends_no_more_meanwhile() {
    let world = World::new();
    let (ours, running) = over_pipe(&world, 64 * 1024);
    let (mut receive, mut send) = tokio::io::split(ours);
    let echo = command(&[b"ECHO", &[b'x'; 10_000]]);
    let sent = echo.repeat(1_000);
    let sending = world.node.tasks.spawn("client", |_| async move {
        send.write_all(&sent).await.unwrap();
        send.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    receive.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 1_000 * (10_000 + "$10000\r\n\r\n".len()));
    sending.await.unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_end_when_the_process_does() {
    let world = World::new();
    let mut client = world.plain().await;
    client.ask("ping", "+PONG\r\n").await;
    let left = world.node.tasks.stop_within(Duration::from_secs(10)).await;
    assert_eq!(left, []);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServerConfig {
        connections_max: 1,
        ..ServerConfig::default()
    };
    let server = ServerParts {
        clock: world.node.clock.clone(),
        tasks: world.node.tasks.clone(),
        counters: world.node.counters.clone(),
    };
    let parts = world.parts(Side::Plain);
    world.node.tasks.spawn("resp", |stop| async move {
        let stopped = async move { stop.stopped().await };
        serve_resp(listener, parts, config, server, stopped).await
    });
    let mut first = Client(TcpStream::connect(address).await.unwrap());
    first.ask("ping", "+PONG\r\n").await;
    let mut second = Client(TcpStream::connect(address).await.unwrap());
    assert_eq!(second.rest().await, "");
    first.ask("ping", "+PONG\r\n").await;
    assert_eq!(world.node.counters.connections_refused.get(), 1);
}
