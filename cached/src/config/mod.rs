//! Settings as they are true: checked once, without an `Option` that means "default".

pub mod layers;
pub mod parse;
pub mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cached_proto::limits::{
    MEMBERS_MAX, VALUE_BYTES_CEILING, VALUE_BYTES_DEFAULT, VIRTUAL_NODES_MAX, WEIGHT_MAX,
};
use cached_proto::records::{Mode, Policy};
use cached_proto::ring::VIRTUAL_NODES_DEFAULT;
use cached_proto::ring::hash::KeyHash;
use cached_proto::types::{ClusterName, GroupName, NodeName};

use layers::{Layers, Origin};
use parse::Fields;

/// A setting that cannot be used: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// The setting, spelled as its flag.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    /// `setting` as it is spelled on the command line.
    pub fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            problem: problem.into(),
        }
    }
}

/// Everything one process is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Node or gateway.
    pub role: Role,
    /// Where to listen.
    pub listen: Listen,
    /// Where to listen for clients of the Redis protocol.
    pub resp: RespSettings,
    /// Group of requests that name none.
    pub group: GroupName,
    /// Which cluster, and how it starts.
    pub cluster: ClusterSettings,
    /// Where the cluster meets.
    pub registry: RegistrySettings,
    /// What fills a miss; `None`: nothing.
    pub getter: Option<GetterSettings>,
    /// Bounds.
    pub limits: Limits,
    /// Who may connect.
    pub security: Security,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// What this process is in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A member that owns slots.
    Node {
        /// `None`: named after the port, once that is known.
        name: Option<NodeName>,
        /// Share of the slots.
        weight: u32,
        /// Failure zone; empty: none.
        zone: String,
        /// It owns nothing until an operator says so.
        standby: bool,
    },
    /// Routes for clients and owns nothing.
    Gateway,
}

/// Where a process listens, and where others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address or host name to bind.
    pub host: String,
    /// Port to bind; 0: any.
    pub port: u16,
    /// `host:port` for others; `None`: where it is bound.
    pub advertise: Option<String>,
}

/// Where a process listens for clients of the Redis protocol; `None`: it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RespSettings {
    /// For those that know one address.
    pub plain: Option<HostPort>,
    /// For those that route by themselves.
    pub cluster: Option<HostPort>,
    /// `host:port` for those; `None`: where it is bound, at the advertised host.
    pub advertise: Option<String>,
}

/// An address to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Address or host name.
    pub host: String,
    /// 0: any.
    pub port: u16,
}

/// Which cluster, and how it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its name.
    pub name: ClusterName,
    /// Members to wait for at its first start.
    pub expect: usize,
    /// Key to slot.
    pub hash: KeyHash,
    /// Of the process's own group, where this process creates it.
    pub policy: Policy,
    /// While the registry is away.
    pub mode: Mode,
    /// Points on the ring per unit of weight.
    pub virtual_nodes: u32,
    /// L.
    pub lease_ttl: Duration,
    /// Between keep-alives.
    pub heartbeat: Duration,
    /// Between self-checks.
    pub self_check: Duration,
    /// F.
    pub fence_after: Duration,
    /// How long a member must have lived before it gets slots by itself; may be 0.
    pub join_delay: Duration,
    /// Slots are sealed only while the registry's last answers were quicker.
    pub seal_budget: Duration,
}

/// Where the cluster meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrySettings {
    /// Inside this process: it is the whole cluster.
    Embedded,
    /// In etcd.
    Etcd {
        /// `host:port` or URLs.
        endpoints: Vec<String>,
        /// User, with the file of the password.
        credentials: Option<(String, PathBuf)>,
        /// Authority's certificate.
        ca: Option<PathBuf>,
        /// Own certificate and key.
        client: Option<(PathBuf, PathBuf)>,
    },
}

/// What fills a miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetterSettings {
    /// As written; checked when the origin is built.
    pub origin: Option<String>,
    /// Bound of one load.
    pub timeout: Duration,
    /// Loads at a time.
    pub concurrency: usize,
    /// How long "not there" is remembered.
    pub negative_ttl: Duration,
}

