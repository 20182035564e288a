//! A stream of operations: order, bounds, faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Answer, Operation, Outcome, Reply};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::operation::Kind as Asked;
use cached_proto::pb::cached::cache::v1::result::Kind;
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::super::pipeline::{IN_FLIGHT_MAX, Rights, run};
use super::{VALUE_BYTES_MAX, World, get, key, set};
use crate::frontend::auth::{Auth, Pass, Role};
use crate::operator::fixture::{FakePeers, InTheAir};

fn reads(key: Bytes) -> pb::Operation {
    pb::Operation {
        kind: Some(Asked::Get(get(key))),
    }
}

fn writes(key: Bytes) -> pb::Operation {
    pb::Operation {
        kind: Some(Asked::Set(set(key, "v"))),
    }
}

fn message(operations: Vec<pb::Operation>) -> Result<pb::PipelineRequest, Status> {
    Ok(pb::PipelineRequest { operations })
}

fn everything() -> Rights {
    Rights {
        pass: Pass::new(&Auth::open(), None, Role::Read).unwrap(),
        until: None,
    }
}

fn stored() -> Outcome {
    Ok(Answer {
        reply: Reply::Set {
            stored: true,
            version: None,
        },
        degraded: false,
    })
}

/// A world in which forwarded operations wait for permits of the gate.
fn gated() -> World {
    let peers = FakePeers {
        gate: Some(Semaphore::new(0)),
        ..FakePeers::default()
    };
    *peers.outcome.lock() = Some(stored());
    World::with(peers, Auth::open())
}

/// A world whose lanes the test answers; other calls come to `stored`.
fn with_lanes() -> World {
    let peers = FakePeers {
        lanes: Some(Mutex::default()),
        ..FakePeers::default()
    };
    *peers.outcome.lock() = Some(stored());
    World::with(peers, Auth::open())
}

impl World {
    /// Takes the first operation that was passed on and not answered.
    fn passed(&self) -> InTheAir {
        let lanes = self.node.peers.lanes.as_ref().unwrap();
        lanes.lock().remove(0)
    }

    fn pipeline(
        &self,
        messages: impl stream::Stream<Item = Result<pb::PipelineRequest, Status>>
        + Send
        + Unpin
        + 'static,
    ) -> BoxStream<'static, Result<pb::PipelineResponse, Status>> {
        run(Arc::clone(&self.parts), everything(), messages)
    }

    fn open_gate(&self, permits: usize) {
        self.node.peers.gate.as_ref().unwrap().add_permits(permits);
    }
}

fn kinds(response: &pb::PipelineResponse) -> String {
    let kind = |result: &pb::Result| match &result.kind {
        Some(Kind::Get(get)) if get.found => 'G',
        Some(Kind::Get(_)) => 'g',
        Some(Kind::Set(_)) => 's',
        Some(Kind::Failure(_)) => 'F',
        _ => '?',
    };
    response.results.iter().map(kind).collect()
}

