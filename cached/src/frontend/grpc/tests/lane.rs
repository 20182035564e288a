//! Operations of another node over one stream: answered here or not at all, each when it
//! is done.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::convert::bare_operation_to_pb;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Condition, Operation};
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::cache::v1::result::Kind as Came;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::forward_answer::Kind;
use cached_proto::ring::slot_of;
use cached_proto::types::{Incarnation, Key};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::peer::header;
use super::{VALUE_BYTES_MAX, World, key};

const LONG: Duration = Duration::from_secs(20);

/// Both ends of a stream.
struct Line {
    send: mpsc::Sender<pb::ForwardRequest>,
    receive: Streaming<pb::ForwardResponse>,
}

impl World {
    async fn lane(&self) -> Line {
        let (send, requests) = mpsc::channel(8);
        let mut peer = self.peer().await;
        let opened = peer.forward(ReceiverStream::new(requests)).await;
        Line {
            send,
            receive: opened.unwrap().into_inner(),
        }
    }
}

impl Line {
    async fn ask(&self, calls: Vec<pb::ForwardCall>) {
        let message = pb::ForwardRequest {
            header: header(),
            groups: vec!["default-group".into()],
            calls,
        };
        self.send.send(message).await.unwrap();
    }

    async fn next(&mut self) -> Option<pb::ForwardResponse> {
        let next = tokio::time::timeout(LONG, self.receive.message()).await;
        next.expect("in time").unwrap()
    }

    /// The answers to so many calls, by number.
    async fn answers(&mut self, count: usize) -> BTreeMap<u64, Kind> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let response = self.next().await.expect("an answer");
            let answers = response.answers.into_iter();
            all.extend(answers.map(|answer| (answer.number, answer.kind.unwrap())));
        }
        all
    }
}

fn call(number: u64, operation: Operation) -> pb::ForwardCall {
    pb::ForwardCall {
        number,
        group: 0,
        known_epoch: 1,
        deadline_ms: 1000,
        operation: Some(bare_operation_to_pb(operation)),
    }
}

fn write(key: bytes::Bytes, value: usize) -> Operation {
    Operation::Set {
        key: Key::new(key).unwrap(),
        value: vec![b'v'; value].into(),
        ttl: None,
        condition: Condition::Always,
    }
}

fn read(key: bytes::Bytes) -> Operation {
    Operation::Get {
        key: Key::new(key).unwrap(),
        no_load: false,
        metadata_only: false,
    }
}

fn code(kind: &Kind) -> Option<FailureCode> {
    let Kind::Result(cache::Result {
        kind: Some(Came::Failure(failure)),
    }) = kind
    else {
        return None;
    };
    Some(Failure::from(failure.clone()).code)
}

#[tokio::test]
async fn own_slots_are_served_and_others_never_passed_on() {
    let world = World::new();
    let mut lane = world.lane().await;
    let mut no_operation = call(3, read(key(0, 0)));
    no_operation.operation = None;
    let mut no_group = call(4, read(key(0, 0)));
    no_group.group = 1;
    let mut late = call(5, read(key(0, 0)));
    late.deadline_ms = 0;
    let calls = vec![
        call(1, write(key(0, 0), 1)),
        call(2, write(key(1, 0), 1)),
        no_operation,
        no_group,
        late,
        call(6, read(key(0, 0))),
    ];
    lane.ask(calls).await;
    let answers = lane.answers(6).await;
    assert_eq!(
        answers.values().map(code).collect::<Vec<_>>(),
        [
            None,
            Some(FailureCode::WrongOwner),
            Some(FailureCode::Invalid),
            Some(FailureCode::Invalid),
            Some(FailureCode::Deadline),
            None,
        ]
    );
    assert!(world.node.peers.forwarded.lock().is_empty());
    let counters = &world.node.counters;
    assert_eq!((counters.peer.get(), counters.grpc.get()), (4, 0));
}

#[tokio::test]
async fn who_means_another_life_is_refused_call_by_call() {
    let world = World::new();
    let mut lane = world.lane().await;
    let mut other = header();
    other.as_mut().unwrap().to = Incarnation(9).to_string();
    let message = pb::ForwardRequest {
        header: other,
        groups: vec!["default-group".into()],
        calls: vec![call(1, write(key(0, 0), 1)), call(2, read(key(0, 0)))],
    };
    lane.send.send(message).await.unwrap();
    let refused = |kind: &Kind| matches!(kind, Kind::Refusal(_));
    assert!(lane.answers(2).await.values().all(refused));
    lane.ask(vec![call(3, read(key(0, 0)))]).await;
    let answers = lane.answers(1).await;
    assert!(matches!(
        &answers[&3],
        Kind::Result(cache::Result { kind: Some(Came::Get(get)) }) if !get.found
    ));
}

#[tokio::test]
async fn what_waits_holds_up_nothing_that_comes_after_it() {
    let world = World::new();
    let mut lane = world.lane().await;
    let key_bytes = key(0, 0);
    let slot = slot_of(Default::default(), &key_bytes);
    let container = world.node.store.slot(slot).unwrap().container;
    world.node.store.drop_slot(slot, container);
    lane.ask(vec![
        call(1, write(key_bytes, 1)),
        call(2, write(key(0, 1), 1)),
    ])
    .await;
    let first = lane.answers(1).await;
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), [2]);
    lane.ask(vec![call(3, read(key(0, 1)))]).await;
    assert_eq!(
        lane.answers(1).await.keys().copied().collect::<Vec<_>>(),
        [3]
    );
    let last = lane.answers(1).await;
    assert_eq!(code(&last[&1]), Some(FailureCode::Deadline));
}

#[tokio::test]
async fn long_values_are_answered_in_messages_of_their_own() {
    let world = World::new();
    let mut lane = world.lane().await;
    let long = VALUE_BYTES_MAX / 4 * 3;
    let writes = (0..3).map(|n| call(n, write(key(0, n as usize), long)));
    lane.ask(writes.collect()).await;
    lane.answers(3).await;
    lane.ask((0..3).map(|n| call(n, read(key(0, n as usize)))).collect())
        .await;
    for _ in 0..3 {
        assert_eq!(lane.next().await.unwrap().answers.len(), 1);
    }
}

#[tokio::test]
async fn only_nodes_may_ask() {
    let world = World::with_tokens();
    let (_send, requests) = mpsc::channel(1);
    let mut peer = world.peer().await;
    let refused = peer
        .forward(ReceiverStream::new(requests))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_process_that_stops_says_so_and_answers_what_it_was_asked() {
    let world = World::new();
    let mut lane = world.lane().await;
    lane.ask(vec![call(1, write(key(0, 0), 1))]).await;
    lane.answers(1).await;
    let stopped = world.node.tasks.stop_within(LONG);
    let rest = async {
        assert!(lane.next().await.unwrap().closing);
        lane.ask(vec![call(2, read(key(0, 0)))]).await;
        lane.answers(1).await;
        drop(lane.send);
        let end = tokio::time::timeout(LONG, lane.receive.message()).await;
        assert!(end.expect("in time").unwrap().is_none());
    };
    let (left, ()) = tokio::join!(stopped, rest);
    assert!(left.is_empty(), "{left:?}");
}
