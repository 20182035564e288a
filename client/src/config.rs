//! What a program decides about its client: where the cluster is, and limits.

use std::fmt;
use std::time::Duration;

use cached_proto::types::{ClusterName, GroupName};

use crate::connections::{ConnectOptions, TlsOptions, Token};

/// The default group of a cluster that does not say otherwise: etcd does not hold it.
pub const DEFAULT_GROUP: &str = "default-group";

/// Where a client finds the cluster.
#[derive(Clone, Debug)]
pub enum Seeds {
    /// Any nodes or gateways, `host:port` or `http(s)://host:port`; tried in parallel.
    Nodes(Vec<String>),
    /// etcd's endpoints; members and table are read from there.
    Etcd(EtcdSeed),
}

/// Where the cluster's etcd is, and how to be let in.
#[derive(Clone)]
pub struct EtcdSeed {
    /// `host:port` or URLs.
    pub endpoints: Vec<String>,
    /// Which cluster.
    pub cluster: ClusterName,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// Certificates; `None`: plaintext.
    pub tls: Option<TlsOptions>,
    /// Bound of each call to etcd. 2 s by default: an etcd that is healthy answers in
    /// milliseconds, one that elects a leader within about a second.
    pub timeout: Duration,
}

impl EtcdSeed {
    /// Plaintext and without a password.
    pub fn new(
        endpoints: impl IntoIterator<Item = impl Into<String>>,
        cluster: ClusterName,
    ) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            cluster,
            credentials: None,
            tls: None,
            timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for EtcdSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSeed")
            .field("endpoints", &self.endpoints)
            .field("cluster", &self.cluster)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// How a client behaves.
///
/// ```
/// # use cached_client::{Options, Token};
/// # use std::time::Duration;
/// let options = Options::nodes(["127.0.0.1:8001", "127.0.0.1:8002"])
///     .group("sessions".parse()?)
///     .token(Token::new("open sesame")?)
///     .timeout(Duration::from_millis(500));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster is.
    pub seeds: Seeds,
    /// Group of all calls; `None`: the cluster's default group.
    pub group: Option<GroupName>,
    /// Bound of one call, retries included. 3 s by default.
    pub timeout: Duration,
    /// Attempts after the first. 2 by default.
    pub retries: u32,
    /// Token and TLS.
    pub connect: ConnectOptions,
}

impl Options {
    /// Defaults, with these seeds.
    pub fn new(seeds: Seeds) -> Self {
        Self {
            seeds,
            group: None,
            timeout: Duration::from_secs(3),
            retries: 2,
            connect: ConnectOptions::default(),
        }
    }

    /// Finds the cluster through any of these nodes or gateways.
    pub fn nodes(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(Seeds::Nodes(
            addresses.into_iter().map(Into::into).collect(),
        ))
    }

    /// Finds the cluster through its etcd.
    pub fn etcd(
        endpoints: impl IntoIterator<Item = impl Into<String>>,
        cluster: ClusterName,
    ) -> Self {
        Self::new(Seeds::Etcd(EtcdSeed::new(endpoints, cluster)))
    }

    /// Works on this group instead of the cluster's default group.
    pub fn group(mut self, group: GroupName) -> Self {
        self.group = Some(group);
        self
    }

    /// Sends this bearer token with every call.
    pub fn token(mut self, token: Token) -> Self {
        self.connect.token = Some(token);
        self
    }

    /// Speaks TLS to the nodes.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.connect.tls = Some(tls);
        self
    }

    /// Bounds every call, retries included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Tries again so many times.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let mut seed = EtcdSeed::new(["e:2379"], ClusterName::new("prod").unwrap());
        seed.credentials = Some(("root".to_owned(), "hush".to_owned()));
        let shown = format!("{:?}", Options::new(Seeds::Etcd(seed)));
        assert!(shown.contains("root") && !shown.contains("hush"), "{shown}");
    }
}
