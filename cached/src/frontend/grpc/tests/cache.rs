//! One key, and many keys.

use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Answer, Reply};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::cache_client::CacheClient;
use cached_proto::pb::cached::cache::v1::condition::Kind as Condition;
use cached_proto::pb::cached::cache::v1::result::Kind;
use tonic::{Code, Request};

use super::super::grpc_routes;
use super::{VALUE_BYTES_MAX, World, failure, get, key, set};

#[tokio::test]
async fn an_own_key_is_set_read_touched_and_deleted() {
    let world = World::new();
    let mut cache = world.cache().await;
    let own = key(0, 0);
    let stored = cache.set(set(own.clone(), "v")).await.unwrap().into_inner();
    assert!(stored.stored && stored.version.len() == 16 && !stored.degraded);

    let touch = pb::TouchRequest {
        key: own.clone(),
        ttl_ms: Some(60_000),
        ..Default::default()
    };
    assert!(cache.touch(touch).await.unwrap().into_inner().found);
    let entry = cache.get(get(own.clone())).await.unwrap().into_inner();
    assert!(entry.found && entry.value == "v" && entry.version == stored.version);
    assert!(entry.ttl_ms.is_some_and(|ms| ms <= 60_000));
    let request = pb::GetRequest {
        metadata_only: true,
        ..get(own.clone())
    };
    let metadata = cache.get(request).await.unwrap().into_inner();
    assert_eq!((metadata.value.len(), metadata.value_bytes), (0, 1));

    let delete = pb::DeleteRequest {
        key: own.clone(),
        ..Default::default()
    };
    assert!(
        cache
            .delete(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    assert!(!cache.delete(delete).await.unwrap().into_inner().deleted);
    assert!(!cache.get(get(own)).await.unwrap().into_inner().found);
    assert_eq!(world.node.counters.grpc.get(), 7);
}

#[tokio::test]
async fn conditions_hold_or_nothing_is_written() {
    let world = World::new();
    let mut cache = world.cache().await;
    let under = |condition| pb::SetRequest {
        condition: Some(pb::Condition {
            kind: Some(condition),
        }),
        ..set(key(0, 0), "v")
    };
    let absent = || under(Condition::IfAbsent(true));
    assert!(
        !cache
            .set(under(Condition::IfPresent(true)))
            .await
            .unwrap()
            .into_inner()
            .stored
    );
    let first = cache.set(absent()).await.unwrap().into_inner();
    assert!(first.stored);
    let second = cache.set(absent()).await.unwrap().into_inner();
    assert!(!second.stored && second.version == first.version);
    let swap = under(Condition::IfVersion(first.version));
    assert!(cache.set(swap.clone()).await.unwrap().into_inner().stored);
    assert!(!cache.set(swap).await.unwrap().into_inner().stored);
}

#[tokio::test]
async fn anothers_key_is_asked_of_its_owner_once() {
    let world = World::new();
    let reply = Reply::Set {
        stored: true,
        version: None,
    };
    *world.node.peers.outcome.lock() = Some(Ok(Answer {
        reply,
        degraded: true,
    }));
    let mut cache = world.cache().await;
    let stored = cache.set(set(key(1, 0), "v")).await.unwrap().into_inner();
    assert!(stored.stored && stored.degraded);
    assert_eq!(world.node.peers.forwarded.lock().len(), 1);
}

#[tokio::test]
async fn a_caller_who_routes_is_told_the_owner() {
    let world = World::new();
    let mut cache = world.cache().await;
    let route = pb::Route {
        routing: pb::Routing::OwnerOnly.into(),
        known_epoch: 1,
    };
    let request = pb::GetRequest {
        route: Some(route),
        ..get(key(1, 0))
    };
    let status = cache.get(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let failure = failure(&status);
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::WrongOwner, Applied::No)
    );
    let hint = failure.owner.unwrap();
    assert_eq!(
        (hint.owner.name.as_str(), hint.address.as_deref()),
        ("n2", Some("127.0.0.1:8002"))
    );
    assert!(world.node.peers.forwarded.lock().is_empty());
}

#[tokio::test]
async fn bad_requests_name_the_field_and_the_limit() {
    let world = World::new();
    let mut cache = world.cache().await;
    let version = Some(pb::Condition {
        kind: Some(Condition::IfVersion(Bytes::from("short"))),
    });
    let own = || key(0, 0);
    let cases = [
        (
            set(Bytes::new(), "v"),
            Code::InvalidArgument,
            "key is empty",
        ),
        (
            set(vec![b'k'; 65_537].into(), "v"),
            Code::InvalidArgument,
            "the limit is 65536",
        ),
        (
            set(own(), vec![0; VALUE_BYTES_MAX + 1]),
            Code::InvalidArgument,
            "the limit is 65536",
        ),
        (
            pb::SetRequest {
                ttl_ms: Some(0),
                ..set(own(), "v")
            },
            Code::InvalidArgument,
            "ttl is 0",
        ),
        (
            pb::SetRequest {
                condition: version,
                ..set(own(), "v")
            },
            Code::InvalidArgument,
            "16",
        ),
        (
            pb::SetRequest {
                group: "no/pe".into(),
                ..set(own(), "v")
            },
            Code::InvalidArgument,
            "group",
        ),
        (
            pb::SetRequest {
                group: "nope".into(),
                ..set(own(), "v")
            },
            Code::NotFound,
            "nope",
        ),
    ];
    for (request, code, says) in cases {
        let status = cache.set(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(failure(&status).message.contains(says), "{status:?}");
        assert_eq!(failure(&status).applied, Applied::No);
    }
    let mut request = Request::new(get(own()));
    request
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let status = cache.get(request).await.unwrap_err();
    assert!(
        failure(&status).message.contains("grpc-timeout"),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_caller_waits_no_longer_than_it_said() {
    let world = World::new(); // whose peers never answer
    // Without a connection, whose own ends would keep the time too.
    let mut cache = CacheClient::new(grpc_routes(&world.parts));
    for (timeout, forwarded) in [("20m", 1), ("0n", 0)] {
        world.node.peers.forwarded.lock().clear();
        let mut request = Request::new(set(key(1, 0), "v"));
        request
            .metadata_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(2), cache.set(request)).await;
        let status = answer.expect("longer than it said").unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert_eq!(
            world.node.peers.forwarded.lock().len(),
            forwarded,
            "{timeout}"
        );
    }
}

#[tokio::test]
async fn a_batch_has_one_result_for_each_key_in_its_order() {
    let world = World::new();
    let mut cache = world.cache().await;
    let item = |key| pb::batch_set_request::Item {
        key,
        value: "v".into(),
        ..Default::default()
    };
    let items = vec![item(key(0, 0)), item(Bytes::new()), item(key(0, 1))];
    let batch = pb::BatchSetRequest {
        items,
        ..Default::default()
    };
    let results = cache.batch_set(batch).await.unwrap().into_inner().results;
    assert!(matches!(&results[0].kind, Some(Kind::Set(set)) if set.stored));
    let Some(Kind::Failure(bad)) = results[1].kind.clone() else {
        panic!("{results:?}")
    };
    assert_eq!(Failure::from(bad).field, Some("key"));
    assert!(matches!(&results[2].kind, Some(Kind::Set(set)) if set.stored));

    let keys = vec![key(0, 1), key(0, 2), key(0, 0)];
    let batch = pb::BatchGetRequest {
        keys: keys.clone(),
        ..Default::default()
    };
    let results = cache.batch_get(batch).await.unwrap().into_inner().results;
    let found = |result: &pb::Result| matches!(&result.kind, Some(Kind::Get(get)) if get.found);
    assert_eq!(
        results.iter().map(found).collect::<Vec<_>>(),
        [true, false, true]
    );

    let batch = pb::BatchDeleteRequest {
        keys,
        ..Default::default()
    };
    let results = cache
        .batch_delete(batch)
        .await
        .unwrap()
        .into_inner()
        .results;
    let gone = |result: &pb::Result| matches!(&result.kind, Some(Kind::Delete(d)) if d.deleted);
    assert_eq!(
        results.iter().map(gone).collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[tokio::test]
async fn a_batch_and_its_answer_are_bounded() {
    let world = World::new();
    let mut cache = world.cache().await;
    let batch = pb::BatchGetRequest {
        keys: vec![key(0, 0); 1025],
        ..Default::default()
    };
    let status = cache.batch_get(batch).await.unwrap_err();
    assert_eq!(failure(&status).field, Some("batch"), "{status:?}");

    cache
        .set(set(key(0, 0), vec![0; VALUE_BYTES_MAX]))
        .await
        .unwrap();
    let batch = pb::BatchGetRequest {
        keys: vec![key(0, 0); 1000],
        ..Default::default()
    };
    let results = cache.batch_get(batch).await.unwrap().into_inner().results;
    assert!(matches!(&results[0].kind, Some(Kind::Get(get)) if get.found));
    let Some(Kind::Failure(withheld)) = results[999].kind.clone() else {
        panic!("it fits?")
    };
    assert_eq!(Failure::from(withheld).code, FailureCode::TooLarge);
}
