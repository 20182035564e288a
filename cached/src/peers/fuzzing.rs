//! Doors for the fuzz targets: messages of moves, from either end.

use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::types::{Incarnation, MemberId, NodeName};
use prost::Message;

use super::moving;

/// Reads bytes as a sender's message and as a receiver's.
pub fn moving(bytes: &[u8]) {
    let Ok(name) = NodeName::new("n1") else {
        return;
    };
    let from = MemberId {
        name,
        inc: Incarnation(1),
    };
    if let Ok(request) = pb::MoveRequest::decode(bytes) {
        let _ = moving::request_from_pb(request, &from);
    }
    if let Ok(response) = pb::MoveResponse::decode(bytes) {
        let _ = moving::response_from_pb(response);
    }
}
