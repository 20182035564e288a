//! Failures: as messages, as bytes beside a gRPC status, and as gRPC codes.

use std::time::Duration;

use prost::Message;

use super::member_id;
use crate::failure::{Applied, Failure, FailureCode, OwnerHint};
use crate::pb::cached::cache::v1 as pb;
use crate::table::PAGE_ROWS;
use crate::types::{Epoch, Invalid, Slot};

/// Names that [`Failure::field`] is read back as; others are lost on the way,
/// though the message still says them.
const FIELDS: &[&str] = &[
    "batch",
    "by",
    "cluster",
    "condition",
    "control",
    "default_ttl_ms",
    "drain",
    "failure",
    "group",
    "hash",
    "incarnation",
    "join",
    "key",
    "max_bytes",
    "member state",
    "message",
    "mode",
    "node name",
    "nodes",
    "operation",
    "page",
    "plan",
    "policy",
    "reason",
    "remove",
    "result",
    "route",
    "slot",
    "target",
    "token",
    "ttl",
    "undrain",
    "value",
    "version",
    "weight",
    "weights",
];

/// Our code, the wire's, and the number of the gRPC code that a status carries.
/// Only what may be tried again as it is gets a code that generic callers retry
/// (`UNAVAILABLE`, `RESOURCE_EXHAUSTED`).
const CODES: [(FailureCode, pb::FailureCode, i32); 15] = [
    (FailureCode::Internal, pb::FailureCode::Internal, 13), // INTERNAL
    (FailureCode::Invalid, pb::FailureCode::Invalid, 3),    // INVALID_ARGUMENT
    (FailureCode::UnknownGroup, pb::FailureCode::UnknownGroup, 5), // NOT_FOUND
    (FailureCode::TooLarge, pb::FailureCode::TooLarge, 3),  // INVALID_ARGUMENT
    (
        FailureCode::Unauthenticated,
        pb::FailureCode::Unauthenticated,
        16,
    ),
    (
        FailureCode::PermissionDenied,
        pb::FailureCode::PermissionDenied,
        7,
    ),
    (FailureCode::WrongOwner, pb::FailureCode::WrongOwner, 9), // FAILED_PRECONDITION
    (FailureCode::Unavailable, pb::FailureCode::Unavailable, 14), // UNAVAILABLE
    (FailureCode::Busy, pb::FailureCode::Busy, 8),             // RESOURCE_EXHAUSTED
    (FailureCode::OutOfMemory, pb::FailureCode::OutOfMemory, 8), // RESOURCE_EXHAUSTED
    (FailureCode::Deadline, pb::FailureCode::Deadline, 4),     // DEADLINE_EXCEEDED
    (FailureCode::Origin, pb::FailureCode::Origin, 2),         // UNKNOWN: not ours to judge
    (FailureCode::Unsupported, pb::FailureCode::Unsupported, 12), // UNIMPLEMENTED
    (FailureCode::NotFound, pb::FailureCode::NotFound, 5),     // NOT_FOUND
    (FailureCode::Conflict, pb::FailureCode::Conflict, 10),    // ABORTED
];

/// The number of the gRPC status code that stands for a failure's kind.
pub fn failure_code_to_grpc(code: FailureCode) -> i32 {
    CODES
        .iter()
        .find(|row| row.0 == code)
        .map_or(2, |row| row.2)
}

fn code_to_pb(code: FailureCode) -> pb::FailureCode {
    CODES
        .iter()
        .find(|row| row.0 == code)
        .map_or(pb::FailureCode::Internal, |row| row.1)
}

/// Codes of newer nodes are `Internal` to us: the message still tells.
fn code_from_pb(code: i32) -> FailureCode {
    CODES
        .iter()
        .find(|row| row.1 as i32 == code)
        .map_or(FailureCode::Internal, |row| row.0)
}

