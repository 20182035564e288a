//! The real caller against a real server on a port of the system's choice.

mod lanes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use cached_client::connections::{ConnectOptions, Connections};
use cached_proto::convert::slot_map;
use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::pb::cached::admin::v1::{BlacklistEntry, MemberState as WireState, NodeStats};
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::peer_server::{Peer as PeerService, PeerServer};
use cached_proto::records::MemberState;
use cached_proto::types::{Epoch, GroupName, Incarnation, Key, MemberId, NodeName, Slot};
use tonic::{Code, Request, Response, Status};

use super::grpc::GrpcPeers;
use super::keys::KeysPlace;
use super::{Flushed, Forwarded, Identity, Peer, PeerError, Peers, Suspect, Verdict};
use crate::clock::Clock;
use crate::tasks::Tasks;

fn member(name: &str, inc: u128) -> MemberId {
    MemberId {
        name: NodeName::new(name).unwrap(),
        inc: Incarnation(inc),
    }
}

fn header(cluster: &str) -> Option<pb::Header> {
    Some(pb::Header {
        cluster: cluster.into(),
        name: "n2".into(),
        incarnation: Incarnation(2).to_string(),
        layout: 7,
        ..Default::default()
    })
}

/// A peer whose behaviour the first key of a message chooses.
#[derive(Clone, Default)]
struct Fake {
    /// Lanes that were opened.
    lanes: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl PeerService for Fake {
    type MoveStream = futures_util::stream::Empty<Result<pb::MoveResponse, Status>>;

    async fn r#move(
        &self,
        _: Request<tonic::Streaming<pb::MoveRequest>>,
    ) -> Result<Response<Self::MoveStream>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }

    async fn moves(
        &self,
        _: Request<pb::MovesRequest>,
    ) -> Result<Response<pb::MovesResponse>, Status> {
        Ok(Response::new(pb::MovesResponse::default()))
    }

    async fn execute(
        &self,
        request: Request<pb::ExecuteRequest>,
    ) -> Result<Response<pb::ExecuteResponse>, Status> {
        let request = request.into_inner();
        let header = request.header.unwrap_or_default();
        assert_eq!((header.cluster.as_str(), header.name.as_str()), ("c", "n1"));
        assert_eq!(header.to, Incarnation(2).to_string());
        let Some(cache::operation::Kind::Set(set)) = &request.operations[0].kind else {
            panic!("a set was sent");
        };
        assert_eq!(set.route.map(|route| route.known_epoch), Some(5));
        let set_answer = cache::SetResponse {
            stored: true,
            ..Default::default()
        };
        let result = cache::Result {
            kind: Some(cache::result::Kind::Set(set_answer)),
        };
        match &set.key[..] {
            b"ok" => Ok(Response::new(pb::ExecuteResponse {
                results: vec![result],
            })),
            b"too many" => Ok(Response::new(pb::ExecuteResponse {
                results: vec![result; 2],
            })),
            b"busy" => {
                let failure = Failure::new(FailureCode::Busy, "full");
                let details = failure.to_wire_bytes().into();
                Err(Status::with_details(
                    Code::ResourceExhausted,
                    "full",
                    details,
                ))
            }
            b"broken" => Err(Status::unavailable("going away")),
            _ => std::future::pending().await,
        }
    }

    type ForwardStream = lanes::Answers;

    async fn forward(
        &self,
        request: Request<tonic::Streaming<pb::ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        self.lanes.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(lanes::answers(request.into_inner())))
    }

    async fn probe(
        &self,
        request: Request<pb::ProbeRequest>,
    ) -> Result<Response<pb::ProbeResponse>, Status> {
        let header_in = request.into_inner().header.unwrap_or_default();
        assert_eq!(header_in.to, "", "a probe is for whoever listens there");
        Ok(Response::new(pb::ProbeResponse {
            header: header("c"),
            fenced: true,
            registry_reachable: true,
            wall_clock_ms: 42,
            state: WireState::Draining.into(),
        }))
    }

    async fn report(
        &self,
        request: Request<pb::ReportRequest>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let suspects = request.into_inner().suspects;
        assert_eq!((suspects[0].name.as_str(), suspects[0].misses), ("n3", 3));
        Ok(Response::new(pb::ReportResponse {}))
    }

    async fn opinion(
        &self,
        request: Request<pb::OpinionRequest>,
    ) -> Result<Response<pb::OpinionResponse>, Status> {
        let request = request.into_inner();
        assert_eq!((request.address.as_str(), request.fresh_ms), ("n3:1", 900));
        let verdict = pb::opinion_response::Verdict::Silent.into();
        Ok(Response::new(pb::OpinionResponse {
            verdict,
            detail: String::new(),
        }))
    }

    async fn stats(&self, _: Request<pb::StatsRequest>) -> Result<Response<NodeStats>, Status> {
        Ok(Response::new(NodeStats {
            name: "n2".into(),
            ..Default::default()
        }))
    }

    async fn blacklist(
        &self,
        _: Request<pb::BlacklistRequest>,
    ) -> Result<Response<pb::BlacklistResponse>, Status> {
        let entries = vec![BlacklistEntry {
            target: "n9".into(),
            ..Default::default()
        }];
        Ok(Response::new(pb::BlacklistResponse { entries }))
    }

    async fn flush(
        &self,
        request: Request<pb::FlushRequest>,
    ) -> Result<Response<pb::FlushResponse>, Status> {
        assert_eq!(request.into_inner().group, "g");
        Ok(Response::new(pb::FlushResponse {
            keys: 11,
            slots: slot_map::to_bits(&[Slot::all().last().unwrap()]),
        }))
    }

    async fn keys(
        &self,
        request: Request<pb::KeysRequest>,
    ) -> Result<Response<pb::KeysResponse>, Status> {
        let request = request.into_inner();
        assert_eq!((request.group.as_str(), request.count), ("g", 10));
        Ok(Response::new(pb::KeysResponse {
            keys: vec!["k".into()],
            next: Some(request.cursor + 1),
        }))
    }
}

