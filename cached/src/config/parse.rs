//! Raw texts -> checked settings, field by field; and back to text for people.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::*;
use crate::config::raw::RawConfig;

/// Longest time of any setting.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads one raw configuration.
pub(super) struct Fields<'a> {
    pub(super) raw: &'a RawConfig,
}

impl Fields<'_> {
    /// A value of a type that knows how to read itself.
    pub(super) fn parsed<T>(
        &self,
        flag: &str,
        written: Option<&str>,
        default: &str,
    ) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = written.unwrap_or(default);
        text.parse()
            .map_err(|error: T::Err| ConfigError::new(flag, error.to_string()))
    }

    pub(super) fn role(&self) -> Result<Role, ConfigError> {
        if self.raw.api.unwrap_or(false) {
            return Ok(Role::Gateway);
        }
        let name = self.raw.name.as_deref();
        let name = name
            .map(|name| self.parsed("--name", Some(name), ""))
            .transpose()?;
        let weight = self.raw.weight.unwrap_or(1);
        within("--weight", weight.into(), 1, WEIGHT_MAX.into())?;
        Ok(Role::Node {
            name,
            weight,
            zone: self.raw.zone.clone().unwrap_or_default(),
            standby: self.raw.standby.unwrap_or(false),
        })
    }

    pub(super) fn listen(&self) -> Result<Listen, ConfigError> {
        let host = self
            .raw
            .host
            .clone()
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            let problem = format!("{host:?} is no address or host name");
            return Err(ConfigError::new("--host", problem));
        }
        let usual = if self.raw.api.unwrap_or(false) {
            GATEWAY_PORT
        } else {
            NODE_PORT
        };
        let advertise = self.raw.advertise.clone();
        if let Some(address) = &advertise {
            check_address("--advertise", address)?;
        }
        Ok(Listen {
            host,
            port: self.raw.port.unwrap_or(usual),
            advertise,
        })
    }

    pub(super) fn resp(&self) -> Result<RespSettings, ConfigError> {
        let raw = self.raw;
        let usual = raw.host.as_deref().unwrap_or("127.0.0.1");
        let bind = |flag: &str, written: &Option<String>| {
            let read = |text: &String| bind(flag, text, usual);
            written.as_ref().map(read).transpose()
        };
        if let Some(address) = &raw.resp_advertise {
            check_address("--resp-advertise", address)?;
            if raw.resp_cluster.is_none() {
                let problem = "says nothing without --resp-cluster";
                return Err(ConfigError::new("--resp-advertise", problem));
            }
        }
        Ok(RespSettings {
            plain: bind("--resp", &raw.resp)?,
            cluster: bind("--resp-cluster", &raw.resp_cluster)?,
            advertise: raw.resp_advertise.clone(),
        })
    }

    pub(super) fn cluster(&self) -> Result<ClusterSettings, ConfigError> {
        let raw = self.raw;
        let expect = raw.expect.unwrap_or(1);
        within("--expect", expect as u64, 1, MEMBERS_MAX as u64)?;
        let virtual_nodes = raw.virtual_nodes.unwrap_or(VIRTUAL_NODES_DEFAULT);
        within(
            "--virtual-nodes",
            virtual_nodes.into(),
            1,
            VIRTUAL_NODES_MAX.into(),
        )?;
        let mode = match raw.mode.as_deref().unwrap_or("available") {
            "available" => Mode::Available,
            "strict" => Mode::Strict,
            other => {
                let problem = format!("{other:?} is not available or strict");
                return Err(ConfigError::new("--mode", problem));
            }
        };
        Ok(ClusterSettings {
            name: self.parsed("--cluster", raw.cluster.as_deref(), "default")?,
            expect,
            hash: self.parsed("--hash", raw.hash.as_deref(), "crc16")?,
            mode,
            policy: self.parsed("--policy", raw.policy.as_deref(), "lru")?,
            virtual_nodes,
            lease_ttl: time("--lease-ttl", raw.lease_ttl.as_deref(), "30s")?,
            heartbeat: time("--heartbeat", raw.heartbeat.as_deref(), "10s")?,
            self_check: time("--self-check", raw.self_check.as_deref(), "1500ms")?,
            fence_after: time("--fence-after", raw.fence_after.as_deref(), "5s")?,
            join_delay: time_or_none("--join-delay", raw.join_delay.as_deref(), "10s")?,
            seal_budget: time("--seal-budget", raw.seal_budget.as_deref(), "20ms")?,
        })
    }

    pub(super) fn registry(&self) -> Result<RegistrySettings, ConfigError> {
        let raw = self.raw;
        let Some(endpoints) = raw.etcd.clone() else {
            let lone = [
                ("--etcd-user", &raw.etcd_user),
                ("--etcd-password-file", &raw.etcd_password_file),
                ("--etcd-ca", &raw.etcd_ca),
                ("--etcd-cert", &raw.etcd_cert),
                ("--etcd-key", &raw.etcd_key),
            ];
            return match lone.iter().find(|(_, value)| value.is_some()) {
                Some((flag, _)) => Err(ConfigError::new(*flag, "says nothing without --etcd")),
                None => Ok(RegistrySettings::Embedded),
            };
        };
        if endpoints.is_empty() || endpoints.iter().any(|endpoint| endpoint.trim().is_empty()) {
            return Err(ConfigError::new(
                "--etcd",
                "an endpoint is empty; it needs HOST:PORT",
            ));
        }
        let password = raw.etcd_password_file.as_deref();
        let user = ("--etcd-user", raw.etcd_user.as_deref());
        let credentials = both(user, ("--etcd-password-file", password))?;
        let cert = ("--etcd-cert", raw.etcd_cert.as_deref());
        let client = both(cert, ("--etcd-key", raw.etcd_key.as_deref()))?;
        Ok(RegistrySettings::Etcd {
            endpoints,
            credentials: credentials.map(|(user, file)| (user.to_owned(), file.into())),
            ca: raw.etcd_ca.as_deref().map(PathBuf::from),
            client: client.map(|(cert, key)| (cert.into(), key.into())),
        })
    }

    pub(super) fn getter(&self) -> Result<Option<GetterSettings>, ConfigError> {
        let raw = self.raw;
        if !raw.enable_getter.unwrap_or(false) {
            return match &raw.origin {
                Some(_) => Err(ConfigError::new(
                    "--origin",
                    "says nothing without --enable-getter",
                )),
                None => Ok(None),
            };
        }
        let concurrency = raw.origin_concurrency.unwrap_or(64);
        within("--origin-concurrency", concurrency as u64, 1, 10_000)?;
        let negative = raw.origin_negative_ttl.as_deref();
        Ok(Some(GetterSettings {
            origin: raw.origin.clone(),
            timeout: time("--origin-timeout", raw.origin_timeout.as_deref(), "2s")?,
            concurrency,
            negative_ttl: time("--origin-negative-ttl", negative, "5s")?,
        }))
    }

    pub(super) fn limits(&self) -> Result<Limits, ConfigError> {
        let raw = self.raw;
        let memory_bytes = size("--memory", raw.memory.as_deref(), 1 << 30)?;
        within("--memory", memory_bytes, 1 << 20, 1 << 50)?;
        let value_bytes_max = size(
            "--max-value",
            raw.max_value.as_deref(),
            VALUE_BYTES_DEFAULT as u64,
        )?;
        within(
            "--max-value",
            value_bytes_max,
            1,
            VALUE_BYTES_CEILING as u64,
        )?;
        let connections_max = raw.max_connections.unwrap_or(10_000);
        within("--max-connections", connections_max as u64, 1, 1_000_000)?;
        let retries = raw.retries.unwrap_or(2);
        within("--retries", retries.into(), 0, 10)?;
        let blacklist_after = raw.blacklist_after.unwrap_or(3);
        within("--blacklist-after", blacklist_after.into(), 1, 1_000)?;
        Ok(Limits {
            memory_bytes,
            value_bytes_max: value_bytes_max as usize,
            connections_max,
            request_timeout: time("--request-timeout", raw.request_timeout.as_deref(), "3s")?,
            retries,
            blacklist_after,
            blacklist_for: time("--blacklist-for", raw.blacklist_for.as_deref(), "5m")?,
            drain_deadline: time("--drain-deadline", raw.drain_deadline.as_deref(), "30s")?,
        })
    }

    pub(super) fn security(&self) -> Result<Security, ConfigError> {
        let raw = self.raw;
        let cert = ("--tls-cert", raw.tls_cert.as_deref());
        let tls = both(cert, ("--tls-key", raw.tls_key.as_deref()))?;
        let client_auth = match raw.tls_client_auth.as_deref().unwrap_or("none") {
            "none" => ClientAuth::None,
            "peers" => ClientAuth::Peers,
            "all" => ClientAuth::All,
            other => {
                let problem = format!("{other:?} is not none, peers or all");
                return Err(ConfigError::new("--tls-client-auth", problem));
            }
        };
        if tls.is_none() && (client_auth != ClientAuth::None || raw.tls_ca.is_some()) {
            let flag = if raw.tls_ca.is_some() {
                "--tls-ca"
            } else {
                "--tls-client-auth"
            };
            return Err(ConfigError::new(
                flag,
                "says nothing without --tls-cert and --tls-key",
            ));
        }
        if tls.is_some() && raw.tls_ca.is_none() {
            let problem = "is needed with --tls-cert, to know the other nodes by";
            return Err(ConfigError::new("--tls-ca", problem));
        }
        Ok(Security {
            token_file: raw.token_file.as_deref().map(PathBuf::from),
            tls: tls.map(|(cert, key)| (cert.into(), key.into())),
            tls_ca: raw.tls_ca.as_deref().map(PathBuf::from),
            client_auth,
        })
    }

    pub(super) fn log(&self) -> Result<LogSettings, ConfigError> {
        let json = match self.raw.log_format.as_deref().unwrap_or("text") {
            "text" => false,
            "json" => true,
            other => {
                let problem = format!("{other:?} is not text or json");
                return Err(ConfigError::new("--log-format", problem));
            }
        };
        let filter = self.raw.log.clone().unwrap_or_else(|| "info".to_owned());
        Ok(LogSettings { filter, json })
    }
}

