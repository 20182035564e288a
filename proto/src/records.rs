//! The JSON records that the registry holds, field by field. Readable with
//! `etcdctl get --prefix /cached/`; unknown fields are ignored, so that newer
//! members can add some.

use serde::{Deserialize, Serialize};

use crate::ring::hash::KeyHash;
use crate::types::{ClusterName, GroupName, Incarnation, Invalid, MemberId, NodeName, shown};

/// What a node does while the registry cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Keep serving, and say so in every answer.
    #[default]
    Available,
    /// Stop serving once the last proof of life is older than the fence.
    Strict,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Available => "available",
            Self::Strict => "strict",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "available" => Ok(Self::Available),
            "strict" => Ok(Self::Strict),
            _ => Err(Invalid::new(
                "mode",
                format!("{} is not available or strict", shown(text)),
            )),
        }
    }
}

/// `meta`: what is fixed when a cluster is bootstrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecord {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// Random identity, 32 hexadecimal digits: another registry with the same
    /// names is another cluster.
    pub cluster_uuid: Incarnation,
    /// Raised when a cluster is rebuilt from its nodes' tables.
    pub generation: u64,
    /// What nodes do while the registry is away.
    pub mode: Mode,
    /// Copies of an entry beside the owner's.
    pub replicas: u8,
    /// Number of the ring algorithm that placed the slots.
    pub algorithm: u32,
    /// Key to slot.
    pub hash: KeyHash,
    /// Points on the ring for each unit of weight.
    pub virtual_nodes: u32,
    /// Unix time in milliseconds.
    pub created_ms: u64,
}

/// State that a member gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// Waits to be given slots.
    Joining,
    /// Owns slots, or may be given some.
    Up,
    /// Gives its slots away.
    Draining,
    /// Signed off: its slots may be taken at once.
    Gone,
}

impl std::fmt::Display for MemberState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Joining => "joining",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Gone => "gone",
        })
    }
}

/// `members/<name>`, on the member's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Name and incarnation.
    #[serde(flatten)]
    pub id: MemberId,
    /// Where peers and clients reach it, `host:port`.
    pub address: String,
    /// Its own word on itself.
    pub state: MemberState,
    /// Share of the slots relative to the others'.
    pub weight: u32,
    /// Failure zone; empty when none is named.
    #[serde(default)]
    pub zone: String,
    /// Version of the software.
    pub version: String,
    /// Unix time in milliseconds.
    pub started_ms: u64,
    /// It is given slots only when an operator says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    /// RESP listener for plain clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resp_address: Option<String>,
    /// RESP listener for cluster clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resp_cluster_address: Option<String>,
}

/// A run of slots and the index of its owner in [`PlanRecord::members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRun(
    /// First slot.
    pub u16,
    /// Last slot, inclusive.
    pub u16,
    /// Index into the plan's members.
    pub u16,
);

/// A member as a plan saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMember {
    /// Name and incarnation.
    #[serde(flatten)]
    pub id: MemberId,
    /// Its weight.
    pub weight: u32,
}

/// `plan`: who should own what. Owners carry it out; nobody computes it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The layout number: one more than the plan before.
    pub layout: u64,
    /// Short random name, shown to people.
    pub id: String,
    /// Why it was made, for people.
    pub reason: String,
    /// Ring algorithm and virtual nodes that it used.
    pub algorithm: u32,
    /// Points on the ring for each unit of weight.
    pub virtual_nodes: u32,
    /// Layout of the plan that it started from.
    pub base_layout: u64,
    /// Who gets slots, with weights.
    pub members: Vec<PlanMember>,
    /// Members that get none.
    pub excluded: Vec<NodeName>,
    /// The assignment: every slot exactly once, ascending.
    pub runs: Vec<PlanRun>,
}

/// `groups/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// The name.
    pub name: GroupName,
    /// Bound over the whole cluster; each node holds the share of its slots.
    /// `None`: the nodes' memory is the only bound.
    pub max_bytes: Option<u64>,
    /// Time to live of entries written without one.
    pub default_ttl_ms: Option<u64>,
    /// Eviction policy.
    pub policy: Policy,
    /// Number for RESP's SELECT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resp_db: Option<u32>,
}

/// How a full group chooses what to evict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Least recently used first, exactly.
    #[default]
    Lru,
    /// S3-FIFO: what is used once and never again goes early.
    S3Fifo,
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lru => f.pad("lru"),
            Self::S3Fifo => f.pad("s3fifo"),
        }
    }
}

impl std::str::FromStr for Policy {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "lru" => Ok(Self::Lru),
            "s3fifo" => Ok(Self::S3Fifo),
            _ => Err(Invalid::new(
                "policy",
                format!("{} is neither lru nor s3fifo", shown(text)),
            )),
        }
    }
}

/// `blacklist/<name>`: an operator's entry, seen by every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlacklistRecord {
    /// Whom nobody should attempt.
    pub target: NodeName,
    /// The life it was listed in: a new incarnation is never listed.
    pub inc: Incarnation,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who, as `user@host`.
    pub by: String,
    /// Unix time in milliseconds.
    pub since_ms: u64,
    /// Unix time in milliseconds.
    pub expires_ms: u64,
}
