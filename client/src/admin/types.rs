//! What operators are told, as plain data, read from messages.

use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::Invalid;
use serde::{Deserialize, Serialize};

use super::{Latency, RecentStats};
use crate::call::wrong_answer;
use crate::error::Error;

/// An answer, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The address that was asked.
    pub endpoint: String,
    /// What it answered.
    pub value: T,
}

impl<T> Answered<T> {
    /// The same answer, seen differently.
    pub fn map<U>(self, see: impl FnOnce(T) -> U) -> Answered<U> {
        Answered {
            endpoint: self.endpoint,
            value: see(self.value),
        }
    }

    /// The same answer, checked; one that cannot be read is the node's fault.
    pub(super) fn read<U>(
        self,
        check: impl FnOnce(T) -> Result<U, Invalid>,
    ) -> Result<Answered<U>, Error> {
        match check(self.value) {
            Ok(value) => Ok(Answered {
                endpoint: self.endpoint,
                value,
            }),
            Err(bad) => Err(wrong_answer(&format!(
                "at {} answered that {bad}",
                self.endpoint
            ))),
        }
    }
}

/// How a cluster is, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// Who answers; empty for a gateway without a name.
    pub node: String,
    /// Nothing is wrong and nothing is going on.
    pub healthy: bool,
    /// Why not; empty when healthy.
    pub problems: Vec<String>,
    /// Number of the plan in force.
    pub layout: u64,
    /// Members that serve.
    pub members_up: u32,
    /// Members that wait for slots.
    pub members_joining: u32,
    /// Members that give their slots away, or have.
    pub members_draining: u32,
    /// Owners that are no members.
    pub members_down: u32,
    /// How the answering node gets on with the registry.
    pub registry: RegistryHealth,
    /// Rows whose owner is no living member.
    pub slots_unowned: u32,
    /// The member that plans; empty when nobody does.
    pub planner: String,
    /// The answering node serves nothing.
    pub fenced: bool,
    /// It serves without having reached the registry lately.
    pub degraded: bool,
    /// `available` or `strict`.
    pub mode: String,
    /// Its software.
    pub version: String,
    /// `node` or `gateway`.
    pub role: String,
    /// The operation that is open; empty: none.
    pub operation: String,
    /// Slots that the plan wants elsewhere.
    pub slots_to_move: u32,
}

/// How a node gets on with the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryHealth {
    /// `etcd` or `embedded`.
    pub kind: String,
    /// It answers.
    pub reachable: bool,
    /// How long it does not.
    pub unreachable_for: Duration,
    /// Its software.
    pub server_version: String,
    /// Where it is.
    pub endpoints: Vec<String>,
    /// Time of the last linearizable read.
    pub round_trip: Duration,
}

/// Counters of one node since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStats {
    /// Its name.
    pub name: String,
    /// This life of it.
    pub incarnation: String,
    /// `host:port`.
    pub address: String,
    /// Why it could not be asked; its counters are then 0.
    pub error: Option<String>,
    /// How long it runs.
    pub uptime: Duration,
    /// Bound of `memory_used_bytes`.
    pub memory_limit_bytes: u64,
    /// Keys, values and their overhead.
    pub memory_used_bytes: u64,
    /// The whole process.
    pub resident_bytes: u64,
    /// Slots it owns.
    pub slots: u32,
    /// Its share of each group.
    pub groups: Vec<GroupStats>,
    /// Requests by protocol.
    pub requests: RequestStats,
    /// Loads from the origin.
    pub getter: GetterStats,
    /// Loads under way, and marks of those that a write overtook.
    pub fill_tokens: u64,
    /// Slots that it took over empty.
    pub slots_lost: u64,
    /// Entries dropped because a receiver had no room.
    pub keys_shed: u64,
    /// Requests that wait for moving slots.
    pub parked: u64,
    /// Bytes received and not in service yet.
    pub staged_bytes: u64,
    /// Processor time of the process.
    pub cpu: Duration,
    /// What its resident memory is for.
    pub memory: MemoryStats,
    /// How long the operations took that it answered since its start.
    pub latency: Latency,
    /// What it did lately; `None`: an older version does not tell.
    pub recent: Option<RecentStats>,
}

