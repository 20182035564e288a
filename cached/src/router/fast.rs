//! The short way for plain reads and writes of keys that are here: what depends on
//! neither key nor value is looked up once for a run of operations, and one look at
//! the fence vouches for the whole run before any of it is answered.
//!
//! Whatever is not plain (a key elsewhere, a slot on its way, a miss that may be
//! loaded, a value that is too large) is handed back, to go the usual way.

use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;
use cached_proto::limits::KEY_BYTES_MAX;
use cached_proto::operation::{Condition, Operation, Reply};
use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use cached_proto::types::{GroupName, Key, MemberId, Slot};

use super::{Router, groups};
use crate::clock::WallMs;
use crate::cluster::view::{ClusterView, Serving};
use crate::store::{Executed, GroupId, Read};

/// What plain operations of one group have in common. Short-lived: it holds on to a
/// view, and to the time at which it was made.
#[derive(Debug)]
pub struct Here<'a> {
    router: &'a Router,
    view: Guard<Arc<ClusterView>>,
    group: GroupId,
    now: WallMs,
    /// Misses may be loaded: they are not answered here.
    loads: bool,
}

/// What a plain read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastRead {
    /// The value was handed over.
    Hit,
    /// There is none.
    Miss,
    /// It has to go the usual way; nothing was counted.
    NotHere,
}

impl Router {
    /// What plain operations of a group have in common; `None`: this node serves
    /// nothing now, or does not know the group.
    pub fn here(&self, group: &GroupName) -> Option<Here<'_>> {
        if matches!(self.serving_now(), Serving::Fenced(_)) {
            return None;
        }
        let view = self.parts.view.load();
        if !view.table_loaded {
            return None;
        }
        let id = groups::resolve(&view, &self.parts.store, group)?;
        let getter = self.parts.getter.as_ref();
        Some(Here {
            router: self,
            group: id,
            now: self.parts.clock.wall(),
            loads: getter.is_some_and(|getter| getter.covers(group)),
            view,
        })
    }

    /// Whether what was carried out [here](Router::here) until now may be answered.
    /// If not, this process was not sure of its slots any more at some time since:
    /// reads may be stale, and nobody knows whether writes were applied.
    pub fn vouches(&self) -> bool {
        !matches!(self.serving_now(), Serving::Fenced(_))
    }

    /// The function that turns keys into slots.
    pub fn hash(&self) -> KeyHash {
        self.parts.view.load().hash()
    }

    /// Where cluster clients of the Redis protocol reach a member; `None`: nowhere.
    pub fn resp_cluster_address(&self, id: &MemberId) -> Option<String> {
        let view = self.parts.view.load();
        let member = view.members.iter().find(|member| member.id == *id)?;
        member.record.as_ref()?.resp_cluster_address.clone()
    }
}

impl Here<'_> {
    /// Reads the value of a key, and hands it to `found` if there is one: where it stands,
    /// so `found` copies it and does nothing else.
    pub fn get(&self, key: &[u8], found: impl FnOnce(&[u8])) -> FastRead {
        let Some(slot) = self.own(key) else {
            return FastRead::NotHere;
        };
        let store = &self.router.parts.store;
        let read = store.read_with(slot, self.group, key, self.now, |hit| {
            found(hit.value);
            hit.value.len()
        });
        let (came, value_bytes) = match read {
            Ok(Read::Hit(bytes)) => (FastRead::Hit, Some(bytes)),
            Ok(Read::KnownAbsent) => (FastRead::Miss, None),
            Ok(Read::Missed) if !self.loads => {
                store.count_miss(slot, self.group);
                (FastRead::Miss, None)
            }
            _ => return FastRead::NotHere,
        };
        let hot = &self.router.parts.hot;
        hot.touch(self.group, key, value_bytes);
        came
    }

    /// Writes the value of a key, with the group's usual time to live. False: it was
    /// not written, and has to go the usual way. `value` is asked for only if the key
    /// is here.
    pub fn set(&self, key: &[u8], bytes: usize, value: impl FnOnce() -> Bytes) -> bool {
        if bytes > self.router.parts.limits.value_bytes_max {
            return false;
        }
        let Some(slot) = self.own(key) else {
            return false;
        };
        let Ok(key) = Key::new(Bytes::copy_from_slice(key)) else {
            return false;
        };
        let operation = Operation::Set {
            key,
            value: value(),
            ttl: None,
            condition: Condition::Always,
        };
        let store = &self.router.parts.store;
        let executed = store.execute(slot, self.group, &operation, self.now);
        let stored = matches!(
            executed,
            Ok(Executed::Reply(Reply::Set { stored: true, .. }))
        );
        if stored {
            let hot = &self.router.parts.hot;
            hot.touch(self.group, operation.key().as_bytes(), Some(bytes));
        }
        stored
    }

    /// The slot of a key, if the key is lawful and the slot is this node's.
    fn own(&self, key: &[u8]) -> Option<Slot> {
        let slot = slot_of(self.view.hash(), key);
        let is_lawful = (1..=KEY_BYTES_MAX).contains(&key.len());
        (is_lawful && self.view.is_mine(slot)).then_some(slot)
    }
}
