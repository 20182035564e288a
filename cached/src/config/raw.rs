//! Settings as they are written: flags, environment, file. Nothing is checked here
//! but the type; `None` means "not written".

use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};

/// One field per setting; the same name everywhere.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawConfig {
    /// Member's name, unique in the cluster and kept over restarts [default: node-PORT].
    #[arg(long, value_name = "NAME", help_heading = "This process")]
    pub name: Option<String>,
    /// Be a gateway: answer clients and route for them, own nothing.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "This process")]
    pub api: Option<bool>,
    /// Address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS", help_heading = "This process")]
    pub host: Option<String>,
    /// Port for gRPC and REST; 0 picks a free one and prints it [default: 8001, gateway 9999].
    #[arg(long, value_name = "PORT", help_heading = "This process")]
    pub port: Option<u16>,
    /// Where peers and clients reach this process [default: HOST:PORT].
    #[arg(long, value_name = "HOST:PORT", help_heading = "This process")]
    pub advertise: Option<String>,
    /// Group of requests that name none, and of the getter [default: default-group].
    #[arg(long, value_name = "GROUP", help_heading = "This process")]
    pub groupname: Option<String>,
    /// Who goes first when that group is full: lru or s3fifo; fixed when the group is created [default: lru].
    #[arg(long, value_name = "POLICY", help_heading = "This process")]
    pub policy: Option<String>,
    /// Share of the slots relative to other members [default: 1].
    #[arg(long, value_name = "N", help_heading = "This process")]
    pub weight: Option<u32>,
    /// Failure zone, for people and for replicas [default: none].
    #[arg(long, value_name = "ZONE", help_heading = "This process")]
    pub zone: Option<String>,
    /// Own no slots until an operator says so, with `cachectl join`.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "This process")]
    pub standby: Option<bool>,
    /// Also listen for clients of the Redis protocol that know one address [default: off].
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "This process")]
    pub resp: Option<String>,
    /// Also listen for Redis Cluster clients, which route by themselves [default: off].
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "This process")]
    pub resp_cluster: Option<String>,
    /// Where Redis Cluster clients reach this process [default: advertised host].
    #[arg(long, value_name = "HOST:PORT", help_heading = "This process")]
    pub resp_advertise: Option<String>,

    /// etcd endpoints, comma separated or repeated; without it, a registry inside this process.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        help_heading = "Registry"
    )]
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    pub etcd: Option<Vec<String>>,
    /// etcd user.
    #[arg(long, value_name = "USER", help_heading = "Registry")]
    pub etcd_user: Option<String>,
    /// File that holds the etcd user's password.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub etcd_password_file: Option<String>,
    /// PEM file of the authority that signed etcd's certificate.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub etcd_ca: Option<String>,
    /// PEM file of the certificate to show to etcd.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub etcd_cert: Option<String>,
    /// PEM file of that certificate's key.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub etcd_key: Option<String>,

    /// Cluster's name [default: default].
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub cluster: Option<String>,
    /// Members to wait for before a new cluster starts [default: 1].
    #[arg(long, value_name = "N", help_heading = "Cluster")]
    pub expect: Option<usize>,
    /// Key to slot: crc16 (Redis Cluster's), xxh3, fnv1a; fixed when a cluster starts [default: crc16].
    #[arg(long, value_name = "HASH", help_heading = "Cluster")]
    pub hash: Option<String>,
    /// While the registry is away: available or strict; fixed when a cluster starts [default: available].
    #[arg(long, value_name = "MODE", help_heading = "Cluster")]
    pub mode: Option<String>,
    /// Points on the ring per unit of weight; fixed when a cluster starts [default: 50].
    #[arg(long, value_name = "N", help_heading = "Cluster")]
    pub virtual_nodes: Option<u32>,
    /// Time to live of the member's lease [default: 30s].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub lease_ttl: Option<String>,
    /// How often the lease is kept alive [default: 10s].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub heartbeat: Option<String>,
    /// How often a member proves to itself that it still is one [default: 1500ms].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub self_check: Option<String>,
    /// How long such a proof counts [default: 5s].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub fence_after: Option<String>,
    /// How long a member must have lived before it gets its share of the slots by itself [default: 10s].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub join_delay: Option<String>,
    /// Longest pause of a slot that changes hands: the registry's last answers must have been quicker [default: 20ms].
    #[arg(long, value_name = "TIME", help_heading = "Cluster")]
    pub seal_budget: Option<String>,

    /// Load what is missed from an origin.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Getter")]
    pub enable_getter: Option<bool>,
    /// 'http://host/path/{key}' or dir:PATH [default: a demonstration table of three keys].
    #[arg(long, value_name = "ORIGIN", help_heading = "Getter")]
    pub origin: Option<String>,
    /// Bound of one load [default: 2s].
    #[arg(long, value_name = "TIME", help_heading = "Getter")]
    pub origin_timeout: Option<String>,
    /// Loads at a time [default: 64].
    #[arg(long, value_name = "N", help_heading = "Getter")]
    pub origin_concurrency: Option<usize>,
    /// How long "not there" is remembered [default: 5s].
    #[arg(long, value_name = "TIME", help_heading = "Getter")]
    pub origin_negative_ttl: Option<String>,

    /// Bound on keys, values and their overhead [default: 1GiB].
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub memory: Option<String>,
    /// Longest value [default: 8MiB].
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub max_value: Option<String>,
    /// Open connections [default: 10000].
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<usize>,
    /// Bound of one request, passing it on and retries included [default: 3s].
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub request_timeout: Option<String>,
    /// Attempts after the first [default: 2].
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub retries: Option<u32>,
    /// Failures in a row after which a peer is blacklisted [default: 3].
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub blacklist_after: Option<u32>,
    /// Longest time on the blacklist [default: 5m].
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub blacklist_for: Option<String>,
    /// How long a stop signal may take, slots handed over included [default: 30s].
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub drain_deadline: Option<String>,

    /// File of accepted tokens: lines "read|write|admin TOKEN".
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub token_file: Option<String>,
    /// PEM file of the certificate to serve TLS with.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub tls_cert: Option<String>,
    /// PEM file of that certificate's key.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub tls_key: Option<String>,
    /// PEM file of the authority that signed the nodes' (and clients') certificates.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub tls_ca: Option<String>,
    /// Whose certificates are demanded: none, peers, all [default: none].
    #[arg(long, value_name = "WHO", help_heading = "Security")]
    pub tls_client_auth: Option<String>,
    /// Listen beyond loopback with neither token nor TLS.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Security")]
    pub insecure: Option<bool>,

    /// Log filter, as "info" or "cached=debug,info" [default: info].
    #[arg(long, value_name = "FILTER", help_heading = "Log")]
    pub log: Option<String>,
    /// text or json [default: text].
    #[arg(long, value_name = "FORMAT", help_heading = "Log")]
    pub log_format: Option<String>,
}

/// A list, or one text with commas: as the environment writes it.
fn one_or_many<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(Some(match OneOrMany::deserialize(value)? {
        OneOrMany::Many(many) => many,
        OneOrMany::One(one) => one.split(',').map(|part| part.trim().to_owned()).collect(),
    }))
}
