//! Requests: what is asked of a key, and how the request is routed.

use bytes::Bytes;

use super::{group_from_pb, ttl_from_pb, update, version_to_pb};
use crate::limits::BATCH_OPERATIONS_MAX;
use crate::operation::{Condition, Operation, Route};
use crate::pb::cached::cache::v1 as pb;
use crate::types::{Epoch, GroupName, Invalid, Key, Ttl, Version};

/// A request for one key, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireOperation {
    /// The group; `None`: the default group of the node that is asked.
    pub group: Option<GroupName>,
    /// What to do.
    pub operation: Operation,
    /// Who finds the owner.
    pub route: Route,
}

/// Spells a request.
pub fn operation_to_pb(group: &GroupName, operation: Operation, route: Route) -> pb::Operation {
    spell(group.as_str().to_owned(), operation, route_to_pb(route))
}

/// Spells a request whose group and route stand beside it.
pub fn bare_operation_to_pb(operation: Operation) -> pb::Operation {
    spell(String::new(), operation, None)
}

fn spell(group: String, operation: Operation, route: Option<pb::Route>) -> pb::Operation {
    let kind = match operation {
        Operation::Get {
            key,
            no_load,
            metadata_only,
        } => {
            let key = key.into_bytes();
            pb::operation::Kind::Get(pb::GetRequest {
                group,
                key,
                route,
                no_load,
                metadata_only,
            })
        }
        Operation::Set {
            key,
            value,
            ttl,
            condition,
        } => {
            let (key, ttl_ms) = (key.into_bytes(), ttl.map(Ttl::as_ms));
            let condition = condition_to_pb(condition);
            pb::operation::Kind::Set(pb::SetRequest {
                group,
                key,
                value,
                ttl_ms,
                condition,
                route,
            })
        }
        Operation::Delete { key, condition } => {
            let (key, condition) = (key.into_bytes(), condition_to_pb(condition));
            pb::operation::Kind::Delete(pb::DeleteRequest {
                group,
                key,
                condition,
                route,
            })
        }
        Operation::Touch { key, ttl } => {
            let (key, ttl_ms) = (key.into_bytes(), ttl.map(Ttl::as_ms));
            pb::operation::Kind::Touch(pb::TouchRequest {
                group,
                key,
                ttl_ms,
                route,
            })
        }
        Operation::Update { key, update } => {
            pb::operation::Kind::Update(update::request(group, key, update, route))
        }
        Operation::SetMany {
            first,
            others,
            if_absent,
        } => pb::operation::Kind::SetMany(pb::SetManyRequest {
            group,
            items: items_to_pb(first, others),
            if_absent,
            route,
        }),
    };
    pb::Operation { kind: Some(kind) }
}

fn items_to_pb(first: (Key, Bytes), others: Vec<(Key, Bytes)>) -> Vec<pb::set_many_request::Item> {
    let item = |(key, value): (Key, Bytes)| pb::set_many_request::Item {
        key: key.into_bytes(),
        value,
    };
    std::iter::once(first).chain(others).map(item).collect()
}

fn route_to_pb(route: Route) -> Option<pb::Route> {
    match route {
        Route::Forward => None,
        Route::OwnerOnly { known_epoch } => Some(pb::Route {
            routing: pb::Routing::OwnerOnly.into(),
            known_epoch: known_epoch.0,
        }),
    }
}

pub(super) fn route_from_pb(route: Option<pb::Route>) -> Result<Route, Invalid> {
    let Some(route) = route else {
        return Ok(Route::Forward);
    };
    match pb::Routing::try_from(route.routing) {
        Ok(pb::Routing::Forward) => Ok(Route::Forward),
        Ok(pb::Routing::OwnerOnly) => Ok(Route::OwnerOnly {
            known_epoch: Epoch(route.known_epoch),
        }),
        Err(_) => {
            let problem = format!("{} is not a routing that this version knows", route.routing);
            Err(Invalid::new("route", problem))
        }
    }
}

pub(super) fn condition_to_pb(condition: Condition) -> Option<pb::Condition> {
    let kind = match condition {
        Condition::Always => return None,
        Condition::IfAbsent => pb::condition::Kind::IfAbsent(true),
        Condition::IfPresent => pb::condition::Kind::IfPresent(true),
        Condition::IfVersion(version) => {
            pb::condition::Kind::IfVersion(version_to_pb(Some(version)))
        }
    };
    Some(pb::Condition { kind: Some(kind) })
}

/// A condition that is there but empty is refused: it may be one that a newer
/// caller knows, and writing without it would be wrong.
pub(super) fn condition_from_pb(condition: Option<pb::Condition>) -> Result<Condition, Invalid> {
    let Some(condition) = condition else {
        return Ok(Condition::Always);
    };
    let refuse = |problem| Err(Invalid::new("condition", problem));
    match condition.kind {
        Some(pb::condition::Kind::IfAbsent(true)) => Ok(Condition::IfAbsent),
        Some(pb::condition::Kind::IfPresent(true)) => Ok(Condition::IfPresent),
        Some(pb::condition::Kind::IfVersion(bytes)) => {
            Version::from_bytes(&bytes).map(Condition::IfVersion)
        }
        Some(_) => refuse("is if_absent or if_present with false; leave it out instead"),
        None => refuse("is none that this version knows: if_absent, if_present, if_version"),
    }
}

