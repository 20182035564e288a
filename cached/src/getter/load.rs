//! One load: its turn, its token, its bound in time, and what is stored of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::Entry;
use cached_proto::types::{GroupName, Key, Ttl, Version};
use futures_util::FutureExt;
use tokio::sync::SemaphorePermit;

use super::flight::{Boarding, Flight, Landing, Seat};
use super::{GetError, Getter, LoadError, Loaded, Wanted};
use crate::clock::WallMs;
use crate::store::{ContainerId, Fill, FillToken, Filled, GroupId, Refused};
use crate::tasks::Stop;

/// How much longer than its load a token lives: time to store what was loaded.
const TOKEN_GRACE: Duration = Duration::from_secs(1);

impl Getter {
    /// Joins or starts the load of a missed key.
    pub(super) fn share_load(self: &Arc<Self>, wanted: &Wanted) -> Result<Arc<Flight>, GetError> {
        let container = self
            .store
            .slot(wanted.slot)
            .ok_or(GetError::NotServed)?
            .container;
        let key = (container, wanted.group_id, wanted.key.clone());
        let now = self.clock.wall();
        // A load whose token is dead may bring what was deleted since: who comes
        // now must not get that.
        let may_join = |flight: &Flight| {
            flight
                .token()
                .is_none_or(|token| self.is_alive(wanted, token, now))
        };
        let boarding = self
            .stored
            .board(&key, may_join)
            .map_err(GetError::Failed)?;
        Ok(self.fly(boarding, |getter, seat, stop| {
            let wanted = wanted.clone();
            async move { getter.load_and_store(&wanted, seat, stop).await }
        }))
    }

    /// Joins or starts a load of which nothing is stored.
    pub(super) fn share_uncached_load(
        self: &Arc<Self>,
        group: &GroupName,
        key: &Key,
    ) -> Result<Arc<Flight>, Failure> {
        let boarding = self
            .uncached
            .board(&(group.clone(), key.clone()), |_| true)?;
        Ok(self.fly(boarding, |getter, seat, stop| {
            let (group, key) = (group.clone(), key.clone());
            async move { getter.load_only(&group, &key, seat, stop).await }
        }))
    }

    fn fly<K, F>(
        self: &Arc<Self>,
        boarding: Boarding<K>,
        load: impl FnOnce(Arc<Self>, Seat<K>, Stop) -> F,
    ) -> Arc<Flight>
    where
        K: Ord,
        F: Future<Output = ()> + Send + 'static,
    {
        match boarding {
            Boarding::Joined(flight) => {
                self.counters.loads_joined.increment();
                flight
            }
            Boarding::Started(seat) => {
                let flight = seat.flight().clone();
                self.tasks
                    .spawn("load", |stop| load(self.clone(), seat, stop));
                flight
            }
        }
    }

    /// Loads for the store: token first, then the origin, then the fill.
    async fn load_and_store(
        &self,
        wanted: &Wanted,
        seat: Seat<(ContainerId, GroupId, Key)>,
        stop: Stop,
    ) {
        let _turn = match self.turn(&stop).await {
            Ok(turn) => turn,
            Err(failure) => return seat.land(Landing::Failed(failure)),
        };
        let until = after(self.clock.wall(), self.config.timeout + TOKEN_GRACE);
        let Wanted {
            slot,
            group_id,
            key,
            ..
        } = wanted;
        let Ok(token) = self.store.begin_fill(*slot, *group_id, key, until) else {
            return seat.land(Landing::Overtaken);
        };
        // Look again: between the callers' miss and this token another load may
        // have filled the key.
        if self
            .store
            .contains(*slot, *group_id, key, self.clock.wall())
        {
            self.store.abandon_fill(*slot, *group_id, key, token);
            return seat.land(Landing::Overtaken);
        }
        seat.flight().start(token);
        let loaded = self.ask_origin(&wanted.group, key, &stop).await;
        let landing = self.store_loaded(wanted, token, loaded);
        seat.land(landing);
    }

    /// Loads for the caller alone.
    async fn load_only(
        &self,
        group: &GroupName,
        key: &Key,
        seat: Seat<(GroupName, Key)>,
        stop: Stop,
    ) {
        let _turn = match self.turn(&stop).await {
            Ok(turn) => turn,
            Err(failure) => return seat.land(Landing::Failed(failure)),
        };
        seat.land(match self.ask_origin(group, key, &stop).await {
            Ok(Loaded::Value { value, ttl, .. }) => {
                self.counters.loads_uncached.increment();
                Landing::Value(entry(value, ttl, None))
            }
            Ok(Loaded::NotThere) => Landing::NotThere,
            Err(error) => failed(&error),
        });
    }

