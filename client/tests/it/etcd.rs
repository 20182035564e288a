//! The topology from etcd: read once, followed over changes and broken watches, and
//! bounded when etcd hangs. The server answers just what the client asks of etcd.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cached_client::records::{MemberRecord, MemberState, MetaRecord, Mode};
use cached_client::topology::etcd::read_etcd;
use cached_client::types::{Incarnation, MemberId};
use cached_client::{Client, Error, EtcdSeed, FailureCode, Options, Seeds};
use cached_proto::ring::hash::KeyHash;
use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbEvent,
    PbKeyValue, PbKvServer, PbKvService, PbPutRequest, PbPutResponse, PbRangeRequest,
    PbRangeResponse, PbRangeStreamResponse, PbResponseHeader, PbTxnRequest, PbTxnResponse,
    PbWatchRequest, PbWatchResponse, PbWatchServer, PbWatchService,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::follow::until_layout;

/// The one registry of a test. Clones share it.
#[derive(Clone, Default)]
struct Etcd(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    watches: Vec<mpsc::Sender<Result<PbWatchResponse, Status>>>,
    hangs: bool,
}

impl Etcd {
    async fn start() -> (Self, EtcdSeed) {
        let etcd = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut seed = EtcdSeed::new(
            [listener.local_addr().unwrap().to_string()],
            "prod".parse().unwrap(),
        );
        seed.timeout = Duration::from_millis(500);
        let server = tonic::transport::Server::builder()
            .add_service(PbKvServer::new(etcd.clone()))
            .add_service(PbWatchServer::new(etcd.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (etcd, seed)
    }

    /// Puts a record, and tells the watches unless `silently`.
    fn put(&self, name: &str, record: &impl serde::Serialize, silently: bool) {
        let key = format!("/cached/prod/{name}").into_bytes();
        let value = serde_json::to_vec(record).unwrap();
        let mut state = self.0.lock().unwrap();
        state.values.insert(key.clone(), value.clone());
        let kv = Some(PbKeyValue {
            key,
            value,
            ..PbKeyValue::default()
        });
        let event = PbEvent {
            kv,
            ..PbEvent::default()
        };
        let told = PbWatchResponse {
            events: vec![event],
            ..PbWatchResponse::default()
        };
        if !silently {
            state
                .watches
                .retain(|watch| watch.try_send(Ok(told.clone())).is_ok());
        }
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PbKvService for Etcd {
    type RangeStreamStream = Streamed<PbRangeStreamResponse>;

    async fn range(
        &self,
        request: Request<PbRangeRequest>,
    ) -> Result<Response<PbRangeResponse>, Status> {
        if self.0.lock().unwrap().hangs {
            return std::future::pending().await;
        }
        let PbRangeRequest { key, range_end, .. } = request.into_inner();
        let state = self.0.lock().unwrap();
        let kvs = state.values.range(key..range_end);
        let kvs = kvs.map(|(key, value)| PbKeyValue {
            key: key.clone(),
            value: value.clone(),
            ..PbKeyValue::default()
        });
        let header = Some(PbResponseHeader {
            revision: 5,
            ..PbResponseHeader::default()
        });
        let kvs = kvs.collect();
        Ok(Response::new(PbRangeResponse {
            header,
            kvs,
            ..PbRangeResponse::default()
        }))
    }

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn put(&self, _: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        Err(Status::unimplemented("clients change nothing"))
    }

    async fn delete_range(
        &self,
        _: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        Err(Status::unimplemented("clients change nothing"))
    }

    async fn txn(&self, _: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        Err(Status::unimplemented("clients change nothing"))
    }

    async fn compact(
        &self,
        _: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        Err(Status::unimplemented("clients change nothing"))
    }
}

#[tonic::async_trait]
impl PbWatchService for Etcd {
    type WatchStream = Streamed<PbWatchResponse>;

    async fn watch(
        &self,
        _: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(8);
        let created = PbWatchResponse {
            created: true,
            ..PbWatchResponse::default()
        };
        sender.try_send(Ok(created)).unwrap();
        self.0.lock().unwrap().watches.push(sender);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn meta() -> MetaRecord {
    MetaRecord {
        cluster: "prod".parse().unwrap(),
        cluster_uuid: Incarnation(7),
        generation: 1,
        mode: Mode::Strict,
        replicas: 0,
        algorithm: 1,
        hash: KeyHash::Crc16,
        virtual_nodes: 50,
        created_ms: 0,
    }
}

fn member(name: &str) -> MemberRecord {
    MemberRecord {
        id: MemberId {
            name: name.parse().unwrap(),
            inc: Incarnation(1),
        },
        address: format!("{name}:1"),
        state: MemberState::Up,
        weight: 1,
        zone: String::new(),
        version: String::new(),
        started_ms: 0,
        standby: false,
        resp_address: None,
        resp_cluster_address: None,
    }
}

fn plan(layout: u64) -> serde_json::Value {
    serde_json::json!({
        "layout": layout, "id": "p", "reason": "", "algorithm": 1, "virtual_nodes": 50,
        "base_layout": 0, "members": [], "excluded": [], "runs": [],
    })
}

#[tokio::test]
async fn everything_is_read_at_once() {
    let (etcd, seed) = Etcd::start().await;
    let error = read_etcd(&seed).await.unwrap_err();
    assert!(
        matches!(&error, Error::Failed(it) if it.code == FailureCode::NotFound),
        "{error}"
    );
    etcd.put("meta", &meta(), true);
    etcd.put("members/a", &member("a"), true);
    etcd.put("plan", &plan(3), true);
    etcd.put("planner", &member("a").id, true);
    let picture = read_etcd(&seed).await.unwrap();
    assert_eq!((picture.revision, picture.pages), (5, 0));
    assert_eq!(
        (picture.topology.layout, picture.topology.mode),
        (3, Mode::Strict)
    );
    assert_eq!(picture.topology.members[0].address, "a:1");
    assert_eq!(picture.planner.unwrap().as_str(), "a");

    etcd.put("members/a", &"nonsense", true);
    let error = read_etcd(&seed).await.unwrap_err();
    assert!(
        error.to_string().starts_with("member a cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn changes_are_followed_and_a_broken_watch_is_opened_again() {
    let (etcd, seed) = Etcd::start().await;
    etcd.put("meta", &meta(), true);
    let client = Client::connect(Options::new(Seeds::Etcd(seed)))
        .await
        .unwrap();
    until(|| !etcd.0.lock().unwrap().watches.is_empty()).await;
    etcd.put("plan", &plan(1), false);
    until_layout(&client, 1).await;

    // The watch ends, and a change falls between it and the next.
    etcd.0.lock().unwrap().watches.clear();
    etcd.put("plan", &plan(2), true);
    until_layout(&client, 2).await;

    let error = client.get("k").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot reach the cluster: it has no members now"
    );
}

/// Yields until it holds: for what can only be looked at.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_registry_that_hangs_or_is_away_is_an_error_in_time() {
    let (etcd, seed) = Etcd::start().await;
    etcd.0.lock().unwrap().hangs = true;
    let error = read_etcd(&seed).await.unwrap_err();
    assert!(
        error.to_string().contains("did not answer within 500ms"),
        "{error}"
    );

    let away = EtcdSeed {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        ..seed.clone()
    };
    let error = read_etcd(&away).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    for endpoints in [vec![], vec!["not an address".to_owned()]] {
        let error = read_etcd(&EtcdSeed {
            endpoints,
            ..seed.clone()
        })
        .await
        .unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}
