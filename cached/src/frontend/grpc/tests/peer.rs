//! What nodes ask of each other.

use cached_proto::convert::operation_to_pb;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Condition, Operation, Route};
use cached_proto::pb::cached::admin::v1::MemberState;
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::cache::v1::result::Kind;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_proto::types::{Epoch, GroupName, Incarnation, Key};
use tonic::transport::Channel;

use super::{World, failure, key};
use crate::operator::fixture::meta;

impl World {
    pub(super) async fn peer(&self) -> PeerClient<Channel> {
        PeerClient::new(self.channel().await)
    }
}

pub(super) fn header() -> Option<pb::Header> {
    Some(pb::Header {
        cluster: "test".to_owned(),
        cluster_uuid: meta().cluster_uuid.to_string(),
        name: "n2".to_owned(),
        incarnation: Incarnation(2).to_string(),
        to: Incarnation(1).to_string(),
        ..Default::default()
    })
}

/// A write as a node passes it on, by a row of epoch 1.
fn passed_on(group: &str, key: bytes::Bytes) -> cache::Operation {
    let operation = Operation::Set {
        key: Key::new(key).unwrap(),
        value: "v".into(),
        ttl: None,
        condition: Condition::Always,
    };
    let route = Route::OwnerOnly {
        known_epoch: Epoch(1),
    };
    operation_to_pb(&GroupName::new(group).unwrap(), operation, route)
}

fn execute(operations: Vec<cache::Operation>) -> pb::ExecuteRequest {
    pb::ExecuteRequest {
        header: header(),
        operations,
        deadline_ms: 1000,
        no_load: false,
    }
}

#[tokio::test]
async fn own_slots_are_served_and_others_never_passed_on() {
    let world = World::new();
    let mut peer = world.peer().await;
    let operations = vec![
        passed_on("default-group", key(0, 0)),
        cache::Operation {
            kind: Some(cache::operation::Kind::Set(cache::SetRequest {
                group: "default-group".into(),
                ..Default::default()
            })),
        },
        passed_on("default-group", key(1, 0)),
    ];
    let results = peer
        .execute(execute(operations))
        .await
        .unwrap()
        .into_inner()
        .results;
    assert!(matches!(&results[0].kind, Some(Kind::Set(set)) if set.stored));
    let code = |result: &cache::Result| match result.kind.clone() {
        Some(Kind::Failure(failure)) => Some(Failure::from(failure).code),
        _ => None,
    };
    assert_eq!(code(&results[1]), Some(FailureCode::Invalid));
    assert_eq!(code(&results[2]), Some(FailureCode::WrongOwner));
    assert!(world.node.peers.forwarded.lock().is_empty());
    assert_eq!(
        (
            world.node.counters.peer.get(),
            world.node.counters.grpc.get()
        ),
        (3, 0)
    );
}

#[tokio::test]
async fn messages_that_nodes_do_not_send_are_refused() {
    let world = World::new();
    let mut peer = world.peer().await;
    let one = || passed_on("default-group", key(0, 0));
    let mut stranger = execute(vec![one()]);
    stranger.header.as_mut().unwrap().cluster = "prod".to_owned();
    let mut late = execute(vec![one()]);
    late.deadline_ms = 0;
    let whole = [
        (execute(vec![one(), passed_on("users", key(0, 0))]), "group"),
        (execute(vec![]), "group"),
        (execute(vec![one(); 1025]), "batch"),
        (stranger, "cluster"),
    ];
    for (request, field) in whole {
        let status = peer.execute(request).await.unwrap_err();
        assert_eq!(failure(&status).field, Some(field), "{status:?}");
    }
    let mut on = one();
    if let Some(cache::operation::Kind::Set(set)) = &mut on.kind {
        set.route = None;
    }
    for (request, code) in [
        (late, FailureCode::Deadline),
        (execute(vec![on]), FailureCode::Invalid),
    ] {
        let results = peer.execute(request).await.unwrap().into_inner().results;
        let Some(Kind::Failure(failure)) = results[0].kind.clone() else {
            panic!("{results:?}")
        };
        assert_eq!(Failure::from(failure).code, code);
    }
}

#[tokio::test]
async fn a_probe_is_answered_by_who_is_there() {
    let world = World::new();
    let mut peer = world.peer().await;
    // A probe is for whoever listens here; nothing else is.
    let mut anybody = header();
    anybody.as_mut().unwrap().to = String::new();
    let stats = pb::StatsRequest {
        header: anybody.clone(),
    };
    let refused = peer.stats(stats).await.unwrap_err();
    assert_eq!(failure(&refused).code, FailureCode::Invalid);
    let answer = peer
        .probe(pb::ProbeRequest { header: anybody })
        .await
        .unwrap()
        .into_inner();
    let from = answer.header.clone().unwrap();
    assert_eq!((from.name.as_str(), from.cluster.as_str()), ("n1", "test"));
    assert_eq!(from.incarnation, Incarnation(1).to_string());
    assert_eq!((answer.state(), answer.fenced), (MemberState::Up, false));
}

#[tokio::test]
async fn reports_opinions_numbers_and_flushes_are_answered() {
    let world = World::new();
    let mut peer = world.peer().await;
    let id = || ("n3".to_owned(), Incarnation(3).to_string());
    let (name, incarnation) = id();
    let suspect = pb::Suspect {
        name,
        incarnation,
        misses: 3,
        last_error: "refused".into(),
    };
    let report = pb::ReportRequest {
        header: header(),
        suspects: vec![suspect],
    };
    peer.report(report).await.unwrap();
    assert_eq!(world.node.cluster.reports.lock().len(), 1);

    let (name, incarnation) = id();
    let request = pb::OpinionRequest {
        header: header(),
        name,
        incarnation,
        ..Default::default()
    };
    let opinion = peer.opinion(request).await.unwrap().into_inner();
    assert_eq!(opinion.verdict(), pb::opinion_response::Verdict::Silent);

    let stats = peer
        .stats(pb::StatsRequest { header: header() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((stats.name.as_str(), stats.slots), ("n1", 5461));
    let list = peer
        .blacklist(pb::BlacklistRequest { header: header() })
        .await
        .unwrap();
    assert!(list.into_inner().entries.is_empty());

    peer.execute(execute(vec![passed_on("default-group", key(0, 0))]))
        .await
        .unwrap();
    let flush = |group: &str| pb::FlushRequest {
        header: header(),
        group: group.into(),
    };
    assert_eq!(
        peer.flush(flush("default-group"))
            .await
            .unwrap()
            .into_inner()
            .keys,
        1
    );
    let status = peer.flush(flush("nope")).await.unwrap_err();
    assert_eq!(failure(&status).code, FailureCode::UnknownGroup);
}
