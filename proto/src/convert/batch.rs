//! Batches: one kind of request for many keys of one group.

use super::group_from_pb;
use super::operation::{delete, get, route_from_pb, set};
use crate::limits::BATCH_OPERATIONS_MAX;
use crate::operation::{Operation, Route};
use crate::pb::cached::cache::v1 as pb;
use crate::types::{GroupName, Invalid};

/// A request for many keys of one group, checked. A batch is not atomic: a bad item
/// fails for itself, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireBatch {
    /// The group; `None`: the default group of the node that is asked.
    pub group: Option<GroupName>,
    /// What to do, in the order asked; at most [`BATCH_OPERATIONS_MAX`].
    pub operations: Vec<Result<Operation, Invalid>>,
    /// Who finds the owners.
    pub route: Route,
}

/// Checks how many there are, then each one.
fn batch<T>(
    group: &str,
    route: Option<pb::Route>,
    items: Vec<T>,
    read: impl Fn(T) -> Result<Operation, Invalid>,
) -> Result<WireBatch, Invalid> {
    if items.len() > BATCH_OPERATIONS_MAX {
        let problem = format!(
            "has {} items; the limit is {BATCH_OPERATIONS_MAX}",
            items.len()
        );
        return Err(Invalid::new("batch", problem));
    }
    Ok(WireBatch {
        group: group_from_pb(group)?,
        operations: items.into_iter().map(read).collect(),
        route: route_from_pb(route)?,
    })
}

impl TryFrom<pb::BatchGetRequest> for WireBatch {
    type Error = Invalid;
    fn try_from(request: pb::BatchGetRequest) -> Result<Self, Invalid> {
        let no_load = request.no_load;
        batch(&request.group, request.route, request.keys, |key| {
            get(key, no_load, false)
        })
    }
}

impl TryFrom<pb::BatchSetRequest> for WireBatch {
    type Error = Invalid;
    fn try_from(request: pb::BatchSetRequest) -> Result<Self, Invalid> {
        batch(&request.group, request.route, request.items, set)
    }
}

impl TryFrom<pb::BatchDeleteRequest> for WireBatch {
    type Error = Invalid;
    fn try_from(request: pb::BatchDeleteRequest) -> Result<Self, Invalid> {
        batch(&request.group, request.route, request.keys, |key| {
            delete(key, None)
        })
    }
}