pub(super) fn get(key: Bytes, no_load: bool, metadata_only: bool) -> Result<Operation, Invalid> {
    Ok(Operation::Get {
        key: Key::new(key)?,
        no_load,
        metadata_only,
    })
}

pub(super) fn set(item: pb::batch_set_request::Item) -> Result<Operation, Invalid> {
    Ok(Operation::Set {
        key: Key::new(item.key)?,
        value: item.value,
        ttl: ttl_from_pb(item.ttl_ms)?,
        condition: condition_from_pb(item.condition)?,
    })
}

pub(super) fn delete(key: Bytes, condition: Option<pb::Condition>) -> Result<Operation, Invalid> {
    let condition = condition_from_pb(condition)?;
    if matches!(condition, Condition::IfAbsent | Condition::IfPresent) {
        return Err(Invalid::new(
            "condition",
            "of a delete can only be if_version",
        ));
    }
    Ok(Operation::Delete {
        key: Key::new(key)?,
        condition,
    })
}

impl TryFrom<pb::GetRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::GetRequest) -> Result<Self, Invalid> {
        Ok(Self {
            group: group_from_pb(&request.group)?,
            operation: get(request.key, request.no_load, request.metadata_only)?,
            route: route_from_pb(request.route)?,
        })
    }
}

impl TryFrom<pb::SetRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::SetRequest) -> Result<Self, Invalid> {
        let pb::SetRequest {
            group,
            key,
            value,
            ttl_ms,
            condition,
            route,
        } = request;
        Ok(Self {
            group: group_from_pb(&group)?,
            operation: set(pb::batch_set_request::Item {
                key,
                value,
                ttl_ms,
                condition,
            })?,
            route: route_from_pb(route)?,
        })
    }
}

impl TryFrom<pb::DeleteRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::DeleteRequest) -> Result<Self, Invalid> {
        Ok(Self {
            group: group_from_pb(&request.group)?,
            operation: delete(request.key, request.condition)?,
            route: route_from_pb(request.route)?,
        })
    }
}

impl TryFrom<pb::TouchRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::TouchRequest) -> Result<Self, Invalid> {
        let (key, ttl) = (Key::new(request.key)?, ttl_from_pb(request.ttl_ms)?);
        Ok(Self {
            group: group_from_pb(&request.group)?,
            operation: Operation::Touch { key, ttl },
            route: route_from_pb(request.route)?,
        })
    }
}

impl TryFrom<pb::UpdateRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::UpdateRequest) -> Result<Self, Invalid> {
        let group = group_from_pb(&request.group)?;
        let route = route_from_pb(request.route)?;
        let key = Key::new(request.key)?;
        let update = update::read(
            request.change,
            request.expiry,
            request.guard,
            request.returns,
        )?;
        Ok(Self {
            group,
            operation: Operation::Update { key, update },
            route,
        })
    }
}

impl TryFrom<pb::SetManyRequest> for WireOperation {
    type Error = Invalid;
    fn try_from(request: pb::SetManyRequest) -> Result<Self, Invalid> {
        let count = request.items.len();
        let mut items = request.items.into_iter().map(|item| {
            let key = Key::new(item.key)?;
            Ok((key, item.value))
        });
        let first = items
            .next()
            .ok_or_else(|| Invalid::new("items", "is empty; it needs at least 1"))??;
        if count > BATCH_OPERATIONS_MAX {
            let problem = format!("has {count} items; the limit is {BATCH_OPERATIONS_MAX}");
            return Err(Invalid::new("items", problem));
        }
        Ok(Self {
            group: group_from_pb(&request.group)?,
            operation: Operation::SetMany {
                first,
                others: items.collect::<Result<_, Invalid>>()?,
                if_absent: request.if_absent,
            },
            route: route_from_pb(request.route)?,
        })
    }
}

impl TryFrom<pb::Operation> for WireOperation {
    type Error = Invalid;
    fn try_from(operation: pb::Operation) -> Result<Self, Invalid> {
        match operation.kind {
            Some(pb::operation::Kind::Get(request)) => request.try_into(),
            Some(pb::operation::Kind::Set(request)) => request.try_into(),
            Some(pb::operation::Kind::Delete(request)) => request.try_into(),
            Some(pb::operation::Kind::Touch(request)) => request.try_into(),
            Some(pb::operation::Kind::Update(request)) => request.try_into(),
            Some(pb::operation::Kind::SetMany(request)) => request.try_into(),
            None => {
                let problem = "is none that this version knows: get, set, delete, touch, \
                               update, set_many";
                Err(Invalid::new("operation", problem))
            }
        }
    }
}
