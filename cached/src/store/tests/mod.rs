//! Tests of the store through its public interface.

mod bounds;
mod churn;
mod fills;
mod model;
mod moving;
mod operations;
mod policies;
mod reading;
mod slots;
mod stress;
mod traces;
mod updates;

use bytes::Bytes;
use cached_proto::operation::{Condition, Entry, Operation, Reply};
use cached_proto::types::{Epoch, GroupName, Key, Slot, Ttl, Version};

use super::{Executed, GroupCounters, GroupId, GroupSettings, Refused, Store, StoreConfig};
use crate::clock::WallMs;

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text.to_owned()).unwrap()
}

fn ttl(ms: u64) -> Option<Ttl> {
    Some(Ttl::from_ms(ms).unwrap())
}

fn version(epoch: u64, seq: u64) -> Version {
    Version {
        epoch: Epoch(epoch),
        seq,
    }
}

fn get(name: &str) -> Operation {
    Operation::Get {
        key: key(name),
        no_load: false,
        metadata_only: false,
    }
}

fn head(name: &str) -> Operation {
    Operation::Get {
        key: key(name),
        no_load: false,
        metadata_only: true,
    }
}

fn set(name: &str, value: impl Into<Bytes>) -> Operation {
    set_if(name, value, Condition::Always)
}

fn set_if(name: &str, value: impl Into<Bytes>, condition: Condition) -> Operation {
    Operation::Set {
        key: key(name),
        value: value.into(),
        ttl: None,
        condition,
    }
}

fn set_for(name: &str, value: impl Into<Bytes>, ttl: Option<Ttl>) -> Operation {
    Operation::Set {
        key: key(name),
        value: value.into(),
        ttl,
        condition: Condition::Always,
    }
}

fn delete(name: &str) -> Operation {
    delete_if(name, Condition::Always)
}

fn delete_if(name: &str, condition: Condition) -> Operation {
    Operation::Delete {
        key: key(name),
        condition,
    }
}

fn touch(name: &str, ttl: Option<Ttl>) -> Operation {
    Operation::Touch {
        key: key(name),
        ttl,
    }
}

/// Something done to a store, and its name for messages.
type Named = (&'static str, fn(&Bed));

/// A store with one group and slot 0 open in epoch 1.
struct Bed {
    store: Store,
    group: GroupId,
}

impl Bed {
    fn new(shards: usize, memory_bytes: u64) -> Self {
        let store = Store::new(StoreConfig {
            shards,
            memory_bytes,
        });
        let group = store.set_group(&GroupName::new("g").unwrap(), GroupSettings::default());
        store.open_slot(slot(0), Epoch(1));
        Self { store, group }
    }

    fn roomy() -> Self {
        Self::new(4, 1 << 30)
    }

    fn another_group(&self, name: &str, max_bytes: Option<u64>) -> GroupId {
        let settings = GroupSettings {
            max_bytes,
            ..GroupSettings::default()
        };
        self.store
            .set_group(&GroupName::new(name).unwrap(), settings)
    }

    fn try_at(&self, now: u64, operation: Operation) -> Result<Executed, Refused> {
        self.store
            .execute(slot(0), self.group, &operation, WallMs(now))
    }

    /// Runs in slot 0 and in the group `g`.
    fn at(&self, now: u64, operation: Operation) -> Reply {
        self.reply(0, self.group, now, operation)
    }

    fn reply(&self, number: u16, group: GroupId, now: u64, operation: Operation) -> Reply {
        match self
            .store
            .execute(slot(number), group, &operation, WallMs(now))
        {
            Ok(Executed::Reply(reply)) => reply,
            other => panic!("{operation:?} came to {other:?}"),
        }
    }

    /// The entry read at a time.
    fn entry(&self, now: u64, name: &str) -> Option<Entry> {
        match self.at(now, get(name)) {
            Reply::Get(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    fn counters(&self) -> GroupCounters {
        self.counters_of(self.group)
    }

    fn counters_of(&self, group: GroupId) -> GroupCounters {
        self.store.group_counters()[group.index()].2
    }

    /// Nothing is left, by any way of counting.
    fn assert_empty(&self) {
        assert_eq!(self.store.used_bytes(), 0);
        for (name, _, counters) in self.store.group_counters() {
            assert_eq!((counters.keys, counters.bytes), (0, 0), "{name}");
        }
        for info in self.store.slots() {
            assert_eq!((info.keys, info.bytes), (0, 0), "{info:?}");
        }
    }
}
