//! The protocol over real connections, with a real router and store; only the other
//! nodes and the registry are made up.

mod access;
mod bounds;
mod cluster;
mod commands;
mod keyspace;
mod order;
mod together;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cached_proto::operation::{Answer, Entry, Outcome, Reply};
use cached_proto::ring::slot_of;
use cached_proto::types::SLOTS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::serve_resp;
use super::session::{RespParts, Side};
use super::unfinished::Unfinished;
use crate::frontend::auth::Auth;
use crate::frontend::server::{ServerConfig, ServerParts};
use crate::frontend::{FrontendParts, Limits};
use crate::operator::fixture::{self, FakePeers};
use crate::requests::Requests;
use crate::router::{Router, RouterLimits, RouterParts};

/// Small, so that tests reach it.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// A token file with one token for each role.
const TOKENS: &str =
    "read  reader-reader-reader\nwrite writer-writer-writer\nadmin admin-admin-admin-\n";

/// n1 of the cluster n1, n2, n3, which owns the first third of the slots.
struct World {
    node: fixture::World,
    frontends: Arc<FrontendParts>,
}

impl World {
    fn new() -> Self {
        Self::with(FakePeers::default(), Auth::open(), Limits::default())
    }

    fn with_tokens() -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(TOKENS.as_bytes()).unwrap();
        let auth = Auth::load(file.path()).unwrap();
        Self::with(FakePeers::default(), auth, Limits::default())
    }

    /// Others answer this to whatever is forwarded, one message for each permit.
    fn gated(outcome: Outcome) -> Self {
        let peers = FakePeers {
            gate: Some(tokio::sync::Semaphore::new(0)),
            ..FakePeers::default()
        };
        *peers.outcome.lock() = Some(outcome);
        Self::with(peers, Auth::open(), Limits::default())
    }

    fn with(peers: FakePeers, auth: Arc<Auth>, limits: Limits) -> Self {
        let node = fixture::World::with(Some("n1"), peers);
        let limits = Limits {
            value_bytes_max: VALUE_BYTES_MAX,
            ..limits
        };
        let router = Router::new(RouterParts {
            view: node.view.clone(),
            store: node.store.clone(),
            peers: node.peers.clone(),
            getter: None,
            breakers: node.breakers.clone(),
            clock: node.clock.clone(),
            hot: node.hot.clone(),
            counters: node.counters.clone(),
            limits: RouterLimits {
                value_bytes_max: VALUE_BYTES_MAX,
                ..RouterLimits::default()
            },
            parking: Arc::default(),
            seed: 1,
        });
        let frontends = Arc::new(FrontendParts {
            router,
            operator: node.operator.clone(),
            auth,
            counters: node.counters.clone(),
            requests: Arc::new(Requests::default()),
            clock: node.clock.clone(),
            default_group: fixture::group("default-group").name,
            limits,
            peers_show_certificates: false,
        });
        Self { node, frontends }
    }

    fn parts(&self, side: Side) -> RespParts {
        RespParts {
            frontends: self.frontends.clone(),
            side,
            clients: Arc::default(),
            unfinished: Unfinished::new(self.node.counters.clone(), 1 << 20),
            encrypted: false,
            connections_max: 100,
        }
    }

    /// Listens on a port of the system's choice until the world's tasks are stopped.
    async fn listen(&self, side: Side) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let parts = self.parts(side);
        let server = ServerParts {
            clock: self.node.clock.clone(),
            tasks: self.node.tasks.clone(),
            counters: self.node.counters.clone(),
        };
        self.node.tasks.spawn("resp", |stop| async move {
            let stopped = async move { stop.stopped().await };
            serve_resp(listener, parts, ServerConfig::default(), server, stopped).await
        });
        address
    }

    async fn client(&self, side: Side) -> Client {
        let address = self.listen(side).await;
        Client(TcpStream::connect(address).await.unwrap())
    }

    async fn plain(&self) -> Client {
        self.client(Side::Plain).await
    }
}

/// One connection.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads exactly what is expected.
    async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        if let Err(error) = self.0.read_exact(&mut got).await {
            panic!("{error} instead of {}", expected.escape_ascii());
        }
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        assert_eq!(shown(&got), shown(expected));
    }

    /// Sends a line and reads what is expected.
    async fn ask(&mut self, line: &str, expected: &str) {
        self.send(format!("{line}\r\n")).await;
        self.expect(expected).await;
    }

    /// Sends a line and reads one line.
    async fn line(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n") {
            got.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(got).unwrap().trim_end().to_owned()
    }

    /// Sends a line and reads a bulk or verbatim string.
    async fn text(&mut self, line: &str) -> String {
        let head = self.line(line).await;
        let length = head.trim_start_matches(['$', '=']).parse().unwrap();
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).await.unwrap();
        self.expect("\r\n").await;
        String::from_utf8(text).unwrap()
    }

    /// Reads until the other side closes.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is a way to close, too.
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// The `n`-th key whose slot belongs to the member of that index.
fn key(owner: u16, n: usize) -> String {
    let share = SLOTS / 3;
    let of_owner = |key: &String| {
        (slot_of(Default::default(), key.as_bytes()).number() / share).min(2) == owner
    };
    (0..)
        .map(|number| format!("key{number}"))
        .filter(of_owner)
        .nth(n)
        .unwrap()
}

/// What a read is answered with.
fn found(value: impl Into<Bytes>) -> Outcome {
    let value = value.into();
    Ok(Answer {
        reply: Reply::Get(Some(Entry {
            value_bytes: value.len() as u64,
            value,
            version: None,
            ttl_ms: None,
            loaded: false,
            uncached: false,
        })),
        degraded: false,
    })
}

/// What a write is answered with.
fn stored() -> Outcome {
    Ok(Answer {
        reply: Reply::Set {
            stored: true,
            version: None,
        },
        degraded: false,
    })
}
