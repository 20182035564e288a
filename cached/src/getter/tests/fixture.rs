//! A getter with a real store and an origin that waits to be released.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached_proto::operation::{Condition, Entry, Operation, Reply};
use cached_proto::types::{Epoch, GroupName, Key, Slot};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::getter::{
    GetError, Getter, GetterConfig, GetterParts, LoadError, LoadFuture, Loaded, Origin, Wanted,
};
use crate::store::{Executed, GroupId, GroupSettings, Store, StoreConfig};
use crate::tasks::Tasks;

/// What the origin does with a load, after it was released.
pub(super) enum Deed {
    Answer(Result<Loaded, LoadError>),
    Panic,
    Hang,
}

pub(super) fn value(text: &str) -> Deed {
    let value = Bytes::copy_from_slice(text.as_bytes());
    Deed::Answer(Ok(Loaded::Value {
        value,
        ttl: None,
        no_store: false,
    }))
}

pub(super) fn value_not_to_keep(text: &str) -> Deed {
    let value = Bytes::copy_from_slice(text.as_bytes());
    Deed::Answer(Ok(Loaded::Value {
        value,
        ttl: None,
        no_store: true,
    }))
}

/// Takes deeds in the order in which loads start; each ends when released.
#[derive(Debug)]
pub(super) struct Gated {
    deeds: Mutex<VecDeque<Deed>>,
    /// A permit lets one load end.
    gate: Semaphore,
    /// A permit for each load that has started.
    started: Semaphore,
}

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deed")
    }
}

impl Origin for Gated {
    fn load<'a>(&'a self, _: &'a GroupName, _: &'a Key) -> LoadFuture<'a> {
        let deed = self
            .deeds
            .lock()
            .pop_front()
            .expect("a load that the test did not foresee");
        self.started.add_permits(1);
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            match deed {
                Deed::Answer(answer) => answer,
                Deed::Panic => panic!("the origin's own defect"),
                Deed::Hang => std::future::pending().await,
            }
        })
    }

    fn describe(&self) -> String {
        "gated".into()
    }
}

/// A getter for group "g" with one open slot.
pub(super) struct World {
    pub(super) getter: Arc<Getter>,
    pub(super) origin: Arc<Gated>,
    pub(super) store: Arc<Store>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) group: GroupId,
}

pub(super) const SLOT: u16 = 7;

pub(super) fn slot() -> Slot {
    Slot::new(SLOT).unwrap()
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text.to_owned()).unwrap()
}

pub(super) fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

impl World {
    pub(super) fn new(deeds: Vec<Deed>) -> Self {
        Self::with(deeds, |_| {})
    }

    pub(super) fn with(deeds: Vec<Deed>, change: impl FnOnce(&mut GetterConfig)) -> Self {
        let clock = Clock::tokio(1_700_000_000_000);
        let store = Arc::new(Store::new(StoreConfig {
            shards: 2,
            memory_bytes: 1 << 24,
        }));
        let group_id = store.set_group(&group(), GroupSettings::default());
        store.open_slot(slot(), Epoch(1));
        let origin = Arc::new(Gated {
            deeds: Mutex::new(deeds.into()),
            gate: Semaphore::new(0),
            started: Semaphore::new(0),
        });
        let mut config = GetterConfig::new(group(), 1 << 20);
        change(&mut config);
        let counters = Arc::new(Counters::default());
        let tasks = Tasks::new();
        let getter = Getter::new(GetterParts {
            origin: origin.clone(),
            config,
            store: store.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            counters: counters.clone(),
        });
        Self {
            getter,
            origin,
            store,
            counters,
            clock,
            tasks,
            group: group_id,
        }
    }

    pub(super) fn wanted(&self, text: &str) -> Wanted {
        Wanted {
            slot: slot(),
            group: group(),
            group_id: self.group,
            default_ttl: None,
            key: key(text),
            metadata_only: false,
        }
    }

    /// A read that goes on by itself.
    pub(super) fn reader(
        &self,
        text: &str,
    ) -> tokio::task::JoinHandle<Result<Option<Entry>, GetError>> {
        let (getter, wanted) = (self.getter.clone(), self.wanted(text));
        self.tasks
            .spawn("reader", |_| async move { getter.get(&wanted).await })
    }

    /// Lets so many loads end.
    pub(super) fn release(&self, loads: usize) {
        self.origin.gate.add_permits(loads);
    }

    /// Waits until so many more loads have started; a minute is never.
    pub(super) async fn loads_started(&self, loads: u32) {
        tokio::select! {
            biased;
            permit = self.origin.started.acquire_many(loads) => permit.unwrap().forget(),
            () = self.clock.sleep(Duration::from_secs(60)) => panic!("no load starts"),
        }
    }

    /// Waits until nothing moves but the clock.
    pub(super) async fn settle(&self) {
        self.clock.sleep(Duration::from_millis(1)).await;
    }

    pub(super) fn execute(&self, operation: &Operation) -> Reply {
        let now = self.clock.wall();
        match self
            .store
            .execute(slot(), self.group, operation, now)
            .unwrap()
        {
            Executed::Reply(reply) => reply,
            Executed::KnownAbsent => Reply::Get(None),
        }
    }

    pub(super) fn set(&self, text: &str, value: &'static str) {
        let value = Bytes::from_static(value.as_bytes());
        let (key, condition) = (key(text), Condition::Always);
        self.execute(&Operation::Set {
            key,
            value,
            ttl: None,
            condition,
        });
    }

    pub(super) fn delete(&self, text: &str) {
        let (key, condition) = (key(text), Condition::Always);
        self.execute(&Operation::Delete { key, condition });
    }

    /// What the store holds of a key.
    pub(super) fn stored(&self, text: &str) -> Option<Entry> {
        let get = Operation::Get {
            key: key(text),
            no_load: true,
            metadata_only: false,
        };
        match self.execute(&get) {
            Reply::Get(entry) => entry,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn text(entry: &Entry) -> &str {
    std::str::from_utf8(&entry.value).unwrap()
}