/// What a node's resident memory is for, in bytes: the parts sum up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Keys and values in service.
    pub payload: u64,
    /// Keys and values that arrived from another node and are not in service yet.
    pub staged: u64,
    /// What stands before each key, and rounding.
    pub overhead: u64,
    /// Tables by which entries are found.
    pub tables: u64,
    /// Of entries that are gone, kept for others.
    pub free: u64,
    /// Of times to live, loads, and names of evicted keys.
    pub index: u64,
    /// Buffers of commands whose end has not come.
    pub connections: u64,
    /// The rest: the program, its threads, connections and the allocator's slack. Below 0
    /// where memory was asked of the system and not touched yet.
    pub other: i64,
}

/// Counters of a group on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStats {
    /// The group.
    pub group: String,
    /// Entries.
    pub keys: u64,
    /// Their bytes, with overhead.
    pub bytes: u64,
    /// This node's share of the group's bound.
    pub limit_bytes: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Writes.
    pub sets: u64,
    /// Removals asked for.
    pub deletes: u64,
    /// Removals for lack of room.
    pub evictions: u64,
    /// Removals at the end of the time to live.
    pub expirations: u64,
    /// Reads answered "not there" from memory, without asking the origin.
    pub negative_hits: u64,
}

/// Requests of one node by where they came from and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestStats {
    /// Over REST.
    pub rest: u64,
    /// Over gRPC.
    pub grpc: u64,
    /// Over RESP.
    pub resp: u64,
    /// Passed on to it by other nodes.
    pub peer: u64,
    /// Passed on by it.
    pub forwarded: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Connections now open.
    pub connections: u64,
}

/// Loads of one node from the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GetterStats {
    /// It loads at all.
    pub enabled: bool,
    /// Loads begun.
    pub loads: u64,
    /// Loads that failed.
    pub load_failures: u64,
    /// Loads that found nothing.
    pub not_there: u64,
    /// Requests that waited for a load already under way.
    pub joined: u64,
    /// Loads not stored, because a write came first.
    pub fills_rejected: u64,
    /// Loads not stored, because the slot had no owner.
    pub uncached: u64,
}

/// Whom the nodes do not attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blacklist {
    /// By observer and target.
    pub entries: Vec<BlacklistEntry>,
    /// Members that could not be asked.
    pub unanswered: Vec<String>,
}

/// A member that an observer does not attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlacklistEntry {
    /// Who does not; `*`: nobody does, by hand.
    pub observer: String,
    /// Whom.
    pub target: String,
    /// Entered by an operator.
    pub manual: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// For how long yet.
    pub expires_in: Duration,
    /// The last failure.
    pub last_error: String,
    /// The operator's words.
    pub reason: String,
    /// The operator, `user@host`.
    pub by: String,
    /// When it is attempted next; zero for entries made by hand.
    pub next_probe_in: Duration,
}

/// What a flush came to on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The node.
    pub node: String,
    /// Entries removed, or why none were.
    pub result: Result<u64, Failure>,
}

impl TryFrom<pb::StatusResponse> for Status {
    type Error = Invalid;
    fn try_from(status: pb::StatusResponse) -> Result<Self, Invalid> {
        let registry = status
            .registry
            .ok_or_else(|| Invalid::new("registry", "is missing"))?;
        Ok(Self {
            cluster: status.cluster,
            node: status.node,
            healthy: status.healthy,
            problems: status.problems,
            layout: status.layout,
            members_up: status.members_up,
            members_joining: status.members_joining,
            members_draining: status.members_draining,
            members_down: status.members_down,
            registry: registry.into(),
            slots_unowned: status.slots_unowned,
            planner: status.planner,
            fenced: status.fenced,
            degraded: status.degraded,
            mode: status.mode,
            version: status.software_version,
            role: status.role,
            operation: status.operation,
            slots_to_move: status.slots_to_move,
        })
    }
}