#[tokio::test]
async fn results_come_in_order_over_a_connection() {
    let world = World::new();
    let mut cache = world.cache().await;
    let messages = [
        pb::PipelineRequest {
            operations: vec![writes(key(0, 0)), reads(key(0, 0))],
        },
        pb::PipelineRequest { operations: vec![] },
        pb::PipelineRequest {
            operations: vec![reads(key(0, 1)), reads(key(0, 0))],
        },
    ];
    let responses = cache
        .pipeline(stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let told: Vec<_> = responses
        .map(|response| kinds(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(told, ["sG", "", "gG"]);
    assert_eq!(world.node.counters.grpc.get(), 4);
}

#[tokio::test]
async fn what_waits_for_others_keeps_its_place() {
    let world = gated();
    let messages = [
        message(vec![writes(key(0, 0)), writes(key(1, 0))]),
        message(vec![reads(key(0, 0))]),
        message(vec![writes(key(2, 0)), reads(key(0, 1))]),
    ];
    let mut responses = world.pipeline(stream::iter(messages));
    assert!(futures_util::poll!(responses.next()).is_pending());
    assert_eq!(
        world.node.peers.forwarded.lock().len(),
        2,
        "both wait at a time"
    );
    world.open_gate(2);
    let told: Vec<_> = responses
        .map(|response| kinds(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(told, ["ss", "G", "sg"]);
}

#[tokio::test]
async fn answers_that_come_in_another_order_wait_for_their_turn() {
    let world = with_lanes();
    let messages = [
        message(vec![writes(key(1, 0))]),
        message(vec![writes(key(1, 1))]),
        message(vec![writes(key(2, 0))]),
        message(vec![writes(key(0, 0))]),
    ];
    let mut responses = world.pipeline(stream::iter(messages));
    assert!(futures_util::poll!(responses.next()).is_pending());
    let passed = [(); 3].map(|()| world.passed());
    let keys = passed.each_ref().map(|it| it.key().clone().into_bytes());
    assert_eq!(keys, [key(1, 0), key(1, 1), key(2, 0)], "all at once");
    let [first, second, third] = passed;
    third.comes_to(stored());
    second.comes_to(stored());
    assert!(futures_util::poll!(responses.next()).is_pending());
    first.comes_to(stored());
    let told: Vec<_> = responses
        .map(|response| kinds(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(told, ["s"; 4]);
}

#[tokio::test]
async fn what_strays_goes_on_while_those_before_it_wait() {
    let world = with_lanes();
    let messages = [
        message(vec![writes(key(1, 0))]),
        message(vec![writes(key(1, 1))]),
    ];
    let mut responses = world.pipeline(stream::iter(messages));
    assert!(futures_util::poll!(responses.next()).is_pending());
    let (first, second) = (world.passed(), world.passed());
    second.was_not_sent();
    // Tried again by a call of its own, after a pause.
    let again = async {
        while world.node.peers.forwarded.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        first.comes_to(stored());
    };
    let (response, ()) = tokio::join!(responses.next(), again);
    assert_eq!(kinds(&response.unwrap().unwrap()), "s");
    assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "s");
}

#[tokio::test]
async fn silence_ends_with_the_time_of_the_message() {
    let world = with_lanes();
    let until = world.node.clock.now() + Duration::from_millis(50);
    let rights = Rights {
        until: Some(until),
        ..everything()
    };
    let messages = [
        message(vec![writes(key(1, 0))]),
        message(vec![writes(key(1, 1))]),
    ];
    let mut responses = run(Arc::clone(&world.parts), rights, stream::iter(messages));
    assert!(futures_util::poll!(responses.next()).is_pending());
    let (_silent, other) = (world.passed(), world.passed());
    other.comes_to(stored());
    let response = responses.next().await.unwrap().unwrap();
    let Some(Kind::Failure(failure)) = response.results[0].kind.clone() else {
        panic!("{response:?}")
    };
    let failure = Failure::from(failure);
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Deadline, Applied::Unknown)
    );
    assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "s");
}

#[tokio::test]
async fn one_keys_operations_are_passed_on_in_order() {
    let world = with_lanes();
    let messages = [
        message(vec![writes(key(1, 0))]),
        message(vec![writes(key(1, 0))]),
    ];
    let mut responses = world.pipeline(stream::iter(messages));
    assert!(futures_util::poll!(responses.next()).is_pending());
    let first = world.passed();
    let lanes = world.node.peers.lanes.as_ref().unwrap();
    assert!(lanes.lock().is_empty(), "the second waits for the first");
    first.comes_to(stored());
    assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "s");
    assert!(futures_util::poll!(responses.next()).is_pending());
    world.passed().comes_to(stored());
    assert_eq!(responses.count().await, 1);
}

#[tokio::test]
async fn one_keys_operations_are_carried_out_in_order() {
    let world = gated();
    let messages = [
        message(vec![writes(key(1, 0))]),
        message(vec![writes(key(1, 1)), writes(key(1, 0))]),
        message(vec![writes(key(2, 0))]),
    ];
    let mut responses = world.pipeline(stream::iter(messages));
    let keys = |world: &World| -> Vec<Bytes> {
        let forwarded = world.node.peers.forwarded.lock();
        let all = forwarded.iter().flat_map(|work| work.operations.iter());
        all.map(|(operation, _): &(Operation, _)| operation.key().clone().into_bytes())
            .collect()
    };
    assert!(futures_util::poll!(responses.next()).is_pending());
    assert_eq!(
        keys(&world),
        [key(1, 0)],
        "the second message waits for the first"
    );
    world.open_gate(1);
    assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "s");
    assert!(futures_util::poll!(responses.next()).is_pending());
    assert_eq!(keys(&world)[1..], [key(1, 1), key(1, 0), key(2, 0)]);
    world.open_gate(2);
    assert_eq!(responses.count().await, 2);
}

#[tokio::test]
async fn no_more_is_read_than_may_wait() {
    let world = gated();
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let endless = stream::iter(0..).map(move |n| {
        counter.fetch_add(1, Ordering::Relaxed);
        message(vec![writes(key(1, n))])
    });
    let mut responses = world.pipeline(endless);
    for answered in 0..3 {
        assert!(futures_util::poll!(responses.next()).is_pending());
        assert_eq!(read.load(Ordering::Relaxed), IN_FLIGHT_MAX + answered);
        world.open_gate(1);
        responses.next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_bad_operation_fails_in_its_place_and_the_stream_goes_on() {
    let world = World::new();
    let messages = [
        message(vec![
            reads(Bytes::new()),
            pb::Operation { kind: None },
            writes(key(0, 0)),
        ]),
        message(vec![reads(key(0, 0))]),
    ];
    let responses = world.pipeline(stream::iter(messages));
    let told: Vec<_> = responses
        .map(|response| kinds(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(told, ["FFs", "G"]);
}

#[tokio::test]
async fn a_stream_may_do_what_its_token_may_do_now() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tokens = |text: &str| std::fs::write(file.path(), text).unwrap();
    tokens("write writer-writer-writer\n");
    let auth = Auth::load(file.path()).unwrap();
    let world = World::with(FakePeers::default(), auth.clone());
    let rights = Rights {
        pass: Pass::new(&auth, Some("Bearer writer-writer-writer"), Role::Read).unwrap(),
        until: None,
    };
    let both = || message(vec![writes(key(0, 0)), reads(key(0, 0))]);
    let messages = stream::iter([both(), both(), both(), both()]);
    let mut responses = run(Arc::clone(&world.parts), rights, messages);
    assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "sG");

    tokens("read writer-writer-writer\n");
    auth.reload().unwrap();
    let response = responses.next().await.unwrap().unwrap();
    assert_eq!(kinds(&response), "FG");
    let Some(Kind::Failure(failure)) = response.results[0].kind.clone() else {
        panic!()
    };
    assert_eq!(Failure::from(failure).code, FailureCode::PermissionDenied);

    tokens("admin admin-admin-admin-\n");
    auth.reload().unwrap();
    let refused = responses.next().await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(responses.next().await.is_none());
}

#[tokio::test]
async fn a_broken_stream_ends_after_the_results_that_are_due() {
    let world = gated();
    for last in [
        message(vec![reads(key(0, 0)); 1025]),
        Err(Status::internal("broken")),
    ] {
        let code = if last.is_ok() {
            Code::InvalidArgument
        } else {
            Code::Internal
        };
        let messages = [message(vec![writes(key(1, 0))]), last, message(vec![])];
        let mut responses = world.pipeline(stream::iter(messages));
        assert!(futures_util::poll!(responses.next()).is_pending());
        world.open_gate(1);
        assert_eq!(kinds(&responses.next().await.unwrap().unwrap()), "s");
        assert_eq!(responses.next().await.unwrap().unwrap_err().code(), code);
        assert!(responses.next().await.is_none());
    }
}

#[tokio::test]
async fn a_message_waits_no_longer_than_its_stream_may() {
    let world = gated();
    let until = world.node.clock.now() + Duration::from_millis(20);
    let rights = Rights {
        until: Some(until),
        ..everything()
    };
    let messages = [message(vec![writes(key(1, 0))])];
    let mut responses = run(Arc::clone(&world.parts), rights, stream::iter(messages));
    let response = responses.next().await.unwrap().unwrap();
    let Some(Kind::Failure(failure)) = response.results[0].kind.clone() else {
        panic!()
    };
    assert_eq!(Failure::from(failure).code, FailureCode::Deadline);
}

#[tokio::test]
async fn results_of_one_message_fit_in_one_message() {
    let world = World::new();
    let mut cache = world.cache().await;
    cache
        .set(set(key(0, 0), vec![0; VALUE_BYTES_MAX]))
        .await
        .unwrap();
    let messages = [pb::PipelineRequest {
        operations: vec![reads(key(0, 0)); 1000],
    }];
    let mut responses = cache
        .pipeline(stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let told = kinds(&responses.message().await.unwrap().unwrap());
    assert!(told.starts_with('G') && told.ends_with('F'), "{told}");
}