/// Bounds of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys, values and overhead.
    pub memory_bytes: u64,
    /// Longest value.
    pub value_bytes_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// One request.
    pub request_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Failures in a row.
    pub blacklist_after: u32,
    /// Longest time listed.
    pub blacklist_for: Duration,
    /// How long stopping may take.
    pub drain_deadline: Duration,
}

/// Whose certificates are demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody's.
    #[default]
    None,
    /// Other nodes'.
    Peers,
    /// Everybody's.
    All,
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Accepted tokens.
    pub token_file: Option<PathBuf>,
    /// Certificate and key to serve with.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Authority of the nodes' and clients' certificates.
    pub tls_ca: Option<PathBuf>,
    /// Whose certificates are demanded.
    pub client_auth: ClientAuth,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Filter directives.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Port of a node unless told otherwise, as in the original system.
pub const NODE_PORT: u16 = 8001;

/// Port of a gateway unless told otherwise, as in the original system.
pub const GATEWAY_PORT: u16 = 9999;

/// No registry over a network answers quicker than the least; the most is what callers
/// of a sealed slot would notice.
const SEAL_BUDGET_MIN: Duration = Duration::from_millis(1);
const SEAL_BUDGET_MAX: Duration = Duration::from_secs(1);

/// Sign-off and the last requests need some of it, too.
const DRAIN_DEADLINE_MIN: Duration = Duration::from_millis(100);

/// etcd's own floor for leases at its default election time is 2 s; below three
/// heartbeats a lease would hang on a single packet.
const LEASE_TTL_MIN: Duration = Duration::from_secs(2);

impl Config {
    /// Checks everything that can be checked without touching disk or network.
    pub fn check(layers: &Layers) -> Result<Self, ConfigError> {
        let fields = Fields { raw: &layers.raw };
        let config = Self {
            role: fields.role()?,
            listen: fields.listen()?,
            resp: fields.resp()?,
            group: fields.parsed(
                "--groupname",
                layers.raw.groupname.as_deref(),
                "default-group",
            )?,
            cluster: fields.cluster()?,
            registry: fields.registry()?,
            getter: fields.getter()?,
            limits: fields.limits()?,
            security: fields.security()?,
            log: fields.log()?,
        };
        config.check_together(layers.raw.insecure.unwrap_or(false))?;
        Ok(config)
    }

    /// Rules that more than one setting takes part in.
    fn check_together(&self, insecure: bool) -> Result<(), ConfigError> {
        let cluster = &self.cluster;
        check_times(cluster)?;
        if self.role == Role::Gateway && self.registry == RegistrySettings::Embedded {
            let problem =
                "a gateway needs --etcd to find its cluster; `cached dev` has one built in";
            return Err(ConfigError::new("--api", problem));
        }
        if self.registry == RegistrySettings::Embedded && cluster.expect > 1 {
            let problem = "the registry inside this process is for this process alone; give --etcd";
            return Err(ConfigError::new("--expect", problem));
        }
        if self.limits.value_bytes_max as u64 > self.limits.memory_bytes {
            let problem = format!(
                "{} bytes is more than the {} bytes of --memory",
                self.limits.value_bytes_max, self.limits.memory_bytes
            );
            return Err(ConfigError::new("--max-value", problem));
        }
        if self.limits.drain_deadline < DRAIN_DEADLINE_MIN {
            let problem = format!(
                "{:?} is under the least of {DRAIN_DEADLINE_MIN:?}",
                self.limits.drain_deadline
            );
            return Err(ConfigError::new("--drain-deadline", problem));
        }
        if !insecure {
            self.check_reachable()?;
        }
        self.check_resp()?;
        if is_unspecified(&self.listen.host) && self.listen.advertise.is_none() {
            let problem = format!(
                "{} is no address that others can reach: say which one with --advertise HOST:PORT",
                self.listen.host
            );
            return Err(ConfigError::new("--host", problem));
        }
        Ok(())
    }

