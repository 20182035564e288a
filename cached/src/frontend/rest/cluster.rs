//! Questions to the cluster and changes of it, as JSON; health and metrics.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::admin::v1::{
    FlushGroupResponse, Member, MemberState, NodeStats, RegistryHealth, SlotRange, StatusResponse,
    TopologyResponse,
};
use cached_proto::records::{GroupRecord, Policy};
use cached_proto::types::{GroupName, Invalid};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, body, json, params, with_type};
use crate::frontend::auth::Role;
use crate::frontend::metrics;
use crate::frontend::problem::Problem;

/// Longest description of a group in bytes: three numbers and a word.
const GROUP_BYTES_MAX: usize = 64 * 1024;

/// Who changed something, as logs name it: over HTTP nobody gives a name.
const BY: &str = "rest";

/// `GET /api/stats`: keys and bytes of the process's own group, over all nodes.
pub(super) async fn original_stats(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    let stats = parts.operator.stats(false).await;
    Ok(json(&stats_json(&stats.nodes, &parts.default_group)))
}

fn stats_json(nodes: &[NodeStats], group: &GroupName) -> Value {
    let (mut keys_count, mut bytes_used) = (0, 0);
    let mut shown = Vec::with_capacity(nodes.len());
    for node in nodes {
        let own = node
            .groups
            .iter()
            .find(|stats| stats.group == group.as_str());
        let (keys, bytes) = own.map_or((0, 0), |stats| (stats.keys, stats.bytes));
        keys_count += keys;
        bytes_used += bytes;
        let mut row = json!({"name": node.name, "address": node.address});
        if node.error.is_empty() {
            row["keys"] = keys.into();
            row["bytes"] = bytes.into();
        } else {
            row["error"] = node.error.as_str().into();
        }
        shown.push(row);
    }
    json!({
        "group": group.as_str(),
        "keys_count": keys_count,
        "bytes_used": bytes_used,
        // False: somebody could not be asked, and the sums leave its part out.
        "complete": nodes.iter().all(|node| node.error.is_empty()),
        "nodes": shown,
    })
}

/// `GET /v1/groups`.
pub(super) async fn groups(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    let groups: Vec<Value> = parts.operator.groups().iter().map(group_json).collect();
    Ok(json(&json!({"groups": groups})))
}

fn group_json(group: &GroupRecord) -> Value {
    json!({
        "name": group.name.as_str(),
        "max_bytes": group.max_bytes,
        "default_ttl_ms": group.default_ttl_ms,
        "policy": group.policy.to_string(),
        "resp_db": group.resp_db,
    })
}

/// A new group as it is sent; every part may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    max_bytes: Option<u64>,
    default_ttl_ms: Option<u64>,
    #[serde(default)]
    policy: Policy,
    resp_db: Option<u32>,
}

/// `PUT /v1/groups/{group}`: creates a group. The same again is no conflict.
pub(super) async fn create_group(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Admin)?;
    let name = params::path_group(request.uri())?;
    let (head, body) = request.into_parts();
    let body = body::read(&parts, &head.headers, body, GROUP_BYTES_MAX, "group").await?;
    let new: NewGroup = if body.is_empty() {
        NewGroup::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Invalid::new("body", format!("is no group: {error}")))?
    };
    let NewGroup {
        max_bytes,
        default_ttl_ms,
        policy,
        resp_db,
    } = new;
    let record = GroupRecord {
        name,
        max_bytes,
        default_ttl_ms,
        policy,
        resp_db,
    };
    Ok(json(&group_json(
        &parts.operator.create_group(record, BY).await?,
    )))
}

/// `POST /v1/groups/{group}/flush`: removes every entry of a group.
pub(super) async fn flush_group(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Admin)?;
    let group = params::path_group(request.uri())?;
    Ok(json(&flush_json(
        &parts.operator.flush_group(&group, BY).await?,
    )))
}

