//! Loads what is missed from an origin, once per key in the whole cluster: misses
//! meet at the slot's owner, and there they share one load.
//!
//! Reading order: [`Origin`] (where values come from), [`Getter`] (what happens on
//! a miss), `flight` (who shares a load), `load` (one load and what is stored of
//! it), then the origins [`demo`], [`http`] and [`dir`].

pub mod demo;
pub mod dir;
mod flight;
mod freshness;
pub mod http;
mod load;
mod template;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Entry, Reply};
use cached_proto::types::{GroupName, Invalid, Key, Slot, Ttl};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::store::{ContainerId, Executed, GroupId, Refused, Store};
use crate::tasks::Tasks;
use flight::{Flights, Landing};

/// The flag that names an origin; errors in it say so.
const FLAG: &str = "--origin";

/// Loads that one read waits for. More than one only when a write, delete or
/// flush overtook the load before; three in a row mean that the key is written
/// faster than it can be loaded.
const ROUNDS_MAX: u32 = 3;

/// Advised pause for a read whose key is written faster than it can be loaded.
const OVERTAKEN_PAUSE: Duration = Duration::from_millis(100);

/// An origin's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The value, and how long it may be kept if the origin says so.
    Value {
        /// The value.
        value: Bytes,
        /// How long it may be kept; `None`: the group decides.
        ttl: Option<Ttl>,
        /// The origin forbids keeping it: it is handed out and not stored.
        no_store: bool,
    },
    /// There is no such thing.
    NotThere,
}

/// Why a load failed; callers see it as it is, nothing is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin: {0}")]
pub struct LoadError(pub String);

/// A future of a load.
pub type LoadFuture<'a> = Pin<Box<dyn Future<Output = Result<Loaded, LoadError>> + Send + 'a>>;

/// Where values come from on a miss. Programs that embed a node implement this.
/// A load that panics or never ends harms only itself.
pub trait Origin: Send + Sync + std::fmt::Debug {
    /// Loads one key. The caller bounds the time.
    fn load<'a>(&'a self, group: &'a GroupName, key: &'a Key) -> LoadFuture<'a>;

    /// For people: what it is, without secrets.
    fn describe(&self) -> String;
}

/// The origin that `--origin` names: `http(s)://host/path/{key}` or `dir:PATH`;
/// without one the demo table. Errors name the flag and show an example.
pub fn origin(spec: Option<&str>, value_bytes_max: usize) -> Result<Arc<dyn Origin>, Invalid> {
    Ok(match spec {
        None => Arc::new(demo::Demo),
        Some(spec) => match spec.strip_prefix("dir:") {
            Some(path) => Arc::new(dir::Dir::new(path, value_bytes_max)?),
            None => Arc::new(http::Http::new(spec, value_bytes_max)?),
        },
    })
}

/// How misses are loaded.
#[derive(Clone, Debug)]
pub struct GetterConfig {
    /// Only this group's misses are loaded.
    pub group: GroupName,
    /// Bound of one load, and of waiting for its turn before it.
    pub timeout: Duration,
    /// How long "not there" is remembered, 5 s by default: long enough to spare the
    /// origin a stampede for what does not exist, short enough that nobody waits
    /// long for what has just been created.
    pub negative_ttl: Ttl,
    /// Loads at a time, 64 by default: what a small origin bears.
    pub concurrency: usize,
    /// Longest value that is handed out, in bytes.
    pub value_bytes_max: usize,
}

impl GetterConfig {
    /// The usual figures: timeout 2 s, 64 loads at a time, "not there" for 5 s.
    pub fn new(group: GroupName, value_bytes_max: usize) -> Self {
        Self {
            group,
            timeout: Duration::from_secs(2),
            negative_ttl: Ttl::from_ms(5000).expect("5 s is a lawful time to live"),
            concurrency: 64,
            value_bytes_max,
        }
    }
}

/// What a getter works with.
#[derive(Debug)]
pub struct GetterParts {
    /// Where values come from.
    pub origin: Arc<dyn Origin>,
    /// How.
    pub config: GetterConfig,
    /// Where values go.
    pub store: Arc<Store>,
    /// Time.
    pub clock: Clock,
    /// Where loads run, so that a caller who leaves does not end them.
    pub tasks: Tasks,
    /// Where loads are counted.
    pub counters: Arc<Counters>,
}