impl From<pb::RegistryHealth> for RegistryHealth {
    fn from(health: pb::RegistryHealth) -> Self {
        Self {
            kind: health.kind,
            reachable: health.reachable,
            unreachable_for: Duration::from_millis(health.unreachable_for_ms),
            server_version: health.server_version,
            endpoints: health.endpoints,
            round_trip: Duration::from_micros(health.round_trip_micros),
        }
    }
}

impl From<pb::NodeStats> for NodeStats {
    fn from(stats: pb::NodeStats) -> Self {
        Self {
            name: stats.name,
            incarnation: stats.incarnation,
            address: stats.address,
            error: Some(stats.error).filter(|error| !error.is_empty()),
            uptime: Duration::from_millis(stats.uptime_ms),
            memory_limit_bytes: stats.memory_limit_bytes,
            memory_used_bytes: stats.memory_used_bytes,
            resident_bytes: stats.resident_bytes,
            slots: stats.slots,
            groups: stats.groups.into_iter().map(GroupStats::from).collect(),
            requests: stats.requests.map(RequestStats::from).unwrap_or_default(),
            getter: stats.getter.map(GetterStats::from).unwrap_or_default(),
            fill_tokens: stats.fill_tokens,
            slots_lost: stats.slots_lost,
            keys_shed: stats.keys_shed,
            parked: stats.parked,
            staged_bytes: stats.staged_bytes,
            cpu: Duration::from_micros(stats.cpu_micros),
            memory: stats.memory.map(MemoryStats::from).unwrap_or_default(),
            latency: stats.latency.into(),
            recent: stats.recent.map(RecentStats::from),
        }
    }
}

impl From<pb::MemoryStats> for MemoryStats {
    fn from(stats: pb::MemoryStats) -> Self {
        Self {
            payload: stats.payload_bytes,
            staged: stats.staged_bytes,
            overhead: stats.overhead_bytes,
            tables: stats.table_bytes,
            free: stats.free_bytes,
            index: stats.index_bytes,
            connections: stats.connection_bytes,
            other: stats.other_bytes,
        }
    }
}

impl From<pb::GroupStats> for GroupStats {
    fn from(stats: pb::GroupStats) -> Self {
        Self {
            group: stats.group,
            keys: stats.keys,
            bytes: stats.bytes,
            limit_bytes: stats.limit_bytes,
            hits: stats.hits,
            misses: stats.misses,
            sets: stats.sets,
            deletes: stats.deletes,
            evictions: stats.evictions,
            expirations: stats.expirations,
            negative_hits: stats.negative_hits,
        }
    }
}

impl From<pb::RequestStats> for RequestStats {
    fn from(stats: pb::RequestStats) -> Self {
        Self {
            rest: stats.rest,
            grpc: stats.grpc,
            resp: stats.resp,
            peer: stats.peer,
            forwarded: stats.forwarded,
            retries: stats.retries,
            failures: stats.failures,
            connections: stats.connections,
        }
    }
}

impl From<pb::GetterStats> for GetterStats {
    fn from(stats: pb::GetterStats) -> Self {
        Self {
            enabled: stats.enabled,
            loads: stats.loads,
            load_failures: stats.load_failures,
            not_there: stats.not_there,
            joined: stats.joined,
            fills_rejected: stats.fills_rejected,
            uncached: stats.uncached,
        }
    }
}

impl From<pb::BlacklistEntry> for BlacklistEntry {
    fn from(entry: pb::BlacklistEntry) -> Self {
        Self {
            observer: entry.observer,
            target: entry.target,
            manual: entry.manual,
            failures: entry.failures,
            since_ms: entry.since_ms,
            expires_in: Duration::from_millis(entry.expires_in_ms),
            last_error: entry.last_error,
            reason: entry.reason,
            by: entry.by,
            next_probe_in: Duration::from_millis(entry.next_probe_in_ms),
        }
    }
}

impl From<pb::flush_group_response::Node> for Flushed {
    fn from(node: pb::flush_group_response::Node) -> Self {
        let result = node
            .failure
            .map_or(Ok(node.keys), |failure| Err(failure.into()));
        Self {
            node: node.name,
            result,
        }
    }
}
