//! The short way for plain reads and writes of keys that are here: what depends on
//! neither key nor value is looked up once for a run of operations, and one look at
//! the fence vouches for the whole run before any of it is answered.
//!
//! Whatever is not plain (a key elsewhere, a slot on its way, a miss that may be
//! loaded, a value that is too large) is handed back, to go the usual way.

use std::sync::Arc;

use arc_swap::Guard;
use cached_proto::limits::KEY_BYTES_MAX;
use cached_proto::ring::hash::KeyHash;
use cached_proto::ring::slot_of;
use cached_proto::types::{GroupName, Key, MemberId};

use super::{Router, groups};
use crate::clock::{Moment, WallMs};
use crate::cluster::view::{ClusterView, Serving};
use crate::store::{GroupId, Read, Spot, prefetch};

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

/// Keys whose entries are [fetched](Here::fetch) together, at most.
pub const FETCHED_MAX: usize = crate::store::FETCHED_MAX;

/// Where a key is looked for. Good for as long as the process runs.
#[derive(Clone, Copy, Debug)]
pub struct KeySpot(Spot);

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
    /// nothing at that time, which is about now, or does not know the group.
    pub fn here(&self, group: &GroupName, now: Moment) -> Option<Here<'_>> {
        if !self.vouches(now) {
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

    /// Fetches what operations on keys of one group will look at, if they are here, so that
    /// they need not wait for the machine's memory one after the other. At most
    /// [`FETCHED_MAX`] keys.
    pub fn fetch<'k>(&self, group: &GroupName, keys: impl Iterator<Item = &'k Key>, now: Moment) {
        let Some(here) = self.here(group, now) else {
            return;
        };
        let keys = keys.take(FETCHED_MAX);
        let spots: Vec<_> = keys.filter_map(|key| here.spot(key.as_bytes())).collect();
        here.fetch(spots.into_iter(), true);
    }

    /// Whether what was carried out [here](Router::here) until `now`, which was read
    /// after it, may be answered. If not, this process was not sure of its slots any more
    /// at some time since: reads may be stale, and nobody knows whether writes were applied.
    pub fn vouches(&self, now: Moment) -> bool {
        !matches!(self.parts.view.fence().check(now), Serving::Fenced(_))
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
    /// Where a key would be looked for, were it here; `None`: it is no key. Only for
    /// [`Here::fetch`] and, to spare the work, for the operation on this very key.
    #[inline]
    pub fn spot(&self, key: &[u8]) -> Option<KeySpot> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return None;
        }
        let slot = slot_of(self.view.hash(), key);
        // Whether it is here is asked when its turn comes.
        prefetch(&self.view.owners[slot.index()]);
        Some(KeySpot(self.router.parts.store.spot(slot, self.group, key)))
    }

    /// Fetches what operations on these keys will look at, so that they need not wait for
    /// the machine's memory one after the other; `writes`: some of them are writes.
    pub fn fetch(&self, spots: impl Iterator<Item = KeySpot> + Clone, writes: bool) {
        let spots = spots.map(|KeySpot(spot)| spot);
        self.router.parts.store.fetch(spots, writes);
    }

    /// Reads the value of a key, and hands it to `found` if there is one: where it stands,
    /// so `found` copies it and does nothing else. `spot` is the key's, if it is known.
    pub fn get(&self, key: &[u8], spot: Option<KeySpot>, found: impl FnOnce(&[u8])) -> FastRead {
        let Some(spot) = self.own(key, spot) else {
            return FastRead::NotHere;
        };
        let store = &self.router.parts.store;
        let read = store.read_at(spot, key, self.now, |hit| {
            found(hit.value);
            hit.value.len()
        });
        let (came, value_bytes) = match read {
            Ok(Read::Hit(bytes)) => (FastRead::Hit, Some(bytes)),
            Ok(Read::KnownAbsent) => (FastRead::Miss, None),
            Ok(Read::Missed) if !self.loads => {
                store.count_miss(spot.slot(), self.group);
                (FastRead::Miss, None)
            }
            _ => return FastRead::NotHere,
        };
        let hot = &self.router.parts.hot;
        hot.touch(self.group, key, value_bytes);
        came
    }

    /// Writes the value of a key, with the group's usual time to live. False: it was
    /// not written, and has to go the usual way. `spot` is the key's, if it is known.
    pub fn set(&self, key: &[u8], spot: Option<KeySpot>, value: &[u8]) -> bool {
        if value.len() > self.router.parts.limits.value_bytes_max {
            return false;
        }
        let Some(spot) = self.own(key, spot) else {
            return false;
        };
        let store = &self.router.parts.store;
        if store.set_copy(spot, key, value, self.now).is_err() {
            return false;
        }
        let hot = &self.router.parts.hot;
        hot.touch(self.group, key, Some(value.len()));
        true
    }

    /// The key's spot, if the key is lawful and its slot is this node's.
    #[inline]
    fn own(&self, key: &[u8], spot: Option<KeySpot>) -> Option<Spot> {
        // Another group's, or found before the slot was given up.
        let is_good =
            |spot: &KeySpot| spot.0.group() == self.group && self.view.is_mine(spot.0.slot());
        let spot = spot.or_else(|| self.spot(key)).filter(is_good);
        spot.map(|KeySpot(spot)| spot)
    }
}
