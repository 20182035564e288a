//! Learns the topology from etcd itself: for clients that know no node, and for
//! operators when no node answers.
//!
//! Every call has a bound of its own: an etcd that hangs would hold them for ever.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::records::{BlacklistRecord, GroupRecord, MemberRecord, MetaRecord, PlanRecord};
use cached_proto::registry_keys::RegistryKeys;
use cached_proto::types::{Invalid, NodeName};
use etcd_client::{
    Client, ConnectOptions, EventType, GetOptions, WatchOptions, WatchResponse, WatchStream,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::follow::{Pauses, REFRESH_EVERY, publish};
use super::records::Records;
use super::{Cell, Topology};
use crate::admin::Operation;
use crate::config::EtcdSeed;
use crate::error::Error;

/// HTTP/2 pings, without which a watch on a vanished etcd stays silent for ever.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// How often everything is read anew although a watch runs: watches have lost events
/// (R40). Rarer than nodes do it, because nodes correct a client at once.
const REREAD_EVERY: Duration = Duration::from_secs(60);

/// Largest answer of etcd: the records of 1,000 members take about 3 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What etcd holds of a cluster.
#[derive(Clone, Debug)]
pub struct EtcdPicture {
    /// etcd's revision at the read.
    pub revision: i64,
    /// Members and rows.
    pub topology: Topology,
    /// What was fixed at bootstrap.
    pub meta: MetaRecord,
    /// Pages of the table that exist; the cluster serves when all 256 do.
    pub pages: usize,
    /// Members' own records, by name.
    pub members: Vec<MemberRecord>,
    /// The plan in force.
    pub plan: Option<PlanRecord>,
    /// The member that plans.
    pub planner: Option<NodeName>,
    /// Groups by name.
    pub groups: Vec<GroupRecord>,
    /// Operators' blacklist entries by target.
    pub blacklist: Vec<BlacklistRecord>,
    /// Operations, oldest first, with what was moved for them.
    pub operations: Vec<Operation>,
}

/// Reads everything that etcd holds of a cluster, linearizably.
///
/// Fails with `NotFound` when etcd answers and has no such cluster.
///
/// ```no_run
/// # use cached_client::{EtcdSeed, topology::etcd::read_etcd};
/// # async fn example() -> Result<(), cached_client::Error> {
/// let seed = EtcdSeed::new(["127.0.0.1:2379"], "prod".parse()?);
/// let picture = read_etcd(&seed).await?;
/// println!("layout {} of {} members", picture.topology.layout, picture.members.len());
/// # Ok(())
/// # }
/// ```
pub async fn read_etcd(seed: &EtcdSeed) -> Result<EtcdPicture, Error> {
    let mut reader = Reader::connect(seed).await?;
    let revision = reader.read().await?;
    let topology = reader.topology()?;
    let Records {
        meta,
        plan,
        planner,
        members,
        pages,
        groups,
        blacklist,
        intents: _,
        operations,
        progress,
    } = reader.records;
    let mut operations: Vec<Operation> = operations
        .into_values()
        .map(|record| Operation::of_record(record, &progress))
        .collect();
    operations.sort_by_key(|operation| operation.requested_at_ms);
    Ok(EtcdPicture {
        revision,
        topology,
        meta: meta.ok_or_else(|| no_cluster(seed))?,
        pages: pages.len(),
        members: members.into_values().collect(),
        plan,
        planner,
        groups: groups.into_values().collect(),
        blacklist: blacklist.into_values().collect(),
        operations,
    })
}

impl EtcdSeed {
    /// Reads the topology once.
    pub(crate) async fn topology(&self) -> Result<Topology, Error> {
        let mut reader = Reader::connect(self).await?;
        reader.read().await?;
        reader.topology()
    }

    /// Follows the topology for ever: a new connection after every failure.
    pub(crate) async fn follow(self, cell: Arc<Cell>) {
        let mut pauses = Pauses::new();
        loop {
            let _ended: Result<(), Error> = self.follow_once(&cell).await;
            pauses.pause().await;
        }
    }

    async fn follow_once(&self, cell: &Cell) -> Result<(), Error> {
        let mut reader = Reader::connect(self).await?;
        loop {
            let revision = reader.read().await?;
            if !publish(cell, reader.topology()?) {
                return Ok(());
            }
            let watch = reader.watch(revision + 1).await?;
            reader.follow_watch(cell, watch).await?;
        }
    }
}

/// One connection, and the records read over it.
struct Reader<'a> {
    seed: &'a EtcdSeed,
    keys: RegistryKeys,
    client: Client,
    records: Records,
}