fn within(flag: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(
        flag,
        format!("{value} is not between {least} and {most}"),
    ))
}

/// Two settings that only make sense together.
fn both<'a>(
    one: (&str, Option<&'a str>),
    other: (&str, Option<&'a str>),
) -> Result<Option<(&'a str, &'a str)>, ConfigError> {
    match (one.1, other.1) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new(
            one.0,
            format!("needs {} as well", other.0),
        )),
        (None, Some(_)) => Err(ConfigError::new(
            other.0,
            format!("needs {} as well", one.0),
        )),
    }
}

fn time(flag: &str, written: Option<&str>, default: &str) -> Result<Duration, ConfigError> {
    let text = written.unwrap_or(default);
    let time = time_or_none(flag, written, default)?;
    if time.is_zero() {
        let problem = format!("{text} is not between 1ns and 24h");
        return Err(ConfigError::new(flag, problem));
    }
    Ok(time)
}

/// An address that others can be told.
fn check_address(flag: &str, address: &str) -> Result<(), ConfigError> {
    let parts = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty());
    let port = parts.and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none_or(|port| port == 0) {
        let problem = format!("{address:?} is not HOST:PORT");
        return Err(ConfigError::new(flag, problem));
    }
    Ok(())
}

/// An address to bind: a port alone is one at the usual host.
fn bind(flag: &str, text: &str, usual: &str) -> Result<HostPort, ConfigError> {
    let (host, port) = text.rsplit_once(':').unwrap_or((usual, text));
    match port.parse() {
        Ok(port) if !host.is_empty() && !host.contains(char::is_whitespace) => Ok(HostPort {
            host: host.to_owned(),
            port,
        }),
        _ => {
            let problem = format!("{text:?} is neither HOST:PORT nor PORT");
            Err(ConfigError::new(flag, problem))
        }
    }
}

