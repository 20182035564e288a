//! Generated messages <-> checked types: the only place that knows both.
//!
//! Towards the wire nothing can fail. From the wire everything is checked: what
//! a caller sent wrongly is [`Invalid`] and names the field, and what a node
//! answered unreadably is a [`Failure`](crate::failure::Failure) whose outcome
//! is unknown. No input panics.

mod admin;
mod answer;
mod batch;
mod failure;
mod operation;
pub mod slot_map;
#[cfg(test)]
mod tests;
mod update;

pub use admin::{member_state_from_pb, member_state_to_pb};
pub use answer::{outcome_from_pb, outcome_to_pb};
pub use batch::WireBatch;
pub use failure::failure_code_to_grpc;
pub use operation::{WireOperation, bare_operation_to_pb, operation_to_pb};

use bytes::Bytes;

use crate::types::{GroupName, Incarnation, Invalid, MemberId, NodeName, Ttl, Version};

/// A member's name and incarnation as messages spell them.
pub fn member_id(name: &str, incarnation: &str) -> Result<MemberId, Invalid> {
    Ok(MemberId {
        name: NodeName::new(name)?,
        inc: incarnation.parse::<Incarnation>()?,
    })
}

/// A group's name; empty means that none was named.
pub fn group_from_pb(name: &str) -> Result<Option<GroupName>, Invalid> {
    if name.is_empty() {
        Ok(None)
    } else {
        GroupName::new(name).map(Some)
    }
}

/// A version's 16 bytes; empty means that there is none.
fn version_from_pb(bytes: &[u8]) -> Result<Option<Version>, Invalid> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        Version::from_bytes(bytes).map(Some)
    }
}

fn version_to_pb(version: Option<Version>) -> Bytes {
    version
        .map(|version| Bytes::copy_from_slice(&version.to_bytes()))
        .unwrap_or_default()
}

fn ttl_from_pb(ttl_ms: Option<u64>) -> Result<Option<Ttl>, Invalid> {
    ttl_ms.map(Ttl::from_ms).transpose()
}