impl<'a> Reader<'a> {
    async fn connect(seed: &'a EtcdSeed) -> Result<Self, Error> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(seed.timeout)
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_auto_token_refresh(true);
        if let Some((user, password)) = &seed.credentials {
            options = options.with_user(user, password);
        }
        if let Some(tls) = &seed.tls {
            options = options.with_tls(tls.to_tonic(seed.timeout)?);
        }
        if seed.endpoints.is_empty() {
            return Err(Invalid::new("etcd", "has no endpoints").into());
        }
        let client = within(seed, Client::connect(&seed.endpoints, Some(options))).await?;
        let keys = RegistryKeys::new(&seed.cluster);
        Ok(Self {
            seed,
            keys,
            client,
            records: Records::default(),
        })
    }

    /// Reads all records anew; answers the revision.
    async fn read(&mut self) -> Result<i64, Error> {
        let mut kv = self
            .client
            .kv_client()
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let all = Some(GetOptions::new().with_prefix());
        let answer = within(self.seed, kv.get(self.keys.prefix(), all)).await?;
        let mut records = Records::default();
        for kv in answer.kvs() {
            if let Some(key) = self.keys.parse(kv.key()) {
                records.apply(key, Some(kv.value()))?;
            }
        }
        self.records = records;
        Ok(answer.header().map_or(0, |header| header.revision()))
    }

    fn topology(&self) -> Result<Topology, Error> {
        self.records
            .topology()?
            .ok_or_else(|| no_cluster(self.seed))
    }

    async fn watch(&mut self, revision: i64) -> Result<WatchStream, Error> {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(revision);
        within(
            self.seed,
            self.client.watch(self.keys.prefix(), Some(options)),
        )
        .await
    }

    /// Publishes every change; ends when everything is to be read anew.
    async fn follow_watch(&mut self, cell: &Cell, mut watch: WatchStream) -> Result<(), Error> {
        let started = Instant::now();
        let mut until = started + REREAD_EVERY;
        loop {
            tokio::select! {
                biased;
                message = watch.message() => {
                    let message = message.map_err(|error| lost(self.seed, &error))?;
                    let message = message.ok_or_else(|| ended(self.seed))?;
                    // Compacted meanwhile, or not allowed: reading anew tells.
                    if message.canceled() {
                        return Err(ended(self.seed));
                    }
                    if self.apply(&message)? && !publish(cell, self.topology()?) {
                        return Ok(());
                    }
                }
                () = sleep_until(until) => return Ok(()),
                () = cell.refresh_asked() => until = until.min(started + REFRESH_EVERY),
            }
        }
    }

    /// Tells whether anything changed.
    fn apply(&mut self, message: &WatchResponse) -> Result<bool, Error> {
        for event in message.events() {
            let Some(kv) = event.kv() else { continue };
            let Some(key) = self.keys.parse(kv.key()) else {
                continue;
            };
            let value = (event.event_type() == EventType::Put).then(|| kv.value());
            self.records.apply(key, value)?;
        }
        Ok(!message.events().is_empty())
    }
}

/// A call with the seed's bound around it.
async fn within<T>(
    seed: &EtcdSeed,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Error> {
    match timeout(seed.timeout, call).await {
        Ok(answer) => answer.map_err(|error| lost(seed, &error)),
        Err(_) => {
            let text = format!("did not answer within {:?}", seed.timeout);
            Err(Error::Unreachable(format!(
                "etcd at {} {text}",
                seed.endpoints.join(", ")
            )))
        }
    }
}

fn lost(seed: &EtcdSeed, error: &etcd_client::Error) -> Error {
    let message = format!("etcd at {}: {error}", seed.endpoints.join(", "));
    match error {
        etcd_client::Error::GRpcStatus(status) => match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::InvalidArgument => {
                Failure::new(FailureCode::Unauthenticated, message).into()
            }
            tonic::Code::PermissionDenied => {
                Failure::new(FailureCode::PermissionDenied, message).into()
            }
            _ => Error::Unreachable(message),
        },
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => {
            Invalid::new("etcd", message).into()
        }
        _ => Error::Unreachable(message),
    }
}

fn ended(seed: &EtcdSeed) -> Error {
    Error::Unreachable(format!(
        "etcd at {}: ended its watch",
        seed.endpoints.join(", ")
    ))
}

fn no_cluster(seed: &EtcdSeed) -> Error {
    let text = format!(
        "etcd at {} has no cluster {:?}: no node has started it yet, or it has another name",
        seed.endpoints.join(", "),
        seed.cluster,
    );
    Failure::new(FailureCode::NotFound, text).into()
}