fn flush_json(response: &FlushGroupResponse) -> Value {
    let node = |node: &cached_proto::pb::cached::admin::v1::flush_group_response::Node| match &node
        .failure
    {
        None => json!({"name": node.name, "keys": node.keys}),
        Some(failure) => json!({"name": node.name, "error": failure.message}),
    };
    json!({
        "keys": response.nodes.iter().map(|node| node.keys).sum::<u64>(),
        "complete": response.nodes.iter().all(|node| node.failure.is_none()),
        "nodes": response.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

/// `GET /v1/status`.
pub(super) async fn status(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    Ok(json(&status_json(&parts.operator.status().await)))
}

fn status_json(status: &StatusResponse) -> Value {
    json!({
        "cluster": status.cluster,
        "node": status.node,
        "role": status.role,
        "healthy": status.healthy,
        "problems": status.problems,
        "layout": status.layout,
        "members_up": status.members_up,
        "members_joining": status.members_joining,
        "members_draining": status.members_draining,
        "members_down": status.members_down,
        "slots_unowned": status.slots_unowned,
        "planner": status.planner,
        "fenced": status.fenced,
        "degraded": status.degraded,
        "mode": status.mode,
        "software_version": status.software_version,
        "registry": status.registry.as_ref().map(registry_json),
    })
}

fn registry_json(registry: &RegistryHealth) -> Value {
    json!({
        "kind": registry.kind,
        "reachable": registry.reachable,
        "unreachable_for_ms": registry.unreachable_for_ms,
        "server_version": registry.server_version,
        "endpoints": registry.endpoints,
        "round_trip_micros": registry.round_trip_micros,
    })
}

/// When to ask a process again that is starting: registration takes some round trips.
const STARTING_PAUSE: Duration = Duration::from_millis(500);

/// `GET /v1/topology`.
pub(super) async fn topology(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    let topology = parts.operator.topology();
    if topology.cluster_uuid.is_empty() {
        let starting = "this process does not know its cluster yet";
        let failure = Failure::new(FailureCode::Unavailable, starting);
        return Err(failure.retry_after(STARTING_PAUSE).into());
    }
    Ok(json(&topology_json(&topology)))
}

fn topology_json(topology: &TopologyResponse) -> Value {
    json!({
        "cluster": topology.cluster,
        "cluster_uuid": topology.cluster_uuid,
        "generation": topology.generation,
        "layout": topology.layout,
        "view": topology.view,
        "hash": topology.hash,
        "virtual_nodes": topology.virtual_nodes,
        "mode": topology.mode,
        "default_group": topology.default_group,
        "members": topology.members.iter().map(member_json).collect::<Vec<_>>(),
        "ranges": topology.ranges.iter().map(range_json).collect::<Vec<_>>(),
    })
}

fn member_json(member: &Member) -> Value {
    let state = match member.state() {
        MemberState::Unspecified => "unspecified",
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Draining => "draining",
        MemberState::Gone => "gone",
        MemberState::Down => "down",
    };
    json!({
        "name": member.name,
        "incarnation": member.incarnation,
        "address": member.address,
        "state": state,
        "weight": member.weight,
        "zone": member.zone,
        "software_version": member.software_version,
        "started_at_ms": member.started_at_ms,
        "slots": member.slots,
        "down_for_ms": member.down_for_ms,
        "detail": member.detail,
    })
}

fn range_json(range: &SlotRange) -> Value {
    json!({
        "first": range.first,
        "last": range.last,
        "owner": range.owner,
        "incarnation": range.incarnation,
        "epoch": range.epoch,
    })
}

/// `GET /healthz`: whether the process works at all. Asks for no token, so that a
/// supervisor needs none.
pub(super) async fn healthz(State(parts): State<Shared>) -> Response {
    if parts.operator.alive() {
        return with_type("text/plain; charset=utf-8", "ok\n");
    }
    Problem::not_ready("a part of the process has stopped working".to_owned()).into_response()
}

/// `GET /readyz`: whether requests should be sent here.
pub(super) async fn readyz(State(parts): State<Shared>) -> Response {
    match parts.operator.ready() {
        Ok(()) => with_type("text/plain; charset=utf-8", "ready\n"),
        Err(why) => Problem::not_ready(why).into_response(),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(
    State(parts): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    parts.auth.check_headers(request.headers(), Role::Read)?;
    Ok(with_type(
        metrics::CONTENT_TYPE,
        metrics::scrape(&parts).await?,
    ))
}

#[cfg(test)]
mod tests {
    use cached_proto::pb::cached::admin::v1::GroupStats;

    use super::*;

    #[test]
    fn stats_are_summed_and_say_what_is_missing() {
        let group = |name: &str, keys, bytes| GroupStats {
            group: name.to_owned(),
            keys,
            bytes,
            ..GroupStats::default()
        };
        let asked = |name: &str, groups| NodeStats {
            name: name.to_owned(),
            address: format!("{name}:1"),
            groups,
            ..NodeStats::default()
        };
        let silent = NodeStats {
            name: "n3".into(),
            error: "timed out".into(),
            ..NodeStats::default()
        };
        let mut nodes = vec![
            asked("n1", vec![group("a", 2, 20), group("b", 9, 99)]),
            asked("n2", vec![]),
        ];
        let name = GroupName::new("a").unwrap();
        assert_eq!(stats_json(&nodes, &name)["complete"], true);
        nodes.push(silent);
        let expected = json!({
            "group": "a", "keys_count": 2, "bytes_used": 20, "complete": false,
            "nodes": [
                {"name": "n1", "address": "n1:1", "keys": 2, "bytes": 20},
                {"name": "n2", "address": "n2:1", "keys": 0, "bytes": 0},
                {"name": "n3", "address": "", "error": "timed out"},
            ],
        });
        assert_eq!(stats_json(&nodes, &name), expected);
    }
}