/// A time that may be 0.
fn time_or_none(flag: &str, written: Option<&str>, default: &str) -> Result<Duration, ConfigError> {
    let text = written.unwrap_or(default);
    let time = humantime::parse_duration(text).map_err(|_| {
        ConfigError::new(
            flag,
            format!("{text:?} is no time; write it as 500ms, 30s or 5m"),
        )
    })?;
    if time > TIME_MAX {
        let problem = format!("{text} is more than 24h");
        return Err(ConfigError::new(flag, problem));
    }
    Ok(time)
}

fn size(flag: &str, written: Option<&str>, default: u64) -> Result<u64, ConfigError> {
    let Some(text) = written else {
        return Ok(default);
    };
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| {
            ConfigError::new(
                flag,
                format!("{text:?} is no size; write it as 512MiB or 4GiB"),
            )
        })
}

/// See [`Config::describe`].
pub(super) fn describe(config: &Config, origins: &BTreeMap<String, Origin>) -> String {
    let mut lines = String::new();
    for (name, value) in values(config) {
        let origin = origins.get(name).cloned().unwrap_or(Origin::Default);
        lines.push_str(&format!("{name:<20} {value:<32} {origin}\n"));
    }
    lines
}

type Value = (&'static str, String);

fn values(config: &Config) -> Vec<Value> {
    let mut values = process_values(config);
    values.extend(registry_values(&config.registry));
    values.extend(cluster_values(&config.cluster));
    values.extend(getter_values(config.getter.as_ref()));
    values.extend(limit_values(&config.limits));
    values.extend(security_values(&config.security));
    values.push(("log", config.log.filter.clone()));
    let format = if config.log.json { "json" } else { "text" };
    values.push(("log-format", format.to_owned()));
    values
}

fn process_values(config: &Config) -> Vec<Value> {
    let Config {
        role,
        listen,
        resp,
        group,
        ..
    } = config;
    let mut values = vec![("api", (*role == Role::Gateway).to_string())];
    if let Role::Node {
        name,
        weight,
        zone,
        standby,
    } = role
    {
        let usual = || format!("node-{}", listen.port);
        values.push((
            "name",
            name.as_ref().map_or_else(usual, |name| name.to_string()),
        ));
        values.push(("weight", weight.to_string()));
        values.push(("standby", standby.to_string()));
        values.push((
            "zone",
            if zone.is_empty() {
                "-".to_owned()
            } else {
                zone.clone()
            },
        ));
    }
    let reachable = format!("{}:{}", listen.host, listen.port);
    values.extend([
        ("host", listen.host.clone()),
        ("port", listen.port.to_string()),
        ("advertise", listen.advertise.clone().unwrap_or(reachable)),
        ("groupname", group.to_string()),
    ]);
    let address = |bind: &Option<HostPort>| match bind {
        Some(HostPort { host, port }) => format!("{host}:{port}"),
        None => "-".to_owned(),
    };
    values.extend([
        ("resp", address(&resp.plain)),
        ("resp-cluster", address(&resp.cluster)),
    ]);
    if let Some(advertise) = &resp.advertise {
        values.push(("resp-advertise", advertise.clone()));
    }
    values
}

fn registry_values(registry: &RegistrySettings) -> Vec<Value> {
    match registry {
        RegistrySettings::Embedded => vec![("etcd", "- (inside this process)".to_owned())],
        RegistrySettings::Etcd {
            endpoints,
            credentials,
            ca,
            client,
        } => vec![
            ("etcd", endpoints.join(",")),
            (
                "etcd-user",
                credentials
                    .as_ref()
                    .map_or("-", |(user, _)| user)
                    .to_owned(),
            ),
            ("etcd-ca", path(ca.as_ref())),
            ("etcd-cert", path(client.as_ref().map(|(cert, _)| cert))),
        ],
    }
}

fn cluster_values(cluster: &ClusterSettings) -> Vec<Value> {
    vec![
        ("cluster", cluster.name.to_string()),
        ("expect", cluster.expect.to_string()),
        ("hash", cluster.hash.to_string()),
        ("mode", cluster.mode.to_string()),
        ("policy", cluster.policy.to_string()),
        ("virtual-nodes", cluster.virtual_nodes.to_string()),
        ("lease-ttl", shown(cluster.lease_ttl)),
        ("heartbeat", shown(cluster.heartbeat)),
        ("self-check", shown(cluster.self_check)),
        ("fence-after", shown(cluster.fence_after)),
        ("join-delay", shown(cluster.join_delay)),
        ("seal-budget", shown(cluster.seal_budget)),
    ]
}

fn getter_values(getter: Option<&GetterSettings>) -> Vec<Value> {
    let mut values = vec![("enable-getter", getter.is_some().to_string())];
    if let Some(getter) = getter {
        let origin = getter.origin.as_deref().unwrap_or("demonstration table");
        values.extend([
            ("origin", hide_secrets(origin)),
            ("origin-timeout", shown(getter.timeout)),
            ("origin-concurrency", getter.concurrency.to_string()),
            ("origin-negative-ttl", shown(getter.negative_ttl)),
        ]);
    }
    values
}

fn limit_values(limits: &Limits) -> Vec<Value> {
    let bytes = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
    vec![
        ("memory", bytes(limits.memory_bytes)),
        ("max-value", bytes(limits.value_bytes_max as u64)),
        ("max-connections", limits.connections_max.to_string()),
        ("request-timeout", shown(limits.request_timeout)),
        ("retries", limits.retries.to_string()),
        ("blacklist-after", limits.blacklist_after.to_string()),
        ("blacklist-for", shown(limits.blacklist_for)),
        ("drain-deadline", shown(limits.drain_deadline)),
    ]
}

fn security_values(security: &Security) -> Vec<Value> {
    vec![
        ("token-file", path(security.token_file.as_ref())),
        (
            "tls-cert",
            path(security.tls.as_ref().map(|(cert, _)| cert)),
        ),
        ("tls-ca", path(security.tls_ca.as_ref())),
        (
            "tls-client-auth",
            format!("{:?}", security.client_auth).to_lowercase(),
        ),
    ]
}

fn path(path: Option<&PathBuf>) -> String {
    path.map_or("-".to_owned(), |path| path.display().to_string())
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// An origin's URL without user, password and query.
fn hide_secrets(origin: &str) -> String {
    let plain = origin.split_once('?').map_or(origin, |(plain, _)| plain);
    match plain
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1)))
    {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => plain.to_owned(),
    }
}