/// Fills misses from an origin.
#[derive(Debug)]
pub struct Getter {
    origin: Arc<dyn Origin>,
    config: GetterConfig,
    store: Arc<Store>,
    clock: Clock,
    tasks: Tasks,
    counters: Arc<Counters>,
    turns: Semaphore,
    /// Loads whose value is to be stored, by container: a slot that leaves and
    /// comes back shares no load with its former self.
    stored: Flights<(ContainerId, GroupId, Key)>,
    /// Loads of keys whose owner cannot be asked.
    uncached: Flights<(GroupName, Key)>,
}

/// A missed key, at its owner.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its slot.
    pub slot: Slot,
    /// Its group.
    pub group: GroupName,
    /// The group's number in the store.
    pub group_id: GroupId,
    /// The group's time to live for values of which the origin says nothing.
    pub default_ttl: Option<Ttl>,
    /// The key.
    pub key: Key,
    /// Leave the value out of the answer.
    pub metadata_only: bool,
}

/// Why a miss was not filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetError {
    /// The slot is not served here (any more): ask its owner.
    NotServed,
    /// The load failed, or there was no turn for it.
    Failed(Failure),
}

impl Getter {
    /// A getter without loads.
    pub fn new(parts: GetterParts) -> Arc<Self> {
        let GetterParts {
            origin,
            config,
            store,
            clock,
            tasks,
            counters,
        } = parts;
        let turns = Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        let (stored, uncached) = (Flights::default(), Flights::default());
        Arc::new(Self {
            origin,
            config,
            store,
            clock,
            tasks,
            counters,
            turns,
            stored,
            uncached,
        })
    }

    /// Whether misses of a group are loaded.
    pub fn covers(&self, group: &GroupName) -> bool {
        *group == self.config.group
    }

    /// For people: where values come from.
    pub fn describe(&self) -> String {
        self.origin.describe()
    }

    /// Reads a key at its owner and loads it if it is missed; `None`: the origin
    /// does not have it either. All callers of a key share one load. A set, delete
    /// or flush during the load wins over it: the store is read again, and what is
    /// not there then is loaded again. Cancel-safe: the load goes on without the
    /// caller. Ends within `ROUNDS_MAX` times twice the load's timeout; callers
    /// with less time stop waiting by themselves.
    pub async fn get(self: &Arc<Self>, wanted: &Wanted) -> Result<Option<Entry>, GetError> {
        let Wanted {
            slot,
            group_id,
            key,
            metadata_only,
            ..
        } = wanted;
        for _ in 0..ROUNDS_MAX {
            let now = self.clock.wall();
            match self
                .store
                .try_get(*slot, *group_id, key, *metadata_only, now)
            {
                Ok(None) => {}
                Ok(Some(Executed::Reply(Reply::Get(found)))) => return Ok(found),
                Ok(Some(Executed::KnownAbsent)) => return Ok(None),
                Ok(Some(Executed::Reply(_))) => {
                    let failure =
                        Failure::new(FailureCode::Internal, "a read was answered as a write");
                    return Err(GetError::Failed(failure));
                }
                Err(refused) => return Err(not_served(&refused)),
            }
            let flight = self.share_load(wanted)?;
            let landing = flight.landed().await;
            if landing == Landing::Overtaken {
                continue;
            }
            self.store.count_miss(*slot, *group_id);
            return landing.answer(*metadata_only).map_err(GetError::Failed);
        }
        let message = "the key is written faster than it can be loaded";
        let failure = Failure::new(FailureCode::Unavailable, message).retry_after(OVERTAKEN_PAUSE);
        Err(GetError::Failed(failure))
    }

    /// Loads a key whose owner cannot be asked, and stores nothing. Callers in this
    /// process share one load, so a value may be as old as a load takes.
    /// Cancel-safe, as [`Getter::get`].
    pub async fn get_uncached(
        self: &Arc<Self>,
        group: &GroupName,
        key: &Key,
        metadata_only: bool,
    ) -> Result<Option<Entry>, Failure> {
        let flight = self.share_uncached_load(group, key)?;
        flight.landed().await.answer(metadata_only)
    }
}

fn not_served(refused: &Refused) -> GetError {
    match refused {
        // Whoever asked looks at the slot again, and waits there.
        Refused::NotServed(_) | Refused::Sealed(_) | Refused::Congested(_) => GetError::NotServed,
        Refused::TooLarge { .. } | Refused::Unfit(_) => {
            GetError::Failed(Failure::new(FailureCode::TooLarge, refused.to_string()))
        }
    }
}
