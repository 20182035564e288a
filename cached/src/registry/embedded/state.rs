//! The embedded registry's state: keys with revisions, their history, leases. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::leases::Leases;
use super::log::{Event, Log, Told};
use crate::clock::Moment;

/// What all keys and values together may take: etcd's default quota is eight times
/// that, but this one lives in a cache node's memory.
const SPACE_BYTES_MAX: usize = 256 << 20;

/// Why a request was not carried out. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    EmptyKey,
    TooManyOperations,
    RequestTooLarge,
    DuplicateKey,
    LeaseNotFound,
    LeaseExists,
    TooManyLeases,
    TtlTooLarge,
    Compacted,
    FutureRevision,
    NoSpace,
    /// A part of the API that is not part of the subset.
    Unsupported(&'static str),
}

/// A key with its value and history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kv {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    /// Changes since its creation, which is the first.
    pub(super) version: i64,
    pub(super) lease: i64,
}

impl Kv {
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// The keys that a request speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    from: Bytes,
    /// `None`: to the last key.
    end: Option<Bytes>,
}

impl Span {
    /// In etcd's terms: no end is one key, an end of a zero byte is all that follow.
    pub(super) fn new(key: Vec<u8>, range_end: Vec<u8>) -> Self {
        let end = match range_end.as_slice() {
            [] => Some([key.as_slice(), &[0]].concat().into()),
            [0] => None,
            _ => Some(range_end.into()),
        };
        Self {
            from: key.into(),
            end,
        }
    }

    #[cfg(test)]
    pub(super) fn all() -> Self {
        Self {
            from: Bytes::new(),
            end: None,
        }
    }

    pub(super) fn contains(&self, key: &Bytes) -> bool {
        *key >= self.from && self.end.as_ref().is_none_or(|end| key < end)
    }
}

/// Everything the registry knows.
#[derive(Debug)]
pub(super) struct State {
    revision: i64,
    keys: BTreeMap<Bytes, Kv>,
    /// Size of all keys and values.
    bytes: usize,
    log: Log,
    leases: Leases,
}

impl State {
    /// Empty; revisions start at 1, as etcd's.
    pub(super) fn new() -> Self {
        Self {
            revision: 1,
            keys: BTreeMap::new(),
            bytes: 0,
            log: Log::default(),
            leases: Leases::default(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Kv> {
        self.keys.get(key)
    }

    /// Ascending by key.
    pub(super) fn range<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = &'a Kv> {
        let from = (Bound::Included(&span.from), Bound::Unbounded);
        self.keys
            .range::<Bytes, _>(from)
            .map(|(_, kv)| kv)
            .take_while(|kv| span.contains(&kv.key))
    }

    /// Whether so many more bytes may be written.
    pub(super) fn has_space(&self, bytes: usize) -> bool {
        self.bytes + bytes <= SPACE_BYTES_MAX
    }

    /// Starts a write: all its changes get one revision.
    pub(super) fn write(&mut self) -> Batch<'_> {
        let revision = self.revision + 1;
        Batch {
            state: self,
            revision,
        }
    }

    /// What a watch that has been told everything before `from` is told next, or
    /// the oldest revision there is if that is later.
    pub(super) fn tell(&self, span: &Span, from: i64) -> Result<Told, i64> {
        if from < self.log.compacted() {
            return Err(self.log.compacted());
        }
        Ok(self.log.tell(span, from, self.revision))
    }

    /// Forgets what happened before `revision`.
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.log.compacted() {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.log.compact(revision);
        Ok(())
    }

    /// See [`Leases::grant`].
    pub(super) fn grant(
        &mut self,
        id: i64,
        seconds: i64,
        now: Moment,
    ) -> Result<(i64, i64), Refusal> {
        self.leases.grant(id, seconds, now)
    }

    /// See [`Leases::keep_alive`].
    pub(super) fn keep_alive(&mut self, id: i64, now: Moment) -> i64 {
        self.leases.keep_alive(id, now)
    }

    pub(super) fn has_lease(&self, id: i64) -> bool {
        self.leases.is_there(id)
    }

    /// Ends a lease; its keys go with it, at one revision.
    pub(super) fn revoke(&mut self, id: i64) -> Result<(), Refusal> {
        let keys = self.leases.end(id).ok_or(Refusal::LeaseNotFound)?;
        let mut batch = self.write();
        for key in keys {
            batch.delete_key(&key);
        }
        Ok(())
    }

    /// Ends the leases whose time has come. Called before every request, so that
    /// nothing ever sees a lease that should be gone.
    pub(super) fn expire(&mut self, now: Moment) {
        while let Some(id) = self.leases.due(now) {
            let ended = self.revoke(id);
            debug_assert!(ended.is_ok(), "a lease that is due is there");
        }
    }

    /// When [`State::expire`] will next have something to do.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.leases.next_deadline()
    }
}

/// A write under way; its changes count as it is made, its revision if there were any.
pub(super) struct Batch<'a> {
    state: &'a mut State,
    revision: i64,
}

impl Batch<'_> {
    /// Puts a key. The lease must be there (0: none).
    pub(super) fn put(&mut self, key: Bytes, value: Bytes, lease: i64) {
        let old = self.state.keys.get(&key);
        let kv = Kv {
            key: key.clone(),
            value,
            create_revision: old.map_or(self.revision, |old| old.create_revision),
            mod_revision: self.revision,
            version: old.map_or(0, |old| old.version) + 1,
            lease,
        };
        self.state.bytes -= old.map_or(0, Kv::bytes);
        self.state.bytes += kv.bytes();
        let old_lease = old.map_or(0, |old| old.lease);
        self.state.leases.rehang(&key, old_lease, lease);
        self.state.keys.insert(key, kv.clone());
        self.tell(Event { deleted: false, kv });
    }

    /// Deletes a span's keys; answers how many there were.
    pub(super) fn delete(&mut self, span: &Span) -> usize {
        let keys: Vec<Bytes> = self.state.range(span).map(|kv| kv.key.clone()).collect();
        for key in &keys {
            self.delete_key(key);
        }
        keys.len()
    }

    fn delete_key(&mut self, key: &Bytes) {
        let Some(old) = self.state.keys.remove(key) else {
            return;
        };
        self.state.bytes -= old.bytes();
        self.state.leases.rehang(key, old.lease, 0);
        let kv = Kv {
            key: key.clone(),
            mod_revision: self.revision,
            ..Kv::default()
        };
        self.tell(Event { deleted: true, kv });
    }

    fn tell(&mut self, event: Event) {
        self.state.revision = self.revision;
        self.state.log.push(event);
    }
}

impl Drop for Batch<'_> {
    /// Only whole writes are forgotten, so not while one is under way.
    fn drop(&mut self) {
        self.state.log.trim();
    }
}
