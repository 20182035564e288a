//! A redis-server to compare with, and its protocol as it is on the wire.

pub mod commands;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::wait;

/// Where distributions put programs, besides PATH.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/sbin"];

/// A program by its name; `None` when there is none.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).chain(PLACES.map(PathBuf::from));
    found
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Whether tests may use one of Redis's programs. Without it they skip and say so,
/// unless `CACHED_REQUIRE_REDIS` is set, as `make test` does.
pub fn is_there(name: &str) -> bool {
    if program(name).is_some() {
        return true;
    }
    assert!(
        std::env::var_os("CACHED_REQUIRE_REDIS").is_none(),
        "no {name} found: install redis-server and redis-tools"
    );
    eprintln!("skipped: no {name} found; install redis-server and redis-tools");
    false
}

/// One redis-server that keeps nothing.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts a server on loopback and waits until it answers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It takes no port 0 either: see etcd.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it has an address");
        drop(free);
        let path = |path: &Path| path.display().to_string();
        let arguments = [
            ("--port", address.port().to_string()),
            ("--bind", "127.0.0.1".to_owned()),
            ("--save", String::new()),
            ("--dir", path(folder.path())),
        ];
        let arguments = arguments.map(|(name, value)| [name.to_owned(), value]);
        let server = program("redis-server").expect("is_there was asked");
        let process = Process::start(&server, &arguments.concat(), &folder.path().join("log"));
        wait::until("redis-server answers", Duration::from_secs(20), || async {
            let connect = TcpStream::connect(address).await;
            connect.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self {
            address,
            _process: process,
            _folder: folder,
        }
    }
}

/// Where a process awaits Redis clients of a kind, `plain` or `cluster`.
pub async fn listening(process: &Process, kind: &str) -> SocketAddr {
    let line = format!("Redis protocol for {kind} clients on ");
    wait::until(
        "it listens for Redis clients",
        Duration::from_secs(30),
        || async {
            let output = process.output();
            let (_, rest) = output.split_once(&line).ok_or("not yet")?;
            let address = rest.split_whitespace().next().ok_or("not yet")?;
            address.parse().map_err(|_| "half a line".to_owned())
        },
    )
    .await
}

/// The words of a command.
pub type Words = Vec<Vec<u8>>;

/// A command as clients send it.
pub fn spelled(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Bytes as an error message shows them.
pub fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(200)];
    let dots = if start.len() < bytes.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_ascii())
}

/// A connection that tells replies byte for byte.
#[derive(Debug)]
pub struct RedisConnection {
    stream: BufReader<TcpStream>,
}

impl RedisConnection {
    /// Opens it.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it reads");
    }

    /// One command and its reply.
    pub async fn ask(&mut self, words: &[&str]) -> Vec<u8> {
        let words: Words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.send(&spelled(&words)).await;
        self.reply().await
    }

    /// The next reply, with all its parts, as it came.
    pub async fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut parts_left = 1_i64;
        while parts_left > 0 {
            parts_left -= 1;
            let start = reply.len();
            let read = self.stream.read_until(b'\n', &mut reply);
            let read = tokio::time::timeout(Duration::from_secs(30), read).await;
            let length = read.expect("it answers").expect("it goes on");
            assert!(length > 0, "it hung up after {}", shown(&reply));
            let line = std::str::from_utf8(&reply[start + 1..reply.len() - 2]).unwrap_or_default();
            let number: i64 = line.parse().unwrap_or(0);
            match reply[start] {
                b'$' | b'=' if number >= 0 => {
                    let mut bytes = vec![0; number as usize + 2];
                    let read = self.stream.read_exact(&mut bytes).await;
                    read.expect("all of it comes");
                    reply.extend(bytes);
                }
                b'*' | b'~' | b'>' => parts_left += number.max(0),
                b'%' => parts_left += 2 * number,
                _ => {}
            }
        }
        reply
    }
}
