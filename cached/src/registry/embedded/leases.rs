//! Leases: who holds which keys until when. Pure; `now` is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::state::Refusal;
use crate::clock::Moment;

/// etcd's own floor at its default election timeout.
const TTL_SECONDS_MIN: i64 = 2;

/// etcd's own ceiling.
const TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// A cluster has one or two leases per member; this stops a client that leaks them.
const LEASES_MAX: usize = 10_000;

#[derive(Debug)]
struct Lease {
    ttl_seconds: i64,
    deadline: Moment,
    keys: BTreeSet<Bytes>,
}

impl Lease {
    fn renew(&mut self, now: Moment) {
        self.deadline = now + Duration::from_secs(self.ttl_seconds.unsigned_abs());
    }
}

/// All leases, by id.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<i64, Lease>,
    /// The last id that was given out; counted, so that a run can be repeated.
    last_id: i64,
}

impl Leases {
    /// A new lease, with the id asked for or (0) one that is free. Answers the id
    /// and the granted time to live in seconds.
    pub(super) fn grant(
        &mut self,
        id: i64,
        seconds: i64,
        now: Moment,
    ) -> Result<(i64, i64), Refusal> {
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        if seconds > TTL_SECONDS_MAX {
            return Err(Refusal::TtlTooLarge);
        }
        if self.leases.len() >= LEASES_MAX {
            return Err(Refusal::TooManyLeases);
        }
        let id = if id == 0 { self.free_id() } else { id };
        let ttl_seconds = seconds.max(TTL_SECONDS_MIN);
        let mut lease = Lease {
            ttl_seconds,
            deadline: now,
            keys: BTreeSet::new(),
        };
        lease.renew(now);
        self.leases.insert(id, lease);
        Ok((id, ttl_seconds))
    }

    fn free_id(&mut self) -> i64 {
        loop {
            self.last_id += 1;
            if !self.leases.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Renews a lease; answers its time to live in seconds, 0 if it is not there.
    pub(super) fn keep_alive(&mut self, id: i64, now: Moment) -> i64 {
        match self.leases.get_mut(&id) {
            Some(lease) => {
                lease.renew(now);
                lease.ttl_seconds
            }
            None => 0,
        }
    }

    /// Ends a lease; answers the keys that end with it, ascending.
    pub(super) fn end(&mut self, id: i64) -> Option<BTreeSet<Bytes>> {
        self.leases.remove(&id).map(|lease| lease.keys)
    }

    /// A lease whose deadline has come.
    pub(super) fn due(&self, now: Moment) -> Option<i64> {
        self.leases
            .iter()
            .find(|(_, lease)| lease.deadline <= now)
            .map(|(id, _)| *id)
    }

    /// When the next lease ends unless it is kept alive.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.leases.values().map(|lease| lease.deadline).min()
    }

    pub(super) fn is_there(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Moves a key from one lease to another; 0: none.
    pub(super) fn rehang(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }
}
