//! Operations on lanes: together, out of order, and when streams end.

use cached_proto::operation::Outcome;
use cached_proto::pb::cached::peer::v1::forward_answer::Kind;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::*;
use crate::peers::lane::MESSAGE_BYTES;
use crate::peers::{OnItsWay, Passed};

pub(super) type Answers = BoxStream<'static, Result<pb::ForwardResponse, Status>>;

/// Answers to operations as their keys wish: `slow` is answered after the next message,
/// `refused` is refused, `closing` is told to go elsewhere next time, `hang` is not
/// answered, and `broken` breaks the stream off. Others are stored.
pub(super) fn answers(asked: tonic::Streaming<pb::ForwardRequest>) -> Answers {
    let answer = |(mut asked, mut held): (tonic::Streaming<_>, Vec<_>)| async move {
        let message: pb::ForwardRequest = asked.next().await?.ok()?;
        let header = message.header.unwrap_or_default();
        assert_eq!(header.to, Incarnation(2).to_string());
        assert_eq!(message.groups, ["g"]);
        let (mut answers, mut closing) = (std::mem::take(&mut held), false);
        for call in message.calls {
            assert_eq!((call.group, call.known_epoch), (0, 5));
            let operation = call.operation.and_then(|operation| operation.kind);
            let Some(cache::operation::Kind::Set(set)) = operation else {
                panic!("a set was sent");
            };
            assert!(set.group.is_empty() && set.route.is_none());
            let stored = cache::result::Kind::Set(cache::SetResponse {
                stored: true,
                ..Default::default()
            });
            let mut kind = Kind::Result(cache::Result { kind: Some(stored) });
            if &set.key[..] == b"refused" {
                kind = Kind::Refusal(Failure::new(FailureCode::Unauthenticated, "who?").into());
            }
            let answer = pb::ForwardAnswer {
                number: call.number,
                kind: Some(kind),
            };
            match &set.key[..] {
                b"broken" => return Some((Err(Status::unavailable("going away")), (asked, held))),
                b"hang" => continue,
                b"slow" => held.push(answer),
                _ => answers.push(answer),
            }
            closing |= &set.key[..] == b"closing";
        }
        let response = pb::ForwardResponse { answers, closing };
        Some((Ok(response), (asked, held)))
    };
    stream::unfold((asked, Vec::new()), answer).boxed()
}

fn passed(key: &'static str, value: &'static [u8]) -> Passed {
    let mut work = work(key, LONG);
    let (operation, epoch) = work.operations.remove(0);
    let operation = match operation {
        Operation::Set { key, .. } => Operation::Set {
            key,
            value: Bytes::from_static(value),
            ttl: None,
            condition: Condition::Always,
        },
        other => other,
    };
    Passed {
        group: work.group,
        operation,
        epoch,
        until: Clock::system().now() + LONG,
    }
}

fn pass(peers: &GrpcPeers, peer: &Peer, key: &'static str) -> OnItsWay {
    let on_its_way = peers.pass(&peer.id, &peer.address, passed(key, b"v"));
    on_its_way.expect("a lane takes it")
}

async fn answer(on_its_way: OnItsWay) -> Result<Outcome, PeerError> {
    let answer = tokio::time::timeout(LONG, on_its_way.answer).await;
    answer.expect("an answer in time").expect("an answer")
}

fn is_stored(answered: &Result<Outcome, PeerError>) -> bool {
    matches!(answered, Ok(Ok(answer)) if matches!(answer.reply, Reply::Set { stored: true, .. }))
}

#[tokio::test]
async fn many_operations_share_a_lane_and_none_waits_for_another() {
    let (tasks, fake) = (Tasks::new(), Fake::default());
    let (peer, peers) = (serve_as(fake.clone(), &tasks).await, peers("c"));
    let slow = pass(&peers, &peer, "slow");
    let first: Vec<_> = ["a", "b", "c"].map(|key| pass(&peers, &peer, key)).into();
    for on_its_way in first {
        assert_eq!(*on_its_way.to, peer);
        assert!(is_stored(&answer(on_its_way).await));
    }
    assert!(is_stored(&answer(pass(&peers, &peer, "d")).await));
    assert!(
        is_stored(&answer(slow).await),
        "after those that came later"
    );
    assert_eq!(fake.lanes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_long_goes_by_itself() {
    static LONG_VALUE: [u8; MESSAGE_BYTES] = [0; MESSAGE_BYTES];
    let tasks = Tasks::new();
    let (peer, peers) = (serve(&tasks).await, peers("c"));
    let long = passed("k", &LONG_VALUE);
    assert!(peers.pass(&peer.id, &peer.address, long).is_none());
    let nowhere = peers.pass(&peer.id, "no address", passed("k", b"v"));
    assert!(nowhere.is_none(), "by itself it is told what is wrong");
}

#[tokio::test]
async fn the_end_of_a_lane_is_told_honestly() {
    let (tasks, fake) = (Tasks::new(), Fake::default());
    let (peer, peers) = (serve_as(fake.clone(), &tasks).await, peers("c"));
    let hangs = pass(&peers, &peer, "hang");
    assert!(is_stored(&answer(pass(&peers, &peer, "k")).await));
    let breaks = pass(&peers, &peer, "broken");
    for on_its_way in [hangs, breaks] {
        let error = answer(on_its_way).await.unwrap_err();
        assert!(matches!(error, PeerError::Unknown(_)), "{error:?}");
    }
    assert!(
        is_stored(&answer(pass(&peers, &peer, "k")).await),
        "over another lane"
    );
    assert_eq!(fake.lanes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn nobody_there_means_that_nothing_was_sent() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let peer = Peer {
        id: member("n2", 2),
        address: socket.local_addr().unwrap().to_string(),
    };
    let peers = peers("c");
    let error = answer(pass(&peers, &peer, "k")).await.unwrap_err();
    assert!(matches!(error, PeerError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_lane_is_replaced_when_it_closes_or_shows_what_is_not_valid_any_more() {
    let (tasks, fake) = (Tasks::new(), Fake::default());
    let peer = serve_as(fake.clone(), &tasks).await;
    let connections = Connections::new(ConnectOptions::default());
    let peers = peers_over(connections.clone(), "c");
    let opened = || fake.lanes.load(Ordering::Relaxed);
    assert!(is_stored(&answer(pass(&peers, &peer, "closing")).await));
    assert!(is_stored(&answer(pass(&peers, &peer, "k")).await));
    assert_eq!(opened(), 2, "the peer had said that it stops");
    let refused = answer(pass(&peers, &peer, "refused")).await.unwrap_err();
    assert!(refused.is_refusal_of_rights(), "{refused:?}");
    assert!(is_stored(&answer(pass(&peers, &peer, "k")).await));
    assert_eq!(opened(), 3, "it was not let in");
    connections.set_token(None);
    assert!(is_stored(&answer(pass(&peers, &peer, "k")).await));
    assert_eq!(opened(), 4, "it has another token now");
}