    /// Every host that is listened on, with the setting that names it.
    fn hosts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let resp = [
            ("--resp", &self.resp.plain),
            ("--resp-cluster", &self.resp.cluster),
        ];
        let resp = resp.into_iter().filter_map(|(flag, bind)| {
            let host = bind.as_ref()?.host.as_str();
            Some((flag, host))
        });
        std::iter::once(("--host", self.listen.host.as_str())).chain(resp)
    }

    /// What others can reach is protected.
    fn check_reachable(&self) -> Result<(), ConfigError> {
        if self.security.token_file.is_some() || self.security.tls.is_some() {
            return Ok(());
        }
        if let Some((flag, host)) = self.hosts().find(|(_, host)| !is_loopback(host)) {
            let problem = format!(
                "{host} can be reached from other machines, and anybody there could read and \
                 write everything: give --token-file or --tls-cert and --tls-key, or say --insecure"
            );
            return Err(ConfigError::new(flag, problem));
        }
        Ok(())
    }

    /// Cluster clients compute slots as Redis Cluster does, and are sent to nodes.
    fn check_resp(&self) -> Result<(), ConfigError> {
        let Some(cluster) = &self.resp.cluster else {
            return Ok(());
        };
        let wrong = |problem: String| Err(ConfigError::new("--resp-cluster", problem));
        let hash = self.cluster.hash;
        if hash != KeyHash::Crc16 {
            return wrong(format!(
                "cluster clients compute slots with crc16, and --hash is {hash}: give --resp"
            ));
        }
        if self.role == Role::Gateway {
            return wrong("a gateway owns no slots: give --resp".to_owned());
        }
        let named = self.resp.advertise.is_some() || self.listen.advertise.is_some();
        if is_unspecified(&cluster.host) && !named {
            return wrong(format!(
                "{} is no address that others can reach: say which one with --resp-advertise \
                 HOST:PORT",
                cluster.host
            ));
        }
        Ok(())
    }

    /// Whether other machines can reach a process with TLS that asks nobody who they
    /// are: lawful, and seldom meant.
    pub fn admits_everybody(&self) -> bool {
        let security = &self.security;
        security.tls.is_some()
            && security.token_file.is_none()
            && security.client_auth != ClientAuth::All
            && self.hosts().any(|(_, host)| !is_loopback(host))
    }

    /// All settings, one line each: name, value in force, where it comes from.
    pub fn describe(&self, origins: &BTreeMap<String, Origin>) -> String {
        parse::describe(self, origins)
    }
}

fn check_times(cluster: &ClusterSettings) -> Result<(), ConfigError> {
    if !(SEAL_BUDGET_MIN..=SEAL_BUDGET_MAX).contains(&cluster.seal_budget) {
        let problem = format!(
            "{:?} is not between {SEAL_BUDGET_MIN:?} and {SEAL_BUDGET_MAX:?}",
            cluster.seal_budget
        );
        return Err(ConfigError::new("--seal-budget", problem));
    }
    if cluster.lease_ttl < LEASE_TTL_MIN {
        let problem = format!(
            "{:?} is under the least of {LEASE_TTL_MIN:?}",
            cluster.lease_ttl
        );
        return Err(ConfigError::new("--lease-ttl", problem));
    }
    if cluster.heartbeat * 2 > cluster.lease_ttl {
        let problem = format!(
            "{:?} leaves no room for a lost one within --lease-ttl {:?}: at most half of it",
            cluster.heartbeat, cluster.lease_ttl
        );
        return Err(ConfigError::new("--heartbeat", problem));
    }
    if cluster.self_check * 2 > cluster.fence_after {
        let problem = format!(
            "{:?} leaves no room for a lost one within --fence-after {:?}: at most half of it",
            cluster.self_check, cluster.fence_after
        );
        return Err(ConfigError::new("--self-check", problem));
    }
    Ok(())
}

/// Whether only this machine can reach the host. Names other than `localhost` are
/// not looked up: the answer must not hang on the network.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn is_unspecified(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address
        .parse()
        .is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
}

#[cfg(test)]
mod tests;
