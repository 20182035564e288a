//! The services over a real connection, with a real router and store; only the other
//! nodes and the registry are made up.

mod admin;
mod auth;
mod cache;
mod gate;
mod lane;
mod moving;
mod peer;
mod pipeline;
mod raw;
mod wire;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cached_proto::failure::Failure;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
use cached_proto::ring::slot_of;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

use super::grpc_routes;
use crate::frontend::auth::Auth;
use crate::frontend::{FrontendParts, Limits, PeerCertificate};
use crate::operator::fixture::{self, FakePeers};
use crate::requests::Requests;
use crate::router::{Router, RouterLimits, RouterParts};

/// Small, so that tests reach it.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A token file with one token for each role.
const TOKENS: &str =
    "read  reader-reader-reader\nwrite writer-writer-writer\nadmin admin-admin-admin-\n";

/// The services of n1 of the cluster n1, n2, n3.
struct World {
    node: fixture::World,
    parts: Arc<FrontendParts>,
}

impl World {
    fn new() -> Self {
        Self::with(FakePeers::default(), Auth::open())
    }

    fn with_tokens() -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(TOKENS.as_bytes()).unwrap();
        Self::with(FakePeers::default(), Auth::load(file.path()).unwrap())
    }

    /// The same, with nodes that show certificates to each other.
    fn with_certificates() -> Self {
        let mut world = Self::with_tokens();
        let parts = Arc::get_mut(&mut world.parts).expect("not shared yet");
        parts.peers_show_certificates = true;
        world
    }

    fn with(peers: FakePeers, auth: Arc<Auth>) -> Self {
        let node = fixture::World::with(Some("n1"), peers);
        let limits = Limits {
            value_bytes_max: VALUE_BYTES_MAX,
            ..Limits::default()
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
        let parts = Arc::new(FrontendParts {
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
        Self { node, parts }
    }

    /// A connection to the services, as one without a certificate.
    async fn channel(&self) -> Channel {
        self.connect(PeerCertificate(false)).await
    }

    async fn connect(&self, certificate: PeerCertificate) -> Channel {
        let address = self.serve(certificate).await;
        Endpoint::try_from(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// Serves on a port of the system's choice; whoever connects showed that.
    async fn serve(&self, certificate: PeerCertificate) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = grpc_routes(&self.parts);
        self.node.tasks.spawn("server", |stop| async move {
            let mark = move |mut request: http::Request<_>| {
                request.extensions_mut().insert(certificate);
                request
            };
            Server::builder()
                .layer(tower::util::MapRequestLayer::new(mark))
                .add_routes(routes)
                .serve_with_incoming_shutdown(TcpIncoming::from(listener), async move {
                    stop.stopped().await
                })
                .await
        });
        address
    }

    async fn cache(&self) -> CacheClient<Channel> {
        CacheClient::new(self.channel().await)
    }
}

/// The `n`-th key whose slot belongs to the member of that index.
fn key(owner: u16, n: usize) -> Bytes {
    let share = cached_proto::types::SLOTS / 3;
    let key = (0..)
        .map(|number| format!("key{number}"))
        .filter(|key| {
            (slot_of(Default::default(), key.as_bytes()).number() / share).min(2) == owner
        })
        .nth(n)
        .unwrap();
    Bytes::from(key)
}

fn get(key: Bytes) -> pb::GetRequest {
    pb::GetRequest {
        key,
        ..Default::default()
    }
}

fn set(key: Bytes, value: impl Into<Bytes>) -> pb::SetRequest {
    pb::SetRequest {
        key,
        value: value.into(),
        ..Default::default()
    }
}

/// The failure that a status carries.
fn failure(status: &tonic::Status) -> Failure {
    Failure::from_wire_bytes(status.details()).unwrap_or_else(|_| panic!("no details: {status:?}"))
}
