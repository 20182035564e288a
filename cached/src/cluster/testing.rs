//! Members, settings and records for tests.

use std::time::Duration;

use cached_proto::records::{MemberRecord, MemberState, MetaRecord, Mode, Policy};
use cached_proto::ring::{ALGORITHM, VIRTUAL_NODES_DEFAULT, hash::KeyHash};
use cached_proto::types::{ClusterName, GroupName, Incarnation, MemberId, NodeName};

use super::ClusterConfig;

/// A member whose incarnation follows from its name.
pub(crate) fn member(name: &str) -> MemberRecord {
    let inc = name
        .bytes()
        .fold(7, |inc: u128, byte| inc * 257 + u128::from(byte));
    MemberRecord {
        id: MemberId {
            name: NodeName::new(name).unwrap(),
            inc: Incarnation(inc),
        },
        address: format!("{name}:1"),
        state: MemberState::Joining,
        weight: 1,
        zone: String::new(),
        version: "0.1.0".to_owned(),
        started_ms: 0,
        standby: false,
        resp_address: None,
        resp_cluster_address: None,
    }
}

/// The defaults of the daemon.
pub(crate) fn config(name: &str) -> ClusterConfig {
    ClusterConfig {
        cluster: ClusterName::new("test").unwrap(),
        member: Some(member(name)),
        expect: 1,
        hash: KeyHash::Crc16,
        mode: Mode::Available,
        virtual_nodes: VIRTUAL_NODES_DEFAULT,
        group: GroupName::new("default-group").unwrap(),
        policy: Policy::Lru,
        lease_ttl: Duration::from_secs(30),
        heartbeat: Duration::from_secs(10),
        self_check: Duration::from_millis(1_500),
        fence_after: Duration::from_secs(5),
        reread: Duration::from_secs(10),
        probe_interval: Duration::from_secs(1),
        probe_timeout: Duration::from_millis(900),
        isolation_cap: Duration::from_secs(60),
        start_timeout: Duration::from_secs(10),
        join_delay: Duration::from_secs(10),
        seal_budget: Duration::from_millis(20),
    }
}

/// What a cluster of these settings has fixed.
pub(crate) fn meta(config: &ClusterConfig) -> MetaRecord {
    MetaRecord {
        cluster: config.cluster.clone(),
        cluster_uuid: Incarnation(42),
        generation: 1,
        mode: config.mode,
        replicas: 0,
        algorithm: ALGORITHM,
        hash: config.hash,
        virtual_nodes: config.virtual_nodes,
        created_ms: 0,
    }
}
