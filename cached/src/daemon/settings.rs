//! Settings -> what the parts are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::types::{Incarnation, MemberId, NodeName, Ttl};

use super::StartupError;
use super::resp::RespAddresses;
use crate::blacklist::BreakerConfig;
use crate::clock::Clock;
use crate::cluster::ClusterConfig;
use crate::config::{Config, ConfigError, Role};
use crate::counters::Counters;
use crate::getter::{self, Getter, GetterConfig, GetterParts, Origin};
use crate::router::RouterLimits;
use crate::store::Store;
use crate::tasks::Tasks;

/// How often everything is read again, whatever the watch says: watches lose events (R40).
const REREAD: Duration = Duration::from_secs(10);

/// Between two probes of a neighbour, and how long one may take: three missed ones
/// make a suspect after three seconds.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

/// How long a node that is cut off from registry and peers goes on in mode `available`.
const ISOLATION_CAP: Duration = Duration::from_secs(60);

/// How long the registry may be silent before a start is given up: a supervisor that
/// starts etcd and nodes together needs seconds, an operator wants an answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn breaker_config(config: &Config) -> BreakerConfig {
    BreakerConfig {
        after: config.limits.blacklist_after,
        listed_for: config.limits.blacklist_for,
        ..BreakerConfig::default()
    }
}

pub(super) fn router_limits(config: &Config) -> RouterLimits {
    RouterLimits {
        value_bytes_max: config.limits.value_bytes_max,
        request_timeout: config.limits.request_timeout,
        retries: config.limits.retries,
        takeover_after: config.cluster.fence_after.mul_f64(1.01) + Duration::from_millis(500),
    }
}

pub(super) fn getter_of(
    config: &Config,
    origin: Option<Arc<dyn Origin>>,
    store: &Arc<Store>,
    (clock, tasks, counters): (&Clock, &Tasks, &Arc<Counters>),
) -> Result<Option<Arc<Getter>>, StartupError> {
    let Some(settings) = &config.getter else {
        return Ok(None);
    };
    let value_bytes_max = config.limits.value_bytes_max;
    let wrong = |flag: &str, invalid: &dyn std::fmt::Display| {
        StartupError::Config(ConfigError::new(flag, invalid.to_string()))
    };
    let origin = match origin {
        Some(origin) => origin,
        None => getter::origin(settings.origin.as_deref(), value_bytes_max)
            .map_err(|invalid| wrong("--origin", &invalid))?,
    };
    let described = origin.describe();
    tracing::info!(origin = described, group = %config.group, "misses are loaded");
    let negative_ms = settings.negative_ttl.as_millis() as u64;
    let negative_ttl =
        Ttl::from_ms(negative_ms).map_err(|invalid| wrong("--origin-negative-ttl", &invalid))?;
    let getter_config = GetterConfig {
        group: config.group.clone(),
        timeout: settings.timeout,
        negative_ttl,
        concurrency: settings.concurrency,
        value_bytes_max,
    };
    Ok(Some(Getter::new(GetterParts {
        origin,
        config: getter_config,
        store: store.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        counters: counters.clone(),
    })))
}

/// What this process says of itself; `None`: a gateway.
pub(super) fn member_record(
    config: &Config,
    address: SocketAddr,
    resp: RespAddresses,
    clock: &Clock,
) -> Result<Option<MemberRecord>, StartupError> {
    let Role::Node {
        name,
        weight,
        zone,
        standby,
    } = &config.role
    else {
        return Ok(None);
    };
    let name = match name {
        Some(name) => name.clone(),
        None => NodeName::new(format!("node-{}", address.port()))
            .map_err(|invalid| ConfigError::new("--name", invalid.to_string()))?,
    };
    let reachable = || told(&config.listen.host, address);
    Ok(Some(MemberRecord {
        // The incarnation is drawn when the name is claimed.
        id: MemberId {
            name,
            inc: Incarnation(0),
        },
        address: config.listen.advertise.clone().unwrap_or_else(reachable),
        state: MemberState::Joining,
        weight: *weight,
        zone: zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: clock.wall().0,
        standby: *standby,
        resp_address: resp.plain.map(|bound| {
            let host = config.resp.plain.as_ref().map_or("", |bind| &bind.host);
            advertised(config, host, bound)
        }),
        resp_cluster_address: resp.cluster.map(|bound| {
            let host = config.resp.cluster.as_ref().map_or("", |bind| &bind.host);
            let usual = || advertised(config, host, bound);
            config.resp.advertise.clone().unwrap_or_else(usual)
        }),
    }))
}

/// Where others reach a listener for the Redis protocol: at the host that is advertised
/// for everything, else where it listens.
fn advertised(config: &Config, host: &str, bound: SocketAddr) -> String {
    let advertised = config.listen.advertise.as_deref();
    match advertised.and_then(|address| address.rsplit_once(':')) {
        Some((host, _)) => format!("{host}:{}", bound.port()),
        None => told(host, bound),
    }
}

/// A bound address as others are told it: a name that was given to be listened on is
/// what they are told, too.
fn told(host: &str, bound: SocketAddr) -> String {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(_) => bound.to_string(),
        Err(_) => format!("{host}:{}", bound.port()),
    }
}

pub(super) fn cluster_config(config: &Config, member: Option<MemberRecord>) -> ClusterConfig {
    let settings = &config.cluster;
    ClusterConfig {
        cluster: settings.name.clone(),
        member,
        expect: settings.expect,
        hash: settings.hash,
        mode: settings.mode,
        virtual_nodes: settings.virtual_nodes,
        group: config.group.clone(),
        policy: settings.policy,
        lease_ttl: settings.lease_ttl,
        heartbeat: settings.heartbeat,
        self_check: settings.self_check,
        fence_after: settings.fence_after,
        reread: REREAD,
        probe_interval: PROBE_INTERVAL,
        probe_timeout: PROBE_TIMEOUT,
        isolation_cap: ISOLATION_CAP,
        start_timeout: START_TIMEOUT,
        join_delay: settings.join_delay,
        seal_budget: settings.seal_budget,
    }
}
