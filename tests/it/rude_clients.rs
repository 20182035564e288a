//! Redis clients that harm a node if it lets them: they read nothing, send drop by drop,
//! promise much, or begin what they never end. And very many that do nothing.

use std::net::SocketAddr;
use std::time::Duration;

use cached_tests::process::Process;
use cached_tests::{binaries, command, redis, wait};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: u64 = 1 << 20;

/// How long any answer may take beside rude clients, on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What all connections may hold of commands without end: twice the longest command.
const UNFINISHED_BYTES_MAX: u64 = 2 * (65 * MIB);

/// One node for Redis clients.
struct Node {
    process: Process,
    url: String,
    resp: SocketAddr,
    _folder: TempDir,
}

impl Node {
    async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let words = ["--port", "0", "--resp", "127.0.0.1:0", "--memory", "256MiB"];
        let words: Vec<String> = words
            .iter()
            .chain(flags)
            .map(|word| (*word).to_owned())
            .collect();
        let mut process = Process::start(&binaries::cached(), &words, &folder.path().join("log"));
        let url = format!("http://{}", process.listening().await);
        let resp = redis::listening(&process, "plain").await;
        let node = Self {
            process,
            url,
            resp,
            _folder: folder,
        };
        wait::until("it serves", Duration::from_secs(20), || async {
            let mut client = node.connect().await;
            match client.ask(b"SET first 1\r\n", 5).await {
                bytes if bytes == b"+OK\r\n" => Ok(()),
                bytes => Err(String::from_utf8_lossy(&bytes).into_owned()),
            }
        })
        .await;
        node
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.resp).await.unwrap())
    }

    /// Resident bytes of the process.
    fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// What `stats --memory` says.
    async fn memory(&self) -> Value {
        let words = ["--endpoint", self.url.as_str()];
        let ran = command::cachectl(&words, "stats --memory -o json").run();
        let ran = ran.await;
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str::<Value>(&ran.out).unwrap()["nodes"][0].clone()
    }
}

struct Client(TcpStream);

impl Client {
    /// Sends a command, and reads so many bytes.
    async fn ask(&mut self, command: &[u8], bytes: usize) -> Vec<u8> {
        let mut reply = vec![0; bytes];
        let asked = async {
            self.0.write_all(command).await?;
            self.0.read_exact(&mut reply).await
        };
        let asked = tokio::time::timeout(ANSWER_MAX, asked).await;
        asked.expect("it is answered in time").unwrap();
        reply
    }

    async fn ping(&mut self) {
        assert_eq!(self.ask(b"PING\r\n", 7).await, b"+PONG\r\n");
    }

    /// Sends until it is told to stop; whether all was taken.
    async fn push(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(Duration::from_secs(2), self.0.write_all(bytes)).await;
        matches!(sent, Ok(Ok(())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rude_clients_harm_themselves() {
    let node = Node::start(&[]).await;
    let mut polite = node.connect().await;
    let value = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n".as_slice(),
        &[b'v'; MIB as usize],
        b"\r\n",
    ];
    assert_eq!(polite.ask(&value.concat(), 5).await, b"+OK\r\n");
    let before = node.resident();

    // Asks for 100 MiB and reads nothing of it.
    let mut deaf = join_all((0..30).map(|_| node.connect())).await;
    let gets = b"GET k\r\n".repeat(100);
    join_all(deaf.iter_mut().map(|client| client.push(&gets))).await;
    polite.ping().await;
    let held = node.resident().saturating_sub(before);
    assert!(held < 30 * 5 * MIB, "{} MiB for 30 clients", held / MIB);

    // A byte at a time.
    let mut slow = node.connect().await;
    slow.0.set_nodelay(true).unwrap();
    for byte in b"*2\r\n$3\r\nGET\r\n$5\r\nfirst" {
        assert!(slow.push(&[*byte]).await);
        polite.ping().await;
    }
    assert_eq!(slow.ask(b"\r\n", 7).await, b"$1\r\n1\r\n");

    // Promises 512 MiB.
    let mut boaster = node.connect().await;
    let promise = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n";
    let refused = b"-ERR Protocol error: invalid bulk length\r\n";
    assert_eq!(boaster.ask(promise, refused.len()).await, refused);
    assert_eq!(boaster.0.read(&mut [0]).await.unwrap(), 0, "and hangs up");
    drop(deaf);

    // Begin what they never end, 280 MiB in all.
    let before = node.resident();
    let begin = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n".as_slice();
    let begin = [begin, &vec![b'x'; 7 * MIB as usize]].concat();
    let mut endless = join_all((0..40).map(|_| node.connect())).await;
    let pushed = join_all(endless.iter_mut().map(|client| client.push(&begin)));
    let (_, ()) = tokio::join!(pushed, async {
        for _ in 0..100 {
            polite.ping().await;
        }
    });
    let stats = node.memory().await;
    let held = stats["memory"]["connection_bytes"].as_u64().unwrap();
    assert!((10 * MIB..=UNFINISHED_BYTES_MAX).contains(&held), "{stats}");
    let grown = node.resident().saturating_sub(before);
    let bound = UNFINISHED_BYTES_MAX + 80 * MIB;
    assert!(grown < bound, "{} MiB more", grown / MIB);
    let sum: i64 = stats["memory"]
        .as_object()
        .unwrap()
        .values()
        .map(|part| part.as_i64().unwrap())
        .sum();
    assert_eq!(sum, stats["resident_bytes"].as_i64().unwrap(), "{stats}");
    drop(endless);
    wait::until("it is given back", ANSWER_MAX, || async {
        let stats = node.memory().await;
        let held = stats["memory"]["connection_bytes"].as_u64();
        (held < Some(MIB)).then_some(()).ok_or(stats)
    })
    .await;
    polite.ping().await;
    assert_eq!(polite.ask(b"GET first\r\n", 7).await, b"$1\r\n1\r\n");
}

/// `tools/bench connections` has ten times as many.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_in_nobodys_way() {
    const IDLE: usize = 1_000;
    const BUSY: usize = 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < 4_000) {
        eprintln!("skipped: {:?} open files are allowed", limit.maximum);
        return;
    }
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).unwrap();
    let node = Node::start(&[]).await;
    let before = node.resident();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(node.connect().await);
    }
    for client in &mut idle {
        client.ping().await;
    }
    let each = node.resident().saturating_sub(before) / IDLE as u64;
    assert!(each < 48 * 1024, "{each} bytes for each connection");
    let mut busy = join_all((0..BUSY).map(|_| node.connect())).await;
    join_all(busy.iter_mut().map(async |client| {
        for _ in 0..50 {
            assert_eq!(
                client.ask(b"SET k v\r\nGET k\r\n", 12).await,
                b"+OK\r\n$1\r\nv\r\n"
            );
        }
    }))
    .await;
    for client in &mut idle {
        client.ping().await;
    }
}
