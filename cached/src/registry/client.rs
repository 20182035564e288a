//! The registry's client: each question as one bounded call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{CompareOp, GetOptions, PutOptions, TxnOp, WatchOptions};
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::links::{Effect, Link, Links};
use super::options::{self, tuned};
use super::watch::record;
use super::{Compare, EmbeddedRegistry, EtcdOptions, Range, RegistryError, Snapshot};
use super::{Txn, TxnOutcome, Watch, Write};

/// In one process an answer takes microseconds; this only bounds a stopped one.
const EMBEDDED_TIMEOUT: Duration = Duration::from_secs(2);

/// One registry. Clones share the connections. Every call ends within the timeout
/// and may be cancelled by dropping it, which leaves a write unknown. None repeats
/// what may have landed; other endpoints are tried as far as that allows.
#[derive(Clone)]
pub struct Registry {
    kind: &'static str,
    links: Arc<Links>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Registry");
        out.field("kind", &self.kind)
            .field("endpoints", &self.endpoints())
            .finish()
    }
}

impl Registry {
    /// A lazily connected etcd; checks the options, does not wait for a server.
    /// Fails with [`RegistryError::Invalid`] only.
    pub async fn etcd(options: EtcdOptions) -> Result<Self, RegistryError> {
        Ok(Self {
            kind: "etcd",
            links: Arc::new(options::links(options)?),
        })
    }

    /// A client of an embedded registry in this process.
    pub async fn embedded(server: &EmbeddedRegistry) -> Result<Self, RegistryError> {
        let server = server.clone();
        let connector = service_fn(move |_| {
            let server = server.clone();
            async move { server.connect().await.map(TokioIo::new) }
        });
        let endpoint = tuned(Endpoint::from_static("http://embedded"));
        let channel = endpoint.connect_with_connector_lazy(connector);
        Ok(Self::over(
            "embedded",
            vec![("embedded".into(), channel)],
            EMBEDDED_TIMEOUT,
        ))
    }

    /// A registry behind channels of the caller's making, each with a name for
    /// people: lets a simulation bring its own transport. At least one channel.
    pub fn over(kind: &'static str, channels: Vec<(String, Channel)>, timeout: Duration) -> Self {
        let links = channels
            .into_iter()
            .map(|(name, channel)| Link::new(name, channel, None));
        Self {
            kind,
            links: Arc::new(Links::new(links.collect(), timeout)),
        }
    }

    /// "etcd" or "embedded".
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Endpoints, for people; without credentials.
    pub fn endpoints(&self) -> Vec<String> {
        self.links.names()
    }

    /// The server's version, as "3.5.30".
    pub async fn server_version(&self) -> Result<String, RegistryError> {
        let status = self.links.call(Effect::Repeatable, |mut stubs| async move {
            stubs.maintenance.status().await
        });
        Ok(status.await?.version().into())
    }

    /// A linearizable read.
    pub async fn read(&self, range: Range) -> Result<Snapshot, RegistryError> {
        let (key, options) = match range {
            Range::Key(key) => (key, GetOptions::new()),
            Range::Prefix(prefix) => (prefix, GetOptions::new().with_prefix()),
            Range::PrefixSince(prefix, revision) => (
                prefix,
                GetOptions::new()
                    .with_prefix()
                    .with_min_mod_revision(revision),
            ),
        };
        let answer = self.links.call(Effect::Repeatable, |mut stubs| {
            let (key, options) = (key.clone(), options.clone());
            async move { stubs.kv.get(key, Some(options)).await }
        });
        let mut answer = answer.await?;
        let revision = answer.header().map_or(0, |header| header.revision());
        let records = answer
            .take_kvs()
            .into_iter()
            .map(|kv| record(kv.0))
            .collect();
        Ok(Snapshot { revision, records })
    }

