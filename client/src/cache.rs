//! The client: get, set, delete and the like, each sent to the owner of its key.

use std::sync::Arc;

use bytes::Bytes;
use cached_proto::operation::{Answer, Condition, Entry, Operation, Reply};
use cached_proto::types::{GroupName, Key, Ttl, Version};
use cached_proto::update::{Update, Updated};
use futures_util::stream::{self, Stream};

use crate::admin::Admin;
use crate::ask::check_seeds;
use crate::backoff::Backoff;
use crate::call::{Shared, wrong_answer};
use crate::config::{Options, Seeds};
use crate::connections::{Connections, Token};
use crate::error::Error;
use crate::topology::{Cell, Follower, Known, Location, Topology, nodes};

/// A connection to a cluster. Clones share everything; when the last is dropped, the
/// task that follows the topology ends.
///
/// Every call ends within the timeout of [`Options`], retries included. Dropping the
/// future of a call abandons it: a write may then have been applied or not.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    group: Option<GroupName>,
}

impl Client {
    /// Finds the cluster and learns its topology. Fails when no seed answers in time.
    ///
    /// ```no_run
    /// # use cached_client::{Client, Options};
    /// # async fn example() -> Result<(), cached_client::Error> {
    /// let client = Client::connect(Options::nodes(["127.0.0.1:8001"])).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let connections = Connections::new(options.connect);
        let (cell, follower) = match options.seeds {
            Seeds::Nodes(seeds) => {
                let seeds = check_seeds(&seeds)?;
                let (topology, feed) =
                    nodes::open(&connections, seeds.to_vec(), options.timeout).await?;
                let cell = Cell::new(Known::new(topology, seeds));
                let (of, over) = (cell.clone(), connections.clone());
                let following = async move { nodes::follow(&of, &over, feed).await };
                (cell, Follower::start(following))
            }
            Seeds::Etcd(seed) => {
                let cell = Cell::new(Known::new(seed.topology().await?, Arc::new([])));
                let following = seed.follow(cell.clone());
                (cell, Follower::start(following))
            }
        };
        let shared = Shared {
            connections,
            cell,
            timeout: options.timeout,
            backoff: Backoff::call(options.retries),
            _follower: follower,
        };
        Ok(Self {
            shared: Arc::new(shared),
            group: options.group,
        })
    }

    /// The same client working on another group.
    pub fn with_group(&self, group: GroupName) -> Self {
        Self {
            shared: self.shared.clone(),
            group: Some(group),
        }
    }

    /// Replaces the bearer token of all calls that begin from now on, of all clones.
    pub fn set_token(&self, token: Option<Token>) {
        self.shared.connections.set_token(token);
    }

    /// The topology as it is known now.
    pub fn topology(&self) -> Arc<Topology> {
        self.shared.cell.load().topology.clone()
    }

    /// The topology now, and each newer one. It never ends; topologies that come
    /// faster than they are taken are skipped.
    ///
    /// ```no_run
    /// # use cached_client::Client;
    /// # use futures_util::StreamExt;
    /// # async fn example(client: Client) {
    /// let mut topologies = std::pin::pin!(client.watch_topology());
    /// while let Some(topology) = topologies.next().await {
    ///     println!("layout {}: {} members", topology.layout, topology.members.len());
    /// }
    /// # }
    /// ```
    pub fn watch_topology(&self) -> impl Stream<Item = Arc<Topology>> + Send + 'static {
        let first = (self.shared.clone(), None);
        stream::unfold(
            first,
            |(shared, seen): (Arc<Shared>, Option<Arc<Topology>>)| async move {
                let topology = match seen {
                    None => shared.cell.load().topology.clone(),
                    Some(seen) => shared.cell.other_than(&seen).await,
                };
                Some((topology.clone(), (shared, Some(topology))))
            },
        )
    }

    /// Reads an entry; `None` is a miss.
    ///
    /// ```no_run
    /// # use cached_client::Client;
    /// # async fn example(client: Client) -> Result<(), cached_client::Error> {
    /// match client.get("user:1").await? {
    ///     Some(entry) => println!("{} bytes", entry.value.len()),
    ///     None => println!("a miss"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Entry>, Error> {
        let operation = Operation::Get {
            key: Key::new(key)?,
            no_load: false,
            metadata_only: false,
        };
        match self.execute(operation).await?.reply {
            Reply::Get(entry) => Ok(entry),
            _ => Err(wrong_answer("did not answer a get")),
        }
    }

    /// Writes an entry, whatever is there. `ttl` `None`: the group's default, else for
    /// ever.
    ///
    /// ```no_run
    /// # use cached_client::{Client, types::Ttl};
    /// # async fn example(client: Client) -> Result<(), cached_client::Error> {
    /// let version = client.set("user:1", "Ann", Some(Ttl::from_ms(60_000)?)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        ttl: Option<Ttl>,
    ) -> Result<Version, Error> {
        let stored = self.set_if(key, value, ttl, Condition::Always).await?;
        stored.ok_or_else(|| wrong_answer("did not store what had no condition"))
    }

    /// Writes an entry if `condition` holds; `None`: it did not. Unlike [`Client::set`]
    /// this is not tried again when nobody knows whether it was applied.
    ///
    /// ```no_run
    /// # use cached_client::{Client, operation::Condition};
    /// # async fn example(client: Client) -> Result<(), cached_client::Error> {
    /// let Some(entry) = client.get("n").await? else { return Ok(()) };
    /// let Some(seen) = entry.version else { return Ok(()) };
    /// let swapped = client.set_if("n", "2", None, Condition::IfVersion(seen)).await?;
    /// println!("{}", if swapped.is_some() { "swapped" } else { "somebody was faster" });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_if(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        ttl: Option<Ttl>,
        condition: Condition,
    ) -> Result<Option<Version>, Error> {
        let (key, value) = (Key::new(key)?, value.into());
        match self
            .execute(Operation::Set {
                key,
                value,
                ttl,
                condition,
            })
            .await?
            .reply
        {
            Reply::Set { stored: false, .. } => Ok(None),
            Reply::Set {
                stored: true,
                version: Some(version),
            } => Ok(Some(version)),
            _ => Err(wrong_answer("did not answer a set")),
        }
    }

    /// Removes an entry; false: there was none.
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<bool, Error> {
        let operation = Operation::Delete {
            key: Key::new(key)?,
            condition: Condition::Always,
        };
        match self.execute(operation).await?.reply {
            Reply::Delete { deleted, .. } => Ok(deleted),
            _ => Err(wrong_answer("did not answer a delete")),
        }
    }

    /// Sets the time to live (`None`: for ever); false: there was no entry.
    pub async fn touch(&self, key: impl Into<Bytes>, ttl: Option<Ttl>) -> Result<bool, Error> {
        match self
            .execute(Operation::Touch {
                key: Key::new(key)?,
                ttl,
            })
            .await?
            .reply
        {
            Reply::Touch { found } => Ok(found),
            _ => Err(wrong_answer("did not answer a touch")),
        }
    }

    /// Changes an entry depending on what it is, in one step: counters, appends, times
    /// to live with a condition. Not tried again when nobody knows whether it was
    /// applied.
    ///
    /// ```no_run
    /// # use cached_client::{Client, update::{Change, Returns, Update}};
    /// # async fn example(client: Client) -> Result<(), cached_client::Error> {
    /// let increment = Update {
    ///     change: Change::AddInteger(1),
    ///     returns: Returns::Value,
    ///     ..Update::default()
    /// };
    /// if let Some(entry) = client.update("visits", increment).await?.entry {
    ///     println!("visitor {}", String::from_utf8_lossy(&entry.value));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update(&self, key: impl Into<Bytes>, update: Update) -> Result<Updated, Error> {
        let key = Key::new(key)?;
        match self.execute(Operation::Update { key, update }).await?.reply {
            Reply::Update(updated) => Ok(updated),
            _ => Err(wrong_answer("did not answer an update")),
        }
    }

    /// Carries out one operation.
    pub async fn execute(&self, operation: Operation) -> Result<Answer, Error> {
        self.shared.execute(self.group.as_ref(), operation).await
    }

    /// Carries out many, grouped by owner and in parallel; one result for each, in the
    /// same order. A batch is not atomic: some may fail.
    ///
    /// Operations on one key are carried out in their order as long as none of them
    /// has to be sent again; two writes of one key belong in two batches.
    ///
    /// ```no_run
    /// # use cached_client::{Client, operation::Operation, types::Key};
    /// # async fn example(client: Client) -> Result<(), cached_client::Error> {
    /// let mut gets = Vec::new();
    /// for name in ["a", "b", "c"] {
    ///     let key = Key::new(name)?;
    ///     gets.push(Operation::Get { key, no_load: false, metadata_only: false });
    /// }
    /// for result in client.batch(gets).await {
    ///     println!("{:?}", result?.reply);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn batch(&self, operations: Vec<Operation>) -> Vec<Result<Answer, Error>> {
        self.shared.batch(self.group.as_ref(), operations).await
    }

    /// Where a key lives.
    pub fn locate(&self, key: &Key) -> Location {
        self.topology().locate(key)
    }

    /// Operators' calls, to any member.
    pub fn admin(&self) -> Admin {
        let Shared {
            connections,
            cell,
            timeout,
            ..
        } = &*self.shared;
        Admin::of_cluster(connections.clone(), cell.clone(), *timeout)
    }
}