async fn serve(tasks: &Tasks) -> Peer {
    serve_as(Fake::default(), tasks).await
}

async fn serve_as(fake: Fake, tasks: &Tasks) -> Peer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(PeerServer::new(fake));
    tasks.spawn("server", |_| server.serve_with_incoming(incoming));
    Peer {
        id: member("n2", 2),
        address: address.to_string(),
    }
}

fn peers(cluster: &str) -> Arc<GrpcPeers> {
    peers_over(Connections::new(ConnectOptions::default()), cluster)
}

fn peers_over(connections: Connections, cluster: &str) -> Arc<GrpcPeers> {
    let identity = Identity {
        id: Some(member("n1", 1)),
        cluster: cluster.into(),
        cluster_uuid: Some(Incarnation(9)),
    };
    GrpcPeers::new(
        connections,
        Arc::new(ArcSwap::from_pointee(identity)),
        Clock::system(),
        Tasks::new(),
    )
}

fn work(key: &'static str, time_left: Duration) -> Forwarded {
    let operation = Operation::Set {
        key: Key::new(key).unwrap(),
        value: Bytes::from_static(b"v"),
        ttl: None,
        condition: Condition::Always,
    };
    let operations = vec![(operation, Epoch(5))];
    Forwarded {
        group: GroupName::new("g").unwrap(),
        operations,
        time_left,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn operations_come_to_outcomes_or_to_honest_errors() {
    let tasks = Tasks::new();
    let (peer, peers) = (serve(&tasks).await, peers("c"));
    let outcomes = peers.execute(&peer, work("ok", LONG)).await.unwrap();
    let replies: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().reply)
        .collect();
    assert_eq!(
        replies,
        [Reply::Set {
            stored: true,
            version: None
        }]
    );

    let error = peers.execute(&peer, work("busy", LONG)).await.unwrap_err();
    let PeerError::Refused(failure) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Busy, Applied::No)
    );

    for key in ["broken", "too many"] {
        let error = peers.execute(&peer, work(key, LONG)).await.unwrap_err();
        assert!(matches!(error, PeerError::Unknown(_)), "{key}: {error:?}");
    }
    let error = peers
        .execute(&peer, work("hang", Duration::from_millis(50)))
        .await
        .unwrap_err();
    assert!(matches!(error, PeerError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn what_never_left_is_not_sent() {
    let peers = peers("c");
    // Bound, so that nobody else gets the port, and never listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let refused = Peer {
        id: member("n2", 2),
        address: address.clone(),
    };
    let wrong = Peer {
        id: member("n2", 2),
        address: "no address".into(),
    };
    for peer in [refused, wrong] {
        let error = peers.execute(&peer, work("ok", LONG)).await.unwrap_err();
        let PeerError::NotSent(message) = &error else {
            panic!("{error:?}")
        };
        assert!(
            !message.contains(&address),
            "callers name the peer: {message}"
        );
    }
}

#[tokio::test]
async fn the_other_calls_carry_what_they_mean() {
    let tasks = Tasks::new();
    let (peer, peers) = (serve(&tasks).await, peers("c"));
    let probe = peers.probe(&peer, LONG).await.unwrap();
    assert_eq!(
        (probe.id, probe.layout, probe.wall_clock_ms),
        (member("n2", 2), 7, 42)
    );
    assert_eq!((probe.fenced, probe.registry_reachable), (true, true));
    assert_eq!(probe.state, MemberState::Draining);
    let suspect = Suspect {
        id: member("n3", 3),
        misses: 3,
        last_error: "timeout".into(),
    };
    peers.report(&peer, vec![suspect], LONG).await.unwrap();
    let about = Peer {
        id: member("n3", 3),
        address: "n3:1".into(),
    };
    let verdict = peers
        .opinion(&peer, &about, Duration::from_millis(900), LONG)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Silent);
    assert_eq!(peers.stats(&peer, LONG).await.unwrap().name, "n2");
    assert_eq!(peers.blacklist(&peer, LONG).await.unwrap()[0].target, "n9");
    let flushed = peers
        .flush(&peer, &GroupName::new("g").unwrap(), LONG)
        .await;
    let expected = Flushed {
        keys: 11,
        slots: vec![Slot::all().last().unwrap()],
    };
    assert_eq!(flushed.unwrap(), expected);
    let from = KeysPlace {
        slot: Slot::FIRST,
        position: 5,
    };
    let group = GroupName::new("g").unwrap();
    let page = peers.keys(&peer, &group, from, 10, LONG).await.unwrap();
    let next = KeysPlace {
        position: 6,
        ..from
    };
    assert_eq!(page.keys, [Key::new("k").unwrap()]);
    assert_eq!(page.next, Some(next));
}

#[tokio::test]
async fn a_probe_that_another_cluster_answers_is_refused() {
    let tasks = Tasks::new();
    let peer = serve(&tasks).await;
    let error = peers("other").probe(&peer, LONG).await.unwrap_err();
    let PeerError::Refused(failure) = error else {
        panic!("{error:?}")
    };
    assert!(failure.message.contains("another cluster"), "{failure}");
}