    /// A transaction. [`RegistryError::LeaseGone`] when a put names a lease that is
    /// not there: then nothing was written.
    pub async fn txn(&self, txn: Txn) -> Result<TxnOutcome, RegistryError> {
        let txn = etcd_txn(txn);
        let answer = self.links.call(Effect::Once, |mut stubs| {
            let txn = txn.clone();
            async move { stubs.kv.txn(txn).await }
        });
        let answer = answer.await?;
        let revision = answer.header().map_or(0, |header| header.revision());
        Ok(TxnOutcome {
            succeeded: answer.succeeded(),
            revision,
        })
    }

    /// A new lease; answers its id and the granted time to live. The registry
    /// counts in whole seconds; a fraction is rounded up.
    pub async fn grant(&self, ttl: Duration) -> Result<(i64, Duration), RegistryError> {
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(whole).unwrap_or(i64::MAX).max(1);
        let answer = self.links.call(Effect::Once, |mut stubs| async move {
            stubs.lease.grant(seconds, None).await
        });
        let answer = answer.await?;
        Ok((answer.id(), whole_seconds(answer.ttl())))
    }

    /// Keeps a lease alive once; [`RegistryError::LeaseGone`] when it is not there.
    /// An answer proves nothing about the member key: see the self-check.
    pub async fn keep_alive(&self, lease: i64) -> Result<Duration, RegistryError> {
        // A fresh stream each time, because one that broke once stays broken. The
        // first answer on it is swallowed by etcd-client, so it is asked twice.
        let answer = self.links.call(Effect::Repeatable, |mut stubs| async move {
            let (mut keeper, mut answers) = stubs.lease.keep_alive(lease).await?;
            keeper.keep_alive().await?;
            answers.message().await
        });
        match answer.await? {
            Some(answer) if answer.ttl() > 0 => Ok(whole_seconds(answer.ttl())),
            Some(_) => Err(RegistryError::LeaseGone),
            None => Err(RegistryError::Unknown("the keep-alive stream ended".into())),
        }
    }

    /// Ends a lease and deletes its keys; [`RegistryError::LeaseGone`] when it is
    /// not there.
    pub async fn revoke(&self, lease: i64) -> Result<(), RegistryError> {
        let answer = self.links.call(Effect::Once, |mut stubs| async move {
            stubs.lease.revoke(lease).await
        });
        answer.await.map(|_| ())
    }

    /// Changes of all keys that start with `prefix`, from `revision` on (0: from
    /// now on). Returns when the registry has taken it up; that `revision` is
    /// compacted is said by the first [`Watch::next`].
    pub async fn watch(&self, prefix: &str, revision: i64) -> Result<Watch, RegistryError> {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(revision)
            .with_progress_notify()
            .with_fragment();
        let opened = self.links.call(Effect::Repeatable, |mut stubs| {
            let (prefix, options) = (prefix.to_owned(), options.clone());
            async move {
                let mut stream = stubs.watch.watch(prefix, Some(options)).await?;
                let first = stream.message().await?;
                Ok((stream, first))
            }
        });
        let (stream, first) = opened.await?;
        Watch::opened(stream, first, revision)
    }

    /// Forgets what happened before `revision`.
    #[cfg(test)]
    pub(super) async fn compact(&self, revision: i64) -> Result<(), RegistryError> {
        let answer = self.links.call(Effect::Once, |mut stubs| async move {
            stubs.kv.compact(revision, None).await
        });
        answer.await.map(|_| ())
    }
}

fn etcd_txn(txn: Txn) -> etcd_client::Txn {
    let compares = txn.compares.into_iter().map(|compare| match compare {
        Compare::CreateRevision(key, revision) => {
            etcd_client::Compare::create_revision(key, CompareOp::Equal, revision)
        }
        Compare::ModRevision(key, revision) => {
            etcd_client::Compare::mod_revision(key, CompareOp::Equal, revision)
        }
    });
    let writes = txn.writes.into_iter().map(|write| match write {
        Write::Put { key, value, lease } => {
            TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease)))
        }
        Write::Delete(key) => TxnOp::delete(key, None),
    });
    let (compares, writes): (Vec<_>, Vec<_>) = (compares.collect(), writes.collect());
    etcd_client::Txn::new().when(compares).and_then(writes)
}

fn whole_seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
