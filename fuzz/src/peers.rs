//! Messages between processes: decoded and turned into checked types. The first byte
//! chooses the message.

use cached::peers::fuzzing;
use cached_proto::convert::{
    WireBatch, WireOperation, bare_operation_to_pb, operation_to_pb, outcome_from_pb,
    outcome_to_pb, slot_map,
};
use cached_proto::failure::Failure;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::peer::v1::{self as peer, forward_answer};
use prost::Message;

/// One message. What was read of an operation or an outcome is written and read again as
/// the same.
pub(crate) fn message(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 9 {
        0 => operation(rest),
        1 => outcome(rest),
        2 => drop(pb::BatchGetRequest::decode(rest).map(WireBatch::try_from)),
        3 => drop(pb::BatchSetRequest::decode(rest).map(WireBatch::try_from)),
        4 => drop(pb::BatchDeleteRequest::decode(rest).map(WireBatch::try_from)),
        5 => drop(Failure::from_wire_bytes(rest)),
        6 => drop(slot_map::from_bits(rest)),
        7 => fuzzing::moving(rest),
        _ => lane(rest),
    }
}

/// What nodes send over lanes, from either end.
fn lane(bytes: &[u8]) {
    if let Ok(request) = peer::ForwardRequest::decode(bytes) {
        let operations = request.calls.into_iter().filter_map(|call| call.operation);
        for wire in operations.filter_map(|it| WireOperation::try_from(it).ok()) {
            let again = bare_operation_to_pb(wire.operation.clone());
            let again = WireOperation::try_from(again).map(|it| it.operation);
            assert_eq!(again, Ok(wire.operation));
        }
    }
    if let Ok(response) = peer::ForwardResponse::decode(bytes) {
        for answer in response.answers {
            match answer.kind {
                Some(forward_answer::Kind::Result(result)) => drop(outcome_from_pb(result)),
                Some(forward_answer::Kind::Refusal(failure)) => drop(Failure::from(failure)),
                None => {}
            }
        }
    }
}

fn operation(bytes: &[u8]) {
    let Ok(Ok(wire)) = pb::Operation::decode(bytes).map(WireOperation::try_from) else {
        return;
    };
    let Some(group) = &wire.group else { return };
    let again = operation_to_pb(group, wire.operation.clone(), wire.route);
    assert_eq!(WireOperation::try_from(again).as_ref(), Ok(&wire));
}

fn outcome(bytes: &[u8]) {
    let Ok(result) = pb::Result::decode(bytes) else {
        return;
    };
    let outcome = outcome_from_pb(result);
    // A failure's field is one of a few words, so only answers come back exactly.
    if outcome.is_ok() {
        assert_eq!(outcome_from_pb(outcome_to_pb(outcome.clone())), outcome);
    }
}