    /// Waits for one of the places at the origin, as long as a load may take.
    async fn turn(&self, stop: &Stop) -> Result<SemaphorePermit<'_>, Failure> {
        let busy = |why: &str| Failure::new(FailureCode::Busy, why);
        tokio::select! {
            biased;
            () = stop.stopped() => Err(busy("this node is stopping")),
            turn = self.turns.acquire() => turn.map_err(|_| busy("this node is stopping")),
            () = self.clock.sleep(self.config.timeout) => {
                let message = format!(
                    "no place at the origin was free within {:?}; {} loads run at a time",
                    self.config.timeout, self.config.concurrency
                );
                Err(busy(&message))
            }
        }
    }

    /// Asks the origin. A panic and a load that never ends are errors like others.
    async fn ask_origin(
        &self,
        group: &GroupName,
        key: &Key,
        stop: &Stop,
    ) -> Result<Loaded, LoadError> {
        self.counters.loads.increment();
        // In an async block, so that a panic before the future exists is caught too.
        let load = AssertUnwindSafe(async { self.origin.load(group, key).await }).catch_unwind();
        let loaded = tokio::select! {
            biased;
            loaded = load => loaded.unwrap_or_else(|_| Err(LoadError("the load panicked".into()))),
            () = stop.stopped() => Err(LoadError("this node is stopping".into())),
            () = self.clock.sleep(self.config.timeout) => {
                Err(LoadError(format!("no answer within {:?}", self.config.timeout)))
            }
        };
        let loaded = loaded.and_then(|loaded| self.within_limit(loaded));
        match &loaded {
            Ok(Loaded::Value { .. }) => {}
            Ok(Loaded::NotThere) => self.counters.loads_not_there.increment(),
            Err(_) => self.counters.load_failures.increment(),
        }
        loaded
    }

    fn within_limit(&self, loaded: Loaded) -> Result<Loaded, LoadError> {
        let limit = self.config.value_bytes_max;
        match &loaded {
            Loaded::Value { value, .. } if value.len() > limit => {
                let bytes = value.len();
                Err(LoadError(format!(
                    "the value has {bytes} bytes; the limit is {limit}"
                )))
            }
            _ => Ok(loaded),
        }
    }

    /// Stores what was loaded if nobody touched the key meanwhile.
    fn store_loaded(
        &self,
        wanted: &Wanted,
        token: FillToken,
        loaded: Result<Loaded, LoadError>,
    ) -> Landing {
        let now = self.clock.wall();
        match loaded {
            Err(error) => {
                self.abandon(wanted, token);
                failed(&error)
            }
            Ok(Loaded::NotThere) => {
                let fill = Fill::Absent {
                    ttl: self.config.negative_ttl,
                };
                self.fill(wanted, token, fill, |_| Landing::NotThere)
            }
            Ok(Loaded::Value {
                value,
                ttl,
                no_store: false,
            }) => {
                let ttl = ttl.or(wanted.default_ttl);
                let fill = Fill::Value {
                    value: value.clone(),
                    ttl,
                };
                self.fill(wanted, token, fill, |version| {
                    Landing::Value(entry(value, ttl, version))
                })
            }
            Ok(Loaded::Value { no_store: true, .. })
                if !self.is_alive(wanted, token, now) && !self.is_away(wanted) =>
            {
                Landing::Overtaken
            }
            Ok(Loaded::Value {
                value,
                ttl,
                no_store: true,
            }) => {
                self.abandon(wanted, token);
                self.counters.loads_uncached.increment();
                Landing::Value(entry(value, ttl, None))
            }
        }
    }

    fn fill(
        &self,
        wanted: &Wanted,
        token: FillToken,
        fill: Fill,
        landing: impl FnOnce(Option<Version>) -> Landing,
    ) -> Landing {
        let Wanted {
            slot,
            group_id,
            key,
            ..
        } = wanted;
        let now = self.clock.wall();
        let alive = self.is_alive(wanted, token, now);
        match self.store.fill(*slot, *group_id, key, token, fill, now) {
            Ok(Filled::Stored(version)) => landing(Some(version)),
            // It does not fit, or its slot takes no writes while it moves, which is no
            // reason to keep it from the caller.
            Err(refused @ (Refused::TooLarge { .. } | Refused::Congested(_))) if alive => {
                tracing::debug!(%refused, "loaded, handed out and not stored");
                self.counters.loads_uncached.increment();
                landing(None)
            }
            Ok(Filled::Rejected) | Err(_) if self.is_away(wanted) => {
                self.counters.loads_uncached.increment();
                landing(None)
            }
            Ok(Filled::Rejected) | Err(_) => Landing::Overtaken,
        }
    }

    /// Whether the slot serves here no more, or not now. Those who wait came before it was
    /// sealed, so what was loaded is an answer for them, whatever happened since (R35);
    /// loading it again at the new owner would take their time twice.
    fn is_away(&self, wanted: &Wanted) -> bool {
        let serving = self.store.slot(wanted.slot);
        serving.is_none_or(|slot| slot.sealed)
    }

    fn abandon(&self, wanted: &Wanted, token: FillToken) {
        self.store
            .abandon_fill(wanted.slot, wanted.group_id, &wanted.key, token);
    }

    fn is_alive(&self, wanted: &Wanted, token: FillToken, now: WallMs) -> bool {
        self.store
            .fill_alive(wanted.slot, wanted.group_id, &wanted.key, token, now)
    }
}

fn after(now: WallMs, pause: Duration) -> WallMs {
    WallMs(
        now.0
            .saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
    )
}

fn failed(error: &LoadError) -> Landing {
    Landing::Failed(Failure::new(FailureCode::Origin, error.to_string()))
}

/// What callers get of a loaded value; without a version it is not stored.
fn entry(value: bytes::Bytes, ttl: Option<Ttl>, version: Option<Version>) -> Entry {
    let value_bytes = value.len() as u64;
    let uncached = version.is_none();
    let ttl_ms = ttl.filter(|_| !uncached).map(Ttl::as_ms);
    Entry {
        value,
        version,
        ttl_ms,
        value_bytes,
        loaded: true,
        uncached,
    }
}