fn slot_of(number: u32) -> Result<Slot, Invalid> {
    // Numbers that do not fit 16 bits are not below the number of slots either.
    Slot::new(u16::try_from(number).unwrap_or(u16::MAX))
}

fn owned((slot, epoch): (Slot, Epoch)) -> pb::OwnedSlot {
    pb::OwnedSlot {
        slot: u32::from(slot.number()),
        epoch: epoch.0,
    }
}

/// What is beyond a page is not read.
fn slots_of(also: &[pb::OwnedSlot]) -> Result<Vec<(Slot, Epoch)>, Invalid> {
    let also = also.iter().take(usize::from(PAGE_ROWS));
    also.map(|it| Ok((slot_of(it.slot)?, Epoch(it.epoch))))
        .collect()
}

impl From<OwnerHint> for pb::OwnerHint {
    fn from(hint: OwnerHint) -> Self {
        Self {
            slot: u32::from(hint.slot.number()),
            epoch: hint.epoch.0,
            name: hint.owner.name.as_str().to_owned(),
            incarnation: hint.owner.inc.to_string(),
            address: hint.address.unwrap_or_default(),
            also: hint.also.into_iter().map(owned).collect(),
        }
    }
}

impl TryFrom<pb::OwnerHint> for OwnerHint {
    type Error = Invalid;
    fn try_from(hint: pb::OwnerHint) -> Result<Self, Invalid> {
        Ok(Self {
            slot: slot_of(hint.slot)?,
            epoch: Epoch(hint.epoch),
            owner: member_id(&hint.name, &hint.incarnation)?,
            address: Some(hint.address).filter(|address| !address.is_empty()),
            also: slots_of(&hint.also)?,
        })
    }
}

impl From<Failure> for pb::Failure {
    fn from(failure: Failure) -> Self {
        let outcome = match failure.applied {
            Applied::No => pb::Outcome::NotApplied,
            Applied::Unknown => pb::Outcome::Unknown,
        };
        // 0 means "no advice", so the shortest advice is 1 ms.
        let pause_ms =
            |pause: Duration| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            code: code_to_pb(failure.code).into(),
            outcome: outcome.into(),
            message: failure.message,
            field: failure.field.unwrap_or_default().to_owned(),
            retry_after_ms: failure.retry_after.map_or(0, pause_ms),
            owner: failure.owner.map(|hint| (*hint).into()),
        }
    }
}

/// Never fails, because a failure half understood is better than none: unknown
/// codes are `Internal`, unknown outcomes `Unknown`, an unreadable hint is no hint.
impl From<pb::Failure> for Failure {
    fn from(failure: pb::Failure) -> Self {
        let applied = match pb::Outcome::try_from(failure.outcome) {
            Ok(pb::Outcome::NotApplied) => Applied::No,
            Ok(pb::Outcome::Unknown) | Err(_) => Applied::Unknown,
        };
        let pause_ms = Some(failure.retry_after_ms).filter(|ms| *ms > 0);
        Self {
            code: code_from_pb(failure.code),
            applied,
            message: failure.message,
            field: FIELDS.iter().find(|name| **name == failure.field).copied(),
            retry_after: pause_ms.map(Duration::from_millis),
            owner: failure
                .owner
                .and_then(|hint| hint.try_into().ok())
                .map(Box::new),
        }
    }
}

impl Failure {
    /// The bytes that travel in the details of a gRPC status.
    pub fn to_wire_bytes(&self) -> Vec<u8> {
        pb::Failure::from(self.clone()).encode_to_vec()
    }

    /// Reads what [`Failure::to_wire_bytes`] wrote. No bytes at all are refused,
    /// although they are a valid message: a status without details says nothing
    /// about whether the operation was applied.
    pub fn from_wire_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        if bytes.is_empty() {
            return Err(Invalid::new("failure", "has no details"));
        }
        let read = pb::Failure::decode(bytes);
        read.map(Self::from)
            .map_err(|e| Invalid::new("failure", format!("cannot be read: {e}")))
    }
}
